// Arrow keys on a layered graph.

import type { Circuit, Links } from "./graph.js";
import type { Layout } from "./layout.js";

export type Direction = "up" | "down" | "left" | "right";

/** The shown node an arrow key moves to; the same node when there is none that way. */
export function neighbour(
  layout: Layout,
  shown: readonly number[],
  from: number,
  direction: Direction,
): number {
  const vertical = direction === "up" || direction === "down";
  const sign = direction === "up" || direction === "left" ? -1 : 1;
  const x0 = layout.x[from]!;
  const y0 = layout.y[from]!;
  let best = from;
  let cost = Infinity;
  for (const node of shown) {
    if (node === from) continue;
    const dx = layout.x[node]! - x0;
    const dy = layout.y[node]! - y0;
    const along = sign * (vertical ? dy : dx);
    const across = Math.abs(vertical ? dx : dy);
    if (along <= 0.5 || (!vertical && across > layout.rowPitch * 0.5)) continue;
    const c = vertical ? along * 1000 + across : along + across * 2;
    if (c < cost) {
      cost = c;
      best = node;
    }
  }
  return best;
}

/** Edges of a node as a reader would list them: incoming, then outgoing, strongest first. */
export function edgesOf(circuit: Circuit, node: number): number[] {
  return [...(circuit.incoming.get(node) ?? []), ...(circuit.outgoing.get(node) ?? [])];
}

/** The node at the other end of a node's strongest edge that way; the same node if none. */
export function follow(edges: Links, circuit: Circuit, node: number, way: "up" | "down"): number {
  const list = (way === "up" ? circuit.outgoing : circuit.incoming).get(node);
  if (!list?.length) return node;
  return way === "up" ? edges.to[list[0]!]! : edges.from[list[0]!]!;
}
