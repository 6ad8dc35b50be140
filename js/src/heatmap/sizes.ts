// How large cells and their text are: as in a page, or grown until they fill a screen.
import type { CellKind } from "./cells.js";

/** Most height of an array on a page; rows beyond 200 are thinner. */
const TALLEST = 440;
export const TEXT = 11;
/** Largest cell and text in full screen: enough for the last row of a lecture hall. */
const FULL = { widest: 180, row: 140, text: 18 };

export interface Sizes {
  /** Height of all cells together. */
  height: number;
  narrowest: number;
  widest: number;
  /** Pixels of the font in and around the cells. */
  text: number;
}

/** `free` is the height that full screen leaves for the cells, 0 elsewhere. */
export function sizesFor(
  rows: number,
  cols: number,
  room: number,
  free: number,
  size: ReturnType<NonNullable<CellKind["size"]>> | undefined,
): Sizes {
  const row = size?.height ?? Math.max(16, Math.min(28, room / cols));
  const least = rows > 200 ? 2 : row;
  const narrowest = size?.narrowest ?? 0;
  if (!free) {
    const height = Math.max(size?.height ?? 18, Math.min(size?.tallest ?? TALLEST, rows * least));
    return { height, narrowest, widest: size?.widest ?? 56, text: TEXT };
  }
  const height = Math.min(free, rows * Math.max(least, FULL.row));
  const width = Math.min(FULL.widest, Math.max(narrowest, room / cols));
  const text = Math.max(TEXT, Math.min(FULL.text, width / 5, height / rows / 1.7));
  return { height, narrowest, widest: FULL.widest, text: Math.round(text) };
}
