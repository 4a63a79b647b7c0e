import { effect, signal } from "@preact/signals";

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

export const theme = stored("theme", ["auto", "dark", "light"] as const, "auto");
export const layout = stored("layout", ["table", "wall"] as const, "table");
export const stills = stored("stills", ["on", "off"] as const, "on");

effect(() => {
  if (theme.value === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme.value;
});

const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(darkScheme.matches);
darkScheme.addEventListener("change", (event) => {
  systemDark.value = event.matches;
});

/** Changes when the colours do: canvases cannot follow a style sheet by themselves. */
export function colours(): string {
  return `${theme.value}${systemDark.value}`;
}
