// The component graph: which writer feeds which reader, and what is left of it at a given size.

export type NodeKind = "input" | "head" | "mlp" | "logits" | "other";
export type Port = "" | "q" | "k" | "v";

export const PORTS: readonly Port[] = ["", "q", "k", "v"];
export const PORT_NAMES: Record<Port, string> = { "": "", q: "query", k: "key", v: "value" };

export interface GraphNode {
  id: string;
  kind: NodeKind;
  /** -1 for the input, one above the last layer for the logits. */
  layer: number;
  /** Head index, or -1. */
  head: number;
  writes: boolean;
  reads: boolean;
}

export interface ParsedName {
  id: string;
  kind: NodeKind;
  layer: number;
  head: number;
  port: Port;
}

/** Reads `input`, `a9.h6`, `a9.h6<q>`, `m9`, `logits`; anything else stands for itself. */
export function parseName(name: string): ParsedName {
  const head = /^a(\d+)\.h(\d+)(?:<([qkv])>)?$/.exec(name);
  if (head) {
    const [, layer, index, port] = head;
    return {
      id: `a${layer}.h${index}`,
      kind: "head",
      layer: Number(layer),
      head: Number(index),
      port: (port ?? "") as Port,
    };
  }
  const mlp = /^m(\d+)$/.exec(name);
  if (mlp) return { id: name, kind: "mlp", layer: Number(mlp[1]), head: -1, port: "" };
  if (name === "input" || name === "logits")
    return { id: name, kind: name, layer: -1, head: -1, port: "" };
  return { id: name, kind: "other", layer: -1, head: -1, port: "" };
}

/** Short label in a drawing: `9.6`, `MLP 9`, `input`, `logits`. */
export function shortLabel(node: GraphNode): string {
  if (node.kind === "head") return `${node.layer}.${node.head}`;
  if (node.kind === "mlp") return `MLP ${node.layer}`;
  return node.id;
}

/** Spoken name: `head 9.6`, `MLP 9`, `input`, `logits`. */
export function spokenLabel(node: GraphNode): string {
  return node.kind === "head" ? `head ${shortLabel(node)}` : shortLabel(node);
}

export class CircuitGraph {
  readonly nodes: GraphNode[] = [];
  readonly writer: Int32Array;
  readonly reader: Int32Array;
  readonly port: Uint8Array;
  readonly layers: number;
  readonly heads: number;
  private readonly index = new Map<string, number>();

  constructor(
    readonly forward: readonly string[],
    readonly backward: readonly string[],
  ) {
    this.writer = new Int32Array(forward.length);
    this.reader = new Int32Array(backward.length);
    this.port = new Uint8Array(backward.length);
    forward.forEach((name, i) => {
      this.writer[i] = this.add(parseName(name));
      this.nodes[this.writer[i]!]!.writes = true;
    });
    backward.forEach((name, i) => {
      const parsed = parseName(name);
      this.reader[i] = this.add(parsed);
      this.port[i] = PORTS.indexOf(parsed.port);
      this.nodes[this.reader[i]!]!.reads = true;
    });
    this.layers = 1 + Math.max(-1, ...this.nodes.map((n) => n.layer));
    this.heads = 1 + Math.max(-1, ...this.nodes.map((n) => n.head));
    for (const node of this.nodes) if (node.kind === "logits") node.layer = this.layers;
  }

  find(id: string): number {
    return this.index.get(id) ?? -1;
  }

  private add(parsed: ParsedName): number {
    const known = this.index.get(parsed.id);
    if (known !== undefined) return known;
    const { id, kind, layer, head } = parsed;
    this.nodes.push({ id, kind, layer, head, writes: false, reads: false });
    this.index.set(id, this.nodes.length - 1);
    return this.nodes.length - 1;
  }
}

/** Edges, strongest first; `flat` is forward · n_backward + backward. */
export class Edges {
  readonly from: Int32Array;
  readonly to: Int32Array;
  readonly port: Uint8Array;
  readonly largest: number;
  private readonly at = new Map<number, number>();

  constructor(
    readonly graph: CircuitGraph,
    readonly flat: Int32Array,
    readonly score: Float32Array,
  ) {
    if (flat.length !== score.length)
      throw new Error(`${flat.length} edges with ${score.length} scores`);
    const n = graph.backward.length;
    this.from = new Int32Array(flat.length);
    this.to = new Int32Array(flat.length);
    this.port = new Uint8Array(flat.length);
    let largest = 0;
    for (let i = 0; i < flat.length; i++) {
      const reader = flat[i]! % n;
      this.from[i] = graph.writer[(flat[i]! - reader) / n]!;
      this.to[i] = graph.reader[reader]!;
      this.port[i] = graph.port[reader]!;
      this.at.set(flat[i]!, i);
      if (Math.abs(score[i]!) > largest) largest = Math.abs(score[i]!);
    }
    this.largest = largest;
  }

  get length(): number {
    return this.flat.length;
  }

  /** Position of an edge in the order of strength, or -1. */
  position(flat: number): number {
    return this.at.get(flat) ?? -1;
  }

  portOf(edge: number): Port {
    return PORTS[this.port[edge]!]!;
  }

  /** `MLP 0 → 9.6 query`. */
  label(edge: number): string {
    const nodes = this.graph.nodes;
    const port = PORT_NAMES[this.portOf(edge)];
    const ends = `${shortLabel(nodes[this.from[edge]!]!)} → ${shortLabel(nodes[this.to[edge]!]!)}`;
    return port ? `${ends} ${port}` : ends;
  }
}

export interface Circuit {
  /** Positions in `Edges`, strongest first. */
  edges: Int32Array;
  incoming: Map<number, number[]>;
  outgoing: Map<number, number[]>;
  /** Nodes with at least one edge, in the graph's order. */
  nodes: number[];
  /** How many of the strongest edges were asked for. */
  asked: number;
}

/**
 * The strongest `count` edges that lie on a path from a source (a node that reads nothing) to a
 * sink (a node that writes nothing). With `connected: false` all of them stay.
 */
export function circuitOf(edges: Edges, count: number, connected = true): Circuit {
  const asked = Math.max(0, Math.min(count, edges.length));
  const nodes = edges.graph.nodes;
  const ins = new Int32Array(nodes.length);
  const outs = new Int32Array(nodes.length);
  const alive = new Uint8Array(asked).fill(1);
  const touching: number[][] = nodes.map(() => []);
  for (let e = 0; e < asked; e++) {
    outs[edges.from[e]!]!++;
    ins[edges.to[e]!]!++;
    touching[edges.from[e]!]!.push(e);
    touching[edges.to[e]!]!.push(e);
  }
  if (connected) {
    const dead = (i: number): boolean =>
      ins[i]! + outs[i]! > 0 &&
      ((nodes[i]!.reads && ins[i] === 0) || (nodes[i]!.writes && outs[i] === 0));
    const queue = nodes.map((_, i) => i).filter(dead);
    while (queue.length) {
      const node = queue.pop()!;
      for (const e of touching[node]!) {
        if (!alive[e]) continue;
        alive[e] = 0;
        outs[edges.from[e]!]!--;
        ins[edges.to[e]!]!--;
        const other = edges.from[e] === node ? edges.to[e]! : edges.from[e]!;
        if (dead(other)) queue.push(other);
      }
    }
  }
  const kept: number[] = [];
  const incoming = new Map<number, number[]>();
  const outgoing = new Map<number, number[]>();
  const push = (map: Map<number, number[]>, key: number, e: number): void => {
    const list = map.get(key);
    if (list) list.push(e);
    else map.set(key, [e]);
  };
  for (let e = 0; e < asked; e++) {
    if (!alive[e]) continue;
    kept.push(e);
    push(outgoing, edges.from[e]!, e);
    push(incoming, edges.to[e]!, e);
  }
  const present = nodes.map((_, i) => i).filter((i) => incoming.has(i) || outgoing.has(i));
  return { edges: Int32Array.from(kept), incoming, outgoing, nodes: present, asked };
}
