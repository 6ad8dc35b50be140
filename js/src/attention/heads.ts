// The grid of heads: what it is sorted by and where each thumbnail stands.

/** Scores of all heads by name, each `[layer, head]` in C order. */
export type HeadScores = Readonly<Record<string, ArrayLike<number>>>;

/** How the grid may be sorted, in the words of the menu. */
export const ORDERS: Readonly<Record<string, string>> = {
  layer: "layer and head",
  induction: "induction score",
  previous_token: "previous-token score",
  duplicate_token: "duplicate-token score",
  first_token: "first-token score",
  entropy: "entropy (sharpest first)",
  effect: "change by intervention",
};

/** What a score measures, for its tooltip. */
export const SCORE_NAMES: Readonly<Record<string, string>> = {
  induction: "induction score",
  previous_token: "previous-token score",
  duplicate_token: "duplicate-token score",
  first_token: "first-token score",
  entropy: "mean entropy",
  effect: "largest change",
};

export interface GridShape {
  readonly columns: number;
  readonly rows: number;
  /** Side of one thumbnail in CSS pixels, without the gap. */
  readonly side: number;
}

/** The heads `layer * heads + head` in the order they are shown; NaN scores come last. */
export function orderHeads(count: number, order: string, scores: HeadScores): Int32Array {
  const ids = Int32Array.from({ length: count }, (_, i) => i);
  const score = scores[order];
  if (order === "layer" || score === undefined) return ids;
  const sign = order === "entropy" ? 1 : -1;
  const key = (i: number): number => {
    const value = order === "given" ? Math.abs(score[i]!) : score[i]!;
    return Number.isNaN(value) ? Infinity : sign * value;
  };
  return ids.sort((a, b) => {
    const difference = key(a) - key(b);
    return Number.isNaN(difference) || difference === 0 ? a - b : difference;
  });
}

/**
 * Thumbnails that fit a width. In layer order a row is a layer, so all its heads stand side by
 * side and shrink to fit (never below `smallest`, then the grid scrolls); in any other order they flow.
 */
export function gridShape(
  layers: number,
  heads: number,
  byLayer: boolean,
  width: number,
  gap = 3,
  smallest = 24,
  largest = largestSide(layers * heads),
): GridShape {
  const count = layers * heads;
  const sideFor = (columns: number): number => Math.floor((width + gap) / columns) - gap;
  if (byLayer) {
    const side = Math.max(smallest, Math.min(largest, sideFor(heads)));
    return { columns: heads, rows: layers, side };
  }
  const target = count > 200 ? 36 : Math.max(48, largest * 0.75);
  const columns = Math.max(1, Math.min(count, Math.floor((width + gap) / (target + gap))));
  const side = Math.max(smallest, Math.min(largest, sideFor(columns)));
  return { columns, rows: Math.ceil(count / columns), side };
}

/** A few heads are shown larger than many. */
export function largestSide(count: number): number {
  return count <= 20 ? 88 : 64;
}
