import { signal } from "@preact/signals";

/** What the page says of what was just done: read out by screen readers, gone after a while. */
export interface Notice {
  id: number;
  text: string;
  bad: boolean;
}

export const notices = signal<Notice[]>([]);
let last = 0;

export function say(text: string, bad = false): void {
  last += 1;
  const notice = { id: last, text, bad };
  notices.value = [...notices.value.slice(-3), notice];
  setTimeout(() => dismiss(notice.id), bad ? 12_000 : 4_000);
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Runs it and says how it went; true when it went well. */
export async function told(run: () => Promise<unknown>, done?: string): Promise<boolean> {
  try {
    await run();
    if (done) say(done);
    return true;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
    return false;
  }
}
