// A known circuit over the one that is drawn: what both have, what is missed, what is extra.
import type { GraphNode, Links } from "./graph.js";
import type { Scene } from "./scene.js";

export interface ReferenceSpec {
  level: "node" | "edge";
  nodes?: string[];
  flat?: number[];
}

export interface Agreement {
  hits: number;
  extra: number;
  missed: number;
  precision: number;
  recall: number;
}

export class Reference {
  private readonly names: Set<string>;
  private readonly flats: Set<number>;

  constructor(readonly spec: ReferenceSpec) {
    this.names = new Set(spec.nodes ?? []);
    this.flats = new Set(spec.flat ?? []);
  }

  private counts(node: GraphNode): boolean {
    return this.names.has(node.id) || (node.kind !== "input" && node.kind !== "logits");
  }

  /** Whether a node is in both, missed, or extra; "" where edges are compared. */
  ofNode(node: GraphNode, inCircuit: boolean): "" | "hit" | "miss" | "extra" {
    if (this.spec.level !== "node" || node.members || !this.counts(node)) return "";
    if (this.names.has(node.id)) return inCircuit ? "hit" : "miss";
    return inCircuit ? "extra" : "";
  }

  /** Whether an edge is in both, missed or extra; edges of a group are in as soon as one is. */
  ofEdge(links: Links, edge: number): "" | "hit" | "extra" {
    if (this.spec.level !== "edge") return "";
    return links.flats(edge).some((flat) => this.flats.has(flat)) ? "hit" : "extra";
  }

  /** Nodes of the reference that the circuit lacks. */
  missedNodes(scene: Scene): number[] {
    if (this.spec.level !== "node") return [];
    const graph = scene.links.graph;
    return [...this.names].map((name) => graph.find(name)).filter((i) => i >= 0);
  }

  compare(circuit: Scene["circuit"], links: Links): Agreement {
    let hits = 0;
    let extra = 0;
    let all = 0;
    if (this.spec.level === "edge") {
      all = this.flats.size;
      for (const e of circuit.edges) {
        for (const flat of links.flats(e)) {
          if (this.flats.has(flat)) hits++;
          else extra++;
        }
      }
    } else {
      all = this.names.size;
      for (const i of circuit.nodes) {
        const node = links.graph.nodes[i] as GraphNode;
        if (!this.counts(node)) continue;
        if (this.names.has(node.id)) hits++;
        else extra++;
      }
    }
    const precision = hits + extra ? hits / (hits + extra) : Number.NaN;
    return { hits, extra, missed: all - hits, precision, recall: hits / all };
  }
}
