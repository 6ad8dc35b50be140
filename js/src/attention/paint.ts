// Patterns as pixels: one pixel per cell, stretched by the browser without smoothing.

/** How a head's values become colours. */
export interface Scale {
  readonly low: number;
  readonly high: number;
  readonly kind: "linear" | "sqrt" | "log";
}

/** Smallest value of the logarithmic scale; what is smaller has its colour. */
export const LOG_FLOOR = 1e-4;

/** Share of the colour map, 0 to 1, for a value. Signed scales are linear or a signed root. */
export function place(value: number, scale: Scale): number {
  const { low, high, kind } = scale;
  if (low < 0) {
    const top = Math.max(-low, high);
    const share = Math.min(1, Math.abs(value) / top);
    const bent = kind === "linear" ? share : Math.sqrt(share);
    return 0.5 + 0.5 * Math.sign(value) * bent;
  }
  if (kind === "log") {
    const floor = Math.min(LOG_FLOOR, high / 10);
    const share = Math.log(Math.max(value, floor) / floor) / Math.log(high / floor);
    return Math.min(1, Math.max(0, share));
  }
  const share = Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
  return kind === "sqrt" ? Math.sqrt(share) : share;
}

/** The value at a share of the colour map; the inverse of `place`. */
export function valueAt(share: number, scale: Scale): number {
  const { low, high, kind } = scale;
  if (low < 0) {
    const top = Math.max(-low, high);
    const signed = share * 2 - 1;
    return top * (kind === "linear" ? signed : Math.sign(signed) * signed * signed);
  }
  if (kind === "log") {
    const floor = Math.min(LOG_FLOOR, high / 10);
    return floor * (high / floor) ** share;
  }
  return low + (high - low) * (kind === "sqrt" ? share * share : share);
}

/** What a layer's mask leaves out: keys after the query, and keys outside a sliding window. */
export interface Mask {
  readonly causal: boolean;
  readonly window: number | null;
}

/** Whether no position of a pooled cell may attend. Row and column count cells of `pool` positions. */
export function isMasked(mask: Mask, row: number, column: number, pool: number): boolean {
  if (mask.causal && column > row) return true;
  if (mask.window === null) return false;
  const behind = (column + 1) * pool - 1 <= row * pool - mask.window;
  return behind || column * pool >= (row + 1) * pool - 1 + mask.window;
}

export interface Painting {
  readonly values: ArrayLike<number>;
  readonly rows: number;
  readonly columns: number;
  readonly scale: Scale;
  /** 256 RGBA colours. */
  readonly colours: ArrayLike<number>;
  readonly mask: Mask;
  readonly pool: number;
  /** First cell of the tile, in cells of the whole pattern. */
  readonly row0?: number;
  readonly column0?: number;
  readonly bad: readonly [number, number, number];
}

/** RGBA pixels of a tile; masked cells stay transparent, NaN gets the colour of bad values. */
export function paint(p: Painting): Uint8ClampedArray<ArrayBuffer> {
  const { values, rows, columns, scale, colours, mask, pool, bad } = p;
  const row0 = p.row0 ?? 0;
  const column0 = p.column0 ?? 0;
  const pixels = new Uint8ClampedArray(rows * columns * 4);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const at = (r * columns + c) * 4;
      if (isMasked(mask, row0 + r, column0 + c, pool)) continue;
      const value = values[r * columns + c]!;
      if (Number.isNaN(value)) {
        pixels[at] = bad[0];
        pixels[at + 1] = bad[1];
        pixels[at + 2] = bad[2];
      } else {
        const from = Math.round(place(value, scale) * 255) * 4;
        pixels[at] = colours[from]!;
        pixels[at + 1] = colours[from + 1]!;
        pixels[at + 2] = colours[from + 2]!;
      }
      pixels[at + 3] = 255;
    }
  }
  return pixels;
}

/** Largest magnitude of the finite values. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (size > most && Number.isFinite(size)) most = size;
  }
  return most;
}
