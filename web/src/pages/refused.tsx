import { useState } from "preact/hooks";
import * as api from "../api/client";
import { hostOf } from "../lib/format";
import { matching } from "../lib/select";
import type { Refusal } from "../model";
import { usePolled } from "../state/poll";
import { BanDialog } from "../ui/ban";
import { Ask } from "../ui/controls";
import { type Column, Records, When, filter } from "../ui/table";
import { inZone } from "../ui/time";

export function Refused() {
  const polled = usePolled("refused", 3_000, api.refusals);
  const [banned, setBanned] = useState<string | null>(null);
  const columns: Column<Refusal>[] = [
    { title: inZone("When"), className: "num when", cell: (one) => <When {...one} /> },
    { title: "Who", className: "num who", cell: (one) => <>{one.peer}{one.version ? <small>SRT {one.version}</small> : null}</> },
    { title: "Port", cell: (one) => one.port },
    { title: "Asked for", className: "asked-for", cell: (one) => <><code>{one.streamId || "(no streamid)"}</code><small>encryption: {one.encryption}</small></> },
    { title: "Code", className: "num", cell: (one) => one.code },
    { title: "Why, and what to change", label: "Why", className: "why", cell: (one) => <>{one.reason}<small>refused by: {one.by}</small></> },
    {
      title: "Actions",
      className: "tools-cell",
      cell: (one) => <div class="acts"><Ask open={() => setBanned(one.peer)} label={`Ban ${one.peer}`} needs="operate">Ban…</Ask></div>,
    },
  ];
  return (
    <Records
      title="Why was I refused?"
      lead="The most recent refused callers, with what they sent and what to change. Passwords are masked."
      noun="caller"
      filterLabel="Filter refused callers"
      placeholder="address, stream, code…"
      polled={polled}
      list={matching(polled.value ?? [], filter.value)}
      columns={columns}
      nothing={["Nobody was refused", "A caller that cannot connect and is not listed here has not reached the gateway: check address, port and firewall."]}
      noMatch="No attempt matches"
    >
      {banned ? <BanDialog address={hostOf(banned)} why={`Ban ${banned}`} close={() => setBanned(null)} /> : null}
    </Records>
  );
}
