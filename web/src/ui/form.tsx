import { useId } from "preact/hooks";
import { type Row, choices, control, innerKeys } from "../lib/definition";
import { FORM, type FormField, moved, read, write } from "../lib/form";
import type { Fault, Key, KeyTables } from "../model";
import { Faults, Fields } from "./fields";

/** The settings of a stream in groups, and all keys behind the last tab. */

interface Props {
  tab: string;
  choose: (tab: string) => void;
  rows: Row[];
  set: (rows: Row[]) => void;
  keys: Key[];
  tables: KeyTables;
  without: string[];
  faults: Map<string, Fault[]>;
}

const ALL = { id: "all", title: "All keys" };

function keyOf(path: string, keys: Key[], tables: KeyTables): Key | undefined {
  const [first = "", ...rest] = path.split(".");
  const key = keys.find((one) => one.name === first);
  return rest.length === 0 ? key : keyOf(rest.join("."), innerKeys(key, tables) ?? [], tables);
}

/** The first tab whose fields have something wrong; `all` where no form shows it. */
export function tabOf(faults: Map<string, Fault[]>, without: string[]): string | null {
  const places = [...faults.keys()].filter((place) => place !== "");
  if (places.length === 0) return null;
  const shows = (place: string) => FORM.find((tab) => shownOf(tab.fields, without).some((field) => field.path === place || field.path.startsWith(`${place}.`)))?.id;
  return places.map(shows).find((tab) => tab !== undefined) ?? ALL.id;
}

const shownOf = (fields: FormField[], without: string[]) => fields.filter((field) => !without.includes(field.path));

function Ordered({ field, id, text, set }: { field: FormField; id: string; text: string; set: (text: string) => void }) {
  const list = text === "" ? [""] : text.split("\n");
  const put = (next: string[]) => set(next.join("\n"));
  const word = field.label.toLowerCase().replace(/s$/, "");
  return (
    <ol class="ordered" aria-label={field.label}>
      {list.map((one, at) => (
        <li key={at}>
          <input
            id={at === 0 ? id : undefined}
            aria-label={at === 0 ? undefined : `${field.label} ${at + 1}`}
            autocomplete="off"
            spellcheck={false}
            placeholder={field.placeholder}
            value={one}
            onInput={(event) => put(list.map((other, index) => (index === at ? event.currentTarget.value : other)))}
          />
          <button type="button" class="quiet" disabled={at === 0} aria-label={`Move ${word} ${at + 1} up`} onClick={() => put(moved(list, at, -1))}>↑</button>
          <button type="button" class="quiet" disabled={at === list.length - 1} aria-label={`Move ${word} ${at + 1} down`} onClick={() => put(moved(list, at, 1))}>↓</button>
          <button type="button" class="quiet" disabled={text === ""} aria-label={`Remove ${word} ${at + 1}`} onClick={() => put(list.filter((_, index) => index !== at))}>×</button>
        </li>
      ))}
      <li><button type="button" disabled={list.at(-1) === ""} onClick={() => put([...list, ""])}>Add {word === "input" ? "an" : "another"} {word}</button></li>
    </ol>
  );
}

function Control({ field, known, id, text, invalid, set }: { field: FormField; known: Key | undefined; id: string; text: string; invalid: boolean; set: (text: string) => void }) {
  const common = { id, "aria-invalid": invalid, "aria-describedby": `${id}-told` };
  const kind = control(known);
  if (field.ordered) return <Ordered field={field} id={id} text={text} set={set} />;
  if (kind === "boolean" || kind === "choice") {
    const words = kind === "boolean" ? ["true", "false"] : choices(known?.kind ?? "");
    return (
      <select {...common} value={text} onChange={(event) => set(event.currentTarget.value)}>
        <option value="">default{known?.default ? `: ${known.default.replace(/^"(.*)"$/, "$1")}` : ""}</option>
        {words.map((word) => <option value={word} key={word}>{word}</option>)}
      </select>
    );
  }
  if (known?.secret && !text.includes("\n")) {
    return <input {...common} type="password" autocomplete="new-password" value={text} onInput={(event) => set(event.currentTarget.value)} />;
  }
  if (kind === "lines") return <textarea {...common} rows={Math.max(2, text.split("\n").length)} spellcheck={false} value={text} onInput={(event) => set(event.currentTarget.value)} />;
  return <input {...common} autocomplete="off" spellcheck={false} placeholder={field.placeholder} value={text} onInput={(event) => set(event.currentTarget.value)} />;
}

function FormRow({ field, rows, set, keys, tables, faults }: { field: FormField } & Pick<Props, "rows" | "set" | "keys" | "tables" | "faults">) {
  const id = useId();
  const known = keyOf(field.path, keys, tables);
  const text = read(rows, field.path);
  // What is missing in a table is told at its first field.
  const list = [...(faults.get(field.path) ?? []), ...(field.path.endsWith(".port") ? (faults.get(field.path.replace(/\.port$/, "")) ?? []) : [])];
  return (
    <div class={`field plain ${list.length > 0 ? "wrong" : ""}`}>
      <label for={id}>{field.label}</label>
      <Control field={field} known={known} id={id} text={text} invalid={list.length > 0} set={(next) => set(write(rows, field.path, next))} />
      <div class="told" id={`${id}-told`}>
        <Faults list={list} />
        <small>{field.hint ? `${field.hint} ` : ""}{text === "***" ? "Not shown; *** stays as it is. " : ""}<code title={known?.meaning}>{field.path}</code></small>
      </div>
    </div>
  );
}

export function StreamForm({ tab, choose, rows, set, keys, tables, without, faults }: Props) {
  const tabs = [...FORM, ALL];
  const form = FORM.find((one) => one.id === tab);
  return (
    <>
      <div class="tabs" role="tablist" aria-label="Settings">
        {tabs.map((one) => (
          <button type="button" role="tab" aria-selected={one.id === tab} onClick={() => choose(one.id)} key={one.id}>{one.title}</button>
        ))}
      </div>
      <div role="tabpanel" aria-label={tabs.find((one) => one.id === tab)?.title}>
        {form ? (
          <div class="fields">
            {shownOf(form.fields, without).map((field) => <FormRow field={field} rows={rows} set={set} keys={keys} tables={tables} faults={faults} key={field.path} />)}
          </div>
        ) : (
          <Fields rows={rows} keys={keys} set={set} without={without} tables={tables} faults={faults} />
        )}
      </div>
    </>
  );
}
