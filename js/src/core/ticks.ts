// Round numbers along an axis.
import { num } from "./dom.js";

/** Multiples of 1, 2 or 5 times a power of ten between two ends, at most about `about` steps. */
export function ticks(low: number, high: number, about = 5): number[] {
  const span = high - low;
  if (!(span > 0)) return [];
  const rough = (span / Math.max(1, about)) * 0.999;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10);
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    found.push(Number((i * step).toPrecision(12)) || 0);
  }
  return found;
}

/** A tick's number without the zeros that say nothing. */
export function tickText(value: number): string {
  return num(Math.abs(value) < 1e-12 ? 0 : Number(value.toPrecision(6)))
    .replace(/(\.\d*?)0+(e|$)/, "$1$2")
    .replace(/\.(e|$)/, "$1");
}
