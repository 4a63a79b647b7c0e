import type { Endpoint, Session, StreamDetail } from "../model";
import { hostOf, plural } from "./format";

/** What a change does to people, in a sentence, before it is made. */

interface Counted {
  publishers: number;
  inputs: number;
  outputs: number;
  viewers: number;
}

function counted(sessions: Session[]): Counted {
  const of = (role: string) => sessions.filter((session) => session.role === role).length;
  return { publishers: of("publisher"), inputs: of("input"), outputs: of("output"), viewers: of("viewer") };
}

function listed({ publishers, inputs, outputs, viewers }: Counted): string {
  const parts: [number, string][] = [[publishers, "publisher"], [inputs, "input"], [outputs, "output"], [viewers, "viewer"]];
  return parts
    .filter(([number]) => number > 0)
    .map(([number, one]) => plural(number, one))
    .join(", ");
}

/** Of whoever is connected: `Ends 4 sessions: 1 publisher, 3 viewers.` */
export function ending(sessions: Session[]): string {
  if (sessions.length === 0) return "Nobody is connected.";
  return `Ends ${plural(sessions.length, "session")}: ${listed(counted(sessions))}.`;
}

/** Who receives a stream: its viewers and the outputs that run. */
function receivers(detail: StreamDetail): string {
  const outputs = detail.endpoints.filter((one) => one.direction === "output" && one.enabled).length;
  return listed({ publishers: 0, inputs: 0, outputs, viewers: detail.stream.viewers });
}

export function ofSession(session: Session, detail: StreamDetail): string {
  if (!session.feeds) return session.role === "viewer" ? "Ends 1 viewer." : `Ends 1 ${session.role} that does not feed the stream now.`;
  const who = receivers(detail);
  return `Cuts the source${who ? ` of ${who}` : ", which nobody watches"}.`;
}

export function ofStop(endpoint: Endpoint, detail: StreamDetail): string {
  if (endpoint.direction === "output") return endpoint.health === "good" ? "The receiver gets no more data." : "It carries nothing now.";
  if (!endpoint.active) return "It does not feed the stream now.";
  const others = detail.endpoints.some((one) => one.direction === "input" && one.id !== endpoint.id && one.enabled);
  const who = receivers(detail);
  return `Cuts the source${who ? ` of ${who}` : ", which nobody watches"}${others ? "; another input takes over" : ""}.`;
}

export function ofSwitch(detail: StreamDetail): string {
  const who = receivers(detail);
  return who ? `The picture jumps for ${who}.` : "Nobody watches.";
}

export function ofRemoval(detail: StreamDetail): string {
  const files = detail.endpoints.filter((one) => one.enabled && !/^srt:/.test(one.url)).length;
  const also = files > 0 ? ` Stops ${plural(files, "input or output", "inputs and outputs")} without a session.` : "";
  // Where unknown streams are accepted, callers stay: the stream is theirs then.
  const ends = detail.sessions.length === 0 ? ending([]) : ending(detail.sessions).replace(/\.$/, ", unless the configuration accepts unknown streams.");
  return `${ends}${also}`;
}

/** The address as 16 bytes, or `null`; IPv4 stands where IPv6 has it. */
function bytesOf(address: string): number[] | null {
  const text = address.replace(/^\[|\]$/g, "").split("%")[0] ?? "";
  const v4 = /^(?:::ffff:)?(\d+)\.(\d+)\.(\d+)\.(\d+)$/i.exec(text);
  if (v4) {
    const four = v4.slice(1).map(Number);
    return four.every((part) => part < 256) ? [...Array<number>(10).fill(0), 255, 255, ...four] : null;
  }
  const halves = text.split("::");
  if (!text.includes(":") || halves.length > 2) return null;
  const groups = (half: string | undefined) => (half ? half.split(":") : []);
  const [front, rear] = [groups(halves[0]), groups(halves[1])];
  const missing = 8 - front.length - rear.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const all = [...front, ...Array<string>(missing).fill("0"), ...rear];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
  return all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]);
}

/** Whether an address lies in a network, or is the address that stands for one. */
export function inNetwork(address: string, network: string): boolean {
  const [base = "", length] = network.trim().split("/");
  const [one, other] = [bytesOf(address), bytesOf(base)];
  if (!one || !other) return false;
  const isV4 = !base.includes(":");
  const whole = isV4 ? 32 : 128;
  const wanted = length === undefined ? whole : Number(length);
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > whole) return false;
  const bits = isV4 ? wanted + 96 : wanted;
  return one.every((byte, at) => {
    const mask = (0xff00 >> Math.min(8, Math.max(0, bits - at * 8))) & 0xff;
    return (byte & mask) === ((other[at] ?? 0) & mask);
  });
}

/** Sessions that a ban of this address or network ends. */
export function bannedBy(network: string, sessions: Session[]): Session[] {
  return sessions.filter((session) => inNetwork(hostOf(session.peer), network));
}
