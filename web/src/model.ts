/** What the page shows. `api/wire.ts` makes these from what the gateway answers; nothing else knows its JSON. */

/** How a thing is, in the five ways that the page draws: each has a colour, a shape and a word. */
export type Health = "good" | "warning" | "bad" | "standby" | "idle";

export interface Verdict {
  health: Health;
  /** One sentence: who is at fault, and what to do. */
  text: string;
  evidence: string[];
  /** The sessions of the viewers that it is about. */
  sessions: string[];
  /** What else is wrong at the same time, the worst first. */
  faults: Fact[];
}

/** One of several things that are wrong. */
export interface Fact {
  health: Health;
  text: string;
  evidence: string[];
}

/** Where something was defined: in the configuration file, by the API (and this page), or nowhere: it came to be by itself. */
export type Origin = "config" | "api" | "caller";

export interface Stream {
  name: string;
  origin: Origin;
  health: Health;
  /** `live`, `silent`, `waiting` or `idle`. */
  state: string;
  source: string | null;
  /** Figures of the last second; links are the source's. `null`: there is none. */
  inBps: number | null;
  outBps: number | null;
  rttMs: number | null;
  rttP95Ms: number | null;
  /** Share of packets lost on the wire before they were sent again, 0..1. */
  loss: number | null;
  /** Packets. */
  retransmitted: number | null;
  /** Packets that came too late: gaps. */
  dropped: number | null;
  bufferMs: number | null;
  latencyMs: number | null;
  /** Messages that viewers were too slow for. */
  skipped: number;
  viewers: number;
  /** Pictures of this console and its like, which are no viewers. */
  previews?: number;
  outputs: number;
  inputs: number;
  /** What it carries, in a few words; empty where the gateway does not tell. */
  media: string;
  /** How long its source has been feeding it. */
  upSeconds: number | null;
  verdict: Verdict | null;
}

export interface Session {
  id: string;
  stream: string;
  role: string;
  /** Feeds the stream now. */
  feeds: boolean;
  peer: string;
  port: string;
  streamId: string | null;
  /** What the hook has called the caller. */
  labels: string[];
  /** SRT version of the peer. */
  version: string | null;
  encryption: string | null;
  latencyMs: number | null;
  rttMs: number | null;
  bps: number | null;
  loss: number | null;
  retransmitted: number | null;
  dropped: number | null;
  bytes: number | null;
  /** Messages that it was too slow for. */
  skipped: number | null;
  /** What lies in the buffer, in time. */
  bufferMs: number | null;
  /** Seconds. */
  age: number | null;
  /** Of a bonded connection: each in words. */
  links: string[];
}

export interface Endpoint {
  id: string;
  direction: "input" | "output";
  /** The configured one, or the address. */
  name: string;
  url: string;
  /** What is probably a mistake. */
  warnings: string[];
  health: Health;
  state: string;
  enabled: boolean;
  /** Of inputs: feeds the stream now. */
  active: boolean;
  failures: number;
  /** The last failure, while it is not live. */
  detail: string | null;
  bytes: number;
  rttMs: number | null;
  loss: number | null;
  origin: Origin;
}

export interface Pid {
  pid: number;
  kind: string;
  codec: string;
  detail: string;
  language: string | null;
  bps: number | null;
  packets: number | null;
  continuityErrors: number | null;
  scrambled: boolean;
}

export interface Program {
  number: number;
  service: string | null;
  provider: string | null;
  pmtPid: number | null;
  pcrPid: number | null;
  pids: Pid[];
}

export interface Check {
  /** As TR 101 290 numbers it: `1.4`. */
  code: string;
  name: string;
  priority: 1 | 2;
  count: number;
  lastMinute: number;
}

export interface Transport {
  format: string;
  isTs: boolean;
  bps: number | null;
  nullShare: number | null;
  gopSeconds: number | null;
  gopMaxSeconds: number | null;
  pcrJitterMs: number | null;
  pcrIntervalMs: number | null;
  /** Of the first picture: `1920×1080i25`. */
  resolution: string;
  /** Codecs of the first of each. */
  video: string | null;
  audio: string | null;
  programs: Program[];
  otherPids: Pid[];
  checks: Check[];
}

export interface StreamDetail {
  stream: Stream;
  /** `null` without a source. */
  transport: Transport | null;
  sessions: Session[];
  endpoints: Endpoint[];
  /** Sent back with a change, so that nobody overwrites what somebody else has changed. */
  etag: string | null;
  /** Its table, secrets masked; `null` where no table names it. */
  definition: Definition | null;
}

/** A value of the configuration. */
export type Value = string | number | boolean | Value[] | Definition;

/** A table of the configuration. */
export interface Definition {
  [key: string]: Value;
}

/** What was read, and what it was then: sent back with a change. */
export interface Versioned {
  definition: Definition;
  etag: string | null;
}

/** A key that a definition may have. */
export interface Key {
  name: string;
  /** Its type, in words. */
  kind: string;
  unit: string;
  /** As TOML. */
  default: string;
  example: string;
  meaning: string;
  secret: boolean;
}

export type KeyTables = Record<"stream" | "port" | "failover" | "srt" | "udp" | "file", Key[]>;

export interface Ban {
  address: string;
  /** `null`: an older gateway does not say. */
  since: Date | null;
  until: Date;
  by: "operator" | "limits";
  /** Of an operator: the name of the token. Of the limits: the key. */
  who: string;
  reason: string;
}

/** A fault of the configuration file, or of what was sent. */
export interface Fault {
  /** As the gateway writes it. */
  key: string;
  message: string;
  hint?: string | undefined;
  /** Where it is in the file. */
  line?: number | undefined;
  column?: number | undefined;
}

/** What a reload has done. */
export interface Changes {
  changes: string[];
  warnings: string[];
}

/** What came of it when the file was read again, by whomever. */
export interface Reading extends Changes {
  /** `null`: it was read at the start only. */
  at: Date | null;
  /** Why it is not in force. */
  problem: { detail: string; faults: Fault[] } | null;
}

/** One point of the live charts; `null` draws a gap. */
export interface Point {
  /** Unix seconds. */
  t: number;
  inBps: number | null;
  outBps: number | null;
  rttMs: number | null;
  loss: number | null;
  retransmitted: number | null;
  dropped: number | null;
  bufferMs: number | null;
  latencyMs: number | null;
  viewers: number | null;
  /** The highest of each within the point's time, where it is a mean. */
  highest?: { inBps: number | null; rttMs: number | null; loss: number | null };
}

export interface Refusal {
  id: string;
  /** The last time. */
  at: Date;
  first: Date;
  count: number;
  peer: string;
  port: string;
  streamId: string;
  /** Who refused: the port, the stream, the passphrase, the rules, the hook, the limits. */
  by: string;
  code: number;
  reason: string;
  version: string | null;
  encryption: string;
}

/** A record of the audit log. */
export interface AuditRecord {
  id: string;
  at: Date;
  first: Date;
  count: number;
  by: string;
  address: string;
  action: string;
  object: string;
  /** `ok`, `failed` or `refused`. */
  result: string;
  error: string;
  /** A sentence for each key. */
  changes: string[];
}

export interface Event {
  id: string;
  at: Date;
  kind: string;
  stream: string | null;
  text: string;
  health: Health;
}

export interface ListeningPort {
  port: number;
  address: string;
  scope: "global" | "stream";
  stream: string | null;
  mode: "publish" | "play" | "both";
  encrypted: boolean;
  latencyMs: number | null;
  label: string;
}

export interface Gateway {
  name: string;
  version: string;
  libsrt: string;
  uptime: number | null;
  draining: boolean;
  lagMs: number | null;
  /** What this page's token may do: `read`, `operate`, `admin`. */
  scope: string;
  ports: ListeningPort[];
  /** `null`: RUST_LOG decides. */
  logLevel: string | null;
  configFile: string | null;
  stateFile: string | null;
}

/** How many alarms are active. */
export interface AlarmCounts {
  critical: number;
  warning: number;
  unacknowledged: number;
}

export interface Alarm {
  id: string;
  kind: string;
  severity: "critical" | "warning";
  active: boolean;
  /** `null`: it is about the gateway. */
  stream: string | null;
  /** The input, output or publisher that it is about. */
  party: string;
  text: string;
  /** When it was raised first, and last. */
  first: Date;
  raised: Date;
  cleared: Date | null;
  count: number;
  acknowledged: { by: string; at: Date; note: string } | null;
}

/** A stream that raises no alarm when it has no source. */
export interface ExpectedOff {
  id: string;
  stream: string;
  inFile: boolean;
  by: string;
  until: Date | null;
  note: string;
}

/** A time in which streams raise no alarms. */
export interface Maintenance {
  id: string;
  /** A name, with `*` for any text. */
  streams: string;
  active: boolean;
  from: Date;
  until: Date;
  by: string;
  note: string;
}

/** The gateway in a second. */
export interface Pulse {
  draining: boolean;
  sessions: number;
  /** `null`: it is too old to have alarms. */
  alarms: AlarmCounts | null;
}
