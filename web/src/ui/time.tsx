import { clock, zoneName } from "../lib/format";
import { zone } from "../state/settings";

/** A moment in the zone that the reader has chosen. In running text, where no heading names the zone, it is `named`. */
export function Time({ at, named }: { at: Date; named?: boolean }) {
  const chosen = zone.value;
  const name = zoneName(chosen, at);
  return (
    <time class="num" dateTime={at.toISOString()} title={`${clock(at, chosen, new Date(0))} ${name}`}>
      {clock(at, chosen)}
      {named ? ` ${name}` : ""}
    </time>
  );
}

/** A heading of times, with their zone. */
export function inZone(heading: string): string {
  return `${heading}, ${zoneName(zone.value)}`;
}
