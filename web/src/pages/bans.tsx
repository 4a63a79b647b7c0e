import * as api from "../api/client";
import { plural, until } from "../lib/format";
import type { Ban } from "../model";
import { usePolled } from "../state/poll";
import { lacks } from "../state/scope";
import { BanForm } from "../ui/ban";
import { Act, Empty, Section } from "../ui/controls";
import { type Column, Table } from "../ui/table";
import { Time, inZone } from "../ui/time";

const BY = { operator: "an operator", limits: "automatic, [limits]" };

/** Bans again for as long as the ban would have lasted. */
function again(ban: Ban): Promise<unknown> {
  const seconds = Math.max(1, Math.round((ban.until.getTime() - Date.now()) / 1000));
  return api.ban(ban.address, seconds, ban.reason, false);
}

/** Who is not let in, whatever they ask for. */
export function Bans() {
  const polled = usePolled("bans", 3_000, api.bans);
  const list = polled.value ?? [];
  const refused = lacks("operate");
  const columns: Column<Ban & { id: string }>[] = [
    { title: "Address or network", label: "Address", cell: (ban) => <code>{ban.address}</code> },
    { title: "By", cell: (ban) => <>{ban.who || BY[ban.by]}{ban.who ? <small>{BY[ban.by]}</small> : null}</> },
    { title: inZone("Since"), className: "num when", cell: (ban) => (ban.since ? <Time at={ban.since} /> : "") },
    { title: inZone("Ends"), className: "num when", cell: (ban) => <>{until(ban.until)}<small><Time at={ban.until} /></small></> },
    { title: "Reason", className: "why", cell: (ban) => ban.reason },
    {
      title: "Actions",
      className: "tools-cell",
      cell: (ban) => (
        <div class="acts">
          <Act
            run={() => api.unban(ban.address).finally(polled.again)}
            done={`${ban.address} may connect again`}
            undo={{ run: () => again(ban).finally(polled.again), done: `${ban.address} is banned again` }}
            label={`Lift the ban of ${ban.address}`}
            needs="operate"
          >
            Lift
          </Act>
        </div>
      ),
    },
  ];
  return (
    <Section top title="Banned addresses" aside={<span class="muted num">{polled.value ? plural(list.length, "ban") : ""}</span>}>
      <p class="lead">The gateway refuses callers from these addresses on every port (code 1403). Bans expire; bans made here survive a restart. To exclude someone permanently, use rules in the configuration or the network's firewall.</p>
      {refused ? <p class="muted">To ban somebody: {refused}</p> : <BanForm address="" done={polled.again} />}
      {polled.error ? <p class="problem" role="alert">{polled.error}</p> : null}
      {polled.value && list.length === 0 ? <Empty title="Nobody is banned" /> : <Table columns={columns} list={list.map((ban) => ({ ...ban, id: `${ban.by} ${ban.address}` }))} />}
    </Section>
  );
}
