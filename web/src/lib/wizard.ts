/**
 * What to enter where to connect to a stream: the one place that knows how each program wants its SRT address.
 *
 * They agree on `srt://host:port?key=value` and on nothing else. ffmpeg and OBS take the latency in MICROseconds, all
 * others in milliseconds. Whether a program decodes percent-encoding depends on its version, so passphrases and streamids
 * go into options and fields of their own wherever a program has them.
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
  /** The same without the secrets that it has: shown until they are asked for. */
  masked?: string;
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

/** A streamid in a URL whose reader takes every character as it stands: the gateway decodes what cannot stand there. */
function verbatim(value: string): string {
  return value.includes("&") ? value.replace(/[&+%\s]/g, (char) => percentEncoded(char)) : value;
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
export function srtUrl(target: Target, unit: Unit, escape: (value: string) => string, more: string[] = [], escapeSecret = escape): string {
  const parameters = ["mode=caller"];
  const id = streamId(target);
  if (id) parameters.push(`streamid=${escape(id)}`);
  parameters.push(`latency=${unit === "us" ? target.latencyMs * 1000 : target.latencyMs}`);
  if (target.passphrase) {
    parameters.push(`passphrase=${escapeSecret(target.passphrase)}`, `pbkeylen=${target.keyLength}`);
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
      { label: "Passphrase", value: target.passphrase },
    );
  } else fields.push({ label: names.key, value: "None" });
  return fields;
}

type Written = Omit<Recipe, "qr"> & { qr?: string };

/** ffmpeg's own options: `streamid` is another thing there, and its URLs are decoded by newer versions only. */
function ffmpegOptions(target: Target): string[] {
  const id = streamId(target);
  const options = id ? ["-srt_streamid", id] : [];
  if (target.passphrase) options.push("-passphrase", target.passphrase, "-pbkeylen", String(target.keyLength));
  options.push("-latency", String(target.latencyMs * 1000));
  return options;
}

const command = (...words: string[]) => words.map(shellQuoted).join(" ");
const plainUrl = ({ port }: Target) => `srt://${authority(port.host, port.port)}`;

function ffmpeg(target: Target): Written {
  const publish = target.action === "publish";
  const options = ffmpegOptions(target);
  const line = publish
    ? command("ffmpeg", "-re", "-i", "FILE.ts", "-c", "copy", "-f", "mpegts", ...options, "-pkt_size", "1316", plainUrl(target))
    : command("ffplay", ...options, plainUrl(target));
  const long = new TextEncoder().encode(target.passphrase).length > 64;
  return {
    id: "ffmpeg",
    name: publish ? "ffmpeg" : "ffmpeg / ffplay",
    where: "In a terminal",
    fields: [{ label: "Command", value: line }, ...own(target)],
    note: `Latency is in microseconds; the connection uses at least the latency of the gateway.${long ? " ffmpeg 5 and older take passphrases of up to 64 characters." : ""}`,
  };
}

/** The streamid and passphrase by themselves, for whoever writes their own command. */
function own(target: Target): Field[] {
  const fields: Field[] = [{ label: "Stream ID", value: streamId(target) || "(none needed)" }];
  if (target.passphrase) fields.push({ label: "Passphrase", value: target.passphrase });
  return fields;
}

function obs(target: Target): Written {
  const id = streamId(target);
  if (target.action === "publish") {
    const key = target.passphrase ? `&pbkeylen=${target.keyLength}` : "";
    const fields: Field[] = [
      { label: "Server", value: `${plainUrl(target)}?latency=${target.latencyMs * 1000}${key}` },
      { label: "Stream Key", value: id || "(leave empty)" },
    ];
    if (target.passphrase) {
      fields.push(
        { label: "Use authentication", value: "(on)" },
        { label: "Username", value: "(leave empty)" },
        { label: "Password", value: target.passphrase },
      );
    } else fields.push({ label: "Use authentication", value: "(off)" });
    return {
      id: "obs",
      name: "OBS Studio",
      where: "Settings → Stream → Service: Custom (OBS 29.1 or newer)",
      fields,
      note: "The stream key is the streamid, and the password is the passphrase. Latency is in microseconds. Settings → Output: keyframe interval 1 or 2 s, so that viewers start quickly.",
    };
  }
  // Parsed by ffmpeg: a space separates options, quotes and backslashes are its own.
  const quoted = (value: string) => `'${value.replaceAll("'", "'\\''")}'`;
  const options = id ? [`srt_streamid=${quoted(id)}`] : [];
  if (target.passphrase) options.push(`passphrase=${quoted(target.passphrase)}`, `pbkeylen=${target.keyLength}`);
  options.push(`latency=${target.latencyMs * 1000}`);
  return {
    id: "obs",
    name: "OBS Studio",
    where: "Sources → Media Source, Local File off",
    fields: [
      { label: "Input", value: plainUrl(target) },
      { label: "Input Format", value: "mpegts" },
      { label: "FFmpeg Options", value: options.join(" ") },
    ],
    note: "Latency is in microseconds.",
  };
}

/** It takes every character of its URL as it stands, and so has no way to write `&`. */
function liveTransmit(target: Target): Written {
  const url = srtUrl(target, "ms", verbatim, [], (value) => value);
  const where = "In a terminal";
  const [id, name] = ["srt-live-transmit", "srt-live-transmit"];
  if (target.passphrase.includes("&")) {
    return { id, name, where, fields: own(target), note: "srt-live-transmit cannot take a passphrase with & in it: use another program, or a passphrase without it." };
  }
  const line =
    target.action === "publish"
      ? `ffmpeg -re -i FILE.ts -c copy -f mpegts - | ${command("srt-live-transmit", "-chunk:1316", "file://con", url)}`
      : `${command("srt-live-transmit", "-chunk:1316", url, "file://con")} > OUT.ts`;
  return {
    id,
    name,
    where,
    fields: [{ label: "Command", value: line }, { label: "URL", value: url }, ...own(target)],
    ...(target.action === "publish" ? { note: "It does not pace what it reads, and reads no regular files: ffmpeg does both for it. From UDP: 'udp://:5000' instead of file://con." } : {}),
  };
}

/** A property of a GStreamer element: gst-launch has quotes of its own. */
function property(name: string, value: string): string {
  return shellQuoted(`${name}="${value.replace(/["\\]/g, "\\$&")}"`);
}

function gstreamer(target: Target): Written {
  const id = streamId(target);
  const options = [`uri=${plainUrl(target)}`, ...(id ? [property("streamid", id)] : [])];
  if (target.passphrase) options.push(property("passphrase", target.passphrase), `pbkeylen=${target.keyLength}`);
  options.push(`latency=${target.latencyMs}`);
  const line =
    target.action === "publish"
      ? `gst-launch-1.0 filesrc location=FILE.ts ! tsparse set-timestamps=true alignment=7 ! srtsink ${options.join(" ")}`
      : `gst-launch-1.0 srtsrc ${options.join(" ")} ! decodebin ! autovideosink`;
  return { id: "gstreamer", name: "GStreamer", where: "In a terminal", fields: [{ label: "Command", value: line }, ...own(target)] };
}

/** It plays only: its SRT output sends nothing. It decodes the streamid in a URL, and not the passphrase. */
function vlc(target: Target): Written {
  const id = streamId(target);
  const url = `${plainUrl(target)}${id ? `?streamid=${percentEncoded(id)}` : ""}`;
  const key = target.passphrase ? [`--passphrase=${target.passphrase}`, `--key-length=${target.keyLength}`] : [];
  const fields: Field[] = [
    { label: "Command", value: command("vlc", url, ...key) },
    { label: "URL", value: url },
  ];
  if (target.passphrase) fields.push({ label: "Edit Options", value: `:passphrase=${target.passphrase} :key-length=${target.keyLength}` });
  return {
    id: "vlc",
    name: "VLC",
    where: "In a terminal, or Media → Open Network Stream",
    fields: [...fields, ...own(target)],
    qr: url,
    ...(target.passphrase
      ? { note: `In its window, "Show more options" has "Edit Options"; there a passphrase cannot contain spaces: set it in the preferences of the SRT input instead.` }
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
      { label: "passphrase", value: target.passphrase },
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

/** Letters that no escaping and no quoting changes; shown as dots. */
const HIDDEN = "hiddensecret";

/** What to enter in each program, the commonest first. */
export function recipes(target: Target): Recipe[] {
  const masked = written({ ...target, passphrase: target.passphrase && HIDDEN, password: target.password && HIDDEN });
  return written(target).map((recipe) => ({
    ...recipe,
    fields: recipe.fields.map((field): Field => {
      const other = masked.find((one) => one.id === recipe.id)?.fields.find((one) => one.label === field.label);
      const shown = other?.value.replaceAll(HIDDEN, "••••••••••");
      return shown === undefined || shown === field.value ? field : { ...field, masked: shown };
    }),
  }));
}

function written(target: Target): Recipe[] {
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
    gstreamer(target),
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
        ...own(target),
      ],
      note: "Values are percent-encoded, latency is in milliseconds. A program that does not decode them has fields of its own for streamid and passphrase.",
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
