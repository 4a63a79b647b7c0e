import type { Alarm, AuditRecord, Health, Refusal, Stream } from "../model";

/** What of a list is shown, and in which order. */

export type Column = "health" | "name" | "inBps" | "rttMs" | "loss" | "retransmitted" | "dropped" | "viewers";
export type Which = "all" | "live" | "trouble";

const SORTABLE: Column[] = ["health", "name", "inBps", "rttMs", "loss", "retransmitted", "dropped", "viewers"];

/** How urgent: what needs somebody comes first. */
const URGENCY: Record<Health, number> = { bad: 0, warning: 1, good: 2, standby: 3, idle: 4 };

function compare(a: Stream, b: Stream, by: Column): number {
  if (by === "name") return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
  if (by === "health") return URGENCY[a.health] - URGENCY[b.health];
  return (a[by] ?? -1) - (b[by] ?? -1);
}

/** What stands before the last slash of its name. */
export function groupOf(name: string): string {
  return name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : "";
}

/** Each group once, in order. */
export function groups(all: Stream[]): string[] {
  return [...new Set(all.map((stream) => groupOf(stream.name)))].filter(Boolean).sort();
}

/** The column that an address asks for: `loss`, or `-loss` for the greatest first. */
export function parseOrder(text: string): { by: Column; down: boolean } {
  const by = text.replace(/^-/, "") as Column;
  return SORTABLE.includes(by) ? { by, down: text.startsWith("-") } : { by: "name", down: false };
}

/** The streams that are asked for, in the order that is asked for. */
export function selected(all: Stream[], text: string, which: Which, by: Column, down: boolean, group = ""): Stream[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = all.filter(
    (stream) =>
      (group === "" || groupOf(stream.name) === group) &&
      (which === "all" ||
        (which === "live" ? stream.state === "live" : stream.health === "bad" || stream.health === "warning")) &&
      words.every((word) => `${stream.name} ${stream.source ?? ""} ${stream.state} ${reason(stream)}`.toLowerCase().includes(word)),
  );
  return kept.sort((a, b) => {
    const first = compare(a, b, by);
    return (down ? -first : first) || compare(a, b, "name");
  });
}

/** The records of the audit log that have all these words somewhere. */
export function recorded(list: AuditRecord[], text: string): AuditRecord[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter((one) => {
    const all = `${one.by} ${one.address} ${one.action} ${one.object} ${one.result} ${one.error} ${one.changes.join(" ")}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/** The alarms in this state that have all these words somewhere. */
export function findAlarms(list: Alarm[], text: string, state: "active" | "cleared" | "all"): Alarm[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter((one) => {
    const all = `${one.kind} ${one.kind.replaceAll("_", " ")} ${one.severity} ${one.stream ?? ""} ${one.party} ${one.text} ${one.acknowledged?.by ?? ""} ${one.acknowledged?.note ?? ""}`.toLowerCase();
    return (state === "all" || one.active === (state === "active")) && words.every((word) => all.includes(word));
  });
}

/** The refused attempts that have all these words somewhere. */
export function matching(list: Refusal[], text: string): Refusal[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter((one) => {
    const all = `${one.peer} ${one.port} ${one.streamId} ${one.by} ${one.code} ${one.reason}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/** How bad a share of lost packets is: retransmission mends a little, and not much. */
export function lossHealth(loss: number | null): "" | "warning" | "bad" {
  return loss === null || loss <= 0.01 ? "" : loss > 0.05 ? "bad" : "warning";
}

/** Why a stream needs somebody, in a sentence; empty where it does not. */
export function reason(stream: Stream): string {
  const others = stream.verdict?.faults.length ?? 0;
  if (stream.verdict?.text) return `${stream.verdict.text}${others > 0 ? ` (and ${others} more)` : ""}`;
  return stream.health === "bad" || stream.health === "warning" ? inWords(stream) : "";
}

/** How a stream is, where the gateway has no verdict on it. */
export function inWords(stream: Stream): string {
  switch (stream.state) {
    case "live":
      return "Live, without known problems.";
    case "silent":
      return "The source is connected but sends nothing: check the encoder.";
    case "waiting":
      return stream.inputs > 0 ? "No source: no input is connected." : `No source: ${stream.viewers > 0 ? "viewers" : "outputs"} wait for one.`;
    default:
      return "Nobody publishes and nobody watches.";
  }
}
