import type { Definition, Endpoint, Fault, Key, KeyTables, StreamDetail, Value } from "../model";
import { type KeyPath, below, parseKeyPath } from "./keypath";

/** A definition while somebody edits it: rows of text, as typed; and back. Only the gateway says what is valid. */

export interface Row {
  name: string;
  text: string;
  /** Of a table within the definition. */
  rows?: Row[];
}

export type Control = "boolean" | "choice" | "secret" | "lines" | "table" | "text";

/** Tables that stand within another one, by the key that holds them. */
const INNER: Record<string, keyof KeyTables> = { srt: "port", srt_publish: "port", srt_play: "port", failover: "failover" };

/** The keys of the table that `key` holds; `null` if it holds no table that is known by its keys. */
export function innerKeys(key: Key | undefined, tables: KeyTables): Key[] | null {
  const table = key?.kind === "table" ? INNER[key.name] : undefined;
  return table ? tables[table] : null;
}

/** The words of a kind such as `"auto", "ctr" or "gcm"`. */
export function choices(kind: string): string[] {
  return /^"/.test(kind) ? [...kind.matchAll(/"([^"]*)"/g)].map(([, word]) => word ?? "") : [];
}

export function control(key: Key | undefined): Control {
  if (!key) return "text";
  if (key.kind === "table") return "table";
  if (key.kind === "boolean") return "boolean";
  if (choices(key.kind).length > 0) return "choice";
  if (/list of|table of/.test(key.kind)) return "lines";
  return key.secret ? "secret" : "text";
}

function textOf(value: Value): string {
  if (Array.isArray(value)) return value.map(textOf).join("\n");
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, inner]) => `${name} = ${textOf(inner)}`)
      .join("\n");
  }
  return String(value);
}

export function toRows(definition: Definition, keys: Key[], tables: KeyTables): Row[] {
  return Object.entries(definition).map(([name, value]) => {
    const inner = innerKeys(
      keys.find((key) => key.name === name),
      tables,
    );
    if (inner && typeof value === "object" && !Array.isArray(value)) return { name, text: "", rows: toRows(value, inner, tables) };
    return { name, text: textOf(value) };
  });
}

/** Numbers stand bare where the kind takes numbers: `200` of a latency is 200 ms, and `"200"` is nothing. */
function scalar(text: string, kind: string): Value {
  const takesNumbers = /integer|duration|size|bit rate|port/.test(kind);
  return takesNumbers && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}

function valueOf(text: string, key: Key | undefined): Value {
  const typed = text.trim();
  switch (control(key)) {
    case "boolean":
      return typed === "true";
    case "lines": {
      if (key?.kind.startsWith("table of")) {
        const pairs = lines(text).map((line): [string, Value] => {
          const [name = "", ...rest] = line.split("=");
          const value = rest.join("=").trim();
          return [name.trim(), value === "true" || value === "false" ? value === "true" : scalar(value, "integer")];
        });
        return Object.fromEntries(pairs);
      }
      const list = lines(text);
      return key?.kind.startsWith("string or") && list.length <= 1 ? (list[0] ?? "") : list;
    }
    default:
      return scalar(typed, key?.kind ?? "");
  }
}

export function toDefinition(rows: Row[], keys: Key[], tables: KeyTables): Definition {
  const entry = (row: Row): [string, Value] => {
    const key = keys.find((one) => one.name === row.name);
    return [row.name, row.rows ? toDefinition(row.rows, innerKeys(key, tables) ?? [], tables) : valueOf(row.text, key)];
  };
  return Object.fromEntries(rows.map(entry));
}

/** A row for a key that is added: what holds without it, so that only what differs need be typed. */
export function newRow(key: Key, tables: KeyTables): Row {
  const inner = innerKeys(key, tables);
  if (inner) {
    const port = inner.find((one) => one.name === "port");
    return { name: key.name, text: "", rows: port ? [{ name: "port", text: "" }] : [] };
  }
  const plain = key.default.replace(/^"(.*)"$/, "$1");
  const isValue = !["[]", "{}"].includes(plain) && !/ /.test(plain);
  return { name: key.name, text: control(key) === "boolean" && !plain ? "true" : isValue ? plain : "" };
}

/**
 * Which faults belong to which row: by the row's place as `srt.port`, and those of no row under "".
 *
 * @param base where the definition stands in the configuration
 */
export function placed(faults: Fault[], base: KeyPath, rows: Row[]): Map<string, Fault[]> {
  const places = new Set<string>();
  const walk = (list: Row[], above: string) => {
    for (const row of list) {
      places.add(above + row.name);
      if (row.rows) walk(row.rows, `${above}${row.name}.`);
    }
  };
  walk(rows, "");
  const of = new Map<string, Fault[]>();
  for (const fault of faults) {
    const rest = below(parseKeyPath(fault.key), base) ?? [];
    const names = rest.filter((part) => typeof part === "string");
    // The innermost row that the fault is about, or about something within.
    while (names.length > 0 && !places.has(names.join("."))) names.pop();
    const place = names.join(".");
    of.set(place, [...(of.get(place) ?? []), fault]);
  }
  return of;
}

/** Which keys an input or output may have: those of what its address begins with. */
export function tableOf(address: string): keyof KeyTables {
  if (/^(udp|rtp):/i.test(address)) return "udp";
  return /^file:/i.test(address) ? "file" : "srt";
}

/** Whether something of it is masked, so that whoever has only this cannot make it anew. */
export function hasSecrets(value: Value): boolean {
  if (typeof value === "string") return value.includes("***");
  if (Array.isArray(value)) return value.some(hasSecrets);
  return typeof value === "object" && Object.values(value).some(hasSecrets);
}

/** Where an input or output stands in the list of its stream's definition; -1 if it is not to be told from others. */
export function placeOf(endpoint: Endpoint, detail: StreamDetail): number {
  const list = detail.definition?.[`${endpoint.direction}s`];
  if (!Array.isArray(list)) return -1;
  const addressOf = (one: Value) => (typeof one === "object" && !Array.isArray(one) ? String(one.url ?? "") : String(one)).split("?")[0];
  const nameOf = (one: Value) => (typeof one === "object" && !Array.isArray(one) ? (one.name ?? addressOf(one)) : addressOf(one));
  const same = list.flatMap((one, at) => (addressOf(one) === endpoint.url && nameOf(one) === endpoint.name ? [at] : []));
  return same.length === 1 ? (same[0] ?? -1) : -1;
}

/** The definition of an input or output within that of its stream; `null` if it is not to be told from others. */
export function definitionOf(endpoint: Endpoint, detail: StreamDetail): Definition | null {
  const list = detail.definition?.[`${endpoint.direction}s`];
  const one = Array.isArray(list) ? list[placeOf(endpoint, detail)] : undefined;
  if (typeof one === "string") return { url: one };
  return typeof one === "object" && !Array.isArray(one) ? one : null;
}
