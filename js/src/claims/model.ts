// What Python says of claims and of a judged circuit.
import type { NdArray } from "../core/wire.js";

export interface TestRow {
  lamp: "F" | "R" | "P";
  name: string;
  wanted: string;
  value: number | null;
  low: number | null;
  high: number | null;
  p: number | null;
  passed: boolean | null;
  reading: string;
}

export interface Card {
  statement: string;
  kind: string;
  model: string;
  mechanism: string;
  prediction: string;
  metric: string;
  effect: "drops" | "rises" | "stays";
  minimum: number;
  threshold: number;
  cause: boolean;
  registered: string;
  hash?: string;
  revises?: string | null;
  lamps: Record<"F" | "R" | "P", boolean | null>;
  status: string;
  rows: TestRow[];
  value?: number;
  null?: string;
  snapshot?: { accuracy: number; low: number; high: number; confidence: number };
  timeline?: { at: string; what: string; words: string; hash: string }[];
  runs: number;
  can_test: boolean;
  can_change: boolean;
}

export interface Numbers {
  null?: NdArray;
  score?: NdArray;
  margin?: NdArray;
  calibration: [number, number, number][];
}

export const LAMPS = ["F", "R", "P"] as const;

/** A state in a word and a sign, so that no colour stands alone. */
export function stateOf(passed: boolean | null): { word: string; sign: string; cls: string } {
  if (passed === null) return { word: "untested", sign: "○", cls: "iw-cl-untested" };
  return passed
    ? { word: "passed", sign: "✓", cls: "iw-cl-passed" }
    : { word: "failed", sign: "✕", cls: "iw-cl-failed" };
}

/** `0.43 (0.35 to 0.51)`. */
export function valueText(
  row: { value: number | null; low: number | null; high: number | null },
  num: (x: number) => string,
): string {
  if (row.value === null) return "";
  const limits = row.low === null || row.high === null;
  return limits
    ? num(row.value)
    : `${num(row.value)} (${num(row.low as number)} to ${num(row.high as number)})`;
}

export function round(x: number): string {
  const text = Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}
