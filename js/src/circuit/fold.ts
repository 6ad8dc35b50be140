// A graph with some groups folded into one node each; links that become the same are added up.
import { type Circuit, circuitOf, Graph, type GraphNode, Links } from "./graph.js";

export interface Group {
  name: string;
  members: string[];
  collapsed: boolean;
  /** Token position that the class works at. */
  at?: string;
}

export const groupId = (name: string): string => `group:${name}`;

/** Links of a folded graph: each stands for one or more of the links underneath. */
export class Bundles extends Links {
  private at: Map<number, number> | undefined;

  constructor(
    graph: Graph,
    from: Int32Array,
    to: Int32Array,
    port: Uint8Array,
    score: Float32Array,
    readonly under: Links,
    /** Positions in `under`, strongest first. */
    readonly parts: readonly (readonly number[])[],
  ) {
    super(graph, from, to, port, score);
  }

  override flats(edge: number): readonly number[] {
    return (this.parts[edge] ?? []).flatMap((e) => [...this.under.flats(e)]);
  }

  override position(flat: number): number {
    if (!this.at) {
      this.at = new Map();
      for (const [i, part] of this.parts.entries()) for (const e of part) this.at.set(e, i);
    }
    return this.at.get(this.under.position(flat)) ?? -1;
  }
}

export interface Folded {
  graph: Graph;
  links: Links;
  circuit: Circuit;
}

/** Folds groups that have a member; links inside a group disappear. */
export function fold(links: Links, circuit: Circuit, groups: readonly Group[]): Folded {
  const { graph } = links;
  const into = new Map<number, number>();
  const extra: GraphNode[] = [];
  for (const group of groups) {
    const members = group.members.map((id) => graph.find(id)).filter((i) => i >= 0);
    if (!members.length) continue;
    const nodes = members.map((i) => graph.nodes[i] as GraphNode);
    const mean = (of: (n: GraphNode) => number) =>
      nodes.reduce((sum, n) => sum + of(n), 0) / nodes.length;
    for (const i of members) into.set(i, graph.nodes.length + extra.length);
    extra.push({
      id: groupId(group.name),
      kind: "group",
      layer: mean((n) => n.layer),
      head: -1,
      position: mean((n) => n.position ?? 0),
      writes: nodes.some((n) => n.writes),
      reads: nodes.some((n) => n.reads),
      label: group.name,
      name: `${group.name}${group.at ? ` at ${group.at}` : ""}, group of ${members.length}`,
      ...(group.at ? { at: group.at } : {}),
      members,
    });
  }
  if (!extra.length) return { graph, links, circuit };
  const folded = Graph.of([...graph.nodes, ...extra]);
  [folded.layers, folded.heads] = [graph.layers, graph.heads];
  const sums = new Map<string, { from: number; to: number; port: number; parts: number[] }>();
  for (const e of circuit.edges) {
    const a = into.get(links.from[e] as number) ?? (links.from[e] as number);
    const b = into.get(links.to[e] as number) ?? (links.to[e] as number);
    if (a === b) continue;
    const port = links.port[e] as number;
    const key = `${a},${b},${port}`;
    const known = sums.get(key);
    if (known) known.parts.push(e);
    else sums.set(key, { from: a, to: b, port, parts: [e] });
  }
  const score = (parts: number[]) => parts.reduce((s, e) => s + (links.score[e] as number), 0);
  const rows = [...sums.values()]
    .map((row) => ({ ...row, score: score(row.parts) }))
    .sort((a, b) => Math.abs(b.score) - Math.abs(a.score));
  const bundles = new Bundles(
    folded,
    Int32Array.from(rows, (r) => r.from),
    Int32Array.from(rows, (r) => r.to),
    Uint8Array.from(rows, (r) => r.port),
    Float32Array.from(rows, (r) => r.score),
    links,
    rows.map((r) => r.parts),
  );
  const all = circuitOf(bundles, rows.length, false);
  return { graph: folded, links: bundles, circuit: { ...all, asked: circuit.asked } };
}
