/**
 * What to enter where to connect to a stream: the one place that knows how each program wants its SRT address.
 *
 * They agree on `srt://host:port?key=value` and on nothing else. ffmpeg and OBS take the latency in MICROseconds, all
 * others in milliseconds; ffmpeg decodes percent-encoding, OBS and srt-live-transmit take every character as it stands.
 */

import type { ListeningPort } from "../model";

export type Action = "publish" | "play";
export type PortScope = "global" | "stream";

export interface Port {
  host: string;
  port: number;
  scope: PortScope;
  /** What the port is for; `both` asks the streamid for the mode. */
  mode: Action | "both";
}

export interface Target {
  stream: string;
  action: Action;
  port: Port;
  latencyMs: number;
  passphrase: string;
  /** AES key length in bytes. */
  keyLength: 16 | 24 | 32;
  user: string;
  password: string;
}

export interface Field {
  label: string;
  value: string;
  /** A secret: hidden until asked for. */
  secret?: boolean;
}

export interface Recipe {
  id: string;
  name: string;
  /** Where in that program this is entered. */
  where: string;
  fields: Field[];
  /** What the QR code holds. */
  qr: string;
  note?: string;
}

/** The streamid that this port needs, or an empty string where it needs none. */
export function streamId(target: Pick<Target, "stream" | "action" | "port" | "user" | "password">): string {
  const { stream, action, port, user, password } = target;
  const parts: string[] = [];
  if (port.scope === "global") parts.push(`r=${stream}`);
  if (port.mode === "both") parts.push(`m=${action === "publish" ? "publish" : "request"}`);
  if (user) parts.push(`u=${user}`);
  if (password) parts.push(`password=${password}`);
  return parts.length === 0 ? "" : `#!::${parts.join(",")}`;
}

/** Every byte but letters, digits and `-._~`: also `!'()*`, which encodeURIComponent leaves and shells do not. */
export function percentEncoded(value: string): string {
  return encodeURIComponent(value).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** For programs that take every character of a value as it stands, and so have no way to write `&`. */
function verbatim(value: string): string {
  // The gateway decodes percent-encoded streamids, so these get through all the same.
  return value.replace(/[&+%\s]/g, (char) => percentEncoded(char));
}

/** One word for a POSIX shell. */
export function shellQuoted(word: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** An IPv6 address gets its brackets. */
export function authority(host: string, port: number): string {
  const bare = host.replace(/^\[|\]$/g, "");
  return bare.includes(":") ? `[${bare}]:${port}` : `${bare}:${port}`;
}

type Unit = "ms" | "us";

/** The address with its parameters, in a program's own dialect. */
export function srtUrl(target: Target, unit: Unit, escape: (value: string) => string, more: string[] = []): string {
  const parameters = ["mode=caller"];
  const id = streamId(target);
  if (id) parameters.push(`streamid=${escape(id)}`);
  parameters.push(`latency=${unit === "us" ? target.latencyMs * 1000 : target.latencyMs}`);
  if (target.passphrase) {
    parameters.push(`passphrase=${escape(target.passphrase)}`, `pbkeylen=${target.keyLength}`);
  }
  return `srt://${authority(target.port.host, target.port.port)}?${[...parameters, ...more].join("&")}`;
}

/** Larix reads its settings from a link of its own ("Grove"), which a phone's camera opens. */
function larixLink(target: Target): string {
  const pairs: [string, string][] = [
    ["conn[][url]", `srt://${authority(target.port.host, target.port.port)}`],
    ["conn[][name]", target.stream],
    ["conn[][mode]", "va"],
    ["conn[][srtmode]", "c"],
    ["conn[][srtlatency]", String(target.latencyMs)],
  ];
  const id = streamId(target);
  if (id) pairs.push(["conn[][srtstreamid]", id]);
  if (target.passphrase) {
    pairs.push(["conn[][srtpass]", target.passphrase], ["conn[][srtpbkl]", String(target.keyLength)]);
  }
  return `larix://set/v1?${pairs.map(([key, value]) => `${key}=${percentEncoded(value)}`).join("&")}`;
}

function boxes(target: Target, names: { mode?: string; key: string }): Field[] {
  const id = streamId(target);
  const fields: Field[] = [];
  if (names.mode) fields.push({ label: "Mode", value: names.mode });
  fields.push(
    { label: "Address", value: target.port.host },
    { label: "Port", value: String(target.port.port) },
    { label: "Stream ID", value: id || "(leave empty)" },
    { label: "Latency", value: `${target.latencyMs} ms` },
  );
  if (target.passphrase) {
    fields.push(
      { label: names.key, value: `AES-${target.keyLength * 8}` },
      { label: "Passphrase", value: target.passphrase, secret: true },
    );
  } else fields.push({ label: names.key, value: "None" });
  return fields;
}

type Written = Omit<Recipe, "qr"> & { qr?: string };

function ffmpeg(target: Target): Written {
  const url = srtUrl(target, "us", percentEncoded, target.action === "publish" ? ["pkt_size=1316"] : []);
  const command =
    target.action === "publish"
      ? `ffmpeg -re -i INPUT -c copy -f mpegts ${shellQuoted(url)}`
      : `ffplay ${shellQuoted(url)}`;
  return {
    id: "ffmpeg",
    name: target.action === "publish" ? "ffmpeg" : "ffmpeg / ffplay",
    where: "In a terminal",
    fields: [
      { label: "Command", value: command },
      { label: "URL", value: url },
      { label: "Stream ID", value: streamId(target) || "(none needed)" },
    ],
    note: "Latency is in microseconds; the connection uses at least the latency of the gateway.",
  };
}

function obs(target: Target): Written {
  const url = srtUrl(target, "us", verbatim);
  const id = streamId(target);
  return target.action === "publish"
    ? {
        id: "obs",
        name: "OBS Studio",
        where: "Settings → Stream → Service: Custom",
        fields: [
          { label: "Server", value: url },
          { label: "Stream Key", value: "(leave empty)" },
          { label: "Stream ID", value: id || "(none needed)" },
        ],
        note: "Its latency is in microseconds. Settings → Output: keyframe interval 1 or 2 s, so that viewers start quickly.",
      }
    : {
        id: "obs",
        name: "OBS Studio",
        where: "Sources → Media Source, Local File off",
        fields: [
          { label: "Input", value: srtUrl(target, "us", percentEncoded) },
          { label: "Input Format", value: "mpegts" },
        ],
        note: "Latency is in microseconds.",
      };
}

function liveTransmit(target: Target): Written {
  const url = srtUrl(target, "ms", (value) => value);
  const publish = target.action === "publish";
  const command = publish
    ? `srt-live-transmit -chunk:1316 'udp://:5000' ${shellQuoted(url)}`
    : `srt-live-transmit ${shellQuoted(url)} 'udp://127.0.0.1:5000'`;
  const impossible = [streamId(target), target.passphrase].some((value) => value.includes("&"));
  return {
    id: "srt-live-transmit",
    name: "srt-live-transmit",
    where: "In a terminal",
    fields: [
      { label: "Command", value: command },
      { label: "URL", value: url },
      { label: "Stream ID", value: streamId(target) || "(none needed)" },
    ],
    ...(impossible ? { note: "It cannot express the & in the streamid or passphrase." } : {}),
  };
}

/** It plays only: its SRT output sends nothing. The parameters are those of docs/interop.md, which were tried. */
function vlc(target: Target): Written {
  const id = streamId(target);
  const parameters = id ? [`streamid=${percentEncoded(id)}`] : [];
  if (target.passphrase) parameters.push(`passphrase=${percentEncoded(target.passphrase)}`);
  const query = parameters.length > 0 ? `?${parameters.join("&")}` : "";
  const url = `srt://${authority(target.port.host, target.port.port)}${query}`;
  const keyLength = target.passphrase ? ` --key-length=${target.keyLength}` : "";
  return {
    id: "vlc",
    name: "VLC",
    where: "Media → Open Network Stream, or in a terminal",
    fields: [
      { label: "URL", value: url },
      { label: "Command", value: `vlc ${shellQuoted(url)}${keyLength}` },
      { label: "Stream ID", value: id || "(none needed)" },
    ],
    qr: url,
    ...(target.passphrase
      ? { note: `In its window the key length (${target.keyLength} bytes) is set in the preferences of the SRT input.` }
      : {}),
  };
}

function larix(target: Target): Written {
  const publish = target.action === "publish";
  const fields: Field[] = [
    { label: "URL", value: `srt://${authority(target.port.host, target.port.port)}` },
    { label: "SRT mode", value: "Caller" },
    { label: "streamid", value: streamId(target) || "(leave empty)" },
    { label: "latency (msec)", value: String(target.latencyMs) },
  ];
  if (target.passphrase) {
    fields.push(
      { label: "passphrase", value: target.passphrase, secret: true },
      { label: "pbkeylen", value: String(target.keyLength) },
    );
  }
  return {
    id: "larix",
    name: publish ? "Larix Broadcaster" : "Larix Player",
    where: publish ? "Settings → Connections → New, or scan the code" : "Add connection",
    fields,
    ...(publish ? { qr: larixLink(target) } : {}),
  };
}

/** What to enter in each program, the commonest first. */
export function recipes(target: Target): Recipe[] {
  const publish = target.action === "publish";
  const plain = srtUrl(target, "ms", percentEncoded);
  const all: Written[] = [
    obs(target),
    {
      id: "vmix",
      name: "vMix",
      where: publish ? "Settings → Outputs → SRT, Type: Caller" : "Add Input → Stream / SRT → SRT (Caller)",
      fields: boxes(target, { key: "Key Length" }),
    },
    ffmpeg(target),
    ...(publish ? [] : [vlc(target)]),
    liveTransmit(target),
    {
      id: "haivision",
      name: "Haivision (Makito, KB, Play)",
      where: publish ? "Outputs → Add: TS over SRT" : "Inputs → Add: TS over SRT",
      fields: boxes(target, { mode: "Caller", key: "Encryption" }),
    },
    larix(target),
    {
      id: "url",
      name: "Any other",
      where: "A player or encoder that takes a URL",
      fields: [
        { label: "URL", value: plain },
        { label: "Stream ID", value: streamId(target) || "(none needed)" },
      ],
      note: "Values are percent-encoded, latency is in milliseconds.",
    },
  ];
  return all.map((recipe) => ({ qr: plain, ...recipe }));
}

/** The ports by which `stream` can be published or played, the stream's own first: they need the shortest streamid. */
export function portsFor(ports: ListeningPort[], stream: string, action: Action): ListeningPort[] {
  return ports
    .filter((port) => (port.mode === "both" || port.mode === action) && (port.scope === "global" || port.stream === stream))
    .sort((a, b) => Number(a.scope === "global") - Number(b.scope === "global"));
}

/** The address that others reach us by: the one in the address bar, unless the port listens elsewhere. */
export function hostFor(port: ListeningPort | undefined, page: string): string {
  const bound = port?.address.replace(/^\[|\]$/g, "") ?? "";
  const anywhere = bound === "" || bound === "0.0.0.0" || bound === "::";
  return anywhere ? page.replace(/^\[|\]$/g, "") : bound;
}
