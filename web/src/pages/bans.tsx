import * as api from "../api/client";
import { clock, plural, until } from "../lib/format";
import { usePolled } from "../state/poll";
import { lacks } from "../state/scope";
import { BanForm } from "../ui/ban";
import { Act, Empty, Section } from "../ui/controls";

const BY = { operator: "an operator", limits: "automatic, [limits]" };

/** Who is not let in, whatever they ask for. */
export function Bans() {
  const polled = usePolled("bans", 3_000, api.bans);
  const list = polled.value ?? [];
  const refused = lacks("operate");
  return (
    <Section title="Banned addresses" aside={<span class="muted num">{polled.value ? plural(list.length, "ban") : ""}</span>}>
      <p class="lead">The gateway refuses callers from these addresses on every port (code 1403). Bans expire; bans made here survive a restart. To exclude someone permanently, use rules in the configuration or the network's firewall.</p>
      {refused ? <p class="muted">To ban somebody: {refused}</p> : <BanForm address="" done={polled.again} />}
      {polled.error ? <p class="problem" role="alert">{polled.error}</p> : null}
      {polled.value && list.length === 0 ? (
        <Empty title="Nobody is banned" />
      ) : (
        <div class="scroller">
          <table class="list">
            <thead>
              <tr><th>Address or network</th><th>By</th><th>Since</th><th>Ends</th><th>Reason</th><th /></tr>
            </thead>
            <tbody>
              {list.map((ban) => (
                <tr key={`${ban.by} ${ban.address}`}>
                  <td data-label="Address"><code>{ban.address}</code></td>
                  <td data-label="By">{ban.who || BY[ban.by]}{ban.who ? <small>{BY[ban.by]}</small> : null}</td>
                  <td class="num" data-label="Since">{ban.since ? clock(ban.since) : ""}</td>
                  <td class="num" data-label="Ends">{until(ban.until)}<small>{clock(ban.until)}</small></td>
                  <td class="why" data-label="Reason">{ban.reason}</td>
                  <td class="tools-cell" data-label="">
                    <div class="acts">
                      <Act run={() => api.unban(ban.address).finally(polled.again)} done={`${ban.address} is let in again`} label={`Lift the ban of ${ban.address}`} needs="operate">Lift</Act>
                    </div>
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
