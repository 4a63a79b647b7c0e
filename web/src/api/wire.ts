import type {
  Alarm,
  AlarmCounts,
  AuditRecord,
  Ban,
  Check,
  Definition,
  Endpoint,
  Event,
  ExpectedOff,
  Fact,
  Fault,
  Gateway,
  Health,
  KeyTables,
  ListeningPort,
  Maintenance,
  Origin,
  Pid,
  Point,
  Program,
  Pulse,
  Reading,
  Refusal,
  Session,
  Stream,
  StreamDetail,
  Transport,
  Verdict,
} from "../model";

import { count, milliseconds } from "../lib/format";

/** The gateway's JSON, and what the page makes of it. The only file that knows the names of the API's fields. */

export interface WireLink {
  rtt_ms: number;
  rtt_p95_ms: number;
  loss_ratio: number;
  lost: number;
  retransmitted: number;
  dropped: number;
  buffer_ms: number;
  latency_ms: number;
}

export interface WireVerdict {
  level: "idle" | "good" | "warning" | "bad";
  fault: string;
  sentence: string;
  evidence: string[];
  /** Sessions that it is about. */
  viewers: number[];
  /** All that is wrong, the worst first. */
  faults?: { kind: string; level: WireVerdict["level"]; party?: string; sentence: string; evidence: string[]; viewers: number[] }[];
}

export interface WireStream {
  name: string;
  origin: Origin;
  state: "live" | "silent" | "waiting" | "idle";
  viewers: number;
  previews?: number;
  outputs: number;
  inputs: number;
  source?: { session: number; kind: string; peer: string; input?: string };
  figures: {
    bitrate_bps: number;
    bitrate_out_bps: number;
    bytes: number;
    messages: number;
    link?: WireLink;
    viewers_link?: WireLink;
    skipped: number;
  };
  verdict?: WireVerdict | null;
  /** What it carries, where the gateway tells it in lists. */
  media?: { format?: string; video?: string; audio?: string; width?: number; height?: number; frame_rate?: number; interlaced?: boolean };
  /** How long its source has been feeding it. */
  up_seconds?: number;
}

export interface WireSession {
  id: number;
  role: string;
  stream: string;
  peer: string;
  via: string;
  of_endpoint: boolean;
  feeds: boolean;
  age_seconds: number;
  srt_version: string;
  encryption: string;
  latency_ms: number;
  streamid?: string;
  labels?: Record<string, string>;
  bytes: number;
  messages: number;
  skipped: number;
  link?: WireLink & { send_rate_bps: number; receive_rate_bps: number };
  bonded?: { peer?: string; state: string; rtt_ms: number; packets: number; lost: number }[];
}

export interface WireEndpoint {
  id: string;
  stream: string;
  direction: "input" | "output";
  name: string;
  url: string;
  origin: Origin;
  warnings?: string[];
  enabled: boolean;
  state: string;
  failures: number;
  last_failure?: string;
  session?: number;
  bytes: number;
  messages: number;
  skipped: number;
  link?: WireLink;
}

export interface WireDetail extends WireStream {
  version: string;
  definition?: Definition;
  ts?: WireTs | null;
  sessions: WireSession[];
  input_list: WireEndpoint[];
  output_list: WireEndpoint[];
}

export interface WireListener {
  kind: string;
  address: string;
  stream?: string;
  encrypted: boolean;
  latency_ms: number;
}

export interface WireGateway {
  name: string;
  version: string;
  uptime_seconds: number;
  draining: boolean;
  loop_lag_ms: number;
  scope: string;
  log_level?: string;
  config_file?: string;
  state_file?: string;
}

export interface WireLive {
  time_ms: number;
  gateway?: { draining: boolean; sessions: number; alarms?: AlarmCounts };
  streams?: WireStream[];
}

export interface WireAlarm {
  id: string;
  kind: string;
  severity: string;
  state: string;
  stream?: string;
  party?: string;
  text: string;
  first: string;
  raised: string;
  cleared?: string;
  count: number;
  acknowledged?: { by: string; time: string; note?: string };
}

export interface WireExpectedOff {
  stream: string;
  by?: string;
  until?: string;
  note?: string;
  origin: string;
}

export interface WireMaintenance {
  id: number | string;
  streams: string;
  from: string;
  until: string;
  by?: string;
  note?: string;
  state: string;
}

export interface WireReading {
  time?: string;
  changes: string[];
  warnings: string[];
  problem?: { detail: string; errors?: Fault[] };
}

export interface WireBan {
  address: string;
  since?: string;
  until: string;
  by: "operator" | "limits";
  token?: string;
  limit?: string;
  reason?: string;
}

export type WireKeys = { table: keyof KeyTables; keys: KeyTables["stream"] }[];

export interface WireHistories {
  step_seconds: number;
  streams: Record<string, { start: number; values: (number | null)[] }>;
}

export interface WireRejection {
  number: number;
  time: string;
  first?: string;
  count?: number;
  peer: string;
  port: number;
  listener: string;
  streamid: string;
  srt_version?: string;
  encryption: string;
  by: string;
  code: number;
  reason: string;
}

export interface WireRecord {
  number: number;
  time: string;
  first: string;
  count: number;
  by: string;
  address?: string;
  action: string;
  object: string;
  changes?: { key: string; before?: string; after?: string }[];
  more_changes?: number;
  result: string;
  error?: string;
}

export interface WireHistory {
  step_seconds: number;
  start: number;
  points: number;
  mean: Record<string, (number | null)[]>;
  max?: Record<string, (number | null)[]>;
}

export interface WireTs {
  payload: string;
  bits_per_second: number;
  null_ratio: number;
  programs: {
    number: number;
    pmt_pid: number;
    pcr_pid?: number | null;
    service_name?: string | null;
    provider_name?: string | null;
    streams: {
      pid: number;
      kind: string;
      codec: string;
      languages: string[];
      video?: { width: number; height: number; frame_rate?: number | null; interlaced: boolean; profile?: string | null } | null;
      audio?: { sample_rate: number; channels?: number | null } | null;
    }[];
  }[];
  pids: { pid: number; carries?: string | null; bits_per_second: number; packets: number; continuity_errors: number; scrambled: number }[];
  clocks: { pid: number; interval_max_ms: number; jitter_ms: number }[];
  checks: { number: string; name: string; priority: number; count: number; last_minute: number }[];
  gop?: { pictures: number; seconds: number; seconds_max: number } | null;
}

const STREAM_HEALTH: Record<string, Health> = { live: "good", silent: "bad", waiting: "warning", idle: "idle" };
const WORSE: Health[] = ["idle", "standby", "good", "warning", "bad"];

function worse(a: Health, b: Health): Health {
  return WORSE.indexOf(a) >= WORSE.indexOf(b) ? a : b;
}

export function verdict(wire: WireVerdict | null | undefined): Verdict | null {
  if (!wire?.sentence) return null;
  const all = wire.faults ?? [];
  // Several of one kind are one sentence of the verdict, and each its own.
  const others = all.length > 1 ? all.map((one): Fact => ({ health: one.level, text: one.sentence, evidence: one.evidence })) : [];
  const sessions = new Set([...wire.viewers, ...all.flatMap((one) => one.viewers)].map(String));
  return { health: wire.level, text: wire.sentence, evidence: wire.evidence, sessions: [...sessions], faults: others.filter((one) => one.text !== wire.sentence) };
}

function resolution(video: { width?: number; height?: number; frame_rate?: number | null; interlaced?: boolean }): string {
  if (!video.width || !video.height) return "";
  return `${video.width}×${video.height}${video.frame_rate ? `${video.interlaced ? "i" : "p"}${Number(video.frame_rate.toFixed(2))}` : ""}`;
}

/** Codecs and resolution in a few words: `H.264 1920×1080p25 · AAC`. */
function mediaOf(media: WireStream["media"]): string {
  if (!media) return "";
  const parts = [[media.video, media.video ? resolution(media) : ""].filter(Boolean).join(" "), media.audio].filter(Boolean);
  return parts.join(" · ") || (media.format && media.format !== "unknown" ? (PAYLOADS[media.format] ?? media.format) : "");
}

export function stream(wire: WireStream): Stream {
  const judged = verdict(wire.verdict);
  const state = STREAM_HEALTH[wire.state] ?? "idle";
  const live = wire.state === "live" || wire.state === "silent";
  const link = wire.figures.link;
  return {
    name: wire.name,
    origin: wire.origin,
    health: judged ? worse(state, judged.health === "good" && !live ? "idle" : judged.health) : state,
    state: wire.state,
    source: wire.source ? `${wire.source.kind} ${wire.source.peer}` : null,
    inBps: live ? wire.figures.bitrate_bps : null,
    outBps: wire.figures.bitrate_out_bps,
    rttMs: link?.rtt_ms ?? null,
    rttP95Ms: link?.rtt_p95_ms ?? null,
    loss: link?.loss_ratio ?? null,
    retransmitted: link?.retransmitted ?? null,
    dropped: link?.dropped ?? null,
    bufferMs: link?.buffer_ms ?? null,
    latencyMs: link?.latency_ms ?? null,
    skipped: wire.figures.skipped,
    viewers: wire.viewers,
    previews: wire.previews ?? 0,
    outputs: wire.outputs,
    inputs: wire.inputs,
    media: mediaOf(wire.media),
    upSeconds: wire.up_seconds ?? null,
    verdict: judged,
  };
}

export function session(wire: WireSession): Session {
  const link = wire.link;
  const publishes = wire.role === "publisher";
  return {
    id: String(wire.id),
    stream: wire.stream,
    role: wire.of_endpoint ? (publishes ? "input" : "output") : wire.role,
    feeds: wire.feeds,
    peer: wire.peer,
    port: wire.via,
    streamId: wire.streamid ?? null,
    labels: Object.entries(wire.labels ?? {}).map(([name, value]) => `${name}: ${value}`),
    version: wire.srt_version || null,
    encryption: wire.encryption === "none" ? null : wire.encryption,
    latencyMs: wire.latency_ms,
    rttMs: link?.rtt_ms ?? null,
    bps: link ? (publishes ? link.receive_rate_bps : link.send_rate_bps) : null,
    loss: link?.loss_ratio ?? null,
    retransmitted: link?.retransmitted ?? null,
    dropped: link?.dropped ?? null,
    bytes: wire.bytes,
    skipped: wire.skipped,
    bufferMs: link?.buffer_ms ?? null,
    age: wire.age_seconds,
    links: (wire.bonded ?? []).map((one) => `${one.peer ?? "?"} ${one.state}, RTT ${milliseconds(one.rtt_ms)}, ${count(one.lost)} of ${count(one.packets)} lost`),
  };
}

const ENDPOINT_HEALTH: Record<string, Health> = {
  live: "good",
  connecting: "warning",
  listening: "idle",
  standby: "standby",
  silent: "bad",
  stalled: "bad",
  backing_off: "bad",
  failed: "bad",
  idle: "idle",
  stopped: "idle",
};

export function endpoint(wire: WireEndpoint): Endpoint {
  return {
    id: wire.id,
    direction: wire.direction,
    name: wire.name,
    url: wire.url,
    warnings: wire.warnings ?? [],
    health: ENDPOINT_HEALTH[wire.state] ?? "idle",
    state: wire.state.replaceAll("_", " "),
    enabled: wire.enabled,
    active: wire.direction === "input" && wire.state === "live",
    failures: wire.failures,
    detail: wire.state === "live" ? null : (wire.last_failure ?? null),
    bytes: wire.bytes,
    rttMs: wire.link?.rtt_ms ?? null,
    loss: wire.link?.loss_ratio ?? null,
    origin: wire.origin,
  };
}

export function detail(wire: WireDetail, etag: string | null): StreamDetail {
  return {
    stream: stream(wire),
    transport: wire.ts ? transport(wire.ts) : null,
    sessions: wire.sessions.map(session),
    endpoints: [...wire.input_list, ...wire.output_list].map(endpoint),
    etag: etag ?? `"${wire.version}"`,
    definition: wire.definition ?? null,
  };
}

const KINDS: Record<string, ListeningPort["mode"]> = { srt: "both", srt_publish: "publish", srt_play: "play" };

export function listener(wire: WireListener): ListeningPort {
  const colon = wire.address.lastIndexOf(":");
  const port = Number(wire.address.slice(colon + 1));
  const mode = KINDS[wire.kind] ?? "both";
  const what = { both: "publish and play", publish: "publish only", play: "play only" }[mode];
  return {
    port,
    address: wire.address.slice(0, colon),
    scope: wire.stream ? "stream" : "global",
    stream: wire.stream ?? null,
    mode,
    encrypted: wire.encrypted,
    latencyMs: wire.latency_ms,
    label: `${port} · ${what} · ${wire.stream ?? "any stream"}${wire.encrypted ? " · encrypted" : ""}`,
  };
}

export function gateway(wire: WireGateway, libsrt: string, ports: WireListener[]): Gateway {
  return {
    name: wire.name,
    version: wire.version,
    libsrt,
    uptime: wire.uptime_seconds,
    draining: wire.draining,
    lagMs: wire.loop_lag_ms,
    scope: wire.scope,
    ports: ports.map(listener),
    logLevel: wire.log_level ?? null,
    configFile: wire.config_file ?? null,
    stateFile: wire.state_file ?? null,
  };
}

export function pulse(wire: WireLive): Pulse {
  return { draining: wire.gateway?.draining ?? false, sessions: wire.gateway?.sessions ?? 0, alarms: wire.gateway?.alarms ?? null };
}

export function expectedOff(wire: WireExpectedOff): ExpectedOff {
  return { id: `${wire.origin} ${wire.stream}`, stream: wire.stream, inFile: wire.origin === "config", by: wire.by ?? "", until: wire.until ? new Date(wire.until) : null, note: wire.note ?? "" };
}

export function maintenance(wire: WireMaintenance): Maintenance {
  return { id: String(wire.id), streams: wire.streams, active: wire.state === "active", from: new Date(wire.from), until: new Date(wire.until), by: wire.by ?? "", note: wire.note ?? "" };
}

export function alarm(wire: WireAlarm): Alarm {
  const { acknowledged } = wire;
  return {
    id: wire.id,
    kind: wire.kind,
    severity: wire.severity === "critical" ? "critical" : "warning",
    active: wire.state === "active",
    stream: wire.stream ?? null,
    party: wire.party ?? "",
    text: wire.text,
    first: new Date(wire.first),
    raised: new Date(wire.raised),
    cleared: wire.cleared ? new Date(wire.cleared) : null,
    count: wire.count,
    acknowledged: acknowledged ? { by: acknowledged.by, at: new Date(acknowledged.time), note: acknowledged.note ?? "" } : null,
  };
}

export function reading(wire: WireReading): Reading {
  const { time, changes, warnings, problem } = wire;
  return { at: time ? new Date(time) : null, changes, warnings, problem: problem ? { detail: problem.detail, faults: problem.errors ?? [] } : null };
}

export function ban(wire: WireBan): Ban {
  return {
    address: wire.address,
    since: wire.since ? new Date(wire.since) : null,
    until: new Date(wire.until),
    by: wire.by,
    who: wire.token ?? wire.limit ?? "",
    reason: wire.reason ?? "",
  };
}

export function keys(wire: WireKeys): KeyTables {
  const tables: KeyTables = { stream: [], port: [], failover: [], srt: [], udp: [], file: [] };
  for (const one of wire) tables[one.table] = one.keys;
  return tables;
}

export function refusal(wire: WireRejection): Refusal {
  return {
    id: String(wire.number),
    at: new Date(wire.time),
    first: new Date(wire.first ?? wire.time),
    count: wire.count ?? 1,
    peer: wire.peer,
    port: wire.listener.includes(String(wire.port)) ? wire.listener : `${wire.listener} ${wire.port}`,
    streamId: wire.streamid,
    by: wire.by,
    code: wire.code,
    reason: wire.reason,
    version: wire.srt_version ?? null,
    encryption: wire.encryption,
  };
}

export function record(wire: WireRecord): AuditRecord {
  const changes = (wire.changes ?? []).map(({ key, before, after }) =>
    before === undefined && after === undefined ? key : `${key}: ${before ?? "(none)"} → ${after ?? "(none)"}`,
  );
  if (wire.more_changes) changes.push(`and ${wire.more_changes} more`);
  return {
    id: String(wire.number),
    at: new Date(wire.time),
    first: new Date(wire.first),
    count: wire.count,
    by: wire.by,
    address: wire.address ?? "",
    action: wire.action,
    object: wire.object,
    result: wire.result,
    error: wire.error ?? "",
    changes,
  };
}

export interface WireEvent {
  number: number;
  time: string;
  event?: string;
  kind?: string;
  stream?: string | null;
  text?: string;
  [key: string]: unknown;
}

const EVENT_HEALTH: [RegExp, Health][] = [
  [/fail|reject|ban/, "bad"],
  [/down|lost|silent|switch|error/, "warning"],
  [/up|open|live|resumed/, "good"],
];

/** What an event says beside its number, time, kind and stream: all of its other fields, as they are named. */
function told(wire: WireEvent): string {
  if (typeof wire.text === "string") return wire.text;
  return Object.entries(wire)
    .filter(([key, value]) => !["number", "time", "event", "kind", "stream", "gateway"].includes(key) && value !== null && typeof value !== "object")
    .map(([key, value]) => `${key.replaceAll("_", " ")} ${String(value)}`)
    .join(", ");
}

export function event(wire: WireEvent): Event {
  const kind = wire.event ?? wire.kind ?? "event";
  return {
    id: String(wire.number),
    at: new Date(wire.time),
    kind,
    stream: wire.stream ?? null,
    text: told(wire),
    health: EVENT_HEALTH.find(([pattern]) => pattern.test(kind))?.[1] ?? "idle",
  };
}

/** The figures by the names that a chart asks for. */
const COLUMNS: Record<keyof Omit<Point, "t" | "highest">, string[]> = {
  inBps: ["bitrate_in_bps", "bitrate_bps"],
  outBps: ["bitrate_out_bps"],
  rttMs: ["rtt_ms"],
  loss: ["loss_ratio"],
  retransmitted: ["retransmitted"],
  dropped: ["dropped"],
  bufferMs: ["buffer_ms"],
  latencyMs: ["latency_ms"],
  viewers: ["viewers"],
};

export function history(wire: WireHistory): Point[] {
  const columns = Object.entries(COLUMNS).map(([key, names]) => {
    const name = names.find((one) => one in wire.mean);
    return [key, name ? wire.mean[name] : undefined] as const;
  });
  return Array.from({ length: wire.points }, (_, index) => {
    const point: Record<string, number | null> = { t: wire.start + index * wire.step_seconds };
    for (const [key, values] of columns) point[key] = values?.[index] ?? null;
    if (!wire.max) return point as unknown as Point;
    const highest = (name: string) => wire.max?.[name]?.[index] ?? null;
    return { ...(point as unknown as Point), highest: { inBps: highest("bitrate_bps"), rttMs: highest("rtt_ms"), loss: highest("loss_ratio") } };
  });
}

const PAYLOADS: Record<string, string> = {
  unknown: "not known yet",
  mpeg_ts: "MPEG-TS",
  mpeg_ts204: "MPEG-TS, 204-byte packets",
  mpeg_ts_scrambled: "MPEG-TS, scrambled",
  other: "not MPEG-TS: relayed as it is",
};

export function transport(wire: WireTs): Transport {
  const byPid = new Map(wire.pids.map((one) => [one.pid, one]));
  const listed = new Set<number>();
  const pidOf = (number: number, kind: string, codec: string, detail: string, language: string | null): Pid => {
    const seen = byPid.get(number);
    listed.add(number);
    return {
      pid: number,
      kind,
      codec,
      detail,
      language,
      bps: seen?.bits_per_second ?? null,
      packets: seen?.packets ?? null,
      continuityErrors: seen?.continuity_errors ?? null,
      scrambled: (seen?.scrambled ?? 0) > 0,
    };
  };
  const programs = wire.programs.map((program): Program => ({
    number: program.number,
    service: program.service_name ?? null,
    provider: program.provider_name ?? null,
    pmtPid: program.pmt_pid,
    pcrPid: program.pcr_pid ?? null,
    pids: program.streams.map((one) => {
      const video = one.video
        ? `${resolution(one.video)}${one.video.profile ? ` ${one.video.profile}` : ""}`
        : "";
      const audio = one.audio ? `${one.audio.sample_rate / 1000} kHz${one.audio.channels ? `, ${one.audio.channels} ch` : ""}` : "";
      return pidOf(one.pid, one.kind, one.codec, video || audio, one.languages.join(", ") || null);
    }),
  }));
  const first = wire.programs.flatMap((program) => program.streams);
  const video = first.find((one) => one.kind === "video");
  const audio = first.find((one) => one.kind === "audio");
  return {
    format: PAYLOADS[wire.payload] ?? wire.payload,
    isTs: wire.payload.startsWith("mpeg_ts"),
    bps: wire.bits_per_second,
    nullShare: wire.null_ratio,
    gopSeconds: wire.gop?.seconds ?? null,
    gopMaxSeconds: wire.gop?.seconds_max ?? null,
    pcrJitterMs: wire.clocks[0]?.jitter_ms ?? null,
    pcrIntervalMs: wire.clocks[0]?.interval_max_ms ?? null,
    resolution: video?.video ? resolution(video.video) : "",
    video: video ? video.codec : null,
    audio: audio ? audio.codec : null,
    programs,
    otherPids: wire.pids
      .filter((one) => !listed.has(one.pid))
      .map((one) => pidOf(one.pid, one.carries ?? "not in any table", one.carries ?? "", "", null)),
    checks: wire.checks.map((one): Check => ({
      code: one.number,
      name: one.name,
      priority: one.priority === 1 ? 1 : 2,
      count: one.count,
      lastMinute: one.last_minute,
    })),
  };
}
