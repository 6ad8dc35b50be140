// What is drawn now: the edges of the chosen mode, the circuit of the chosen size, and its layout.

import type { NdArray } from "../core/wire.js";
import { type Strokes, strokesOf } from "./curve.js";
import { type Circuit, CircuitGraph, circuitOf, Edges } from "./graph.js";
import { type Layout, layoutGraph, layoutPacked, naturalHeight } from "./layout.js";

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

export type LayoutKind = "columns" | "packed";

export class Scene {
  readonly graph: CircuitGraph;
  edges: Edges;
  circuit: Circuit;
  layout: Layout;
  strokes: Strokes;
  /** Components with edges, and those asked for besides. */
  shown: number[] = [];
  private key = "";

  constructor(forward: readonly string[], backward: readonly string[], list: EdgeList) {
    this.graph = new CircuitGraph(forward, backward);
    this.edges = new Edges(this.graph, list.flat, list.score);
    this.circuit = circuitOf(this.edges, 0);
    this.layout = layoutGraph(this.graph, 640, naturalHeight(this.graph.layers));
    this.strokes = strokesOf(this.edges, this.circuit, this.layout);
  }

  take(list: EdgeList): void {
    this.edges = new Edges(this.graph, list.flat, list.score);
    this.key = "";
  }

  /** Recomputes what depends on these; returns whether something moved or appeared. */
  update(options: {
    size: number;
    connected: boolean;
    kind: LayoutKind;
    width: number;
    height: number;
    /** Components to show even without edges: ablated ones, so that they can be restored. */
    also: readonly number[];
  }): boolean {
    const key = JSON.stringify(options);
    if (key === this.key) return false;
    this.key = key;
    const { size, connected, kind, width, height, also } = options;
    this.circuit = circuitOf(this.edges, size, connected);
    this.shown = [...new Set([...this.circuit.nodes, ...also])].sort((a, b) => a - b);
    this.layout =
      kind === "packed"
        ? layoutPacked(this.graph, this.shown, width, height)
        : layoutGraph(this.graph, width, height);
    this.strokes = strokesOf(this.edges, this.circuit, this.layout);
    return true;
  }

  hidden(): number[] {
    const shown = new Set(this.shown);
    return this.graph.nodes.map((_, i) => i).filter((i) => !shown.has(i));
  }
}
