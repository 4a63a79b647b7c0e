import * as api from "../api/client";
import { recorded } from "../lib/select";
import type { AuditRecord } from "../model";
import { usePolled } from "../state/poll";
import { lacks } from "../state/scope";
import { Section } from "../ui/controls";
import { type Column, Records, When, filter } from "../ui/table";
import { inZone } from "../ui/time";

/** The audit log: who changed what. */
export function Changes() {
  const refused = lacks("operate");
  return refused ? <Section top title="Changes"><p class="muted">To read the audit log: {refused}</p></Section> : <Log />;
}

function Log() {
  const polled = usePolled("changes", 3_000, api.changes);
  const columns: Column<AuditRecord>[] = [
    { title: inZone("When"), className: "num when", cell: (one) => <When {...one} /> },
    { title: "Who", cell: (one) => <>{one.by}<small class="num">{one.address}</small></> },
    { title: "What", cell: (one) => <code>{one.action} {one.object}</code> },
    { title: "Result", cell: (one) => one.result },
    { title: "Before and after", className: "why", cell: (one) => <>{one.error}{one.changes.map((change) => <small key={change}>{change}</small>)}</> },
  ];
  return (
    <Records
      title="Changes"
      lead="Who changed what, from where, and clients whose requests were refused. Equal codes in brackets are equal secrets."
      noun="record"
      filterLabel="Filter changes"
      placeholder="token, address, stream, key…"
      polled={polled}
      list={recorded(polled.value ?? [], filter.value)}
      columns={columns}
      nothing={["Nothing was changed since the gateway started"]}
      noMatch="No record matches"
    />
  );
}
