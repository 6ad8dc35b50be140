// The effects of all targets, now and before the interventions, as the request "tables" gives them.
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import type { ConceptTable } from "./rows.js";

export type Tables = readonly ConceptTable[];

/** One table for each target, out of arrays `[target, concept, layer]`. */
export function readTables(view: View, arrays: Record<string, unknown>): Tables {
  const { concepts, layers, targets } = view.spec;
  const size = concepts.length * layers.length;
  const part = (name: string, t: number) =>
    (arrays[name] as NdArray | undefined)?.data.slice(t * size, (t + 1) * size) as
      | Float32Array
      | undefined;
  return (targets as string[]).map((_, t) => ({
    concepts,
    layers,
    effect: part("effect", t) as Float32Array,
    low: part("low", t),
    high: part("high", t),
    score: part("score", t),
    scoreNull: part("score_null", t),
    p: part("p", t),
    pCorrected: part("p_corrected", t),
    gap: part("gap", t),
    flag: Uint8Array.from(part("flag", t) as unknown as ArrayLike<number>),
  }));
}

/** Current minus base; intervals of a difference are not known. */
export function minus(table: ConceptTable, base: ConceptTable): ConceptTable {
  const effect = table.effect.map((v, i) => v - (base.effect[i] ?? Number.NaN));
  return { ...table, effect, low: undefined, high: undefined };
}
