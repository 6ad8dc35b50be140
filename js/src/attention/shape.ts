// What the view knows about a result before any pattern has arrived, and how it names things.

import { num, signed, visible } from "../core/dom.js";
import type { Mask } from "./paint.js";

/** The tokens of one prompt: of the keys, and of the queries where those are another text. */
export interface Lengths {
  readonly queries: number;
  readonly keys: number;
  readonly tokens: readonly string[];
  readonly query_tokens: readonly string[] | null;
  readonly masks: readonly Mask[];
}

/** How the patches of an image stand: `extra` tokens first, then row by row. */
export interface Patches {
  readonly extra: number;
  readonly rows: number;
  readonly columns: number;
}

export interface Shape extends Lengths {
  /** The model's numbers of the layers. */
  readonly layers: readonly number[];
  readonly heads: number;
  /** The second prompt. */
  readonly against: Lengths | null;
  /** Side of a thumbnail in cells, how many positions a cell stands for, and whether a row of it
   * is one query. */
  readonly thumb: {
    readonly cells: number;
    readonly pool: number;
    readonly lazy: boolean;
    readonly sampled: boolean;
  };
  /** From this pooling on a row of cells is one query in `pool`, not the largest of them. */
  readonly sample_from: number | null;
  /** Whether all head scores are worked out at once, or only when the reader sorts by one. */
  readonly quick_scores: boolean;
  /** A reader's own score of each head. */
  readonly given: { readonly name: string; readonly values: readonly number[] } | null;
  /** The site of what a head writes: `z`, or `cross_z` in cross-attention. */
  readonly site: string;
  /** Whether weights can be multiplied by the norm of what is written. */
  readonly by_value: boolean;
  /** Whether there are q and k to multiply. */
  readonly products: boolean;
  readonly patches: Patches | null;
}

export type How = "max" | "mean";

/** How cells of a pooling level come about, in words. */
export function poolText(pool: number, how: How, sampled: boolean): string {
  const word = how === "mean" ? "the mean" : "the largest";
  return sampled ? `one query in ${pool}, ${word} of ${pool} keys` : `${word} of ${pool} × ${pool}`;
}

/** Whether a cell of a tile stands for one query in `pool`. */
export function sampledAt(shape: Shape, pool: number): boolean {
  return shape.sample_from !== null && pool >= shape.sample_from;
}

/** What cells of the matrix and of the thumbnails stand for; empty where each is one weight. */
export function pooledText(shape: Shape, pool: number, how: How): string {
  const { thumb } = shape;
  const parts = [
    pool > 1 && `a cell of the matrix is ${poolText(pool, how, sampledAt(shape, pool))}`,
    thumb.pool > 1 && `of a thumbnail ${poolText(thumb.pool, how, thumb.sampled)}`,
  ].filter(Boolean);
  return parts.length ? `${how === "mean" ? "mean" : "max"}-pooled: ${parts.join(", ")}` : "";
}

/** Token strings of the queries. */
export function queryTokens(lengths: Lengths): readonly string[] {
  return lengths.query_tokens ?? lengths.tokens;
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
  lengths: Lengths,
  query: number,
  key: number,
  value: number | undefined,
  difference: boolean,
): string {
  const text = value === undefined ? "…" : difference ? signed(value) : num(value);
  return `${spoken(queryTokens(lengths), query)} → ${spoken(lengths.tokens, key)}: ${text}`;
}

/** `“Mary” (2)`; a very long token is cut. */
export function spoken(tokens: readonly string[], i: number, most = 60): string {
  const text = [...visible(tokens[i] ?? "")];
  const cut = text.length > most ? `${text.slice(0, most - 1).join("")}…` : text.join("");
  return `“${cut}” (${i})`;
}

/** The heads that active interventions ablate, as ids; a whole layer counts all its heads. */
export function ablated(
  shape: Shape,
  interventions: readonly Record<string, unknown>[],
): Set<number> {
  const found = new Set<number>();
  for (const item of interventions) {
    if (item.kind !== "ablate" || item.site !== shape.site || item.on === false) continue;
    if (item.unit != null || item.position != null) continue;
    const heads = item.head == null ? Array.from({ length: shape.heads }, (_, i) => i) : item.head;
    for (const head of Array.isArray(heads) ? heads : [heads]) {
      const id = idOf(shape, Number(item.layer), Number(head));
      if (id >= 0) found.add(id);
    }
  }
  return found;
}
