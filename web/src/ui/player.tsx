import type Mpegts from "mpegts.js";
import { useEffect, useRef, useState } from "preact/hooks";
import * as api from "../api/client";
import { undecodable } from "../lib/codecs";
import type { Stream } from "../model";

const decodes = (type: string) => window.MediaSource?.isTypeSupported(type) ?? false;

function obstacle(stream: Stream, video: string | null): string | null {
  if (stream.state !== "live") return "No source: there is nothing to play.";
  const lacking = undecodable(video, decodes);
  return lacking ? `${lacking}. The stream is relayed all the same.` : null;
}

type Phase = { now: "off" } | { now: "loading" } | { now: "playing" } | { now: "failed"; why: string };

/** The picture itself, as the gateway relays it: the same bytes over HTTP, never transcoded. */
export function Player({ stream, video: picture, audio }: { stream: Stream; video: string | null; audio: string | null }) {
  const [wanted, setWanted] = useState(false);
  const [phase, setPhase] = useState<Phase>({ now: "off" });
  const [behind, setBehind] = useState<number | null>(null);
  const video = useRef<HTMLVideoElement>(null);
  const blocked = obstacle(stream, picture);
  const silent = undecodable(audio, decodes);

  useEffect(() => {
    const element = video.current;
    if (!wanted || !element) return;
    let player: Mpegts.Player | null = null;
    let over = false;
    setPhase({ now: "loading" });
    const start = async () => {
      // Only whoever plays something loads it: it is larger than the rest of the page.
      const { default: mpegts } = await import("mpegts.js");
      if (over) return;
      if (!mpegts.isSupported()) throw new Error("This browser has no Media Source Extensions.");
      mpegts.LoggingControl.enableAll = false;
      player = mpegts.createPlayer(
        // Sound that the browser refuses would take the picture with it.
        { type: "mpegts", isLive: true, ...(silent ? { hasAudio: false } : {}), url: api.videoUrl(stream.name), cors: false, withCredentials: false },
        {
          enableWorker: true,
          enableStashBuffer: false,
          liveBufferLatencyChasing: true,
          liveBufferLatencyMaxLatency: 2.5,
          liveBufferLatencyMinRemain: 0.6,
          autoCleanupSourceBuffer: true,
          headers: api.authorization(),
        },
      );
      player.on(mpegts.Events.ERROR, (type: string, detail: string, info: { code?: number; msg?: string } | undefined) => {
        if (!over) setPhase({ now: "failed", why: reason(type, detail, info) });
      });
      player.on(mpegts.Events.LOADING_COMPLETE, () => {
        if (!over) setPhase({ now: "failed", why: "The stream has ended." });
      });
      player.attachMediaElement(element);
      player.load();
      await player.play();
      if (!over) setPhase({ now: "playing" });
    };
    start().catch((error: unknown) => {
      if (!over) setPhase({ now: "failed", why: error instanceof Error ? error.message : String(error) });
    });
    const timer = setInterval(() => {
      const ranges = element.buffered;
      setBehind(ranges.length > 0 ? ranges.end(ranges.length - 1) - element.currentTime : null);
    }, 500);
    return () => {
      over = true;
      clearInterval(timer);
      player?.destroy();
      setBehind(null);
    };
  }, [wanted, stream.name, silent === null]);

  useEffect(() => setWanted(false), [stream.name]);

  const stop = () => {
    setWanted(false);
    setPhase({ now: "off" });
  };
  return (
    <div class="player">
      <div class="screen">
        <video ref={video} muted playsInline aria-label={`Picture of ${stream.name}`} hidden={!wanted} />
        {wanted && phase.now !== "failed" ? null : (
          <div class="screen-note">
            {phase.now === "failed" ? <p role="alert">{phase.why}</p> : blocked ? <p>{blocked}</p> : null}
            {blocked ? null : (
              <button
                type="button"
                class="primary"
                onClick={() => {
                  setWanted(false);
                  requestAnimationFrame(() => setWanted(true));
                }}
              >
                ▶ {phase.now === "failed" ? "Play again" : "Play"}
              </button>
            )}
          </div>
        )}
        {wanted && phase.now === "loading" ? <div class="screen-note quiet">waiting for a keyframe…</div> : null}
      </div>
      {silent && !blocked ? <p class="note" role="status">{silent}. The picture plays without sound; viewers get it all the same.</p> : null}
      {wanted ? (
        <div class="player-bar">
          <button type="button" onClick={stop}>
            ■ Stop
          </button>
          <button
            type="button"
            disabled={silent !== null}
            onClick={() => {
              if (video.current) video.current.muted = !video.current.muted;
            }}
          >
            Sound on / off
          </button>
          <button type="button" onClick={() => void video.current?.requestFullscreen()}>
            Full screen
          </button>
          <span class="num">{behind === null ? "" : `${behind.toFixed(1)} s buffered here`}</span>
        </div>
      ) : null}
    </div>
  );
}

function reason(type: string, detail: string, info: { code?: number; msg?: string } | undefined): string {
  if (info?.code === 401) return "The gateway requires another token.";
  if (info?.code === 404) return "The stream no longer exists.";
  if (type === "NetworkError") return `The gateway ended the transfer (${info?.code ?? detail}).`;
  return `This browser cannot play it: ${info?.msg ?? detail}`;
}
