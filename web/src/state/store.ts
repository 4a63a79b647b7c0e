import { batch, computed, signal } from "@preact/signals";
import * as api from "../api/client";
import { Series } from "../lib/series";
import type { Gateway, Pulse, Stream } from "../model";

/** What is known of the gateway now, kept up to date by one stream of events, however many streams there are. */

export type Link = "connecting" | "live" | "lost" | "login";

export const link = signal<Link>("connecting");
export const gateway = signal<Gateway | null>(null);
/** What the gateway as a whole does now; `null`: not known yet. */
export const pulse = signal<Pulse | null>(null);
export const streams = signal<Stream[]>([]);
/** Seconds since the gateway was last heard, when that is too long; `null` while the figures are those of now. */
export const stale = signal<number | null>(null);
/** When it was last heard; `null` before the first time. */
let heard: Date | null = null;
/** It tells every second; what is older than this is no longer what is. */
const STALE_MS = 3_500;
/** A connection without a word for this long is given up: a cut cable closes none. */
const SILENT_MS = 10_000;

/** When the gateway was last heard. */
export function lastHeard(): Date | null {
  return heard;
}

function age(): void {
  const ms = heard ? Date.now() - heard.getTime() : 0;
  const late = heard !== null && link.value !== "login" && (link.value === "lost" || ms > STALE_MS);
  stale.value = late ? Math.max(0, Math.floor(ms / 1000)) : null;
}

setInterval(age, 500);

/** Counts updates: whoever draws what is not a signal (sparklines) depends on it. */
export const version = signal(0);

/** Seconds of bitrate that a sparkline shows. */
const SPARK = 90;
const sparks = new Map<string, Series>();

export function sparkOf(name: string): Series {
  let series = sparks.get(name);
  if (!series) {
    series = new Series(SPARK);
    sparks.set(name, series);
  }
  return series;
}

/** Alarms that are active; `null` where the gateway tells of none. */
export const alarms = computed(() => {
  const now = pulse.value?.alarms;
  return now ? { critical: now.critical, warning: now.warning, unacknowledged: now.unacknowledged } : null;
});

export const byName = computed(() => new Map(streams.value.map((stream) => [stream.name, stream])));

export const totals = computed(() => {
  const sum = { streams: 0, live: 0, viewers: 0, inBps: 0, outBps: 0, faults: 0, warnings: 0 };
  for (const stream of streams.value) {
    sum.streams += 1;
    if (stream.inBps !== null && stream.state === "live") sum.live += 1;
    sum.viewers += stream.viewers;
    sum.inBps += stream.inBps ?? 0;
    sum.outBps += stream.outBps ?? 0;
    if (stream.health === "bad") sum.faults += 1;
    if (stream.health === "warning") sum.warnings += 1;
  }
  return sum;
});

/** Fills the sparklines with what the gateway remembers, so that a page that was just opened shows what has been. */
async function fillSparks(): Promise<void> {
  for (const [name, past] of Object.entries(await api.rates(SPARK))) {
    const series = sparkOf(name);
    past.values.forEach((value, at) => series.pushAt(past.start + at, value ?? 0));
  }
}

function update(next: Stream[], second: number): void {
  batch(() => {
    for (const stream of next) sparkOf(stream.name).pushAt(second, stream.inBps ?? 0);
    if (sparks.size > next.length) {
      const names = new Set(next.map((stream) => stream.name));
      for (const name of sparks.keys()) if (!names.has(name)) sparks.delete(name);
    }
    streams.value = next;
    version.value += 1;
    link.value = "live";
    heard = new Date();
    stale.value = null;
  });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let session = 0;

// Also in the middle of it: tokens change with the configuration.
api.whenUnauthorized(() => {
  session += 1;
  link.value = "login";
});

/** Follows the gateway until it wants a token. Calling it again, after a login, begins anew. */
export async function follow(): Promise<void> {
  session += 1;
  const mine = session;
  let wait = 500;
  link.value = "connecting";
  while (mine === session) {
    const abort = new AbortController();
    let word = Date.now();
    const silence = setInterval(() => Date.now() - word > SILENT_MS && abort.abort(), 1_000);
    try {
      gateway.value = await api.gateway();
      await fillSparks();
      await api.live((next, now, second) => {
        wait = 500;
        word = Date.now();
        if (mine === session) {
          pulse.value = now;
          update(next, second);
        } else abort.abort();
      }, abort.signal);
    } catch (error) {
      if (error instanceof api.Unauthorized) {
        if (mine === session) link.value = "login";
        return;
      }
    } finally {
      clearInterval(silence);
    }
    if (mine !== session) return;
    link.value = "lost";
    age();
    await pause(wait);
    wait = Math.min(wait * 2, 8_000);
  }
}
