import { useId } from "preact/hooks";
import { type Control, type Row, choices, control, innerKeys, newRow } from "../lib/definition";
import type { Fault, Key, KeyTables } from "../model";

/** The fields of a definition that is edited: a row for each key that is set, and a list of those that may be added. */

interface Common {
  tables: KeyTables;
  faults: Map<string, Fault[]>;
}

export function Faults({ list, id }: { list: Fault[] | undefined; id?: string | undefined }) {
  if (!list || list.length === 0) return null;
  return (
    <ul class="faults" id={id} role="alert">
      {list.map((fault) => (
        <li key={fault.key + fault.message}>
          {fault.message}
          {fault.hint ? <small>{fault.hint}</small> : null}
        </li>
      ))}
    </ul>
  );
}

interface InputProps {
  id: string;
  kind: Control;
  known: Key | undefined;
  text: string;
  invalid: boolean;
  told: string;
  set: (text: string) => void;
}

function Input({ id, kind, known, text, invalid, told, set }: InputProps) {
  const common = { id, "aria-invalid": invalid, "aria-describedby": told };
  if (kind === "boolean" || kind === "choice") {
    const words = kind === "boolean" ? ["true", "false"] : choices(known?.kind ?? "");
    return (
      <select {...common} value={text} onChange={(event) => set(event.currentTarget.value)}>
        {words.includes(text) ? null : <option value={text}>{text}</option>}
        {words.map((word) => <option value={word} key={word}>{word}</option>)}
      </select>
    );
  }
  if (kind === "lines") {
    const rows = Math.min(8, Math.max(2, text.split("\n").length + 1));
    return <textarea {...common} rows={rows} spellcheck={false} value={text} placeholder="one a line" onInput={(event) => set(event.currentTarget.value)} />;
  }
  if (kind === "secret") {
    return <input {...common} type="password" autocomplete="new-password" value={text} onInput={(event) => set(event.currentTarget.value)} />;
  }
  const example = known?.example.replace(/^"(.*)"$/, "$1") ?? "";
  return <input {...common} autocomplete="off" spellcheck={false} value={text} placeholder={example} onInput={(event) => set(event.currentTarget.value)} />;
}

function Field({ row, known, place, faults, set, remove }: { row: Row; known: Key | undefined; place: string; set: (row: Row) => void; remove: () => void } & Common) {
  const id = useId();
  const list = faults.get(place);
  const kind = control(known);
  return (
    <div class={`field ${list ? "wrong" : ""}`}>
      <label for={id}>
        {row.name}
        {known?.unit ? <small>, {known.unit}</small> : null}
      </label>
      <Input id={id} kind={kind} known={known} text={row.text} invalid={list !== undefined} told={`${id}-told`} set={(text) => set({ ...row, text })} />
      {row.name === "url" ? null : (
        <button type="button" class="quiet" aria-label={`Leave out ${row.name}`} title="Remove it and use the default" onClick={remove}>×</button>
      )}
      <div class="told" id={`${id}-told`}>
        <Faults list={list} />
        {known ? <small>{known.meaning}{kind === "secret" && row.text === "***" ? ". Not shown; *** stays as it is." : ""}</small> : null}
      </div>
    </div>
  );
}

/** `place` is what stands before the names of these rows, as `srt.`. */
export function Fields({ rows, keys, set, place = "", without = [], tables, faults }: { rows: Row[]; keys: Key[]; set: (rows: Row[]) => void; place?: string; without?: string[] } & Common) {
  const replace = (at: number, row: Row) => set(rows.map((one, index) => (index === at ? row : one)));
  const remove = (at: number) => set(rows.filter((_, index) => index !== at));
  const free = keys.filter((key) => !without.includes(key.name) && !rows.some((row) => row.name === key.name));
  return (
    <div class="fields">
      {rows.map((row, at) => {
        const known = keys.find((key) => key.name === row.name);
        const here = place + row.name;
        if (!row.rows) {
          return <Field row={row} known={known} place={here} set={(next) => replace(at, next)} remove={() => remove(at)} tables={tables} faults={faults} key={row.name} />;
        }
        return (
          <fieldset class="field-group" key={row.name}>
            <legend>
              {row.name} <small>{known?.meaning}</small>
              <button type="button" class="quiet" aria-label={`Leave out ${row.name}`} onClick={() => remove(at)}>×</button>
            </legend>
            <Faults list={faults.get(here)} />
            <Fields rows={row.rows} keys={innerKeys(known, tables) ?? []} set={(inner) => replace(at, { ...row, rows: inner })} place={`${here}.`} tables={tables} faults={faults} />
          </fieldset>
        );
      })}
      {free.length > 0 ? (
        <select
          class="add-key"
          aria-label={place ? `Add a setting to ${place.slice(0, -1)}` : "Add a setting"}
          value=""
          onChange={(event) => {
            const key = free.find((one) => one.name === event.currentTarget.value);
            event.currentTarget.value = "";
            if (key) set([...rows, newRow(key, tables)]);
          }}
        >
          <option value="">+ Add a setting…</option>
          {free.map((key) => <option value={key.name} title={key.meaning} key={key.name}>{key.name} – {key.meaning}</option>)}
        </select>
      ) : null}
    </div>
  );
}
