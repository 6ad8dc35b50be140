// What the view knows about a result before any pattern has arrived, and how it names things.

import { num, signed, visible } from "../core/dom.js";
import type { Mask } from "./paint.js";

export interface Shape {
  /** The model's numbers of the layers. */
  readonly layers: readonly number[];
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly tokens: readonly string[];
  readonly masks: readonly Mask[];
  /** Side of a thumbnail in cells, and how many positions a cell stands for. */
  readonly thumb: { readonly cells: number; readonly pool: number; readonly lazy: boolean };
  /** From this pooling on a row of cells is one query in `pool`, not the largest of them. */
  readonly sample_from: number | null;
  /** Whether all head scores are worked out at once, or only when the reader sorts by one. */
  readonly quick_scores: boolean;
}

/** How cells of a pooling level come about, in words. */
export function poolText(shape: Shape, pool: number): string {
  const sampled = shape.sample_from !== null && pool >= shape.sample_from;
  return sampled
    ? `one query in ${pool}, the largest of ${pool} keys`
    : `the largest of ${pool} × ${pool}`;
}

/** A head by its place among the layers shown: `id = layer index * heads + head`. */
export function idOf(shape: Shape, layer: number, head: number): number {
  const index = shape.layers.indexOf(layer);
  return index < 0 || head < 0 || head >= shape.heads ? -1 : index * shape.heads + head;
}

export function headOf(shape: Shape, id: number): { layer: number; head: number } {
  return { layer: shape.layers[Math.floor(id / shape.heads)]!, head: id % shape.heads };
}

/** `9.6`, the field's shorthand for head 6 of layer 9. */
export function nameOf(shape: Shape, id: number): string {
  const { layer, head } = headOf(shape, id);
  return `${layer}.${head}`;
}

/** Short label of every token, and whether its text occurs more than once. */
export function tokenNames(
  tokens: readonly string[],
  most = 14,
): { text: string; twice: boolean }[] {
  const count = new Map<string, number>();
  for (const token of tokens) count.set(token, (count.get(token) ?? 0) + 1);
  return tokens.map((token) => {
    const text = [...visible(token)];
    return {
      text: text.length > most ? `${text.slice(0, most - 1).join("")}…` : text.join(""),
      twice: (count.get(token) ?? 0) > 1,
    };
  });
}

/** One entry in words: `“it” (7) → “Mary” (2): 0.53`. */
export function describe(
  tokens: readonly string[],
  query: number,
  key: number,
  value: number | undefined,
  difference: boolean,
): string {
  const name = (i: number): string => `“${visible(tokens[i] ?? "")}” (${i})`;
  const text = value === undefined ? "…" : difference ? signed(value) : num(value);
  return `${name(query)} → ${name(key)}: ${text}`;
}

/** The heads that active interventions ablate, as ids; a whole layer counts all its heads. */
export function ablated(
  shape: Shape,
  interventions: readonly Record<string, unknown>[],
): Set<number> {
  const found = new Set<number>();
  for (const item of interventions) {
    if (item.kind !== "ablate" || item.site !== "z" || item.on === false) continue;
    if (item.unit != null || item.position != null) continue;
    const heads = item.head == null ? Array.from({ length: shape.heads }, (_, i) => i) : item.head;
    for (const head of Array.isArray(heads) ? heads : [heads]) {
      const id = idOf(shape, Number(item.layer), Number(head));
      if (id >= 0) found.add(id);
    }
  }
  return found;
}
