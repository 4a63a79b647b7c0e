import { useEffect, useState } from "preact/hooks";

export interface Polled<T> {
  value: T | null;
  error: string | null;
  again: () => void;
}

/** Asks again and again while the page is in view, never twice at once; `key` names what is asked for. */
export function usePolled<T>(key: string, ms: number, ask: () => Promise<T>): Polled<T> {
  const [state, setState] = useState<{ key: string; value: T | null; error: string | null }>({ key, value: null, error: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    let over = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const next = async () => {
      if (!document.hidden) {
        try {
          const value = await ask();
          if (!over) setState({ key, value, error: null });
        } catch (error) {
          const text = error instanceof Error ? error.message : String(error);
          if (!over) setState((before) => ({ key, value: before.key === key ? before.value : null, error: text }));
        }
      }
      if (!over) timer = setTimeout(next, ms);
    };
    void next();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [key, ms, round]);
  const current = state.key === key;
  return {
    value: current ? state.value : null,
    error: current ? state.error : null,
    again: () => setRound((before) => before + 1),
  };
}
