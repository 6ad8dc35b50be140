// What is drawn now: the links of the chosen mode, the circuit of the chosen size, its layout.

import type { NdArray } from "../core/wire.js";
import { type Strokes, strokesOf } from "./curve.js";
import { fold, type Group, groupId } from "./fold.js";
import { type Circuit, circuitOf, type Graph, type GraphNode, type Links } from "./graph.js";
import {
  entering,
  type Layout,
  layoutGraph,
  layoutPacked,
  leaving,
  movePlaces,
  placeGroups,
} from "./layout.js";
import { chips, layoutClasses } from "./layout-classes.js";
import { layoutPositions } from "./layout-positions.js";

export interface EdgeList {
  flat: Int32Array;
  score: Float32Array;
}

export function edgeList(payload: { flat: NdArray; score: NdArray }): EdgeList {
  return {
    flat: Int32Array.from(payload.flat.data),
    score: Float32Array.from(payload.score.data),
  };
}

export function join(a: EdgeList, b: EdgeList): EdgeList {
  const flat = new Int32Array(a.flat.length + b.flat.length);
  const score = new Float32Array(flat.length);
  flat.set(a.flat);
  flat.set(b.flat, a.flat.length);
  score.set(a.score);
  score.set(b.score, a.score.length);
  return { flat, score };
}

/** Score of now minus score of before for every edge of either, largest change first. */
export function difference(now: EdgeList, before: EdgeList): EdgeList {
  const change = new Map<number, number>();
  for (const [i, flat] of now.flat.entries()) change.set(flat, now.score[i] as number);
  for (const [i, flat] of before.flat.entries()) {
    change.set(flat, (change.get(flat) ?? 0) - (before.score[i] as number));
  }
  const order = [...change].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]) || a[0] - b[0]);
  return {
    flat: Int32Array.from(order, (e) => e[0]),
    score: Float32Array.from(order, (e) => e[1]),
  };
}

export type LayoutKind = "columns" | "packed" | "classes" | "positions";

export interface SceneOptions {
  /** How many of the strongest links, or which. */
  wanted: number | Int32Array;
  connected: boolean;
  kind: LayoutKind;
  width: number;
  height: number;
  /** Nodes to show even without links. */
  also: readonly number[];
  groups: readonly Group[];
  positions: Readonly<Record<string, readonly [number, number]>>;
  /** Links to draw beside the circuit, for example those of a reference that it misses. */
  beside?: readonly number[];
  /** In the layout of classes: only these and groups. */
  only?: ReadonlySet<number> | undefined;
  /** Names of columns and rows for the layout of positions. */
  tokens?: readonly string[];
  layers?: readonly string[];
}

export class Scene {
  /** The whole graph and its links, as they came. */
  links: Links;
  /** What is drawn: the same with groups folded. */
  edges: Links;
  circuit: Circuit;
  layout: Layout;
  strokes: Strokes;
  /** Nodes with links, and those asked for besides. */
  shown: number[] = [];
  /** Lines of text inside boxes of groups. */
  inside: (node: GraphNode) => readonly string[] = () => [];
  /** The circuit before groups were folded. */
  kept: Circuit;
  private last: Partial<SceneOptions> = {};

  constructor(links: Links) {
    this.links = this.edges = links;
    this.circuit = this.kept = circuitOf(links, 0);
    this.layout = layoutGraph(links.graph, 640, 400);
    this.strokes = strokesOf(this.edges, this.circuit, this.layout);
  }

  get graph(): Graph {
    return this.edges.graph;
  }

  take(links: Links): void {
    this.links = links;
    this.last = {};
  }

  update(options: SceneOptions): void {
    const { wanted, connected, kind, width, height, also, groups, positions, only } = options;
    if (this.last.wanted !== wanted || this.last.connected !== connected)
      this.kept = circuitOf(this.links, wanted, connected);
    this.last = options;
    const classes = kind === "classes";
    let circuit = this.kept;
    if (classes && only) {
      const kept = circuit.edges.filter(
        (e) => only.has(this.links.from[e] as number) && only.has(this.links.to[e] as number),
      );
      circuit = { ...circuitOf(this.links, kept, false), asked: circuit.asked };
    }
    const folded = groups.filter((group) => classes || group.collapsed);
    const drawn = fold(this.links, circuit, folded);
    this.edges = drawn.links;
    this.circuit = drawn.circuit;
    const { graph } = drawn;
    const hidden = new Set(folded.flatMap((g) => g.members.map((id) => graph.find(id))));
    const named = folded.map((group) => graph.find(groupId(group.name)));
    const wish = [...(only && classes ? only : []), ...also, ...named];
    const all = [...new Set([...this.circuit.nodes, ...wish])];
    this.shown = all.filter((i) => i >= 0 && !hidden.has(i)).sort((a, b) => a - b);
    const open = new Set(groups.filter((g) => !g.collapsed).map((g) => groupId(g.name)));
    this.inside = (node) =>
      classes && node.members && open.has(node.id) ? chips(graph, node) : [];
    if (classes) {
      this.layout = layoutClasses(
        graph,
        this.circuit,
        this.edges,
        this.shown,
        this.inside,
        width,
        height,
      );
    } else if (kind === "positions") {
      const { tokens = [], layers = [] } = options;
      const seen = [...this.shown, ...hidden].filter((i) => !graph.nodes[i]?.members);
      this.layout = layoutPositions(graph, seen, tokens, layers, width, height);
    } else if (kind === "packed") {
      const rank = (i: number) => groups.findIndex((g) => g.members.includes(graph.nodes[i]!.id));
      this.layout = layoutPacked(graph, this.shown, width, height, rank);
    } else this.layout = layoutGraph(graph, width, height);
    movePlaces(graph, this.layout, positions);
    placeGroups(graph, this.layout, kind === "packed" ? [] : this.shown);
    if (kind !== "classes") movePlaces(graph, this.layout, positions);
    this.restroke();
  }

  /** Recomputes where links run, after nodes moved. */
  restroke(): void {
    const whole = this.edges === this.links;
    const beside = whole ? (this.last.beside ?? []) : [];
    const edges = beside.length
      ? Int32Array.from([...this.circuit.edges, ...beside])
      : this.circuit.edges;
    this.strokes = strokesOf(this.edges, { ...this.circuit, edges }, this.layout, this.shown);
  }

  /** Moves the ends of some links to where their nodes are now. */
  moveStrokes(edges: ReadonlySet<number>): void {
    const { strokes, layout } = this;
    strokes.edge.forEach((e, i) => {
      if (!edges.has(e)) return;
      if (i > 0 && strokes.edge[i - 1] === e) {
        // Until the node is let go its links run straight, in their first piece.
        strokes.x0[i] = strokes.x1[i]!;
        strokes.y0[i] = strokes.y1[i]!;
        return;
      }
      const [x0, y0] = leaving(layout, this.edges.from[e] as number);
      const [x1, y1] = entering(layout, this.edges.to[e] as number, this.edges.portOf(e));
      [strokes.x0[i], strokes.y0[i], strokes.x1[i], strokes.y1[i]] = [x0, y0, x1, y1];
    });
  }

  /** Nodes of the graph that have a place but are not drawn. */
  hidden(): number[] {
    const shown = new Set(this.shown);
    return this.graph.nodes
      .map((_, i) => i)
      .filter((i) => !shown.has(i) && !this.graph.nodes[i]?.members);
  }

  /** The node of the drawing that a node of the graph is in. */
  holder(node: number): number {
    if (this.shown.includes(node)) return node;
    return this.shown.find((i) => this.graph.nodes[i]?.members?.includes(node)) ?? -1;
  }
}
