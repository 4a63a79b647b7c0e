import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

/**
 * A window above the page: the keyboard stays in it, Escape closes it, and the focus goes back to where it was.
 * What was typed is not lost by a slip: while `dirty`, closing asks first.
 */
export function Dialog({ title, dirty, close, children }: { title: string; dirty?: boolean; close: () => void; children: ComponentChildren }) {
  const host = useRef<HTMLDialogElement>(null);
  const [asked, setAsked] = useState(false);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const element = host.current;
    element?.showModal();
    // The first thing to fill in, rather than the button that closes.
    element?.querySelector<HTMLElement>("form input, form select, form textarea")?.focus();
    return () => {
      // Nothing behind an open one can have the focus.
      element?.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  const leave = () => (dirty ? setAsked(true) : close());
  return (
    <dialog
      ref={host}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        leave();
      }}
    >
      <header>
        <h2>{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={leave}>×</button>
      </header>
      {asked ? (
        <div class="problem asks" role="alert">
          <span>What you have typed is not saved.</span>
          <span class="acts">
            <button type="button" onClick={() => setAsked(false)}>Go on</button>
            <button type="button" class="act danger" onClick={close}>Discard it</button>
          </span>
        </div>
      ) : null}
      {children}
    </dialog>
  );
}
