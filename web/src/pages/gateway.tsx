import { useEffect, useState } from "preact/hooks";
import * as api from "../api/client";
import { bitrate, count, duration, milliseconds, plural } from "../lib/format";
import { wholeToml } from "../lib/toml";
import type { Fault, Gateway, Reading } from "../model";
import { say } from "../state/notices";
import { usePolled } from "../state/poll";
import { href } from "../state/router";
import { gateway, pulse, streams, totals } from "../state/store";
import { Act, Ask, Figure, Section } from "../ui/controls";
import { Time } from "../ui/time";
import { NewStream } from "./definition";

const LEVELS = ["error", "warn", "info", "debug", "trace"];

function List({ title, list }: { title: string; list: string[] }) {
  if (list.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul class="told-list">{list.map((one) => <li key={one}>{one}</li>)}</ul>
    </>
  );
}

/** The faults of the file, each with its place. */
function FileFaults({ detail, faults }: { detail: string; faults: Fault[] }) {
  return (
    <div class="problem" role="alert">
      <p><strong>{detail}</strong></p>
      <ul class="places">
        {faults.map((fault) => (
          <li key={`${fault.line} ${fault.column} ${fault.key} ${fault.message}`}>
            <span class="num">{fault.line ? `line ${fault.line}, column ${fault.column}` : ""}</span>
            <span>{fault.key ? <code>{fault.key}</code> : null} {fault.message}{fault.hint ? <small>{fault.hint}</small> : null}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** What came of it when the file was last read, by whomever: whoever saved it with faults is told here. */
function Read({ last }: { last: Reading }) {
  if (last.problem) {
    return (
      <>
        <p class="bad">{last.at ? <>The file that was read at <Time at={last.at} named /> has errors. The configuration before it stays in force.</> : null}</p>
        <FileFaults {...last.problem} />
      </>
    );
  }
  if (!last.at) return null;
  const { changes, warnings } = last;
  return (
    <div class="outcome" role="status">
      <p>Last read at <Time at={last.at} named />: {changes.length === 0 ? "nothing has changed." : `${plural(changes.length, "change")} put in force.`}</p>
      <List title="Changed" list={changes} />
      <List title="Warnings" list={warnings} />
    </div>
  );
}

function Configuration({ now }: { now: Gateway }) {
  const last = usePolled("reading", 3_000, api.lastReading);
  const [text, setText] = useState<string | null>(null);
  const reload = async () => {
    try {
      const { changes, warnings } = await api.reload();
      const news = [plural(changes.length, "change"), ...(warnings.length > 0 ? [plural(warnings.length, "warning")] : [])];
      say(changes.length + warnings.length === 0 ? "The file was read: nothing has changed" : `The file was read: ${news.join(", ")}`);
      if (text !== null) setText(wholeToml(await api.config()));
    } catch (error) {
      // Its faults are shown below.
      if (!(error instanceof api.Refused && error.faults.length > 0)) throw error;
      say(error.detail, true);
    } finally {
      last.again();
    }
  };
  return (
    <Section title="Configuration" aside={now.configFile ? <Act run={reload} needs="admin">Reload the file</Act> : null}>
      <dl class="places-of">
        <div><dt>File</dt><dd>{now.configFile ? <code>{now.configFile}</code> : "none: the gateway runs without one"}</dd></div>
        <div><dt>What is added here</dt><dd>{now.stateFile ? <code>{now.stateFile}</code> : "is forgotten when the gateway ends: state of [api] names no file"}</dd></div>
      </dl>
      <p class="muted">The gateway rereads a saved file within a second. It applies only what differs; an invalid file changes nothing.</p>
      {last.value ? <Read last={last.value} /> : null}
      {last.error ? <p class="problem" role="alert">{last.error}</p> : null}
      <details
        onToggle={(event) => {
          if (!event.currentTarget.open) setText(null);
          else api.config().then((config) => setText(wholeToml(config)), (error: Error) => setText(`# ${error.message}`));
        }}
      >
        <summary>What is in force, of both files, secrets masked</summary>
        {text === null ? null : <pre class="toml" tabIndex={0}>{text || "# nothing but defaults"}</pre>}
      </details>
    </Section>
  );
}

/** Streams that were made here, which no file shows. */
function MadeHere() {
  const [adding, setAdding] = useState(false);
  const here = streams.value.filter((stream) => stream.origin === "api");
  return (
    <Section title="Streams made here" aside={<Ask open={() => setAdding(true)} needs="admin">New stream…</Ask>}>
      {here.length === 0 ? (
        <p class="muted">{streams.value.length === 0 ? "There are no streams yet." : "None: every stream comes from the configuration file or from a caller."}</p>
      ) : (
        <ul class="names">{here.map((stream) => <li key={stream.name}><a href={href({ page: "stream", name: stream.name })}>{stream.name}</a></li>)}</ul>
      )}
      {adding ? <NewStream close={() => setAdding(false)} /> : null}
    </Section>
  );
}

function Log({ now, again }: { now: Gateway; again: () => void }) {
  const [level, setLevel] = useState(now.logLevel ?? "info");
  useEffect(() => {
    if (now.logLevel) setLevel(now.logLevel);
  }, [now.logLevel]);
  if (!now.logLevel) return <p class="muted">The gateway was started with RUST_LOG, which decides what is logged.</p>;
  return (
    <div class="steer">
      <label>
        Log level
        <select value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
          {LEVELS.map((one) => <option value={one} key={one}>{one}{one === now.logLevel ? " (now)" : ""}</option>)}
        </select>
      </label>
      <Act run={() => api.logLevel(level).finally(again)} done={`The log level is ${level} until the file is reread`} confirm={`From ${now.logLevel} to ${level}?`} needs="admin" idle={level === now.logLevel}>
        Change the level
      </Act>
    </div>
  );
}

const WAITS: [number, string][] = [
  [60, "a minute"],
  [300, "5 minutes"],
  [3_600, "an hour"],
  [86_400, "a day"],
];

function Drain({ now, again }: { now: Gateway; again: () => void }) {
  const [wait, setWait] = useState(300);
  const draining = pulse.value?.draining ?? now.draining;
  const sessions = pulse.value?.sessions ?? 0;
  const word = WAITS.find(([seconds]) => seconds === wait)?.[1];
  const consequence = sessions === 0 ? "Nobody is connected: the gateway ends at once." : `Ends ${plural(sessions, "session")} after ${word} at the latest, and all ${plural(streams.value.length, "stream")}.`;
  if (draining) {
    return (
      <div class="steer">
        <p class="problem">The gateway is draining: it refuses new callers and ends with its last session.</p>
        <Act run={() => api.cancelDrain().finally(again)} done="The gateway admits callers again" needs="admin">Cancel the drain</Act>
      </div>
    );
  }
  return (
    <div class="steer">
      <label>
        End at the latest after
        <select value={String(wait)} onChange={(event) => setWait(Number(event.currentTarget.value))}>
          {WAITS.map(([seconds, word]) => <option value={String(seconds)} key={seconds}>{word}</option>)}
        </select>
      </label>
      <Act run={() => api.drain(wait).finally(again)} done="The gateway refuses new callers" confirm="Refuse new callers, and end the gateway?" consequence={consequence} danger needs="admin">
        Drain the gateway
      </Act>
      <p class="muted">New callers are refused and sessions continue; the program ends with its last session or when the time is over. You can cancel this until then.</p>
    </div>
  );
}

function Ports({ now }: { now: Gateway }) {
  return (
    <Section title="Ports" aside={<span class="muted num">{count(now.ports.length)}</span>}>
      <div class="scroller">
        <table class="list">
          <thead>
            <tr><th class="num">Port</th><th>Address</th><th>For</th><th>Stream</th><th>Passphrase</th><th class="num">Latency</th></tr>
          </thead>
          <tbody>
            {now.ports.map((port) => (
              <tr key={port.label}>
                <td class="num" data-label="Port">{port.port}</td>
                <td class="num" data-label="Address">{port.address}</td>
                <td data-label="For">{{ both: "publish and play", publish: "publish", play: "play" }[port.mode]}</td>
                <td data-label="Stream">{port.stream ? <a href={href({ page: "stream", name: port.stream })}>{port.stream}</a> : "as the streamid says"}</td>
                <td data-label="Passphrase">{port.encrypted ? "needed" : "none"}</td>
                <td class="num" data-label="Latency">{milliseconds(port.latencyMs)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

export function GatewayPage() {
  const polled = usePolled("gateway", 5_000, async () => {
    gateway.value = await api.gateway();
    return gateway.value;
  });
  const now = polled.value ?? gateway.value;
  const sum = totals.value;
  if (!now) return polled.error ? <p class="problem" role="alert">{polled.error}</p> : <p class="muted">Loading…</p>;
  return (
    <>
      <Section top title={now.name} aside={<span class="muted">srt-gateway {now.version} · libsrt {now.libsrt}</span>}>
        <dl class="figures">
          <Figure name="Running for" value={duration(now.uptime)} />
          <Figure name="Streams" value={`${count(sum.live)} live of ${count(sum.streams)}`} />
          <Figure name="Viewers" value={count(sum.viewers)} />
          <Figure name="In" value={bitrate(sum.inBps)} />
          <Figure name="Out" value={bitrate(sum.outBps)} />
          <Figure name="Worker lag" value={milliseconds(now.lagMs)} title="how late the workers were at most in the last second" />
          <Figure name="This page may" value={{ read: "look", operate: "look and operate", admin: "everything" }[now.scope] ?? now.scope} />
        </dl>
      </Section>
      <Configuration now={now} />
      <MadeHere />
      <Ports now={now} />
      <Section title="Log"><Log now={now} again={polled.again} /></Section>
      <Section title="Drain"><Drain now={now} again={polled.again} /></Section>
    </>
  );
}
