// The part of a pattern that is in sight: zoom, pan, pooling level and the tiles it needs.

/** A window on a pattern in token positions, end exclusive; fractions appear while zooming. */
export interface Window {
  readonly q0: number;
  readonly q1: number;
  readonly k0: number;
  readonly k1: number;
}

/** One tile: `size × size` cells of `pool × pool` positions each. */
export interface Tile {
  readonly pool: number;
  readonly row: number;
  readonly column: number;
}

/** Cells along the side of a tile. */
export const TILE = 256;

export function whole(queries: number, keys: number): Window {
  return { q0: 0, q1: queries, k0: 0, k1: keys };
}

export function isWhole(w: Window, queries: number, keys: number): boolean {
  return w.q0 <= 0 && w.k0 <= 0 && w.q1 >= queries && w.k1 >= keys;
}

/** Smallest power of two that keeps the window within `pixels` cells a side. */
export function poolFor(w: Window, pixels: number): number {
  const cells = Math.max(w.q1 - w.q0, w.k1 - w.k0);
  let pool = 1;
  while (cells / pool > Math.max(pixels, 1)) pool *= 2;
  return pool;
}

/** Tiles that cover a window at a pooling level, nearest to its middle first. */
export function tilesFor(w: Window, pool: number, queries: number, keys: number): Tile[] {
  const span = TILE * pool;
  const r0 = Math.max(0, Math.floor(w.q0 / span));
  const r1 = Math.min(Math.ceil(queries / span), Math.ceil(w.q1 / span)) - 1;
  const c0 = Math.max(0, Math.floor(w.k0 / span));
  const c1 = Math.min(Math.ceil(keys / span), Math.ceil(w.k1 / span)) - 1;
  const tiles: Tile[] = [];
  for (let row = r0; row <= r1; row++)
    for (let column = c0; column <= c1; column++) tiles.push({ pool, row, column });
  const middleRow = (w.q0 + w.q1) / 2 / span - 0.5;
  const middleColumn = (w.k0 + w.k1) / 2 / span - 0.5;
  const far = (t: Tile): number => (t.row - middleRow) ** 2 + (t.column - middleColumn) ** 2;
  return tiles.sort((a, b) => far(a) - far(b));
}

/** The positions a tile covers. */
export function tileSpan(t: Tile, queries: number, keys: number): Window {
  const span = TILE * t.pool;
  return {
    q0: t.row * span,
    q1: Math.min(queries, (t.row + 1) * span),
    k0: t.column * span,
    k1: Math.min(keys, (t.column + 1) * span),
  };
}

/** True when every key of the tile comes after every query, so a causal head has nothing there. */
export function isFuture(t: Tile): boolean {
  return t.column > t.row;
}

/** Zoom by `factor` (above 1 goes in) about a point; never beyond the pattern or below 4 cells. */
export function zoom(
  w: Window,
  factor: number,
  query: number,
  key: number,
  queries: number,
  keys: number,
): Window {
  const [q0, q1] = zoomAxis(w.q0, w.q1, factor, query, queries);
  const [k0, k1] = zoomAxis(w.k0, w.k1, factor, key, keys);
  return { q0, q1, k0, k1 };
}

function zoomAxis(
  a: number,
  b: number,
  factor: number,
  at: number,
  size: number,
): [number, number] {
  const span = Math.min(size, Math.max(Math.min(4, size), (b - a) / factor));
  const share = (at - a) / (b - a || 1);
  const start = Math.min(Math.max(0, at - share * span), size - span);
  return [start, start + span];
}

/** Move by positions, stopping at the edges. */
export function pan(w: Window, dq: number, dk: number, queries: number, keys: number): Window {
  const q0 = Math.min(Math.max(0, w.q0 + dq), queries - (w.q1 - w.q0));
  const k0 = Math.min(Math.max(0, w.k0 + dk), keys - (w.k1 - w.k0));
  return { q0, q1: q0 + (w.q1 - w.q0), k0, k1: k0 + (w.k1 - w.k0) };
}

/** Move as little as needed for a cell to be inside. */
export function reveal(
  w: Window,
  query: number,
  key: number,
  queries: number,
  keys: number,
): Window {
  const shift = (a: number, b: number, i: number): number =>
    i < a ? i - a : i + 1 > b ? i + 1 - b : 0;
  const dq = shift(w.q0, w.q1, query);
  const dk = shift(w.k0, w.k1, key);
  return dq || dk ? pan(w, dq, dk, queries, keys) : w;
}

/** Positions that get a label when each needs `space` pixels: every first, second, fifth, tenth… */
export function labelled(a: number, b: number, pixels: number, space: number): number[] {
  const first = Math.ceil(a - 0.5 + 1e-9);
  const last = Math.floor(b - 0.5 - 1e-9);
  const cell = pixels / (b - a);
  let step = 1;
  for (const next of [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]) {
    step = next;
    if (cell * next >= space) break;
  }
  const out: number[] = [];
  for (let i = Math.ceil(Math.max(0, first) / step) * step; i <= last; i += step) out.push(i);
  return out;
}
