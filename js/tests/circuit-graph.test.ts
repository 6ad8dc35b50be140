import { describe, expect, it } from "vitest";

import { circuitOf, Edges, parseName } from "../src/circuit/graph.js";
import { edgesByName, smallGraph } from "./circuit-helpers.js";

describe("names", () => {
  it("reads heads, ports and MLPs, and lets others stand for themselves", () => {
    expect(parseName("a10.h7<v>")).toEqual({
      id: "a10.h7",
      kind: "head",
      layer: 10,
      head: 7,
      port: "v",
    });
    expect(parseName("m3")).toMatchObject({ kind: "mlp", layer: 3, port: "" });
    expect(parseName("<script>")).toMatchObject({ id: "<script>", kind: "other" });
  });

  it("joins the three inputs of a head and its output into one node", () => {
    const graph = smallGraph();
    expect(graph.nodes.length).toBe(1 + 2 * 4 + 1);
    const head = graph.nodes[graph.find("a1.h2")]!;
    expect(head).toMatchObject({ writes: true, reads: true, layer: 1, head: 2 });
    expect(graph.nodes[graph.find("logits")]).toMatchObject({ writes: false, layer: 2 });
    expect([graph.layers, graph.heads]).toEqual([2, 3]);
  });
});

describe("edges", () => {
  const graph = smallGraph();
  const edges = edgesByName(graph, [
    ["input", "a0.h1<q>", -3],
    ["a0.h1", "m1", 2],
    ["m1", "logits", 1],
  ]);

  it("names the ends and the port", () => {
    expect(edges.label(0)).toBe("input → 0.1 query");
    expect(edges.label(2)).toBe("MLP 1 → logits");
    expect(edges.largest).toBe(3);
    expect(edges.position(edges.flat[1]!)).toBe(1);
  });

  it("refuses scores that do not fit", () => {
    expect(() => new Edges(graph, new Int32Array(2), new Float32Array(3))).toThrow(/2 edges/);
  });
});

describe("circuit of a size", () => {
  const graph = smallGraph();
  const edges = edgesByName(graph, [
    ["input", "a0.h1<q>", 5],
    ["a0.h1", "m1", 4],
    ["m1", "logits", 3],
    ["a0.h2", "a1.h0<k>", 2.5], // nothing feeds 0.2 and nothing reads 1.0
    ["input", "m0", 2], // nothing reads MLP 0
    ["input", "a0.h2<v>", 1],
    ["a1.h0", "logits", 0.5],
  ]);

  it("keeps only edges on a path from the input to the logits", () => {
    expect([...circuitOf(edges, 5).edges]).toEqual([0, 1, 2]);
    expect([...circuitOf(edges, 5, false).edges]).toEqual([0, 1, 2, 3, 4]);
  });

  it("brings a path back when its missing links come in", () => {
    const whole = circuitOf(edges, 7);
    expect([...whole.edges]).toEqual([0, 1, 2, 3, 5, 6]);
    expect(whole.incoming.get(graph.find("logits"))).toEqual([2, 6]);
    expect(whole.outgoing.get(graph.find("input"))).toEqual([0, 5]);
    expect(whole.nodes).not.toContain(graph.find("m0"));
  });

  it("falls apart when the last link is missing", () => {
    expect(circuitOf(edges, 2).edges.length).toBe(0);
    expect(circuitOf(edges, -4).edges.length).toBe(0);
    expect(circuitOf(edges, 99).asked).toBe(7);
  });

  it("agrees with repeated sweeps on a random graph", () => {
    const big = smallGraph(5, 4);
    let seed = 7;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    const all: [string, string, number][] = [];
    const layerOf = (name: string): number => (name === "input" ? -1 : parseName(name).layer);
    for (const from of big.forward)
      for (const to of big.backward) {
        const reads = to === "logits" ? 99 : parseName(to).layer + (to.startsWith("m") ? 0.5 : 0);
        const writes = layerOf(from) + (from.startsWith("m") ? 0.5 : 0);
        if (writes < reads && random() < 0.05) all.push([from, to, random()]);
      }
    all.sort((a, b) => b[2] - a[2]);
    const random_edges = edgesByName(big, all);
    const pruned = circuitOf(random_edges, all.length);
    let kept = all.map(([from, to], i) => ({ from, to: to.replace(/<.>/, ""), i }));
    for (let before = -1; before !== kept.length; ) {
      before = kept.length;
      kept = kept.filter(
        (e) =>
          (e.from === "input" || kept.some((o) => o.to === e.from)) &&
          (e.to === "logits" || kept.some((o) => o.from === e.to)),
      );
    }
    expect(kept.length).toBeGreaterThan(5);
    expect(kept.length).toBeLessThan(all.length);
    expect([...pruned.edges]).toEqual(kept.map((e) => e.i));
  });
});
