/** Figures as people read them: with their unit, of stable width, and a dash for what is not known. */

const DASH = "–";

function known(value: number | null | undefined): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** Three significant digits, which keeps a column of figures calm. */
function three(value: number): string {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** Bits per second: `6.20 Mb/s`. */
export function bitrate(bps: number | null | undefined): string {
  if (!known(bps)) return DASH;
  if (bps < 1000) return `${Math.round(bps)} b/s`;
  // 999 600 is 1.00 M, not 1000 k.
  if (bps < 999_500) return `${three(bps / 1e3)} kb/s`;
  if (bps < 999_500_000) return `${three(bps / 1e6)} Mb/s`;
  return `${three(bps / 1e9)} Gb/s`;
}

export function bytes(count: number | null | undefined): string {
  if (!known(count)) return DASH;
  if (count < 1000) return `${Math.round(count)} B`;
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let value = count / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${three(value)} ${units[unit]}`;
}

/** Milliseconds: one decimal below 10, none above. */
export function milliseconds(ms: number | null | undefined): string {
  if (!known(ms)) return DASH;
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

/** A share of 0..1 in percent. What is not zero is never shown as zero: one lost packet in a million matters. */
export function percent(share: number | null | undefined): string {
  if (!known(share)) return DASH;
  const value = share * 100;
  if (value === 0) return "0 %";
  if (value < 0.01) return "<0.01 %";
  return `${value < 10 ? value.toFixed(2) : value.toFixed(1)} %`;
}

/** A whole number with thin spaces between thousands. */
export function count(value: number | null | undefined): string {
  if (!known(value)) return DASH;
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
}

/** Packets a second. */
export function perSecond(value: number | null | undefined): string {
  return known(value) ? `${count(value)}/s` : DASH;
}

/** A time span in its two largest units: `2 h 05 min`. */
export function duration(seconds: number | null | undefined): string {
  if (!known(seconds)) return DASH;
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => value.toString().padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${two(Math.floor((whole % 86_400) / 3600))} h`;
}

/** The zone that times are shown in: the browser's, or UTC. */
export type Zone = "local" | "utc";

/** Its distance from UTC at that moment: `UTC+2`, `UTC-3:30`, `UTC`. */
export function zoneName(zone: Zone, at: Date = new Date()): string {
  const east = zone === "utc" ? 0 : -at.getTimezoneOffset();
  if (east === 0) return "UTC";
  const minutes = Math.abs(east) % 60;
  return `UTC${east < 0 ? "-" : "+"}${Math.floor(Math.abs(east) / 60)}${minutes === 0 ? "" : `:${minutes.toString().padStart(2, "0")}`}`;
}

/** The time of day, with the date when it is another day. */
export function clock(at: Date, zone: Zone, now: Date = new Date()): string {
  // The same reading of the clock, shifted so that the UTC fields hold it.
  const shown = (moment: Date) => new Date(moment.getTime() - (zone === "utc" ? 0 : moment.getTimezoneOffset() * 60_000)).toISOString();
  const [day, time] = shown(at).split("T") as [string, string];
  return shown(now).startsWith(day) ? time.slice(0, 8) : `${day} ${time.slice(0, 8)}`;
}

/** `0x0100 (256)`: engineers look for both. */
export function pid(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(4, "0")} (${value})`;
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A frame rate: `25`, `29.97`. */
export function rate(fps: number | null | undefined): string {
  if (!known(fps) || fps <= 0) return DASH;
  return Number.isInteger(fps) ? `${fps}` : fps.toFixed(2).replace(/0$/, "");
}

/** The address without its port, and without the brackets of IPv6. */
export function hostOf(peer: string): string {
  return peer.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}

/** What somebody has typed into a field for date and time, in the zone that times are shown in. */
export function moment(typed: string, zone: Zone): Date {
  return new Date(zone === "utc" ? `${typed}Z` : typed);
}

/** How often: `once`, `3 times`. */
export function times(value: number): string {
  return value === 1 ? "once" : `${count(value)} times`;
}

/** How far away a moment is: `in 5 min 10 s`. */
export function until(at: Date, now: Date = new Date()): string {
  return `in ${duration((at.getTime() - now.getTime()) / 1000)}`;
}
