// The size of a circuit on a logarithmic slider, and how faithful it is there.

export const FEWEST = 10;

/** Slider position (0 … 1) of a number of edges. */
export function sizeToPosition(size: number, total: number): number {
  const least = Math.min(FEWEST, total);
  if (total <= least) return 1;
  const at = Math.log(Math.max(least, Math.min(total, size)) / least);
  return at / Math.log(total / least);
}

/** Number of edges at a slider position, rounded to two significant digits inside the range. */
export function positionToSize(position: number, total: number): number {
  const least = Math.min(FEWEST, total);
  if (total <= least || position >= 1) return total;
  if (position <= 0) return least;
  const exact = least * (total / least) ** position;
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(exact)) - 1);
  return Math.max(least, Math.min(total, Math.round(exact / unit) * unit));
}

export interface Faithfulness {
  sizes: number[];
  values: (number | null)[];
}

/** The measured point nearest (on the log scale) to a size; null when nothing was measured. */
export function nearestMeasured(
  curve: Faithfulness | null,
  size: number,
): { size: number; value: number; exact: boolean } | null {
  if (!curve) return null;
  let best: { size: number; value: number; exact: boolean } | null = null;
  let distance = Infinity;
  curve.sizes.forEach((at, i) => {
    const value = curve.values[i];
    if (value === null || value === undefined || !Number.isFinite(value)) return;
    const off = Math.abs(Math.log(Math.max(at, 1) / Math.max(size, 1)));
    if (off < distance) {
      distance = off;
      best = { size: at, value, exact: at === size };
    }
  });
  return best;
}
