import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import * as api from "../api/client";
import { type Row, placed, tableOf, toDefinition, toRows } from "../lib/definition";
import type { KeyPath } from "../lib/keypath";
import { toToml } from "../lib/toml";
import type { Definition, Fault, KeyTables, Versioned } from "../model";
import { say } from "../state/notices";
import { Dialog } from "./dialog";
import { Faults, Fields } from "./fields";
import { StreamForm, tabOf } from "./form";

export interface Edit {
  title: string;
  /** What is edited; its version goes with the change, so that nobody's work is written over. */
  from: Versioned;
  /** What is there now, when somebody else was quicker; not there for a name that may be taken. */
  now?: () => Promise<Versioned>;
  /** It is added to what is there, rather than put in its place. */
  adds?: boolean;
  save: (definition: Definition, etag: string | null) => Promise<unknown>;
  /** Said when it is saved. */
  done: string;
  /** Where it stands in the configuration; -1 stands for any place in a list. */
  base: KeyPath;
  /** Keys that are edited elsewhere: they stay as they are. */
  without?: string[];
  close: () => void;
}

/** Somebody else was quicker. What was typed stays; whoever typed it decides. */
function Conflict({ theirs, adds, takeTheirs, keepMine }: { theirs: Versioned | "gone"; adds: boolean; takeTheirs: () => void; keepMine: () => void }) {
  if (theirs === "gone") {
    return <div class="problem" role="alert">Someone else has removed this in the meantime. Your text is still here, but cannot be saved.</div>;
  }
  return (
    <div class="problem" role="alert">
      <p><strong>Someone else has changed this since you opened it.</strong> Your text is still here. The current version is:</p>
      <pre>{toToml(theirs.definition) || "(no settings)"}</pre>
      <div class="acts">
        {adds ? null : <button type="button" onClick={takeTheirs}>Discard mine and edit theirs</button>}
        <button type="button" class="act danger" onClick={keepMine}>{adds ? "Add mine all the same" : "Save mine over theirs"}</button>
      </div>
    </div>
  );
}

/** What is typed into an editor, and what the gateway says to it. */
function useEdit(edit: Edit, tables: KeyTables, keysOf: (rows: Row[]) => KeyTables["stream"]) {
  const without = edit.without ?? [];
  const split = (whole: Definition) => {
    const entries = Object.entries(whole);
    const shown = Object.fromEntries(entries.filter(([name]) => !without.includes(name)));
    const kept = Object.fromEntries(entries.filter(([name]) => without.includes(name)));
    const rows = toRows(shown, tables.stream, tables);
    return { kept, rows: toRows(shown, keysOf(rows), tables) };
  };
  const [base, setBase] = useState(edit.from);
  const [rows, setRows] = useState(() => split(edit.from.definition).rows);
  const [faults, setFaults] = useState<Fault[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const [theirs, setTheirs] = useState<Versioned | "gone" | null>(null);
  const [busy, setBusy] = useState(false);
  const send = async (on: Versioned) => {
    setBusy(true);
    setProblem(null);
    setFaults([]);
    try {
      await edit.save({ ...split(on.definition).kept, ...toDefinition(rows, keysOf(rows), tables) }, on.etag);
      say(edit.done);
      edit.close();
    } catch (error) {
      if (error instanceof api.Refused && error.stale && edit.now) {
        setTheirs(await edit.now().catch(() => "gone" as const));
      } else if (error instanceof api.Refused) {
        setProblem(error.stale ? "This name already exists." : error.status === 422 && error.faults.length > 0 ? null : error.message);
        setFaults(error.faults);
      } else setProblem(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };
  const take = (next: Versioned) => {
    setBase(next);
    setRows(split(next.definition).rows);
    setTheirs(null);
    setFaults([]);
    setProblem(null);
  };
  const over = (next: Versioned) => {
    setBase(edit.adds ? { ...base, etag: next.etag } : next);
    setTheirs(null);
    void send(next);
  };
  const dirty = useMemo(() => JSON.stringify(rows) !== JSON.stringify(split(base.definition).rows), [rows, base]);
  return { rows, setRows, faults, problem, theirs, busy, dirty, send: () => send(base), take, over };
}

function Form({ edit, tables, keysOf, forms, children }: { edit: Edit; tables: KeyTables; keysOf: (rows: Row[]) => KeyTables["stream"]; forms?: boolean; children?: ComponentChildren }) {
  const [tab, setTab] = useState("publish");
  const state = useEdit(edit, tables, keysOf);
  const faults = useMemo(() => placed(state.faults, edit.base, state.rows), [state.faults]);
  const wrong = tabOf(faults, edit.without ?? []);
  useEffect(() => {
    if (wrong && tab !== "all") setTab(wrong);
  }, [faults]);
  const common = { rows: state.rows, keys: keysOf(state.rows), set: state.setRows, without: edit.without ?? [], tables, faults };
  const elsewhere = (faults.get("") ?? []).map((fault) => ({ ...fault, message: `${fault.key}: ${fault.message}` }));
  return (
    <Dialog title={edit.title} dirty={state.dirty} close={edit.close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void state.send();
        }}
      >
        {state.theirs ? (
          <Conflict theirs={state.theirs} adds={edit.adds ?? false} takeTheirs={() => state.theirs !== "gone" && state.theirs && state.take(state.theirs)} keepMine={() => state.theirs !== "gone" && state.theirs && state.over(state.theirs)} />
        ) : null}
        {state.problem ? <p class="problem" role="alert">{state.problem}</p> : null}
        {elsewhere.length > 0 ? <div class="problem"><Faults list={elsewhere} /></div> : null}
        {children}
        {forms ? <StreamForm tab={tab} choose={setTab} {...common} /> : <Fields {...common} />}
        <footer class="acts">
          <button type="button" onClick={edit.close}>Cancel</button>
          <button type="submit" class="primary" disabled={state.busy}>Save</button>
        </footer>
      </form>
    </Dialog>
  );
}

/** The keys, when they are known; a word about it until then. */
function useKeys(): { tables: KeyTables | null; error: string | null } {
  const [tables, setTables] = useState<KeyTables | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    let over = false;
    api.keys().then(
      (known) => !over && setTables(known),
      (failure: unknown) => !over && setError(failure instanceof Error ? failure.message : String(failure)),
    );
    return () => {
      over = true;
    };
  }, []);
  return { tables, error };
}

/** Edits the table of a stream. */
export function StreamEditor({ edit, children }: { edit: Edit; children?: ComponentChildren }) {
  const { tables, error } = useKeys();
  if (!tables) return error ? <Dialog title={edit.title} close={edit.close}><p class="problem" role="alert">{error}</p></Dialog> : null;
  return <Form edit={edit} tables={tables} keysOf={() => tables.stream} forms children={children} />;
}

const URL_KEY = { name: "url", kind: "URL", unit: "", default: "", example: "srt://host:9000", meaning: "srt://, udp://, rtp:// or file://", secret: false };

/** Edits an input or output: which keys it may have depends on what its address begins with. */
export function EndpointEditor({ edit }: { edit: Edit }) {
  const { tables, error } = useKeys();
  if (!tables) return error ? <Dialog title={edit.title} close={edit.close}><p class="problem" role="alert">{error}</p></Dialog> : null;
  const keysOf = (rows: Row[]) => {
    const address = rows.find((row) => row.name === "url")?.text ?? "";
    return [URL_KEY, ...tables[tableOf(address)].filter((key) => key.name !== "url")];
  };
  return <Form edit={edit} tables={tables} keysOf={keysOf} />;
}
