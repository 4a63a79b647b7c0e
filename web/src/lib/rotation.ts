import type { Definition } from "../model";

/** A passphrase is rotated in two steps, so that nobody is cut off: first both are valid, then the new one alone. */

export type Rotated = "publish_passphrase" | "play_passphrase";

export interface Rotation {
  key: Rotated;
  /** Whose it is. */
  who: "publishers" | "viewers";
  /** How many are valid now. */
  valid: number;
}

/** What may be rotated in a definition whose secrets are masked. */
export function rotations(definition: Definition): Rotation[] {
  const one = (key: Rotated, who: Rotation["who"]): Rotation[] => {
    const value = definition[key];
    const valid = Array.isArray(value) ? value.length : typeof value === "string" && value !== "" ? 1 : 0;
    return valid === 0 ? [] : [{ key, who, valid }];
  };
  return [...one("publish_passphrase", "publishers"), ...one("play_passphrase", "viewers")];
}

/**
 * The first step: the new one after those that are valid. `old` is the valid one, where somebody had to type it: a gateway
 * that has a single secret does not find it in a list.
 */
export function withNew(definition: Definition, key: Rotated, added: string, old?: string): Definition {
  const value = definition[key];
  const kept = old ? [old] : Array.isArray(value) ? value : ["***"];
  return { ...definition, [key]: [...kept, added] };
}

/** The second step. In a list of masks nobody can say which one stays, so it is written out. */
export function withoutOld(definition: Definition, key: Rotated, stays: string): Definition {
  return { ...definition, [key]: stays };
}

/** Random, of letters and digits that nobody confuses and no URL, shell or form stumbles over. */
export function randomPassphrase(random: (size: number) => Uint8Array): string {
  const letters = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789";
  let text = "";
  while (text.length < 24) {
    // What is beyond the last whole multiple would make the first letters likelier.
    for (const byte of random(32)) if (byte < letters.length * 4 && text.length < 24) text += letters[byte % letters.length];
  }
  return text;
}
