import type { Alarm, AuditRecord, Ban, Changes, Definition, Event, Fault, Gateway, KeyTables, Point, Pulse, Reading, Refusal, Stream, StreamDetail, Versioned } from "../model";
import { readEvents } from "../lib/sse";
import * as wire from "./wire";

/** Speaks to the gateway. Every request carries the token; no answer is kept by the browser. */

/** The gateway wants a token, or another one. */
export class Unauthorized extends Error {}

/** The gateway said no; the message is its own, for people. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** What it said as a whole, without the faults. */
    readonly detail: string,
    /** Each fault of what was sent, or of the configuration file. */
    readonly faults: Fault[] = [],
  ) {
    super(message);
  }

  /** Somebody else was quicker. */
  get stale(): boolean {
    return this.status === 412;
  }
}

const KEY = "srt-gateway-token";
let token = "";
try {
  token = sessionStorage.getItem(KEY) ?? "";
} catch {
  // Storage is forbidden here: the token holds until the page is left.
}

export function setToken(next: string): void {
  token = next;
  try {
    if (next) sessionStorage.setItem(KEY, next);
    else sessionStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}

export function hasToken(): boolean {
  return token !== "";
}

export function authorization(): Record<string, string> {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Absolute, since workers know no base. */
export function url(path: string): string {
  return new URL(`api/v1/${path}`, document.baseURI.split("#")[0]).href;
}

let unauthorized = () => {};

/** Called when the gateway does not take the token any more. */
export function whenUnauthorized(then: () => void): void {
  unauthorized = then;
}

interface Asked {
  method?: string;
  body?: unknown;
  /** Only what is still of this version is changed. */
  etag?: string | null;
  /** Only what is not there is made. */
  anew?: boolean;
  signal?: AbortSignal;
}

interface ProblemJson {
  title?: string;
  detail?: string;
  errors?: Fault[];
}

/** The gateway takes 30 s at most for a change. */
const TIMEOUT_MS = 35_000;

const STALE = "Someone else has changed this in the meantime: check the current version and try again.";

async function problem(response: Response): Promise<Error> {
  let said: ProblemJson = {};
  try {
    said = (await response.json()) as ProblemJson;
  } catch {
    // Not ours: a proxy's.
  }
  const detail = said.detail ?? said.title ?? `The gateway answered ${response.status}.`;
  if (response.status === 401) return new Unauthorized(detail);
  if (response.status === 403) return new Refused(403, `${said.title ?? "Not allowed"}: ${detail}.`, detail);
  if (response.status === 412) return new Refused(412, STALE, detail);
  const faults = said.errors ?? [];
  const each = faults.map((one) => `${one.key}: ${one.message}${one.hint ? ` (${one.hint})` : ""}`);
  return new Refused(response.status, [detail, ...each].join(" · "), detail, faults);
}

async function ask(path: string, { method = "GET", body, etag, anew, signal }: Asked = {}): Promise<Response> {
  const sent = token;
  const headers: Record<string, string> = { ...authorization() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (etag) headers["If-Match"] = etag;
  if (anew) headers["If-None-Match"] = "*";
  let response: Response;
  try {
    response = await fetch(url(path), {
      method,
      headers,
      cache: "no-store",
      credentials: "same-origin",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // What hangs is given up, so that it can be asked anew.
      signal: signal ?? AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new Error("The gateway does not answer.");
  }
  // An answer that comes after a login says nothing of the new token.
  if (response.status === 401 && sent === token) unauthorized();
  if (!response.ok) throw await problem(response);
  return response;
}

async function json<T>(path: string, asked?: Asked): Promise<T> {
  return (await (await ask(path, asked)).json()) as T;
}

const part = encodeURIComponent;

export async function gateway(): Promise<Gateway> {
  const [state, version, listeners] = await Promise.all([
    json<wire.WireGateway>("gateway"),
    json<{ libsrt: string }>("version"),
    json<wire.WireListener[]>("listeners"),
  ]);
  return wire.gateway(state, version.libsrt, listeners);
}

/** Bits a second of each stream in its last seconds, by name. */
export async function rates(seconds: number): Promise<Record<string, { start: number; values: (number | null)[] }>> {
  return (await json<wire.WireHistories>(`history?figure=bitrate_bps&points=${seconds}`)).streams;
}

/** Calls `update` each second (Unix time) until the connection ends; rejects when it cannot be made. */
export async function live(update: (streams: Stream[], pulse: Pulse, second: number) => void, signal: AbortSignal): Promise<void> {
  const response = await ask("live", { signal });
  if (!response.body) return;
  await readEvents(response.body, (event) => {
    if (event.data.startsWith("{")) {
      const said = JSON.parse(event.data) as wire.WireLive;
      if (said.streams) update(said.streams.map(wire.stream), wire.pulse(said), Math.floor(said.time_ms / 1000));
    }
  });
}

export async function detail(name: string): Promise<StreamDetail> {
  const response = await ask(`streams/${part(name)}`);
  return wire.detail((await response.json()) as wire.WireDetail, response.headers.get("ETag"));
}

export type Span = "10min" | "24h";

export async function history(name: string, span: Span): Promise<Point[]> {
  return wire.history(await json<wire.WireHistory>(`streams/${part(name)}/history?step=${span === "10min" ? "1s" : "10s"}`));
}

/** Newest first. */
export async function refusals(): Promise<Refusal[]> {
  return (await json<wire.WireRejection[]>("rejections")).map(wire.refusal).reverse();
}

/** All alarms, the most urgent first; not `known` to a gateway that is older than this page. */
export async function alarms(): Promise<{ known: boolean; list: Alarm[] }> {
  try {
    return { known: true, list: (await json<{ items: wire.WireAlarm[] }>("alarms")).items.map(wire.alarm) };
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return { known: false, list: [] };
    throw error;
  }
}

/** The audit log, newest first. */
export async function changes(): Promise<AuditRecord[]> {
  return (await json<{ items: wire.WireRecord[] }>("audit")).items.map(wire.record);
}

/** Newest first. */
export async function events(stream?: string): Promise<Event[]> {
  const all = (await json<wire.WireEvent[]>("events")).map(wire.event).reverse();
  return stream ? all.filter((event) => event.stream === stream) : all;
}

/** A keyframe with its tables, as MPEG-TS; `null` where there is none. */
export async function keyframe(name: string): Promise<Uint8Array | null> {
  const response = await ask(`streams/${part(name)}/keyframe.ts`);
  if (response.status === 204) return null;
  return new Uint8Array(await response.arrayBuffer());
}

export function videoUrl(name: string): string {
  return url(`streams/${part(name)}/video.ts`);
}

/** What came of it when the configuration file was last read. */
export async function lastReading(): Promise<Reading> {
  return wire.reading(await json<wire.WireReading>("reload"));
}

export async function bans(): Promise<Ban[]> {
  return (await json<wire.WireBan[]>("bans")).map(wire.ban);
}

let known: Promise<KeyTables> | null = null;

/** The keys that definitions may have: the same as long as the gateway runs. */
export function keys(): Promise<KeyTables> {
  known ??= json<wire.WireKeys>("keys").then(wire.keys);
  known.catch(() => {
    known = null;
  });
  return known;
}

/** The configuration in force, secrets masked. */
export const config = () => json<Definition>("config");

export async function endpoint(id: string): Promise<Versioned> {
  const response = await ask(`${listOf(id)}/${part(id)}`);
  const said = (await response.json()) as { definition?: Definition };
  return { definition: said.definition ?? {}, etag: response.headers.get("ETag") };
}

function listOf(endpoint: string): "inputs" | "outputs" {
  return endpoint.startsWith("i-") ? "inputs" : "outputs";
}

// What changes something. Each rejects with the gateway's own words. What has a version sends it along.

type Tag = string | null;

/** All sessions; of thousands the first. */
export const sessions = async () => (await json<{ items: wire.WireSession[] }>("sessions")).items.map(wire.session);
export const kick = (session: string) => ask(`sessions/${part(session)}`, { method: "DELETE" });
export const start = (endpoint: string, etag: Tag) => ask(`${listOf(endpoint)}/${part(endpoint)}/start`, { method: "POST", etag });
export const stop = (endpoint: string, etag: Tag) => ask(`${listOf(endpoint)}/${part(endpoint)}/stop`, { method: "POST", etag });
export const switchTo = (input: string) => ask(`inputs/${part(input)}/switch`, { method: "POST" });
export const add = (stream: string, direction: "input" | "output", definition: Definition, etag: Tag) =>
  ask(`streams/${part(stream)}/${direction}s`, { method: "POST", body: definition, etag });
export const change = (endpoint: string, definition: Definition, etag: Tag) =>
  ask(`${listOf(endpoint)}/${part(endpoint)}`, { method: "PUT", body: definition, etag });
export const remove = (endpoint: string, etag: Tag) => ask(`${listOf(endpoint)}/${part(endpoint)}`, { method: "DELETE", etag });
export const addStream = (name: string, definition: Definition) => ask(`streams/${part(name)}`, { method: "PUT", body: definition, anew: true });
export const changeStream = (name: string, definition: Definition, etag: Tag) =>
  ask(`streams/${part(name)}`, { method: "PUT", body: definition, etag });
export const removeStream = (name: string, etag: Tag) => ask(`streams/${part(name)}`, { method: "DELETE", etag });
/** Tells how many sessions were ended. */
export const ban = async (address: string, seconds: number, reason: string, endSessions: boolean) =>
  (await json<{ ended: number }>("bans", { method: "POST", body: { address, seconds, reason, end_sessions: endSessions } })).ended;
export const unban = (address: string) => ask(`bans/${part(address)}`, { method: "DELETE" });
export const expectedOff = async () => (await json<{ items: wire.WireExpectedOff[] }>("expected-off")).items.map(wire.expectedOff);
/** For so many seconds; 0: until somebody ends it. */
export const expectOff = (stream: string, seconds: number, note: string) =>
  ask(`streams/${part(stream)}/expected-off`, { method: "PUT", body: { ...(seconds > 0 ? { seconds } : {}), ...(note ? { note } : {}) } });
export const expectOn = (stream: string) => ask(`streams/${part(stream)}/expected-off`, { method: "DELETE" });
export const maintenance = async () => (await json<{ items: wire.WireMaintenance[] }>("maintenance")).items.map(wire.maintenance);
export const addMaintenance = (streams: string, from: Date | null, seconds: number, note: string) =>
  ask("maintenance", { method: "POST", body: { streams, seconds, ...(from ? { from: from.toISOString() } : {}), ...(note ? { note } : {}) } });
export const endMaintenance = (id: string) => ask(`maintenance/${part(id)}`, { method: "DELETE" });
export const acknowledge = (alarm: string, note: string) => ask(`alarms/${part(alarm)}/ack`, { method: "POST", body: note ? { note } : {} });
export const drain = (seconds: number) => ask("drain", { method: "POST", body: { wait_seconds: seconds } });
export const cancelDrain = () => ask("drain", { method: "DELETE" });
export const logLevel = (level: string) => ask("log", { method: "PUT", body: { level } });
export const reload = () => json<Changes>("reload", { method: "POST" });
