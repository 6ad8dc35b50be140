// What the parts of the token table share: the answers of Python and the reader's choices.
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";

export interface Page {
  index: NdArray;
  names: string[];
  /** `[row][column][word]` */
  words: string[][][];
  sign: NdArray;
  scores: NdArray;
  total: number;
  page: number;
}

export interface Row {
  row: number;
  name: string;
  layer: number;
  unit: number;
  /** `[column][sign][k]` */
  tokens: string[][][];
  probability: NdArray;
  logits: NdArray;
  entropy: NdArray;
}

export interface Points {
  index: NdArray;
  layer: NdArray;
  score: NdArray;
  total: number;
}

export interface Live {
  prompt: string;
  tokens: string[];
  now: number[];
  base: number[];
  own: number;
  sd: number;
  gate: number | null;
  /** Tokens of the prompt in even bins of the activation's `range`. */
  counts: number[];
  range: [number, number];
  highest: [string, number][];
}

/** The columns a list shows side by side: the chosen one, and what is written beside what is read. */
export function shownColumns(view: View): number[] {
  const { columns } = view.spec as unknown as { columns: string[] };
  const chosen = Number(view.state.column ?? 0);
  const last = columns.length - 1;
  return chosen === last ? (last ? [0, last] : [0]) : [chosen, last];
}

/** `0.94`, `0.003`, `< 0.001`: a probability that never looks like zero. */
export function share(p: number): string {
  if (!Number.isFinite(p)) return "";
  if (p >= 0.0995) return p.toFixed(2);
  if (p >= 0.00095) return p.toFixed(3);
  return p > 0 ? "<0.001" : "0";
}
