import type { Health } from "../model";

/** Colour, shape and word together: whoever cannot tell the colours apart sees the shape. With an empty label, the word stands beside it. */
const SHAPES: Record<Health, string> = {
  good: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z",
  warning: "M8 1.5 15 14H1Z",
  bad: "M2 2h12v12H2Z",
  standby: "M8 2a6 6 0 1 0 0 12V2Z",
  idle: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Zm0 1.8a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4Z",
};

const WORDS: Record<Health, string> = {
  good: "good",
  warning: "warning",
  bad: "fault",
  standby: "standby",
  idle: "idle",
};

export function Mark({ health, label }: { health: Health; label?: string }) {
  const standby = health === "standby" ? <circle cx="8" cy="8" r="5.4" fill="none" stroke="currentColor" stroke-width="1.4" /> : null;
  return (
    <svg class={`mark ${health}`} viewBox="0 0 16 16" {...(label === "" ? { "aria-hidden": true } : { role: "img", "aria-label": label ?? WORDS[health] })}>
      <path d={SHAPES[health]} fill="currentColor" fill-rule="evenodd" />
      {standby}
      {health === "bad" ? <path d="M5 5l6 6M11 5l-6 6" stroke="var(--surface)" stroke-width="1.8" /> : null}
      {health === "warning" ? <path d="M8 6v4M8 11.4v1.4" stroke="var(--surface)" stroke-width="1.6" /> : null}
    </svg>
  );
}

export function State({ health, word }: { health: Health; word: string }) {
  return (
    <span class={`state ${health}`}>
      <Mark health={health} label="" />
      {word}
    </span>
  );
}
