// Attention as lines between two columns of tokens.

export interface Line {
  readonly query: number;
  readonly key: number;
  readonly value: number;
}

/** Lines drawn at once; beyond it only the strongest are, and the view says so. */
export const MOST_LINES = 1500;

/**
 * The strongest entries of a pattern, weakest first so that strong lines are painted on top.
 *
 * `only` keeps the lines of one token: as query, as key, or both when both are the same token.
 */
export function strongest(
  pattern: ArrayLike<number>,
  queries: number,
  keys: number,
  only: { query: number | null; key: number | null } = { query: null, key: null },
  most = MOST_LINES,
  threshold = 0.01,
): { lines: Line[]; dropped: number } {
  const lines: Line[] = [];
  for (let query = 0; query < queries; query++) {
    for (let key = 0; key < keys; key++) {
      const wanted =
        (only.query === null && only.key === null) || only.query === query || only.key === key;
      if (!wanted) continue;
      const value = pattern[query * keys + key]!;
      if (Math.abs(value) >= threshold) lines.push({ query, key, value });
    }
  }
  lines.sort((a, b) => Math.abs(a.value) - Math.abs(b.value));
  const dropped = Math.max(0, lines.length - most);
  return { lines: dropped ? lines.slice(dropped) : lines, dropped };
}

/** Middle of row `i` in pixels. */
export function rowMiddle(i: number, pitch: number): number {
  return (i + 0.5) * pitch;
}

/** Control points of the curve from a query's row at the left to a key's row at the right. */
export function curve(
  query: number,
  key: number,
  pitch: number,
  width: number,
): { y0: number; y1: number; c0: number; c1: number } {
  return {
    y0: rowMiddle(query, pitch),
    y1: rowMiddle(key, pitch),
    c0: width * 0.45,
    c1: width * 0.55,
  };
}

/** Opacity and width in pixels of a line; the scale's top is fully opaque. */
export function stroke(value: number, top: number): { opacity: number; width: number } {
  const share = top > 0 ? Math.min(1, Math.abs(value) / top) : 0;
  return { opacity: 0.08 + 0.92 * share, width: 0.75 + 2.25 * share };
}
