import { CircuitGraph, Edges } from "../src/circuit/graph.js";

// Two layers of three heads, as interp_widgets/results/graph.py names them.
export function smallGraph(layers = 2, heads = 3): CircuitGraph {
  const forward = ["input"];
  const backward: string[] = [];
  for (let l = 0; l < layers; l++) {
    for (let h = 0; h < heads; h++) forward.push(`a${l}.h${h}`);
    forward.push(`m${l}`);
    for (const port of "qkv") for (let h = 0; h < heads; h++) backward.push(`a${l}.h${h}<${port}>`);
    backward.push(`m${l}`);
  }
  backward.push("logits");
  return new CircuitGraph(forward, backward);
}

export function edgesByName(graph: CircuitGraph, list: [string, string, number][]): Edges {
  const flat = list.map(
    ([from, to]) =>
      graph.forward.indexOf(from) * graph.backward.length + graph.backward.indexOf(to),
  );
  return new Edges(graph, Int32Array.from(flat), Float32Array.from(list.map((e) => e[2])));
}
