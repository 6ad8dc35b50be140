// Which nodes and links of an attribution graph the thresholds keep (results/attribution_graph.py).
import type { GraphNode, Links } from "./graph.js";

export const fixed = (node: GraphNode): boolean =>
  node.kind === "embedding" || node.kind === "logit";

/** The cumulative influence up to which things stay: that of the one which crosses the share. */
export function crossing(cumulated: Float32Array, share: number): number {
  let last = Number.POSITIVE_INFINITY;
  if (share < 1) for (const c of cumulated) if (c >= share && c < last) last = c;
  return last;
}

/** Positions of the kept links: the fewest nodes, then links, that reach the thresholds. */
export function prune(
  links: Links,
  influence: Float32Array,
  share: Float32Array,
  nodeThreshold: number,
  edgeThreshold: number,
  always: ReadonlySet<number>,
): Int32Array {
  const { nodes } = links.graph;
  const lastNode = crossing(influence, nodeThreshold);
  const lastLink = crossing(share, edgeThreshold);
  const keep = nodes.map(
    (node, i) => fixed(node) || always.has(i) || !((influence[i] as number) > lastNode),
  );
  let kept: number[] = [];
  for (let e = 0; e < links.length; e++) {
    if ((share[e] as number) > lastLink) continue;
    if (keep[links.from[e] as number] && keep[links.to[e] as number]) kept.push(e);
  }
  for (;;) {
    const out = new Uint8Array(nodes.length);
    const fed = new Uint8Array(nodes.length);
    for (const e of kept) {
      out[links.from[e] as number] = 1;
      fed[links.to[e] as number] = 1;
    }
    let gone = false;
    nodes.forEach((node, i) => {
      if (!keep[i] || fixed(node)) return;
      if (out[i] && (fed[i] || node.kind === "error")) return;
      keep[i] = false;
      gone = true;
    });
    if (!gone) return Int32Array.from(kept);
    kept = kept.filter((e) => keep[links.from[e] as number] && keep[links.to[e] as number]);
  }
}
