/** What a browser can play of a stream, by the names that the gateway gives to codecs. */

/** A type to ask the browser for; those that are missing here no browser takes from MPEG-TS. */
const TYPES: Record<string, string> = {
  "H.264": 'video/mp4; codecs="avc1.42E01E"',
  HEVC: 'video/mp4; codecs="hvc1.1.6.L93.B0"',
  AV1: 'video/mp4; codecs="av01.0.04M.08"',
  AAC: 'audio/mp4; codecs="mp4a.40.2"',
  "AAC (LATM)": 'audio/mp4; codecs="mp4a.40.2"',
  "MPEG audio": "audio/mpeg",
  "AC-3": 'audio/mp4; codecs="ac-3"',
  "E-AC-3": 'audio/mp4; codecs="ec-3"',
  Opus: 'audio/mp4; codecs="opus"',
};

/** Asks whether the browser decodes a type: `MediaSource.isTypeSupported`. */
export type Decodes = (type: string) => boolean;

/** Why the browser cannot show that, or `null` if it can, or if the codec is not known yet. */
export function undecodable(codec: string | null, decodes: Decodes): string | null {
  if (!codec) return null;
  const type = TYPES[codec];
  return type !== undefined && decodes(type) ? null : `${codec}: this browser cannot decode it`;
}
