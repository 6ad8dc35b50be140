// Nodes, the links between them, and what is left of them at a given size.

export type NodeKind =
  | "input"
  | "head"
  | "mlp"
  | "logits"
  | "other"
  | "feature"
  | "error"
  | "embedding"
  | "logit"
  | "group";
export type Port = "" | "q" | "k" | "v";

export const PORTS: readonly Port[] = ["", "q", "k", "v"];
export const PORT_NAMES: Record<Port, string> = { "": "", q: "query", k: "key", v: "value" };

export interface GraphNode {
  id: string;
  kind: NodeKind;
  /** Row from below: -1 for the input, one above the last layer for the logits. */
  layer: number;
  /** Head index, or -1. */
  head: number;
  writes: boolean;
  reads: boolean;
  /** Token position, where nodes have one. */
  position?: number;
  /** What stands in the drawing and what is read aloud, where the id does not say it. */
  label?: string;
  name?: string;
  /** Nodes inside, for a group. */
  members?: readonly number[];
  /** Token position that a group works at. */
  at?: string;
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
  if (node.label !== undefined) return node.label;
  if (node.kind === "head") return `${node.layer}.${node.head}`;
  if (node.kind === "mlp") return `MLP ${node.layer}`;
  return node.id;
}

/** The word that stands above a dot, and its width in px. */
export function tag(node: GraphNode): string {
  const label = node.label ?? node.id;
  return label.length > 24 ? `${label.slice(0, 23)}…` : label;
}
export const tagWidth = (node: GraphNode): number => 6.8 * tag(node).length;

/** Spoken name: `head 9.6`, `MLP 9`, `input`, `logits`. */
export function spokenLabel(node: GraphNode): string {
  return node.name ?? (node.kind === "head" ? `head ${shortLabel(node)}` : shortLabel(node));
}

export class Graph {
  readonly nodes: GraphNode[] = [];
  layers = 0;
  heads = 0;
  private readonly index = new Map<string, number>();

  /** Position of a node, or -1. */
  find(id: string): number {
    return this.index.get(id) ?? -1;
  }

  protected put(node: GraphNode): number {
    this.nodes.push(node);
    if (!this.index.has(node.id)) this.index.set(node.id, this.nodes.length - 1);
    return this.nodes.length - 1;
  }

  protected measure(): void {
    for (const node of this.nodes) {
      this.layers = Math.max(this.layers, node.layer + 1);
      this.heads = Math.max(this.heads, node.head + 1);
    }
  }

  static of(nodes: readonly GraphNode[]): Graph {
    const graph = new Graph();
    for (const node of nodes) graph.put(node);
    graph.measure();
    return graph;
  }
}

/** The components of a transformer by the names of writers and readers. */
export class CircuitGraph extends Graph {
  readonly writer: Int32Array;
  readonly reader: Int32Array;
  readonly port: Uint8Array;

  constructor(
    readonly forward: readonly string[],
    readonly backward: readonly string[],
  ) {
    super();
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
    this.measure();
    for (const node of this.nodes) if (node.kind === "logits") node.layer = this.layers;
  }

  private add(parsed: ParsedName): number {
    const known = this.find(parsed.id);
    if (known >= 0) return known;
    const { id, kind, layer, head } = parsed;
    return this.put({ id, kind, layer, head, writes: false, reads: false });
  }
}

/** Links between nodes, strongest first. */
export class Links {
  readonly largest: number;

  constructor(
    readonly graph: Graph,
    readonly from: Int32Array,
    readonly to: Int32Array,
    readonly port: Uint8Array,
    readonly score: Float32Array,
  ) {
    let largest = 0;
    for (const x of score) if (Math.abs(x) > largest) largest = Math.abs(x);
    this.largest = largest;
  }

  get length(): number {
    return this.score.length;
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

  /** What the edge is outside of the drawing; several where links of a group are one. */
  flats(edge: number): readonly number[] {
    return [edge];
  }

  /** Place in the order of strength of something that `flats` gave, or -1. */
  position(flat: number): number {
    return flat;
  }
}

/** Edges of a circuit; `flat` is forward · n_backward + backward. */
export class Edges extends Links {
  private readonly at = new Map<number, number>();

  constructor(
    override readonly graph: CircuitGraph,
    readonly flat: Int32Array,
    score: Float32Array,
  ) {
    if (flat.length !== score.length)
      throw new Error(`${flat.length} edges with ${score.length} scores`);
    const n = graph.backward.length;
    const from = new Int32Array(flat.length);
    const to = new Int32Array(flat.length);
    const port = new Uint8Array(flat.length);
    for (let i = 0; i < flat.length; i++) {
      const reader = flat[i]! % n;
      from[i] = graph.writer[(flat[i]! - reader) / n]!;
      to[i] = graph.reader[reader]!;
      port[i] = graph.port[reader]!;
    }
    super(graph, from, to, port, score);
    flat.forEach((f, i) => {
      this.at.set(f, i);
    });
  }

  override flats(edge: number): readonly number[] {
    return [this.flat[edge]!];
  }

  override position(flat: number): number {
    return this.at.get(flat) ?? -1;
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
 * Of these links (or the strongest `wanted`) those on a path from a source (a node that reads
 * nothing) to a sink (a node that writes nothing). With `connected: false` all of them stay.
 */
export function circuitOf(links: Links, wanted: number | Int32Array, connected = true): Circuit {
  const count = typeof wanted === "number" ? Math.max(0, Math.min(wanted, links.length)) : 0;
  const given =
    typeof wanted === "number" ? Int32Array.from({ length: count }, (_, i) => i) : wanted;
  const nodes = links.graph.nodes;
  const ins = new Int32Array(nodes.length);
  const outs = new Int32Array(nodes.length);
  const dropped = new Uint8Array(links.length);
  const incoming = new Map<number, number[]>();
  const outgoing = new Map<number, number[]>();
  const push = (map: Map<number, number[]>, key: number, e: number): void => {
    const list = map.get(key);
    if (list) list.push(e);
    else map.set(key, [e]);
  };
  for (const e of given) {
    outs[links.from[e]!]!++;
    ins[links.to[e]!]!++;
    push(outgoing, links.from[e]!, e);
    push(incoming, links.to[e]!, e);
  }
  if (connected) {
    const dead = (i: number): boolean =>
      ins[i]! + outs[i]! > 0 &&
      ((nodes[i]!.reads && ins[i] === 0) || (nodes[i]!.writes && outs[i] === 0));
    const queue = nodes.map((_, i) => i).filter(dead);
    while (queue.length) {
      const node = queue.pop()!;
      for (const e of [...(incoming.get(node) ?? []), ...(outgoing.get(node) ?? [])]) {
        if (dropped[e]) continue;
        dropped[e] = 1;
        outs[links.from[e]!]!--;
        ins[links.to[e]!]!--;
        const other = links.from[e] === node ? links.to[e]! : links.from[e]!;
        if (dead(other)) queue.push(other);
      }
    }
    for (const map of [incoming, outgoing])
      for (const [node, list] of map) {
        const kept = list.filter((e) => !dropped[e]);
        if (kept.length) map.set(node, kept);
        else map.delete(node);
      }
  }
  const present = nodes.map((_, i) => i).filter((i) => incoming.has(i) || outgoing.has(i));
  const edges = connected ? given.filter((e) => !dropped[e]) : given;
  return { edges, incoming, outgoing, nodes: present, asked: given.length };
}
