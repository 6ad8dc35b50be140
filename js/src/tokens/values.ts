// Values on tokens: which range the colours span, how long a bar is, what is largest.
import { num } from "../core/dom.js";

export type Normalisation = "none" | "max" | "sum";

export interface Range {
  readonly low: number;
  readonly high: number;
}

/** Range of the colour scale; symmetric about zero when signed, from zero otherwise. */
export function rangeOf(values: ArrayLike<number>, signed: boolean, from = 0, to = -1): Range {
  const end = to < 0 ? values.length : to;
  let low = Infinity;
  let high = -Infinity;
  for (let i = from; i < end; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return signed ? { low: -1, high: 1 } : { low: 0, high: 1 };
  if (signed) {
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return { low: -most, high: most };
  }
  low = Math.min(low, 0);
  return { low, high: high > low ? high : low + 1 };
}

/** What values are divided by: 1, their largest magnitude, or the sum of their magnitudes. */
export function divisor(values: ArrayLike<number>, how: Normalisation): number {
  if (how === "none") return 1;
  let most = 0;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (!Number.isFinite(size)) continue;
    most = Math.max(most, size);
    sum += size;
  }
  return (how === "max" ? most : sum) || 1;
}

/** How the legend tells of it. */
export function normalised(how: Normalisation, by: number): string {
  if (how === "none") return "";
  const what = how === "max" ? "the largest magnitude" : "the sum of magnitudes";
  return `divided by ${what}, ${num(by)}`;
}

/** Where a bar starts and ends, as shares of the track's width; zero has its place in the range. */
export function bar(value: number, range: Range): { start: number; end: number; zero: number } {
  const span = range.high - range.low || 1;
  const place = (v: number): number => Math.min(1, Math.max(0, (v - range.low) / span));
  const zero = place(0);
  if (!Number.isFinite(value)) return { start: zero, end: zero, zero };
  const at = place(value);
  return { start: Math.min(zero, at), end: Math.max(zero, at), zero };
}

/** Share of the range's top that a value's magnitude has, 0 to 1; NaN counts as nothing. */
export function share(value: number, range: Range): number {
  if (!Number.isFinite(value)) return 0;
  const top = Math.max(Math.abs(range.low), Math.abs(range.high)) || 1;
  return Math.min(1, Math.abs(value) / top);
}

/** Positions by magnitude, largest first, NaN last; ties stay in reading order. */
export function byMagnitude(values: ArrayLike<number>): Int32Array {
  const key = (i: number): number => (Number.isNaN(values[i]!) ? -1 : Math.abs(values[i]!));
  return Int32Array.from({ length: values.length }, (_, i) => i).sort(
    (a, b) => key(b) - key(a) || a - b,
  );
}

/** Sum of the finite values, and how many are not finite. */
export function total(values: ArrayLike<number>): { sum: number; missing: number } {
  let sum = 0;
  let missing = 0;
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i]!)) sum += values[i]!;
    else missing += 1;
  }
  return { sum, missing };
}
