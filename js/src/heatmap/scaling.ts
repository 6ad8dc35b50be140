// Colour scale and legend of what is shown: which rule made it, and every mark that stands in cells.
import { diverging, type Palette, type Scale, sequential } from "../core/color.js";
import type { RangeInfo } from "./data.js";
import type { Slice } from "./model.js";

const PROBABILITIES = new Set(["probability", "answer_prob"]);

export function scaleOf(palette: Palette, range: RangeInfo, slice: Slice): Scale {
  const { state } = slice;
  const trim = state.scale === "trim";
  const low = trim ? range.trim_low : range.low;
  const high = trim ? range.trim_high : range.high;
  if (range.signed) return diverging(palette, Math.max(Math.abs(low), Math.abs(high)));
  if (PROBABILITIES.has(state.channel ?? "")) return sequential(palette, 0, 1);
  return sequential(palette, low > 0 && low < 0.5 * high ? 0 : low, high);
}

export function poolWord(slice: Slice, signed: boolean): string {
  return slice.state.pool === "mean" ? "mean" : signed ? "largest magnitude" : "maximum";
}

export function legendMarks(
  range: RangeInfo,
  slice: Slice,
  steps: { row_step: number; col_step: number },
): string[] {
  const { state } = slice;
  const marks: string[] = [];
  if (range.signed) marks.push("symmetric about zero; − marks negative cells");
  if (state.scale === "all") marks.push("same scale on every slice");
  if (state.scale === "trim") marks.push("middle 99 %; cells beyond have a marked corner ◥");
  return [...marks, ...countMarks(range, slice, steps)];
}

/** What is no number, and what a dot of an overview is. */
export function countMarks(
  range: RangeInfo,
  slice: Slice,
  steps: { row_step: number; col_step: number },
): string[] {
  const marks: string[] = [];
  const count = (sign: string, n: number | undefined, what: string) => {
    if (n) marks.push(`${sign} ${n.toLocaleString("en")} ${what}`);
  };
  count("×", range.nan, "not a number");
  count("∞", range.inf, "infinite");
  count("−∞", range.minus_inf, "minus infinite");
  count("·", range.masked, "masked");
  if (steps.row_step * steps.col_step > 1) {
    marks.push(
      `one dot is the ${poolWord(slice, range.signed)} of ${steps.row_step} × ${steps.col_step} cells`,
    );
  }
  return marks;
}
