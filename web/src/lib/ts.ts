/**
 * Takes the first coded picture out of a piece of MPEG-TS, for the browser's own decoder (WebCodecs).
 *
 * Reads only what a still needs: PAT, PMT, one PES packet of the first video PID. Anything unexpected gives `null`.
 */

export interface Picture {
  codec: "h264" | "hevc";
  /** As WebCodecs names it: `avc1.640028`. */
  codecString: string;
  /** The access unit with start codes (Annex B). */
  data: Uint8Array;
}

const PACKET = 188;
const SYNC = 0x47;

/** Where packets begin: the first place where sync bytes stand 188 bytes apart. */
function aligned(bytes: Uint8Array): number {
  for (let start = 0; start < Math.min(PACKET * 2, bytes.length); start += 1) {
    let good = true;
    for (let step = 0; step < 4 && start + step * PACKET < bytes.length; step += 1) {
      if (bytes[start + step * PACKET] !== SYNC) good = false;
    }
    if (good) return start;
  }
  return -1;
}

interface Packet {
  pid: number;
  begins: boolean;
  payload: Uint8Array;
}

function* packets(bytes: Uint8Array): Generator<Packet> {
  const start = aligned(bytes);
  if (start < 0) return;
  for (let at = start; at + PACKET <= bytes.length; at += PACKET) {
    const b = (offset: number) => bytes[at + offset] ?? 0;
    if (b(0) !== SYNC) return;
    const control = (b(3) >> 4) & 3;
    let from = 4;
    if (control & 2) from += 1 + b(4);
    if (!(control & 1) || from >= PACKET) continue;
    yield {
      pid: ((b(1) & 0x1f) << 8) | b(2),
      begins: (b(1) & 0x40) !== 0,
      payload: bytes.subarray(at + from, at + PACKET),
    };
  }
}

/** The section that begins in this payload, if it is all there: enough for the tables of a live stream's start. */
function section(payload: Uint8Array): Uint8Array | null {
  const from = 1 + (payload[0] ?? 0);
  const length = (((payload[from + 1] ?? 0) & 0x0f) << 8) | (payload[from + 2] ?? 0);
  const end = from + 3 + length - 4;
  return length >= 9 ? payload.subarray(from, Math.min(end, payload.length)) : null;
}

function pmtPid(pat: Uint8Array): number | null {
  for (let at = 8; at + 4 <= pat.length; at += 4) {
    const program = ((pat[at] ?? 0) << 8) | (pat[at + 1] ?? 0);
    if (program !== 0) return (((pat[at + 2] ?? 0) & 0x1f) << 8) | (pat[at + 3] ?? 0);
  }
  return null;
}

function videoPid(pmt: Uint8Array): { pid: number; codec: Picture["codec"] } | null {
  let at = 12 + ((((pmt[10] ?? 0) & 0x0f) << 8) | (pmt[11] ?? 0));
  while (at + 5 <= pmt.length) {
    const type = pmt[at];
    const pid = (((pmt[at + 1] ?? 0) & 0x1f) << 8) | (pmt[at + 2] ?? 0);
    if (type === 0x1b) return { pid, codec: "h264" };
    if (type === 0x24) return { pid, codec: "hevc" };
    at += 5 + ((((pmt[at + 3] ?? 0) & 0x0f) << 8) | (pmt[at + 4] ?? 0));
  }
  return null;
}

function joined(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Offsets of NAL units: of their first byte behind the start code. */
export function nalUnits(data: Uint8Array): number[] {
  const units: number[] = [];
  for (let at = 0; at + 3 < data.length; at += 1) {
    if (data[at] === 0 && data[at + 1] === 0 && data[at + 2] === 1) {
      units.push(at + 3);
      at += 2;
    }
  }
  return units;
}

const hex = (value: number) => value.toString(16).padStart(2, "0");

/** The codec string and whether a decoder can begin here, or `null` where it cannot. */
function startOf(codec: Picture["codec"], data: Uint8Array): string | null {
  let name: string | null = null;
  let key = false;
  for (const at of nalUnits(data)) {
    if (codec === "h264") {
      const type = (data[at] ?? 0) & 0x1f;
      if (type === 7) name = `avc1.${hex(data[at + 1] ?? 0)}${hex(data[at + 2] ?? 0)}${hex(data[at + 3] ?? 0)}`;
      // An open GOP begins with an I picture that is no IDR: its parameter sets are what tells.
      if (type === 5 || type === 1) key = true;
    } else {
      const type = ((data[at] ?? 0) >> 1) & 0x3f;
      if (type === 33) name = hevcName(data.subarray(at + 2, at + 24));
      if (type >= 16 && type <= 21) key = true;
    }
  }
  return key ? name : null;
}

/** From the sequence parameter set, behind its two header bytes. */
function hevcName(escaped: Uint8Array): string {
  const sps: number[] = [];
  for (let at = 0; at < escaped.length; at += 1) {
    // An emulation prevention byte is no data.
    if (at >= 2 && escaped[at] === 3 && escaped[at - 1] === 0 && escaped[at - 2] === 0) continue;
    sps.push(escaped[at] ?? 0);
  }
  const general = sps[1] ?? 0;
  let compatible = 0;
  for (let bit = 0; bit < 32; bit += 1) {
    if (((sps[2 + (bit >> 3)] ?? 0) >> (7 - (bit & 7))) & 1) compatible += 2 ** bit;
  }
  const tier = general & 0x20 ? "H" : "L";
  return `hev1.${general & 0x1f}.${compatible.toString(16).toUpperCase()}.${tier}${sps[12] ?? 0}.${hex(sps[6] ?? 0).toUpperCase()}`;
}

/** The first picture of `bytes` that a decoder can begin with. */
export function firstPicture(bytes: Uint8Array): Picture | null {
  let pmt: number | null = null;
  let video: { pid: number; codec: Picture["codec"] } | null = null;
  let parts: Uint8Array[] = [];
  const finished = (): Picture | null => {
    if (!video || parts.length === 0) return null;
    const data = joined(parts);
    const codecString = startOf(video.codec, data);
    return codecString ? { codec: video.codec, codecString, data } : null;
  };
  for (const { pid, begins, payload } of packets(bytes)) {
    if (pid === 0 && begins) {
      const table = section(payload);
      if (table && pmt === null) pmt = pmtPid(table);
    } else if (pid === pmt && begins) {
      const table = section(payload);
      if (table && !video) video = videoPid(table);
    } else if (video && pid === video.pid) {
      if (begins) {
        const picture = finished();
        if (picture) return picture;
        const header = 9 + (payload[8] ?? 0);
        const isPes = payload[0] === 0 && payload[1] === 0 && payload[2] === 1;
        parts = isPes && header < payload.length ? [payload.subarray(header)] : [];
      } else if (parts.length > 0) parts.push(payload);
    }
  }
  return finished();
}
