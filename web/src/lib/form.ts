import type { Row } from "./definition";

/** The settings of a stream that most need, in groups, as a form shows them: each is a key of the definition. */

export interface FormField {
  /** Where it stands in the definition: `srt_publish.port`. */
  path: string;
  label: string;
  hint?: string;
  placeholder?: string;
  /** A list whose order matters. */
  ordered?: boolean;
}

export interface FormTab {
  id: string;
  title: string;
  fields: FormField[];
}

export const FORM: FormTab[] = [
  {
    id: "publish",
    title: "Publish",
    fields: [
      { path: "srt_publish.port", label: "Own port to publish on", placeholder: "9001", hint: "No streamid is needed there. Empty: publishers use the shared ports with a streamid." },
      { path: "srt_publish.passphrase", label: "Passphrase of that port", hint: "10 to 79 characters. Empty: no encryption." },
      { path: "srt_publish.latency", label: "Latency of that port, ms", placeholder: "120" },
      { path: "publish_passphrase", label: "Passphrase on shared ports" },
      { path: "inputs", label: "Inputs", ordered: true, placeholder: "srt://encoder.example:9000", hint: "Sources that the gateway connects to. The first one is preferred; the others stand by." },
    ],
  },
  {
    id: "play",
    title: "Play",
    fields: [
      { path: "srt_play.port", label: "Own port to play from", placeholder: "9002", hint: "No streamid is needed there. Empty: viewers use the shared ports with a streamid." },
      { path: "srt_play.passphrase", label: "Passphrase of that port", hint: "10 to 79 characters. Empty: no encryption." },
      { path: "srt_play.latency", label: "Latency of that port, ms", placeholder: "120" },
      { path: "play_passphrase", label: "Passphrase on shared ports" },
      { path: "max_viewers", label: "Viewers at most", placeholder: "no limit" },
      { path: "outputs", label: "Outputs", ordered: true, placeholder: "udp://239.2.2.2:5000", hint: "Destinations that the gateway sends the stream to." },
    ],
  },
  {
    id: "security",
    title: "Security",
    fields: [
      { path: "publish_passphrase", label: "Passphrase of publishers on shared ports" },
      { path: "play_passphrase", label: "Passphrase of viewers on shared ports" },
      { path: "password", label: "Password in the streamid of publishers" },
      { path: "srt_publish.allow", label: "Addresses that may publish on its own port", hint: "Addresses or networks, one a line. Empty: all." },
      { path: "srt_publish.min_key_length", label: "Shortest AES key on its own publish port", placeholder: "16, 24 or 32 bytes" },
      { path: "srt_play.allow", label: "Addresses that may play on its own port", hint: "Addresses or networks, one a line. Empty: all." },
      { path: "srt_play.min_key_length", label: "Shortest AES key on its own play port", placeholder: "16, 24 or 32 bytes" },
    ],
  },
  {
    id: "resilience",
    title: "Resilience",
    fields: [
      { path: "on_source_lost", label: "Viewers wait for a lost source", placeholder: "10s" },
      { path: "duplicate_publisher", label: "A second publisher" },
      { path: "silent_after", label: "A publisher counts as silent after", placeholder: "1s" },
      { path: "failover.after", label: "Switch to the next input after", placeholder: "1s", hint: "So long without data." },
      { path: "failover.back", label: "Return to a preferred input after", placeholder: "10s", hint: "So long healthy." },
      { path: "srt_publish.groupconnect", label: "Bonded publishers on its own port" },
      { path: "on_demand", label: "Connect inputs only while somebody watches" },
    ],
  },
];

/** What is typed for a key; empty where it is not set. */
export function read(rows: Row[], path: string): string {
  const [first = "", ...rest] = path.split(".");
  const row = rows.find((one) => one.name === first);
  return rest.length === 0 ? (row?.text ?? "") : row?.rows ? read(row.rows, rest.join(".")) : "";
}

/** The rows with another value for a key; an empty one leaves it out, and its table when that becomes empty. */
export function write(rows: Row[], path: string, text: string): Row[] {
  const [first = "", ...rest] = path.split(".");
  const at = rows.findIndex((one) => one.name === first);
  const old = rows[at];
  const next: Row = rest.length === 0 ? { name: first, text } : { name: first, text: "", rows: write(old?.rows ?? [], rest.join("."), text) };
  const empty = next.rows ? next.rows.length === 0 : text === "";
  if (empty) return rows.filter((one) => one.name !== first);
  return at < 0 ? [...rows, next] : rows.map((one, index) => (index === at ? next : one));
}

/** One of a list moved by one place; the list itself where it cannot be moved. */
export function moved<T>(list: T[], at: number, by: -1 | 1): T[] {
  const to = at + by;
  if (at < 0 || at >= list.length || to < 0 || to >= list.length) return list;
  const next = [...list];
  [next[at], next[to]] = [next[to] as T, next[at] as T];
  return next;
}
