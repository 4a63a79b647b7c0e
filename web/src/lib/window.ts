/** Which rows of a long list need to exist. */
export interface Slice {
  first: number;
  /** One past the last. */
  end: number;
  /** Height of what is left out above and below. */
  above: number;
  below: number;
}

/**
 * @param rows how many rows there are, each `height` px high
 * @param top how far the list's upper edge is above the upper edge of what is seen, px
 * @param view height of what is seen, px
 * @param spare rows kept beyond either edge, so that a scroll shows no gap
 */
export function visible(rows: number, height: number, top: number, view: number, spare = 6): Slice {
  const first = Math.min(rows, Math.max(0, Math.floor(top / height) - spare));
  const end = Math.min(rows, Math.max(first, Math.ceil((top + view) / height) + spare));
  return { first, end, above: first * height, below: (rows - end) * height };
}

/** How much room there is, as the style sheet tells it apart. */
export type Screen = "phone" | "tablet" | "desk";

/**
 * How high a row is and how many things lie in it, so that a long list can be drawn in part. The wall takes the largest
 * tiles with which all streams are on the screen, and when there are too many, the smallest that can still be read.
 */
export function measure(kind: "table" | "wall" | "wall without pictures", screen: Screen, width: number, items: number, view: number, rem: number): { row: number; across: number } {
  if (kind === "table") return { row: Math.round({ phone: 7.3, tablet: 4.7, desk: 3.15 }[screen] * rem), across: 1 };
  const gap = 0.6 * rem;
  const most = Math.max(1, Math.floor((width + gap) / (15.5 * rem + gap)));
  const least = Math.min(most, Math.ceil((width + gap) / (44 * rem + gap)));
  const pictureOf = (across: number) => (kind === "wall" ? (((width - gap * (across - 1)) / across) * 9) / 16 : 2.6 * rem);
  const rowOf = (across: number) => Math.round(pictureOf(across) + 3.6 * rem + gap);
  for (let across = least; across < most; across += 1) {
    if (Math.ceil(items / across) * rowOf(across) <= view) return { row: rowOf(across), across };
  }
  return { row: rowOf(most), across: most };
}
