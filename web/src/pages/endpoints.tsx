import { useState } from "preact/hooks";
import * as api from "../api/client";
import { ofStop, ofSwitch } from "../lib/consequence";
import { definitionOf, hasSecrets, placeOf } from "../lib/definition";
import { moved } from "../lib/form";
import { bytes, count, milliseconds, percent } from "../lib/format";
import { lossHealth } from "../lib/select";
import type { Endpoint, Origin, StreamDetail } from "../model";
import { say } from "../state/notices";
import { lacks } from "../state/scope";
import { Act, Ask, Section } from "../ui/controls";
import { type Edit, EndpointEditor } from "../ui/editor";
import { State } from "../ui/icons";

const ORIGINS: Record<Origin, string> = {
  config: "in the configuration file",
  api: "added here",
  caller: "of a template or a backend",
};

interface Shared {
  detail: StreamDetail;
  again: () => void;
  edit: (edit: Edit) => void;
}

/** The first input is preferred: moves one up or down in the definition of a stream that was made here. */
function Order({ endpoint, detail, again }: { endpoint: Endpoint; detail: StreamDetail; again: () => void }) {
  const { stream, definition, etag } = detail;
  const list = definition?.inputs;
  const at = endpoint.direction === "input" ? placeOf(endpoint, detail) : -1;
  if (stream.origin !== "api" || !Array.isArray(list) || list.length < 2 || at < 0) return null;
  const move = (by: -1 | 1) => () => api.changeStream(stream.name, { ...definition, inputs: moved(list, at, by) }, etag).finally(again);
  return (
    <>
      <Act run={move(-1)} done="Moved up" label={`Move ${endpoint.url} up`} needs="admin" idle={at === 0}>↑</Act>
      <Act run={move(1)} done="Moved down" label={`Move ${endpoint.url} down`} needs="admin" idle={at === list.length - 1}>↓</Act>
    </>
  );
}

/** Removes, and for a minute adds again; what has a secret cannot be added again, because the page does not know the secret. */
function Removal({ endpoint, detail, again }: { endpoint: Endpoint; detail: StreamDetail; again: () => void }) {
  const { id, url, direction } = endpoint;
  const word = direction === "input" ? "Input" : "Output";
  const definition = definitionOf(endpoint, detail);
  const whole = definition !== null && !hasSecrets(definition);
  return (
    <Act
      run={() => api.remove(id, detail.etag).finally(again)}
      done={`${word} removed`}
      confirm="Remove it?"
      consequence={`${ofStop(endpoint, detail)}${whole ? "" : " It has a secret, so the page cannot undo this."}`}
      undo={whole ? { run: () => api.add(detail.stream.name, direction, definition, null).finally(again), done: `${word} added again` } : undefined}
      danger
      label={`Remove ${url}`}
      needs="admin"
    >
      Remove
    </Act>
  );
}

function Acts({ endpoint, detail, again, edit }: { endpoint: Endpoint } & Shared) {
  const { id, url } = endpoint;
  const after = (run: () => Promise<unknown>) => () => run().finally(again);
  const word = endpoint.direction === "input" ? "Input" : "Output";
  const active = detail.endpoints.find((one) => one.active);
  const change = async () => {
    try {
      edit({
        title: `${word} ${url}`,
        from: await api.endpoint(id),
        now: () => api.endpoint(id),
        save: (definition, etag) => api.change(id, definition, etag).finally(again),
        done: `${word} changed`,
        base: ["streams", detail.stream.name, `${endpoint.direction}s`, -1],
        close: () => undefined,
      });
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
    }
  };
  return (
    <div class="acts">
      {endpoint.direction === "input" && endpoint.enabled && !endpoint.active ? (
        <Act
          run={after(() => api.switchTo(id))}
          done={`Switched to ${endpoint.name}`}
          confirm="Switch?"
          consequence={ofSwitch(detail)}
          undo={active ? { run: after(() => api.switchTo(active.id)), done: `Switched back to ${active.name}` } : undefined}
          label={`Switch to ${url}`} needs="operate"
        >
          Switch to this
        </Act>
      ) : null}
      <Order endpoint={endpoint} detail={detail} again={again} />
      {endpoint.origin === "caller" ? null : endpoint.enabled ? (
        <Act
          run={after(() => api.stop(id, detail.etag))}
          done={`${word} stopped`}
          confirm="Stop it?"
          consequence={ofStop(endpoint, detail)}
          undo={{ run: after(() => api.start(id, null)), done: `${word} started` }}
          label={`Stop ${url}`}
          needs="operate"
        >
          Stop
        </Act>
      ) : (
        <Act run={after(() => api.start(id, detail.etag))} done={`${word} started`} label={`Start ${url}`} needs="operate">Start</Act>
      )}
      {endpoint.origin === "api" ? (
        <>
          <Ask open={() => void change()} label={`Edit ${url}`} needs="admin">Edit…</Ask>
          <Removal endpoint={endpoint} detail={detail} again={again} />
        </>
      ) : null}
    </div>
  );
}

function EndpointRow({ endpoint, ...shared }: { endpoint: Endpoint } & Shared) {
  return (
    <tr>
      <td data-label="State">
        <State health={endpoint.health} word={endpoint.state} />
        {endpoint.active ? <small>feeds the stream</small> : null}
      </td>
      <td data-label="Address">
        {endpoint.name === endpoint.url ? null : <strong>{endpoint.name}</strong>}
        <code>{endpoint.url}</code>
        <small>{ORIGINS[endpoint.origin]}</small>
        {endpoint.detail ? <small class="bad">{endpoint.detail}</small> : null}
        {endpoint.warnings.map((text) => <small class="warning" key={text}>{text}</small>)}
      </td>
      <td class="num" data-label="RTT">{milliseconds(endpoint.rttMs)}</td>
      <td class={`num ${lossHealth(endpoint.loss)}`} data-label="Loss">{percent(endpoint.loss)}</td>
      <td class="num" data-label="Carried">{bytes(endpoint.bytes)}</td>
      <td class="num" data-label="Failures">{count(endpoint.failures)}</td>
      <td class="tools-cell" data-label="">
        <Acts endpoint={endpoint} {...shared} />
      </td>
    </tr>
  );
}

/** What is asked of a new endpoint beside its address. */
function newEndpoint(detail: StreamDetail, direction: "input" | "output", address: string, added: () => void): Edit {
  const { name } = detail.stream;
  return {
    title: `New ${direction} of ${name}`,
    from: { definition: { url: address }, etag: detail.etag },
    now: async () => {
      const { definition, etag } = await api.detail(name);
      return { definition: definition ?? {}, etag };
    },
    adds: true,
    save: (definition, etag) => api.add(name, direction, definition, etag).then(added),
    done: `${direction === "input" ? "Input" : "Output"} added`,
    base: ["streams", name, `${direction}s`, -1],
    close: () => undefined,
  };
}

/** An address is often all that is needed; the rest is asked for in a window. */
function Add({ detail, direction, again, edit }: { direction: "input" | "output" } & Shared) {
  const [address, setAddress] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const word = direction === "input" ? "Input" : "Output";
  const refused = lacks("admin");
  if (refused) return <p class="muted">To add one: {refused}</p>;
  if (detail.definition === null) {
    return <p class="muted">No table names this stream: give it a definition below, then {direction}s may be added.</p>;
  }
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await api.add(detail.stream.name, direction, { url: address.trim() }, detail.etag);
      setAddress("");
      say(`${word} added`);
    } catch (error) {
      const faults = error instanceof api.Refused ? error.faults : [];
      const each = faults.map((fault) => `${fault.message}${fault.hint ? ` (${fault.hint})` : ""}`);
      setProblem(each.join(" · ") || (error instanceof Error ? error.message : String(error)));
    }
    setBusy(false);
    again();
  };
  const more = () => edit(newEndpoint(detail, direction, address.trim(), () => {
    setAddress("");
    again();
  }));
  return (
    <form class="add" onSubmit={submit}>
      <input
        aria-label={`Address of the new ${direction}`}
        placeholder={direction === "input" ? "srt://encoder:9000   udp://239.1.1.1:5000" : "srt://host:9000?streamid=…   udp://239.2.2.2:5000   file:///…"}
        spellcheck={false}
        value={address}
        aria-invalid={problem !== null}
        onInput={(event) => setAddress(event.currentTarget.value)}
      />
      <button type="submit" disabled={busy || !address.trim()}>Add {direction}</button>
      <button type="button" aria-label={`Settings of the new ${direction}`} onClick={more}>Settings…</button>
      {problem ? <p class="problem" role="alert">{problem}</p> : null}
    </form>
  );
}

export function Endpoints({ detail, direction, again }: { detail: StreamDetail; direction: "input" | "output"; again: () => void }) {
  const [edit, setEdit] = useState<Edit | null>(null);
  const list = detail.endpoints.filter((one) => one.direction === direction);
  return (
    <Section title={direction === "input" ? "Inputs" : "Outputs"} aside={<span class="muted num">{count(list.length)}</span>}>
      {list.length === 0 ? (
        <p class="muted">{direction === "input" ? "None: the stream comes from a publisher." : "None: the stream is watched by viewers only."}</p>
      ) : (
        <div class="scroller">
          <table class="list">
            <thead>
              <tr>
                <th>State</th><th>Address</th><th class="num">RTT</th><th class="num">Loss</th><th class="num">Carried</th><th class="num">Failures</th><th><span class="hidden">Actions</span></th>
              </tr>
            </thead>
            <tbody>{list.map((endpoint) => <EndpointRow endpoint={endpoint} detail={detail} again={again} edit={setEdit} key={endpoint.id} />)}</tbody>
          </table>
        </div>
      )}
      <Add detail={detail} direction={direction} again={again} edit={setEdit} />
      {edit ? <EndpointEditor edit={{ ...edit, close: () => setEdit(null) }} /> : null}
    </Section>
  );
}
