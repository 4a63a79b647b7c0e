import { computed, signal } from "@preact/signals";
import { type Route, href, parseRoute } from "../lib/route";

export { type Route, href } from "../lib/route";

const hash = signal(location.hash);
addEventListener("hashchange", () => {
  hash.value = location.hash;
  scrollTo(0, 0);
});

export const route = computed(() => parseRoute(hash.value));

export function go(to: Route): void {
  location.hash = href(to);
}
