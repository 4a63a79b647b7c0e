import { useState } from "preact/hooks";
import { type Action, type Port, hostFor, portsFor, recipes } from "../lib/wizard";
import { go, parameter } from "../state/router";
import { gateway, streams } from "../state/store";
import { Copyable, Empty, Section } from "../ui/controls";
import { Qr } from "../ui/qr";

const purpose = parameter<Action>("for", "publish", ["publish", "play"]);
const program = parameter<string>("program", "obs");

export function Connect({ name }: { name: string | null }) {
  const known = streams.value.map((stream) => stream.name);
  const [typed, setTyped] = useState("");
  const stream = name ?? (typed || known[0] || "live/demo");
  const action = purpose.value;
  const [chosen, setChosen] = useState<string | null>(null);
  const [host, setHost] = useState<string | null>(null);
  const [latencyMs, setLatency] = useState<number | null>(null);
  const [passphrase, setPassphrase] = useState("");
  const [keyLength, setKeyLength] = useState<16 | 24 | 32>(16);
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(false);

  const ports = portsFor(gateway.value?.ports ?? [], stream, action);
  const listening = ports.find((port) => port.label === chosen) ?? ports[0];
  const port: Port | null = listening
    ? { host: host ?? hostFor(listening, location.hostname), port: listening.port, scope: listening.scope, mode: listening.mode }
    : null;
  const all = port
    ? recipes({ stream, action, port, latencyMs: latencyMs ?? listening?.latencyMs ?? 120, passphrase, keyLength, user, password })
    : [];
  const recipe = all.find((one) => one.id === program.value) ?? all[0];
  const secret = recipe?.fields.some((field) => field.masked !== undefined) ?? false;
  const short = passphrase.length > 0 && (passphrase.length < 10 || passphrase.length > 79);
  return (
    <Section top title="Connect">
      <div class="wizard">
        <form class="wizard-form" onSubmit={(event) => event.preventDefault()}>
          <label class="wide">
            Stream
            <input
              list="known-streams"
              value={stream}
              spellcheck={false}
              onChange={(event) => {
                setTyped(event.currentTarget.value);
                go({ page: "connect", name: event.currentTarget.value || null }, { for: action, program: program.value });
              }}
            />
            <datalist id="known-streams">
              {known.slice(0, 500).map((one) => (
                <option value={one} key={one} />
              ))}
            </datalist>
          </label>
          <fieldset class="toggle wide">
            <legend>What for</legend>
            <button type="button" aria-pressed={action === "publish"} onClick={() => { purpose.value = "publish"; }}>
              Publish (send)
            </button>
            <button type="button" aria-pressed={action === "play"} onClick={() => { purpose.value = "play"; }}>
              Play (receive)
            </button>
          </fieldset>
          <label class="wide">
            Port
            <select value={listening?.label ?? ""} onChange={(event) => setChosen(event.currentTarget.value)}>
              {ports.map((one) => (
                <option value={one.label} key={one.label}>
                  {one.label}
                </option>
              ))}
            </select>
          </label>
          <label class="wide">
            Address of the gateway, as the other side reaches it
            <input value={port?.host ?? location.hostname} spellcheck={false} onInput={(event) => setHost(event.currentTarget.value)} />
          </label>
          <label>
            Latency, ms
            <input
              type="number"
              min="20"
              max="30000"
              step="10"
              value={latencyMs ?? listening?.latencyMs ?? 120}
              onInput={(event) => setLatency(Math.max(0, Math.round(Number(event.currentTarget.value)) || 0))}
            />
          </label>
          <label>
            Key length
            <select value={String(keyLength)} onChange={(event) => setKeyLength(Number(event.currentTarget.value) as 16 | 24 | 32)}>
              <option value="16">AES-128</option>
              <option value="24">AES-192</option>
              <option value="32">AES-256</option>
            </select>
          </label>
          <label class="wide">
            Passphrase {listening?.encrypted ? "(this port asks for one)" : "(empty: none)"}
            <input
              type="password"
              autocomplete="off"
              value={passphrase}
              aria-invalid={short}
              onInput={(event) => setPassphrase(event.currentTarget.value)}
            />
            {short ? <small class="bad">10 to 79 characters</small> : <small>Stays in this page. The gateway does not reveal secrets: type the one from your configuration.</small>}
          </label>
          <label>
            User
            <input autocomplete="off" spellcheck={false} value={user} onInput={(event) => setUser(event.currentTarget.value)} />
          </label>
          <label>
            Password
            <input type="password" autocomplete="off" value={password} onInput={(event) => setPassword(event.currentTarget.value)} />
          </label>
        </form>
        {recipe ? (
          <div class="wizard-out">
            <div class="tabs" role="tablist" aria-label="Program">
              {all.map((one) => (
                <button type="button" role="tab" aria-selected={one.id === recipe.id} onClick={() => { program.value = one.id; }} key={one.id}>
                  {one.name}
                </button>
              ))}
            </div>
            <div role="tabpanel" aria-label={recipe.name}>
              <p class="lead">{recipe.where}</p>
              <div class="recipe-page">
              <div>
              <dl class="recipe">
                {recipe.fields.map((field) => (
                  <div key={field.label}>
                    <dt>{field.label}</dt>
                    <dd>{field.value.startsWith("(") ? <em>{field.value}</em> : <Copyable value={field.value} masked={shown ? undefined : field.masked} />}</dd>
                  </div>
                ))}
              </dl>
              {secret ? (
                <button type="button" aria-pressed={shown} onClick={() => setShown(!shown)}>{shown ? "Hide secrets" : "Show secrets"}</button>
              ) : null}
              {recipe.note ? <p class="note">{recipe.note}</p> : null}
              </div>
              <figure class="qr-box">
                {secret && !shown ? (
                  <div class="qr qr-hidden"><p>The code contains the secrets.</p><button type="button" onClick={() => setShown(true)}>Show it</button></div>
                ) : (
                  <Qr text={recipe.qr} label={`QR code for ${recipe.name}`} />
                )}
                <figcaption>{recipe.id === "larix" && action === "publish" ? "Larix configures itself from this code." : "The URL, latency in milliseconds."}</figcaption>
              </figure>
              </div>
            </div>
          </div>
        ) : (
          <Empty title={`No port to ${action === "publish" ? "publish to" : "play from"}`}>
            The configuration opens none for this stream: add srt, {action === "publish" ? "srt_publish" : "srt_play"} or a port of the stream.
          </Empty>
        )}
      </div>
    </Section>
  );
}
