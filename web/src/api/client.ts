import type { Event, Gateway, Point, Refusal, Stream, StreamDetail } from "../model";
import { readEvents } from "../lib/sse";
import * as wire from "./wire";

/** Speaks to the gateway. Every request carries the token; no answer is kept by the browser. */

/** The gateway wants a token, or another one. */
export class Unauthorized extends Error {}

/** The gateway said no; the message is its own, for people. */
export class Refusal409 extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
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

interface Asked {
  method?: string;
  body?: unknown;
  etag?: string | null;
  signal?: AbortSignal;
}

interface ProblemJson {
  title?: string;
  detail?: string;
  errors?: { key: string; message: string; hint?: string }[];
}

async function problem(response: Response): Promise<Error> {
  let said: ProblemJson = {};
  try {
    said = (await response.json()) as ProblemJson;
  } catch {
    // Not ours: a proxy's.
  }
  const errors = (said.errors ?? []).map((one) => `${one.key}: ${one.message}${one.hint ? ` (${one.hint})` : ""}`);
  const text = [said.detail ?? said.title ?? `The gateway answered ${response.status}.`, ...errors].join(" · ");
  return response.status === 401 ? new Unauthorized(text) : new Refusal409(response.status, text);
}

async function ask(path: string, { method = "GET", body, etag, signal }: Asked = {}): Promise<Response> {
  const headers: Record<string, string> = { ...authorization() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (etag) headers["If-Match"] = etag;
  let response: Response;
  try {
    response = await fetch(url(path), {
      method,
      headers,
      cache: "no-store",
      credentials: "same-origin",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch {
    throw new Error("The gateway does not answer.");
  }
  if (!response.ok) throw await problem(response);
  return response;
}

async function json<T>(path: string, asked?: Asked): Promise<T> {
  return (await (await ask(path, asked)).json()) as T;
}

const part = encodeURIComponent;

/** All parts of a list that is longer than one answer. */
async function all<T>(path: string): Promise<T[]> {
  const items: T[] = [];
  for (;;) {
    const page = await json<wire.Page<T>>(`${path}?offset=${items.length}`);
    items.push(...page.items);
    if (page.items.length === 0 || items.length >= page.total) return items;
  }
}

export async function gateway(): Promise<Gateway> {
  const [state, version, listeners] = await Promise.all([
    json<wire.WireGateway>("gateway"),
    json<{ libsrt: string }>("version"),
    json<wire.WireListener[]>("listeners"),
  ]);
  return wire.gateway(state, version.libsrt, listeners);
}

export async function streams(): Promise<Stream[]> {
  return (await all<wire.WireStream>("streams")).map(wire.stream);
}

/** Calls `update` each second until the connection ends; rejects when it cannot be made. */
export async function live(update: (streams: Stream[]) => void, signal: AbortSignal): Promise<void> {
  const response = await ask("live", { signal });
  if (!response.body) return;
  await readEvents(response.body, (event) => {
    if (event.data.startsWith("{")) {
      const said = JSON.parse(event.data) as { streams?: wire.WireStream[] };
      if (said.streams) update(said.streams.map(wire.stream));
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

// What changes something. Each rejects with the gateway's own words.

export const kick = (session: string) => ask(`sessions/${part(session)}`, { method: "DELETE" });
/** Ends the session, and refuses its address for an hour. */
export const ban = (session: string) => ask(`sessions/${part(session)}?ban_seconds=3600`, { method: "DELETE" });
export const start = (endpoint: string) => ask(`outputs/${part(endpoint)}/start`, { method: "POST" });
export const stop = (endpoint: string) => ask(`outputs/${part(endpoint)}/stop`, { method: "POST" });
export const add = (stream: string, direction: "input" | "output", address: string, etag: string | null) =>
  ask(`streams/${part(stream)}/${direction}s`, { method: "POST", body: { url: address }, etag });
export const remove = (direction: "input" | "output", endpoint: string) => ask(`${direction}s/${part(endpoint)}`, { method: "DELETE" });
export const switchTo = (input: string) => ask(`inputs/${part(input)}/switch`, { method: "POST" });
export const addStream = (name: string, definition: object) => ask(`streams/${part(name)}`, { method: "PUT", body: definition });
export const removeStream = (name: string, etag: string | null) => ask(`streams/${part(name)}`, { method: "DELETE", etag });
export const drain = () => ask("drain", { method: "POST" });
export const logLevel = (level: string) => ask("log", { method: "PUT", body: { level } });
