import { computed, signal } from "@preact/signals";
import { type Route, href, parseQuery, parseRoute, withQuery } from "../lib/route";

export { type Route, href } from "../lib/route";

const hash = signal(location.hash);
/** The last address of each page, so that a link back to it keeps its filters. */
const visited = new Map<string, string>();

function arrive(): void {
  hash.value = location.hash;
  visited.set(parseRoute(location.hash).page, location.hash || "#/");
}

arrive();
addEventListener("hashchange", () => {
  arrive();
  scrollTo(0, 0);
});

export const route = computed(() => parseRoute(hash.value));
export const query = computed(() => parseQuery(hash.value));

export function go(to: Route, parameters: Record<string, string> = {}): void {
  location.hash = withQuery(href(to), parameters);
}

/** Like `href`, with the filters that the page had when it was last in view. */
export function back(to: Route): string {
  return "name" in to ? href(to) : (visited.get(to.page) ?? href(to));
}

/** Changes the address of the page in view without adding to the browser's history. */
export function setQuery(changes: Record<string, string | null>): void {
  history.replaceState(history.state, "", withQuery(location.hash, changes));
  arrive();
}

export interface Parameter<T extends string> {
  value: T;
}

/** A part of what the page in view shows that the address holds, so that a link shows the same. */
export function parameter<T extends string>(key: string, fallback: T, choices?: readonly T[]): Parameter<T> {
  return {
    get value() {
      const given = query.value.get(key) as T | null;
      return given !== null && (!choices || choices.includes(given)) ? given : fallback;
    },
    set value(next) {
      setQuery({ [key]: next === fallback ? null : next });
    },
  };
}
