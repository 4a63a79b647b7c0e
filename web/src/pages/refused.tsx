import { signal } from "@preact/signals";
import * as api from "../api/client";
import { clock, hostOf, plural } from "../lib/format";
import { matching } from "../lib/select";
import { usePolled } from "../state/poll";
import { useState } from "preact/hooks";
import { BanDialog } from "../ui/ban";
import { Ask, Empty, Section } from "../ui/controls";

const filter = signal("");

export function Refused() {
  const polled = usePolled("refused", 3_000, api.refusals);
  const list = matching(polled.value ?? [], filter.value);
  const [banned, setBanned] = useState<string | null>(null);
  return (
    <Section
      title="Why was I refused?"
      aside={
        <>
          <input
            type="search"
            aria-label="Filter refused callers"
            placeholder="address, stream, code…"
            value={filter.value}
            onInput={(event) => {
              filter.value = event.currentTarget.value;
            }}
          />
          <span class="muted num">{polled.value ? plural(list.length, "caller") : ""}</span>
        </>
      }
    >
      <p class="lead">The most recent refused callers, with what they sent and what to change. Passwords are masked.</p>
      {polled.error ? <p class="problem" role="alert">{polled.error}</p> : null}
      {polled.value && list.length === 0 ? (
        <Empty title={filter.value ? "No attempt matches" : "Nobody was refused"}>
          {filter.value ? "Change the filter." : "A caller that cannot connect and is not listed here has not reached the gateway: check address, port and firewall."}
        </Empty>
      ) : (
        <div class="scroller">
          <table class="list refused">
            <thead>
              <tr>
                <th>When</th>
                <th>Who</th>
                <th>Port</th>
                <th>Asked for</th>
                <th>Code</th>
                <th>Why, and what to change</th>
                <th />
              </tr>
            </thead>
            <tbody>
              {list.slice(0, 300).map((one) => (
                <tr key={one.id}>
                  <td class="num" data-label="When">
                    {clock(one.at)}
                    {one.count > 1 ? <small>{one.count} times since {clock(one.first)}</small> : null}
                  </td>
                  <td class="num" data-label="Who">
                    {one.peer}
                    {one.version ? <small>SRT {one.version}</small> : null}
                  </td>
                  <td data-label="Port">{one.port}</td>
                  <td data-label="Asked for">
                    <code>{one.streamId || "(no streamid)"}</code>
                    <small>encryption: {one.encryption}</small>
                  </td>
                  <td class="num" data-label="Code">{one.code}</td>
                  <td class="why" data-label="Why">
                    {one.reason}
                    <small>refused by: {one.by}</small>
                  </td>
                  <td class="tools-cell" data-label="">
                    <div class="acts">
                      <Ask open={() => setBanned(one.peer)} label={`Ban ${one.peer}`} needs="operate">Ban…</Ask>
                    </div>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {banned ? <BanDialog address={hostOf(banned)} why={`Ban ${banned}`} close={() => setBanned(null)} /> : null}
    </Section>
  );
}
