import { effect, signal } from "@preact/signals";
import type { Zone } from "../lib/format";
import { type Parameter, query, setQuery } from "./router";

/** Choices of whoever looks, kept by the browser. Where it keeps nothing (private windows), they hold until it is closed. */

function stored<T extends string>(key: string, choices: readonly T[], fallback: T) {
  let first: T = fallback;
  try {
    const kept = localStorage.getItem(key) as T | null;
    if (kept && choices.includes(kept)) first = kept;
  } catch {
    // Storage is forbidden here.
  }
  const value = signal<T>(first);
  effect(() => {
    try {
      localStorage.setItem(key, value.value);
    } catch {
      // As above.
    }
  });
  return value;
}

/**
 * A choice that the address may hold too, for links to a screen that nobody operates. What the address says wins. With
 * `shared`, changing it changes the address, so that the address can be copied.
 */
function choice<T extends string>(key: string, choices: readonly T[], fallback: T, shared: boolean): Parameter<T> {
  const kept = stored(key, choices, fallback);
  return {
    get value() {
      const given = query.value.get(key) as T | null;
      return given !== null && choices.includes(given) ? given : kept.value;
    },
    set value(next) {
      kept.value = next;
      setQuery({ [key]: shared ? next : null });
    },
  };
}

export const theme = choice("theme", ["auto", "dark", "light"] as const, "auto", false);
export const zone = choice<Zone>("times", ["local", "utc"] as const, "local", false);
export const layout = choice("layout", ["table", "wall"] as const, "table", true);
export const stills = choice("stills", ["on", "off"] as const, "on", true);
/** Alarms that are raised are heard. */
export const sound = stored("sound", ["off", "on"] as const, "off");

effect(() => {
  if (theme.value === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme.value;
});

const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(darkScheme.matches);
darkScheme.addEventListener("change", (event) => {
  systemDark.value = event.matches;
});

/** Changes when the colours or the time zone do: canvases cannot follow a style sheet by themselves. */
export function colours(): string {
  return `${theme.value}${systemDark.value}${zone.value}`;
}
