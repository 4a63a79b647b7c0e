import { signal } from "@preact/signals";
import * as api from "../api/client";
import { clock, plural } from "../lib/format";
import { recorded } from "../lib/select";
import { usePolled } from "../state/poll";
import { lacks } from "../state/scope";
import { Empty, Section } from "../ui/controls";

const filter = signal("");

/** The audit log: who changed what. */
export function Changes() {
  const refused = lacks("operate");
  return refused ? <Section title="Changes"><p class="muted">To read the audit log: {refused}</p></Section> : <Log />;
}

function Log() {
  const polled = usePolled("changes", 3_000, api.changes);
  const list = recorded(polled.value ?? [], filter.value);
  return (
    <Section
      title="Changes"
      aside={
        <>
          <input
            type="search"
            aria-label="Filter changes"
            placeholder="token, address, stream, key…"
            value={filter.value}
            onInput={(event) => {
              filter.value = event.currentTarget.value;
            }}
          />
          <span class="muted num">{polled.value ? plural(list.length, "record") : ""}</span>
        </>
      }
    >
      <p class="lead">Who changed what, from where, and clients whose requests were refused. Equal codes in brackets are equal secrets.</p>
      {polled.error ? <p class="problem" role="alert">{polled.error}</p> : null}
      {polled.value && list.length === 0 ? (
        <Empty title={filter.value ? "No record matches" : "Nothing was changed since the gateway started"} />
      ) : (
        <div class="scroller">
          <table class="list refused">
            <thead>
              <tr><th>When</th><th>Who</th><th>What</th><th>Result</th><th>Before and after</th></tr>
            </thead>
            <tbody>
              {list.slice(0, 300).map((one) => (
                <tr key={one.id}>
                  <td class="num" data-label="When">
                    {clock(one.at)}
                    {one.count > 1 ? <small>{one.count} times since {clock(one.first)}</small> : null}
                  </td>
                  <td data-label="Who">{one.by}<small class="num">{one.address}</small></td>
                  <td data-label="What"><code>{one.action} {one.object}</code></td>
                  <td data-label="Result">{one.result}</td>
                  <td class="why" data-label="Before and after">
                    {one.error}
                    {one.changes.map((change) => <small key={change}>{change}</small>)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  );
}
