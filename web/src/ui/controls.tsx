import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Undo, say, told } from "../state/notices";
import { type Needs, lacks } from "../state/scope";

/** A button that does something at the gateway: busy until it is done, and the outcome is told. */
export function Act({
  children,
  run,
  done,
  confirm,
  consequence,
  undo,
  danger,
  label,
  needs,
  idle,
}: {
  children: ComponentChildren;
  run: () => Promise<unknown>;
  /** What is said when it is done; left out where the page shows it. */
  done?: string;
  /** Asked before; the second press does it. */
  confirm?: string;
  /** What the second press will do to people: stands beside the question. */
  consequence?: string | undefined;
  /** Takes it back, for a minute. */
  undo?: Undo | undefined;
  danger?: boolean;
  label?: string;
  /** The scope that the token must have. */
  needs: Needs;
  /** There is nothing to do now. */
  idle?: boolean;
}) {
  const refused = lacks(needs);
  const [busy, setBusy] = useState(false);
  const [asked, setAsked] = useState(false);
  useEffect(() => {
    if (!asked) return;
    const timer = setTimeout(() => setAsked(false), 8000);
    return () => clearTimeout(timer);
  }, [asked]);
  const press = async () => {
    // Not disabled, so that the keyboard comes to it too, and the reason can be read.
    if (refused) return say(refused, true);
    if (confirm && !asked) {
      setAsked(true);
      return;
    }
    setAsked(false);
    setBusy(true);
    await told(run, done, undo);
    setBusy(false);
  };
  return (
    <>
      {asked && consequence ? <span class="consequence" role="alert">{consequence}</span> : null}
      <button
        type="button"
        class={`act ${danger ? "danger" : ""} ${asked ? "asked" : ""}`}
        disabled={busy || idle}
        aria-disabled={refused !== null}
        title={refused ?? undefined}
        aria-label={asked ? confirm : label}
        onClick={press}
      >
        {asked ? confirm : children}
      </button>
    </>
  );
}

/** A button that opens something in which more is asked. */
export function Ask({ children, open, danger, label, needs }: { children: ComponentChildren; open: () => void; danger?: boolean; label?: string; needs: Needs }) {
  const refused = lacks(needs);
  return (
    <button
      type="button"
      class={`act ${danger ? "danger" : ""}`}
      aria-disabled={refused !== null}
      title={refused ?? undefined}
      aria-label={label}
      onClick={() => (refused ? say(refused, true) : open())}
    >
      {children}
    </button>
  );
}

/** Text with a button that copies it. What is `masked` is copied whole all the same. */
export function Copyable({ value, masked }: { value: string; masked?: string | undefined }) {
  const [copied, setCopied] = useState(false);
  const text = useRef<HTMLElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      // Without https there is no clipboard to write to: select it, so that Ctrl+C does.
      const range = document.createRange();
      if (text.current) range.selectNodeContents(text.current);
      getSelection()?.removeAllRanges();
      getSelection()?.addRange(range);
      if (masked !== undefined) return say("Show the secrets, then copy: without https the page cannot use the clipboard.", true);
      if (!document.execCommand("copy")) return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <span class="copyable">
      <code ref={text}>{masked ?? value}</code>
      <span class="copyable-acts">
        <button type="button" onClick={copy} aria-live="polite">
          {copied ? "Copied" : "Copy"}
        </button>
      </span>
    </span>
  );
}

/** Buttons of which one is pressed. */
export function Toggle<T extends string>({ value, choices, label, set }: { value: T; choices: [T, string][]; label: string; set: (value: T) => void }) {
  return (
    <div class="toggle" role="group" aria-label={label}>
      {choices.map(([key, word]) => (
        <button type="button" aria-pressed={value === key} onClick={() => set(key)} key={key}>
          {word}
        </button>
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children ? <p>{children}</p> : null}
    </div>
  );
}

/** `top`: its title is that of the whole page. */
export function Section({ title, aside, children, id, top }: { title: string; aside?: ComponentChildren; children: ComponentChildren; id?: string; top?: boolean }) {
  return (
    <section class="panel" id={id} aria-label={title}>
      <header>
        {top ? <h1>{title}</h1> : <h2>{title}</h2>}
        {aside ? <div class="aside">{aside}</div> : null}
      </header>
      {children}
    </section>
  );
}

/** A figure with its name above: the page's smallest unit. */
export function Figure({ name, value, health, title }: { name: string; value: ComponentChildren; health?: string; title?: string }) {
  return (
    <div class={`figure ${health ?? ""}`} title={title}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
