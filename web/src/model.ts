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
}

export interface Stream {
  name: string;
  /** What made it: the configuration file, the API, a template, or whoever published it. */
  origin: string;
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
  outputs: number;
  inputs: number;
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
}

export interface Endpoint {
  id: string;
  direction: "input" | "output";
  url: string;
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
  /** Came by the API, not by the file: may be removed here. */
  removable: boolean;
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
  removable: boolean;
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
}

export interface Refusal {
  id: string;
  at: Date;
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
}
