import { useEffect, useMemo, useState } from "preact/hooks";
import * as api from "../api/client";
import { undecodable } from "../lib/codecs";
import { bitrate, count, duration, milliseconds, perSecond, percent } from "../lib/format";
import type { Endpoint, Origin, Point, Stream, StreamDetail } from "../model";
import { usePolled } from "../state/poll";
import { back, href, parameter } from "../state/router";
import { inWords, lossHealth } from "../lib/select";
import { byName, version } from "../state/store";
import { Chart, type Line } from "../ui/chart";
import { Empty, Figure, Section } from "../ui/controls";
import { Mark, State } from "../ui/icons";
import { Player } from "../ui/player";
import { inZone } from "../ui/time";
import { StreamDefinition } from "./definition";
import { Endpoints } from "./endpoints";
import { EventList } from "./events";
import { Sessions } from "./sessions";
import { TransportSections } from "./transport";

/** How far back the charts go. */
const past = parameter<api.Span>("span", "10min", ["10min", "24h"]);

const RATE: Line[] = [
  { label: "in", value: (point) => point.inBps, colour: "--line-1", fill: true },
  { label: "out", value: (point) => point.outBps, colour: "--line-2" },
];
const LOSS: Line[] = [
  { label: "lost", value: (point) => point.loss, colour: "--line-3", fill: true },
];
const REPAIR: Line[] = [
  { label: "retransmitted", value: (point) => point.retransmitted, colour: "--line-2" },
  { label: "too late", value: (point) => point.dropped, colour: "--line-3", fill: true },
];
const RTT: Line[] = [{ label: "RTT", value: (point) => point.rttMs, colour: "--line-1" }];
const BUFFER: Line[] = [
  { label: "buffer", value: (point) => point.bufferMs, colour: "--line-1", fill: true },
  { label: "latency", value: (point) => point.latencyMs, colour: "--line-3", dash: [6, 4] },
];
/** Beside the mean of ten seconds, which hides what was short. */
const HIGHEST: Record<"inBps" | "rttMs" | "loss", Line> = {
  inBps: { label: "in, highest", value: (point) => point.highest?.inBps ?? null, colour: "--muted" },
  rttMs: { label: "highest", value: (point) => point.highest?.rttMs ?? null, colour: "--muted" },
  loss: { label: "highest", value: (point) => point.highest?.loss ?? null, colour: "--muted" },
};
const VIEWERS: Line[] = [{ label: "viewers", value: (point) => point.viewers, colour: "--line-2" }];

/** A live value as a point of the charts, so that they go on between two answers of the history. */
export function pointOf(stream: Stream, t: number): Point {
  return {
    t,
    inBps: stream.inBps,
    outBps: stream.outBps,
    rttMs: stream.rttMs,
    loss: stream.loss,
    retransmitted: stream.retransmitted,
    dropped: stream.dropped,
    bufferMs: stream.bufferMs,
    latencyMs: stream.latencyMs,
    viewers: stream.viewers,
  };
}

/** The past from the gateway, continued by what comes live. */
function useHistory(stream: Stream, span: api.Span): { points: Point[]; error: string | null } {
  const [past, setPast] = useState<Point[]>([]);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    let over = false;
    const load = () =>
      api.history(stream.name, span).then(
        (points) => {
          if (!over) {
            setPast(points);
            setError(null);
          }
        },
        (failure: unknown) => {
          if (!over) setError(failure instanceof Error ? failure.message : String(failure));
        },
      );
    setPast([]);
    void load();
    const timer = setInterval(load, span === "24h" ? 30_000 : 300_000);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [stream.name, span]);
  useEffect(() => {
    if (span !== "10min") return;
    setPast((before) => {
      const t = Math.round(Date.now() / 1000);
      const last = before.at(-1)?.t ?? 0;
      return t <= last ? before : [...before, pointOf(stream, t)].slice(-600);
    });
  }, [version.value]);
  return { points: past, error };
}

function Charts({ stream }: { stream: Stream }) {
  const span = past.value;
  const { points: known, error } = useHistory(stream, span);
  // The past does not hold the latency: it is negotiated once for a connection.
  const latencyMs = stream.latencyMs;
  const points = useMemo(
    () => (latencyMs === null ? known : known.map((point) => (point.bufferMs === null ? point : { ...point, latencyMs }))),
    [known, latencyMs],
  );
  const lines = (of: Line[], figure: keyof typeof HIGHEST) => (span === "24h" ? [...of, HIGHEST[figure]] : of);
  const shared = { points, span: span === "10min" ? 600 : 86_400, sync: `charts-${stream.name}` };
  return (
    <Section
      title="Charts"
      aside={
        <><span class="muted">{inZone("Times")}</span><div class="toggle" role="group" aria-label="Time span">
          <button type="button" aria-pressed={span === "10min"} onClick={() => { past.value = "10min"; }}>10 min</button>
          <button type="button" aria-pressed={span === "24h"} onClick={() => { past.value = "24h"; }}>24 h</button>
        </div></>
      }
    >
      {error ? <p class="problem" role="alert">{error}</p> : null}
      <div class="charts">
        <Chart title="Bitrate" lines={lines(RATE, "inBps")} format={bitrate} least={100_000} {...shared} />
        <Chart title="Round-trip time of the source's link" lines={lines(RTT, "rttMs")} format={milliseconds} least={5} {...shared} />
        <Chart title="Loss on the source's link" lines={lines(LOSS, "loss")} format={percent} least={0.01} {...shared} />
        <Chart title="Packets retransmitted, and too late" lines={REPAIR} format={perSecond} least={4} whole {...shared} />
        <Chart title="Buffer against latency" lines={BUFFER} format={milliseconds} least={50} {...shared} />
        <Chart title="Viewers" lines={VIEWERS} format={count} least={4} whole {...shared} />
      </div>
    </Section>
  );
}

function Verdict({ stream, endpoints }: { stream: Stream; endpoints: Endpoint[] }) {
  const health = stream.verdict && stream.verdict.health !== "idle" ? stream.verdict.health : stream.health;
  // An older gateway has nothing to judge without a source: then it is the inputs that fail.
  const failing = stream.source || stream.verdict ? [] : endpoints.filter((one) => one.direction === "input" && one.detail);
  const verdict = failing.length === 0 ? stream.verdict : { text: "No input gets through", evidence: failing.map((one) => `${one.name}: ${one.detail}`), faults: [] };
  return (
    <div class={`verdict ${health}`} role="status">
      <Mark health={health} label={`Verdict: ${health}`} />
      <div>
        <strong>{verdict?.text ?? inWords(stream)}</strong>
        {verdict && verdict.evidence.length > 0 ? (
          <ul>
            {verdict.evidence.map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        ) : null}
        {verdict?.faults.map((one) => (
          <div class="also" key={one.text}>
            <State health={one.health} word={one.text} />
            {one.evidence.length > 0 ? <small>{one.evidence.join("; ")}</small> : null}
          </div>
        ))}
      </div>
    </div>
  );
}

function Key({ stream, detail }: { stream: Stream; detail: StreamDetail | null }) {
  const transport = detail?.transport;
  const source = detail?.sessions.find((session) => session.feeds);
  const decodes = (type: string) => window.MediaSource?.isTypeSupported(type) ?? false;
  const codec = (name: string | null) => (name ? <span title={undecodable(name, decodes) ?? ""}>{name}</span> : "–");
  return (
    <dl class="figures">
      {transport ? <Figure name="Picture" value={<>{codec(transport.video)} {transport.resolution}</>} /> : null}
      {transport ? <Figure name="Sound" value={codec(transport.audio)} /> : null}
      {source ? <Figure name="Up for" value={duration(source.age)} /> : null}
      <Figure name="In" value={bitrate(stream.inBps)} />
      <Figure name="Out" value={bitrate(stream.outBps)} />
      <Figure name="RTT" value={milliseconds(stream.rttMs)} title={`95 % of the last minute below ${milliseconds(stream.rttP95Ms)}`} />
      <Figure name="Loss" value={percent(stream.loss)} health={lossHealth(stream.loss)} title="on the wire, before retransmission" />
      <Figure name="Retransmitted" value={perSecond(stream.retransmitted)} />
      <Figure name="Too late" value={perSecond(stream.dropped)} health={(stream.dropped ?? 0) > 0 ? "bad" : ""} title="dropped packets: gaps in the picture" />
      <Figure name="Buffer / latency" value={stream.bufferMs === null ? "–" : `${stream.bufferMs.toFixed(0)} / ${milliseconds(stream.latencyMs)}`} title="how much lies in the buffer, against the latency that bounds it" />
      <Figure name="Viewers" value={count(stream.viewers)} />
      {stream.previews ? <Figure name="Previews" value={count(stream.previews)} title="pictures in a console, over HTTP: no viewers, and no part of max_viewers" /> : null}
    </dl>
  );
}

const ORIGINS: Record<Origin, string> = { config: "from the configuration file", api: "made here", caller: "made by a caller" };

export function StreamPage({ name }: { name: string }) {
  const live = byName.value.get(name);
  const polled = usePolled(`detail ${name}`, 2_000, () => api.detail(name));
  const detail = polled.value;
  // Live figures are a second old at most; the verdict comes with the close look.
  const stream = live && detail ? { ...live, health: detail.stream.health, verdict: detail.stream.verdict } : (live ?? detail?.stream);
  if (!stream) {
    return polled.error ? (
      <Empty title={`${name} cannot be shown`}>
        {polled.error.startsWith("there is no stream") ? "No stream has this name. A stream that is not configured disappears with its last session." : polled.error}{" "}
        <a href={back({ page: "overview" })}>All streams</a>
      </Empty>
    ) : (
      <p class="muted">Loading…</p>
    );
  }
  return (
    <div class="stream-page">
      <header class="stream-head">
        <a href={back({ page: "overview" })} class="back" aria-label="All streams">‹</a>
        <h1>{name}</h1>
        <State health={stream.health} word={stream.state} />
        <span class="muted">{stream.source ?? "no source"} · {ORIGINS[stream.origin]}</span>
        <span class="acts">
          <a class="button" href={href({ page: "connect", name })}>Connect…</a>
        </span>
      </header>
      <div class="stream-top">
        <Player stream={stream} video={detail?.transport?.video ?? null} audio={detail?.transport?.audio ?? null} />
        <div class="stream-now">
          <Verdict stream={stream} endpoints={detail?.endpoints ?? []} />
          <Key stream={stream} detail={detail} />
          <Charts stream={stream} />
        </div>
      </div>
      {polled.error && detail ? <p class="problem" role="alert">{polled.error}</p> : null}
      {detail ? (
        <>
          <Sessions detail={detail} again={polled.again} />
          <div class="two">
            <Endpoints detail={detail} direction="input" again={polled.again} />
            <Endpoints detail={detail} direction="output" again={polled.again} />
          </div>
        </>
      ) : null}
      {detail ? <StreamDefinition detail={detail} again={polled.again} /> : null}
      {detail?.transport ? <TransportSections transport={detail.transport} /> : null}
      <Section title="Events of this stream" aside={<a href={href({ page: "events" })}>All events</a>}>
        <EventList stream={name} limit={12} />
      </Section>
    </div>
  );
}
