import * as api from "../api/client";
import { type Picture, firstPicture } from "../lib/ts";

/**
 * Stills of streams: the last keyframe, decoded by the browser. A few at a time and the oldest first, only of streams
 * that are on the screen, so that a wall of hundreds costs the gateway and the browser what a dozen costs.
 */

const AT_ONCE = 3;
const KEPT = 160;
const WIDTH = 320;
/** A still is asked for again after this long; one that failed, later. */
const FRESH_MS = 10_000;
const FAILED_MS = 30_000;

export interface Still {
  bitmap: ImageBitmap | null;
  at: number;
  failed: boolean;
  /** Why there is no picture, in two or three words. */
  why: string;
}

const stills = new Map<string, Still>();
const wanted = new Map<string, Set<() => void>>();
const running = new Set<string>();

export function still(name: string): ImageBitmap | null {
  return stills.get(name)?.bitmap ?? null;
}

export function whyNone(name: string): string {
  return stills.get(name)?.why ?? "";
}

/** Keeps the still of `name` fresh and calls `changed` when there is a new one, until the returned function is called. */
export function watchStill(name: string, changed: () => void): () => void {
  const watchers = wanted.get(name) ?? new Set();
  watchers.add(changed);
  wanted.set(name, watchers);
  schedule();
  return () => {
    watchers.delete(changed);
    if (watchers.size === 0) wanted.delete(name);
  };
}

let timer: ReturnType<typeof setTimeout> | undefined;

function schedule(): void {
  timer ??= setTimeout(() => {
    timer = undefined;
    next();
  }, 60);
}

function due(name: string, now: number): number {
  const known = stills.get(name);
  if (!known) return Number.POSITIVE_INFINITY;
  return now - known.at - (known.failed ? FAILED_MS : FRESH_MS);
}

function next(): void {
  if (!document.hidden) {
    const now = performance.now();
    const names = [...wanted.keys()]
      .filter((name) => !running.has(name) && due(name, now) >= 0)
      .sort((a, b) => due(b, now) - due(a, now));
    for (const name of names.slice(0, AT_ONCE - running.size)) void refresh(name);
  }
  if (wanted.size > 0) timer ??= setTimeout(() => ((timer = undefined), next()), 1_000);
}

async function refresh(name: string): Promise<void> {
  running.add(name);
  let bitmap: ImageBitmap | null = null;
  let why = "no keyframe yet";
  try {
    const bytes = await api.keyframe(name);
    if (bytes) {
      const picture = firstPicture(bytes);
      bitmap = picture ? await decode(picture) : null;
      why = typeof VideoDecoder === "undefined" ? "stills need https" : "cannot be shown";
    }
  } catch {
    // No picture is not worth a word: it may be audio only, scrambled, or a codec that this browser lacks.
  }
  const before = stills.get(name);
  if (bitmap) before?.bitmap?.close();
  stills.delete(name);
  stills.set(name, { bitmap: bitmap ?? before?.bitmap ?? null, at: performance.now(), failed: bitmap === null, why });
  for (const [oldest, entry] of stills) {
    if (stills.size <= KEPT) break;
    if (wanted.has(oldest)) continue;
    entry.bitmap?.close();
    stills.delete(oldest);
  }
  running.delete(name);
  for (const changed of wanted.get(name) ?? []) changed();
  schedule();
}

/** Forgets the still of a stream whose source has gone: an old picture would look like a live one. */
export function forgetStill(name: string): void {
  stills.get(name)?.bitmap?.close();
  stills.delete(name);
}

/** `null` where the browser has no WebCodecs (pages without https) or not this codec. */
async function decode(picture: Picture): Promise<ImageBitmap | null> {
  if (typeof VideoDecoder === "undefined") return null;
  const config: VideoDecoderConfig = { codec: picture.codecString, optimizeForLatency: true };
  const support = await VideoDecoder.isConfigSupported(config);
  if (!support.supported) return null;
  return new Promise((resolve) => {
    const finish = (bitmap: ImageBitmap | null) => {
      clearTimeout(late);
      if (decoder.state !== "closed") decoder.close();
      resolve(bitmap);
    };
    const late = setTimeout(() => finish(null), 4_000);
    const decoder = new VideoDecoder({
      output(frame) {
        const height = Math.max(2, Math.round((WIDTH * frame.displayHeight) / frame.displayWidth));
        createImageBitmap(frame, { resizeWidth: WIDTH, resizeHeight: height, resizeQuality: "medium" }).then(
          (bitmap) => {
            frame.close();
            finish(bitmap);
          },
          () => {
            frame.close();
            finish(null);
          },
        );
      },
      error: () => finish(null),
    });
    decoder.configure(config);
    decoder.decode(new EncodedVideoChunk({ type: "key", timestamp: 0, data: picture.data }));
    decoder.flush().catch(() => finish(null));
  });
}
