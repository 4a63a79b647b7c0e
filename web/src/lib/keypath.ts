/** Paths of keys as the gateway writes them: `streams."live/cam1".outputs[2].latency`. */
export type KeyPath = (string | number)[];

export function parseKeyPath(text: string): KeyPath {
  const path: KeyPath = [];
  const piece = /"((?:[^"\\]|\\.)*)"|\[(\d+)\]|([^."[\]]+)/g;
  for (const [, quoted, index, bare] of text.matchAll(piece)) {
    if (index !== undefined) path.push(Number(index));
    else path.push(bare ?? (quoted ?? "").replace(/\\(.)/g, "$1"));
  }
  return path;
}

/** What of `path` lies below `base`; `null` if it is elsewhere. In `base`, -1 stands for any number. */
export function below(path: KeyPath, base: KeyPath): KeyPath | null {
  const fits = base.every((part, at) => (part === -1 ? typeof path[at] === "number" : part === path[at]));
  return fits && path.length >= base.length ? path.slice(base.length) : null;
}
