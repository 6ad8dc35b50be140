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

export function legendMarks(
  range: RangeInfo,
  slice: Slice,
  steps: { row_step: number; col_step: number },
): string[] {
  const { state } = slice;
  const marks: string[] = [];
  if (range.signed) marks.push("symmetric about zero");
  if (state.scale === "all") marks.push("same scale on every slice");
  if (state.scale === "trim") marks.push("middle 99 %; cells beyond have a marked corner");
  if (range.nan) marks.push(`× ${range.nan.toLocaleString("en")} not a number`);
  if (range.inf) marks.push(`∞ ${range.inf.toLocaleString("en")} infinite`);
  if (steps.row_step * steps.col_step > 1) {
    const how = state.pool === "mean" ? "mean" : range.signed ? "largest magnitude" : "maximum";
    marks.push(`one dot is the ${how} of ${steps.row_step} × ${steps.col_step} cells`);
  }
  return marks;
}
