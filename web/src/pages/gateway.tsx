import { useState } from "preact/hooks";
import * as api from "../api/client";
import { bitrate, count, duration, milliseconds } from "../lib/format";
import { told } from "../state/notices";
import { usePolled } from "../state/poll";
import { go, href } from "../state/router";
import { gateway, totals } from "../state/store";
import { Act, Figure, Section } from "../ui/controls";

const LEVELS = ["error", "warn", "info", "debug", "trace"];

function AddStream() {
  const [name, setName] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    const wanted = name.trim();
    if (wanted && (await told(() => api.addStream(wanted, {}), `${wanted} added`))) go({ page: "stream", name: wanted });
  };
  return (
    <form class="add" onSubmit={submit}>
      <input aria-label="Name of the new stream" placeholder="live/cam1" spellcheck={false} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      <button type="submit" disabled={!name.trim()}>Add stream</button>
    </form>
  );
}

export function GatewayPage() {
  const polled = usePolled("gateway", 5_000, api.gateway);
  const now = polled.value ?? gateway.value;
  const sum = totals.value;
  if (!now) return polled.error ? <p class="problem" role="alert">{polled.error}</p> : <p class="muted">Loading…</p>;
  return (
    <>
      <Section title={now.name} aside={<span class="muted">srt-gateway {now.version} · libsrt {now.libsrt}</span>}>
        <dl class="figures">
          <Figure name="Running for" value={duration(now.uptime)} />
          <Figure name="Streams" value={`${count(sum.live)} live of ${count(sum.streams)}`} />
          <Figure name="Viewers" value={count(sum.viewers)} />
          <Figure name="In" value={bitrate(sum.inBps)} />
          <Figure name="Out" value={bitrate(sum.outBps)} />
          <Figure name="Worker lag" value={milliseconds(now.lagMs)} title="how late the workers were at most in the last second" />
          <Figure name="This page may" value={now.scope} />
        </dl>
      </Section>
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
      <Section title="Steer">
        <p class="lead">Streams added here are kept in the gateway's state file, apart from those of its configuration.</p>
        <AddStream />
        <div class="steer">
          <label>
            Log level
            <select onChange={(event) => void told(() => api.logLevel(event.currentTarget.value), `The log tells ${event.currentTarget.value} from now on`)}>
              <option value="">as it is</option>
              {LEVELS.map((level) => <option value={level} key={level}>{level}</option>)}
            </select>
          </label>
          <Act run={api.drain} done="The gateway takes no new sessions, and ends when the last is gone" confirm="No new sessions, then exit?" danger>
            {now.draining ? "Draining…" : "Drain the gateway"}
          </Act>
        </div>
      </Section>
    </>
  );
}
