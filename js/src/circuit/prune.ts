// Which nodes and links of an attribution graph the thresholds keep (results/attribution_graph.py).
import type { GraphNode, Links } from "./graph.js";

export const fixed = (node: GraphNode): boolean =>
  node.kind === "embedding" || node.kind === "logit";

/** Positions of the kept links: cumulative influence of node and link within the thresholds. */
export function prune(
  links: Links,
  influence: Float32Array,
  share: Float32Array,
  nodeThreshold: number,
  edgeThreshold: number,
  always: ReadonlySet<number>,
): Int32Array {
  const { nodes } = links.graph;
  const keep = nodes.map(
    (node, i) => fixed(node) || always.has(i) || !((influence[i] as number) > nodeThreshold),
  );
  let kept: number[] = [];
  for (let e = 0; e < links.length; e++) {
    if ((share[e] as number) > edgeThreshold) continue;
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
