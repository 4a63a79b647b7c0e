import { signal } from "@preact/signals";

/** What the page says of what was just done: read out by screen readers, gone after a while. */
export interface Notice {
  id: number;
  text: string;
  bad: boolean;
  /** Takes back what was done; what it has done is said next. */
  undo?: Undo | undefined;
}

export interface Undo {
  run: () => Promise<unknown>;
  /** Said when it has succeeded. */
  done: string;
}

/** How long a change can be taken back, in milliseconds. */
const UNDO_MS = 60_000;

export const notices = signal<Notice[]>([]);
let last = 0;

export function say(text: string, bad = false, undo?: Undo): void {
  last += 1;
  const notice = { id: last, text, bad, undo };
  // Those that can still be undone stay as long as there is room.
  const [lasting, passing] = [notices.value.filter((one) => one.undo), notices.value.filter((one) => !one.undo)];
  notices.value = [...lasting.slice(-3), ...passing.slice(-2), notice];
  setTimeout(() => dismiss(notice.id), undo ? UNDO_MS : bad ? 12_000 : 4_000);
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Runs it and says how it went; true when it went well. */
export async function told(run: () => Promise<unknown>, done?: string, undo?: Undo): Promise<boolean> {
  try {
    await run();
    if (done) say(done, false, undo);
    return true;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
    return false;
  }
}

export async function takeBack(notice: Notice): Promise<void> {
  dismiss(notice.id);
  if (notice.undo) await told(notice.undo.run, notice.undo.done);
}
