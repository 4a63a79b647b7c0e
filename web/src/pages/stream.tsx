import { useEffect, useMemo, useState } from "preact/hooks";
import * as api from "../api/client";
import { bitrate, bytes, count, duration, milliseconds, perSecond, percent, plural } from "../lib/format";
import type { Endpoint, Point, Session, Stream, StreamDetail } from "../model";
import { told } from "../state/notices";
import { usePolled } from "../state/poll";
import { go, href } from "../state/router";
import { byName, version } from "../state/store";
import { Chart, type Line } from "../ui/chart";
import { Act, Empty, Figure, Section } from "../ui/controls";
import { Mark, State } from "../ui/icons";
import { Player } from "../ui/player";
import { EventList } from "./events";
import { TransportSections } from "./transport";

const RATE: Line[] = [
  { label: "in", value: (point) => point.inBps, colour: "--line-1", fill: true },
  { label: "out", value: (point) => point.outBps, colour: "--line-2" },
];
const LOSS: Line[] = [
  { label: "lost", value: (point) => point.loss, colour: "--line-3", fill: true },
];
const REPAIR: Line[] = [
  { label: "sent again", value: (point) => point.retransmitted, colour: "--line-2" },
  { label: "too late", value: (point) => point.dropped, colour: "--line-3", fill: true },
];
const RTT: Line[] = [{ label: "RTT", value: (point) => point.rttMs, colour: "--line-1" }];
const BUFFER: Line[] = [
  { label: "buffer", value: (point) => point.bufferMs, colour: "--line-1", fill: true },
  { label: "latency", value: (point) => point.latencyMs, colour: "--line-3", dash: [6, 4] },
];
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
  const [span, setSpan] = useState<api.Span>("10min");
  const { points: past, error } = useHistory(stream, span);
  // The past does not hold the latency: it is negotiated once for a connection.
  const latencyMs = stream.latencyMs;
  const points = useMemo(
    () => (latencyMs === null ? past : past.map((point) => (point.bufferMs === null ? point : { ...point, latencyMs }))),
    [past, latencyMs],
  );
  const sync = `charts-${stream.name}`;
  return (
    <Section
      title="Figures"
      aside={
        <div class="toggle" role="group" aria-label="Time span">
          <button type="button" aria-pressed={span === "10min"} onClick={() => setSpan("10min")}>10 min</button>
          <button type="button" aria-pressed={span === "24h"} onClick={() => setSpan("24h")}>24 h</button>
        </div>
      }
    >
      {error ? <p class="problem" role="alert">{error}</p> : null}
      <div class="charts">
        <Chart title="Bitrate" points={points} lines={RATE} format={bitrate} sync={sync} />
        <Chart title="Round-trip time of the source's link" points={points} lines={RTT} format={milliseconds} sync={sync} />
        <Chart title="Loss on the source's link" points={points} lines={LOSS} format={percent} sync={sync} />
        <Chart title="Packets sent again, and too late" points={points} lines={REPAIR} format={perSecond} sync={sync} />
        <Chart title="Buffer against latency" points={points} lines={BUFFER} format={milliseconds} sync={sync} />
        <Chart title="Viewers" points={points} lines={VIEWERS} format={count} sync={sync} />
      </div>
    </Section>
  );
}

function Verdict({ stream }: { stream: Stream }) {
  const verdict = stream.verdict;
  const plain: Record<string, string> = {
    live: "Live, and nothing is known against it.",
    silent: "The source is connected, but sends nothing: look at the encoder.",
    waiting: "No source: viewers or inputs wait for one.",
    idle: "Nobody publishes and nobody watches.",
  };
  const health = verdict?.health ?? stream.health;
  return (
    <div class={`verdict ${health}`} role="status">
      <Mark health={health} label={`Verdict: ${health}`} />
      <div>
        <strong>{verdict?.text ?? plain[stream.state] ?? stream.state}</strong>
        {verdict && verdict.evidence.length > 0 ? (
          <ul>
            {verdict.evidence.map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        ) : null}
      </div>
    </div>
  );
}

function lossHealth(loss: number | null): string {
  return loss === null || loss <= 0.01 ? "" : loss > 0.05 ? "bad" : "warning";
}

function Key({ stream }: { stream: Stream }) {
  return (
    <dl class="figures">
      <Figure name="In" value={bitrate(stream.inBps)} />
      <Figure name="Out" value={bitrate(stream.outBps)} />
      <Figure name="RTT" value={milliseconds(stream.rttMs)} title={`95 % of the last minute below ${milliseconds(stream.rttP95Ms)}`} />
      <Figure name="Loss" value={percent(stream.loss)} health={lossHealth(stream.loss)} title="on the wire, before repetition" />
      <Figure name="Sent again" value={perSecond(stream.retransmitted)} />
      <Figure name="Too late" value={perSecond(stream.dropped)} health={(stream.dropped ?? 0) > 0 ? "bad" : ""} title="packets given up: gaps in the picture" />
      <Figure name="Buffer / latency" value={stream.bufferMs === null ? "–" : `${stream.bufferMs.toFixed(0)} / ${milliseconds(stream.latencyMs)}`} title="how much lies in the buffer, against the latency that bounds it" />
      <Figure name="Viewers" value={count(stream.viewers)} />
    </dl>
  );
}

function SessionRow({ session, blamed, again }: { session: Session; blamed: boolean; again: () => void }) {
  const end = (run: () => Promise<unknown>) => () => run().finally(again);
  return (
    <tr>
      <td data-label="Role">
        <State health={blamed ? "bad" : session.role === "publisher" || session.role === "input" ? (session.feeds ? "good" : "standby") : "good"} word={session.role} />
        {blamed ? <small>see the verdict</small> : null}
      </td>
      <td class="num" data-label="Peer">
        {session.peer}
        <small>{session.port}{session.version ? ` · SRT ${session.version}` : ""}</small>
        {session.streamId ? <small><code>{session.streamId}</code></small> : null}
      </td>
      <td data-label="Encryption">{session.encryption ?? "none"}</td>
      <td class="num" data-label="Latency">{milliseconds(session.latencyMs)}</td>
      <td class="num" data-label="RTT">{milliseconds(session.rttMs)}</td>
      <td class={`num ${lossHealth(session.loss)}`} data-label="Loss">{percent(session.loss)}</td>
      <td class={`num ${(session.dropped ?? 0) > 0 ? "bad" : ""}`} data-label="Too late">{perSecond(session.dropped)}</td>
      <td class="num" data-label="Buffer">{milliseconds(session.bufferMs)}</td>
      <td class="num" data-label="Rate">{bitrate(session.bps)}</td>
      <td class="num" data-label="Carried">{bytes(session.bytes)}</td>
      <td class={`num ${(session.skipped ?? 0) > 0 ? "warning" : ""}`} data-label="Skipped">{count(session.skipped)}</td>
      <td class="num" data-label="Since">{duration(session.age)}</td>
      <td class="tools-cell" data-label="">
        <div class="acts">
        <Act run={end(() => api.kick(session.id))} done={`Session of ${session.peer} ended`} confirm="End it?" label={`End the session of ${session.peer}`}>End</Act>
        <Act run={end(() => api.ban(session.id))} done={`${session.peer} is banned for an hour`} confirm="Ban its address?" danger label={`Ban ${session.peer}`}>Ban</Act>
        </div>
      </td>
    </tr>
  );
}

const SHOWN = 100;

function Sessions({ detail, again }: { detail: StreamDetail; again: () => void }) {
  const [all, setAll] = useState(false);
  const blamed = new Set(detail.stream.verdict?.sessions ?? []);
  const list = useMemo(
    () => [...detail.sessions].sort((a, b) => Number(b.feeds) - Number(a.feeds) || Number(blamed.has(b.id)) - Number(blamed.has(a.id)) || (b.loss ?? 0) - (a.loss ?? 0) || (b.age ?? 0) - (a.age ?? 0)),
    [detail.sessions],
  );
  const shown = all ? list : list.slice(0, SHOWN);
  return (
    <Section title="Sessions" aside={<span class="muted num">{plural(list.length, "session")}, the worst first</span>}>
      {list.length === 0 ? (
        <Empty title="Nobody is connected">
          <a href={href({ page: "connect", name: detail.stream.name })}>How to publish or play this stream</a>
        </Empty>
      ) : (
        <div class="scroller">
          <table class="list">
            <thead>
              <tr>
                <th>Role</th><th>Peer</th><th>Encryption</th><th class="num">Latency</th><th class="num">RTT</th><th class="num">Loss</th>
                <th class="num">Too late</th><th class="num">Buffer</th><th class="num">Rate</th><th class="num">Carried</th><th class="num">Skipped</th><th class="num">Since</th><th />
              </tr>
            </thead>
            <tbody>{shown.map((session) => <SessionRow session={session} blamed={blamed.has(session.id)} again={again} key={session.id} />)}</tbody>
          </table>
        </div>
      )}
      {shown.length < list.length ? <button type="button" class="more" onClick={() => setAll(true)}>Show all {count(list.length)}</button> : null}
    </Section>
  );
}

function EndpointRow({ endpoint, again }: { endpoint: Endpoint; again: () => void }) {
  const after = (run: () => Promise<unknown>) => () => run().finally(again);
  const isInput = endpoint.direction === "input";
  return (
    <tr>
      <td data-label="State">
        <State health={endpoint.health} word={endpoint.state} />
        {endpoint.active ? <small>feeds the stream</small> : null}
      </td>
      <td data-label="Address">
        <code>{endpoint.url}</code>
        {endpoint.detail ? <small class="bad">{endpoint.detail}</small> : null}
      </td>
      <td class="num" data-label="RTT">{milliseconds(endpoint.rttMs)}</td>
      <td class={`num ${lossHealth(endpoint.loss)}`} data-label="Loss">{percent(endpoint.loss)}</td>
      <td class="num" data-label="Carried">{bytes(endpoint.bytes)}</td>
      <td class="num" data-label="Failures">{count(endpoint.failures)}</td>
      <td class="tools-cell" data-label="">
        <div class="acts">
        {isInput ? (
          endpoint.active ? null : <Act run={after(() => api.switchTo(endpoint.id))} done="Switched" label={`Switch to ${endpoint.url}`}>Switch to this</Act>
        ) : endpoint.enabled ? (
          <Act run={after(() => api.stop(endpoint.id))} done="Output stopped" label={`Stop ${endpoint.url}`}>Stop</Act>
        ) : (
          <Act run={after(() => api.start(endpoint.id))} done="Output started" label={`Start ${endpoint.url}`}>Start</Act>
        )}
        {endpoint.removable ? (
          <Act run={after(() => api.remove(endpoint.direction, endpoint.id))} done="Removed" confirm="Remove it?" danger label={`Remove ${endpoint.url}`}>Remove</Act>
        ) : null}
        </div>
      </td>
    </tr>
  );
}

function Endpoints({ detail, direction, again }: { detail: StreamDetail; direction: "input" | "output"; again: () => void }) {
  const [address, setAddress] = useState("");
  const [busy, setBusy] = useState(false);
  const list = detail.endpoints.filter((one) => one.direction === direction);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!address.trim()) return;
    setBusy(true);
    if (await told(() => api.add(detail.stream.name, direction, address.trim(), detail.etag), `${direction === "input" ? "Input" : "Output"} added`)) setAddress("");
    setBusy(false);
    again();
  };
  const title = direction === "input" ? "Inputs" : "Outputs";
  return (
    <Section title={title} aside={<span class="muted num">{count(list.length)}</span>}>
      {list.length === 0 ? (
        <p class="muted">{direction === "input" ? "None: the stream comes from a publisher." : "None: the stream is watched by viewers only."}</p>
      ) : (
        <div class="scroller">
          <table class="list">
            <thead>
              <tr>
                <th>State</th><th>Address</th><th class="num">RTT</th><th class="num">Loss</th><th class="num">Carried</th><th class="num">Failures</th><th />
              </tr>
            </thead>
            <tbody>{list.map((endpoint) => <EndpointRow endpoint={endpoint} again={again} key={endpoint.id} />)}</tbody>
          </table>
        </div>
      )}
      <form class="add" onSubmit={submit}>
        <input
          aria-label={`Address of the new ${direction}`}
          placeholder={direction === "input" ? "srt://encoder:9000   udp://239.1.1.1:5000" : "srt://host:9000?streamid=…   udp://239.2.2.2:5000   rtp://…   file:///…"}
          spellcheck={false}
          value={address}
          onInput={(event) => setAddress(event.currentTarget.value)}
        />
        <button type="submit" disabled={busy || !address.trim()}>Add {direction}</button>
      </form>
    </Section>
  );
}

export function StreamPage({ name }: { name: string }) {
  const live = byName.value.get(name);
  const polled = usePolled(`detail ${name}`, 2_000, () => api.detail(name));
  const detail = polled.value;
  // Live figures are a second old at most; the verdict comes with the close look.
  const stream = live && detail ? { ...live, health: detail.stream.health, verdict: detail.stream.verdict } : (live ?? detail?.stream);
  if (!stream) {
    return polled.error ? (
      <Empty title={`There is no stream ${name}`}>
        {polled.error} <a href="#/">All streams</a>
      </Empty>
    ) : (
      <p class="muted">Loading…</p>
    );
  }
  return (
    <div class="stream-page">
      <header class="stream-head">
        <a href="#/" class="back" aria-label="All streams">‹</a>
        <h1>{name}</h1>
        <State health={stream.health} word={stream.state} />
        <span class="muted">{stream.source ?? "no source"} · {stream.origin === "config" ? "from the configuration" : stream.origin === "api" ? "from the API" : "made by a caller"}</span>
        <span class="acts">
          <a class="button" href={href({ page: "connect", name })}>Connect…</a>
          {detail?.removable ? (
            <Act run={() => api.removeStream(name, detail.etag).then(() => go({ page: "overview" }))} done={`${name} removed`} confirm="Remove the stream?" danger>Remove stream</Act>
          ) : null}
        </span>
      </header>
      <div class="stream-top">
        <Player stream={stream} codec={detail?.transport?.video ?? null} />
        <div class="stream-now">
          <Verdict stream={stream} />
          <Key stream={stream} />
        </div>
      </div>
      {polled.error && detail ? <p class="problem" role="alert">{polled.error}</p> : null}
      <Charts stream={stream} />
      {detail ? (
        <>
          <Sessions detail={detail} again={polled.again} />
          <div class="two">
            <Endpoints detail={detail} direction="input" again={polled.again} />
            <Endpoints detail={detail} direction="output" again={polled.again} />
          </div>
        </>
      ) : null}
      {detail?.transport ? <TransportSections transport={detail.transport} /> : null}
      <Section title="Events of this stream" aside={<a href={href({ page: "events" })}>All events</a>}>
        <EventList stream={name} limit={12} />
      </Section>
    </div>
  );
}
