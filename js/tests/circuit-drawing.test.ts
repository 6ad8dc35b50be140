import { describe, expect, it } from "vitest";

import { hitEdge, strokesOf, strokeWidth } from "../src/circuit/curve.js";
import { opacity } from "../src/circuit/draw.js";
import { circuitOf } from "../src/circuit/graph.js";
import { layoutGraph, layoutPacked, naturalHeight } from "../src/circuit/layout.js";
import { edgesOf, follow, neighbour } from "../src/circuit/navigate.js";
import { nearestMeasured, positionToSize, sizeToPosition } from "../src/circuit/size.js";
import { sway } from "../src/circuit/sway.js";
import { edgesByName, smallGraph } from "./circuit-helpers.js";

const graph = smallGraph(3, 2);
const edges = edgesByName(graph, [
  ["input", "a0.h1<q>", 5],
  ["a0.h1", "m1", -4],
  ["m1", "logits", 3],
  ["input", "a2.h0<v>", 2],
  ["a2.h0", "logits", 1],
]);
const circuit = circuitOf(edges, 5);
const layout = layoutGraph(graph, 600, naturalHeight(3));
const at = (id: string): number => graph.find(id);

describe("layout", () => {
  it("puts later layers higher and the MLP above the heads it may read", () => {
    const y = (id: string): number => layout.y[at(id)]!;
    expect(y("input")).toBeGreaterThan(y("a0.h0"));
    expect(y("a0.h0")).toBeGreaterThan(y("m0"));
    expect(y("m0")).toBeGreaterThan(y("a1.h0"));
    expect(y("m2")).toBeGreaterThan(y("logits"));
    expect(y("a1.h0")).toBe(y("a1.h1"));
  });

  it("keeps boxes apart and inside, from 320 px to full width", () => {
    const wide = smallGraph(12, 12);
    for (const width of [320, 640, 1400]) {
      const placed = layoutGraph(wide, width, naturalHeight(12));
      for (let h = 1; h < 12; h++) {
        const left = wide.find(`a4.h${h - 1}`);
        const right = wide.find(`a4.h${h}`);
        const free = placed.x[right]! - placed.x[left]! - placed.boxes[right]!;
        expect(free).toBeGreaterThan(3);
      }
      wide.nodes.forEach((_, i) => {
        expect(placed.x[i]! - placed.boxes[i]! / 2).toBeGreaterThanOrEqual(0);
        expect(placed.x[i]! + placed.boxes[i]! / 2).toBeLessThanOrEqual(placed.width);
        expect(placed.y[i]! - placed.boxHeight / 2).toBeGreaterThanOrEqual(0);
        expect(placed.y[i]! + placed.boxHeight / 2).toBeLessThanOrEqual(placed.height);
      });
    }
  });
});

describe("packed layout", () => {
  it("gives rows only to what is shown, and centres them", () => {
    const placed = layoutPacked(graph, circuit.nodes, 600, 400);
    expect(placed.x[at("m0")]).toBeNaN();
    const levels = circuit.nodes.map((i) => placed.y[i]!).sort((a, b) => b - a);
    expect(levels[0]).toBe(placed.y[at("input")]);
    expect(levels.at(-1)).toBe(placed.y[at("logits")]);
    expect(placed.x[at("a0.h1")]).toBe(placed.x[at("logits")]);
    expect(placed.rows.map((r) => r.label)).toEqual(["L0", "L2"]);
  });

  it("draws the circuit of nothing without failing", () => {
    expect(layoutPacked(graph, [], 600, 400).height).toBeGreaterThan(0);
  });
});

describe("edges as curves", () => {
  it("sways from 0 to 1, through the middle half-way", () => {
    expect(sway(0)).toBeCloseTo(0, 6);
    expect(sway(1)).toBeCloseTo(1, 6);
    expect(sway(0.5)).toBeCloseTo(0.5, 4);
    expect(sway(0.25)).toBeLessThan(0.25);
  });

  it("follows the Bézier curve that is drawn", () => {
    for (const t of [0.1, 0.3, 0.62, 0.9]) {
      const r = 1 - t;
      const y = 3 * r * r * t * 0.5 + 3 * r * t * t * 0.5 + t ** 3;
      expect(sway(y)).toBeCloseTo(3 * r * t * t + t ** 3, 3);
    }
  });

  const strokes = strokesOf(edges, circuit, layout);

  it("draws the weakest first, with the width in proportion", () => {
    expect([...strokes.edge]).toEqual([4, 3, 2, 1, 0]);
    expect(strokes.width[4]! / strokes.width[2]!).toBeCloseTo(5 / 3, 5);
    expect([...strokes.negative]).toEqual([0, 0, 0, 1, 0]);
    expect(strokeWidth(1e-9, 5)).toBe(0.5);
    expect(strokeWidth(0, 0)).toBe(0.5);
  });

  it("fades links by what the stronger ones cover, so that ink has a bound", () => {
    expect(strokes.cover[4]).toBe(0);
    expect([...strokes.cover]).toEqual([...strokes.cover].sort((a, b) => b - a));
    const long = Math.hypot(strokes.x1[4]! - strokes.x0[4]!, strokes.y1[4]! - strokes.y0[4]!);
    const one = (strokes.width[4]! * long) / (layout.width * layout.height);
    expect(strokes.cover[3]).toBeCloseTo(one, 6);
    expect(opacity(6, 0)).toBeCloseTo(0.9, 6);
    expect(opacity(0.5, 0)).toBeCloseTo(0.65, 6);
    let ink = 0;
    for (let cover = 0; cover < 2; cover += 0.001) ink += 0.001 * opacity(6, cover);
    expect(ink).toBeGreaterThan(0.3);
    expect(ink).toBeLessThan(0.5);
    expect(opacity(0.5, 100)).toBe(0.02);
  });
});

describe("pointing at an edge", () => {
  const strokes = strokesOf(edges, circuit, layout);

  it("finds each edge on its own path and nothing far from all", () => {
    for (let i = 0; i < strokes.edge.length; i++) {
      const y = strokes.y0[i]! * 0.45 + strokes.y1[i]! * 0.55;
      const x = strokes.x0[i]! + (strokes.x1[i]! - strokes.x0[i]!) * sway(0.55);
      expect(hitEdge(strokes, x, y, 5)).toBe(strokes.edge[i]);
    }
    expect(hitEdge(strokes, 5, 5, 5)).toBe(-1);
  });

  it("does not reach beyond its reach", () => {
    const i = 4;
    const x = strokes.x0[i]!;
    const y = (strokes.y0[i]! + strokes.y1[i]!) / 2;
    const on = x + (strokes.x1[i]! - x) * 0.5;
    expect(hitEdge(strokes, on, y, 4)).toBe(0);
    expect(hitEdge(strokes, on + 60, y, 4)).toBe(-1);
  });
});

describe("arrow keys", () => {
  const shown = circuit.nodes;

  it("walks up and down the layers and stays at the ends", () => {
    let node = at("input");
    const path = [node];
    for (let i = 0; i < 5; i++) path.push((node = neighbour(layout, shown, node, "up")));
    expect(path.map((n) => graph.nodes[n]!.id)).toEqual([
      "input",
      "a0.h1",
      "m1",
      "a2.h0",
      "logits",
      "logits",
    ]);
    expect(neighbour(layout, shown, at("input"), "down")).toBe(at("input"));
  });

  it("walks along a row only", () => {
    const all = graph.nodes.map((_, i) => i);
    expect(neighbour(layout, all, at("a1.h0"), "right")).toBe(at("a1.h1"));
    expect(neighbour(layout, all, at("a1.h0"), "left")).toBe(at("a1.h0"));
  });

  it("follows the strongest edge and lists a node's edges", () => {
    expect(follow(edges, circuit, at("input"), "up")).toBe(at("a0.h1"));
    expect(follow(edges, circuit, at("logits"), "down")).toBe(at("m1"));
    expect(follow(edges, circuit, at("logits"), "up")).toBe(at("logits"));
    expect(edgesOf(circuit, at("m1"))).toEqual([1, 2]);
  });
});

describe("size slider", () => {
  it("runs from ten edges to all on a logarithmic scale", () => {
    expect(positionToSize(0, 32491)).toBe(10);
    expect(positionToSize(1, 32491)).toBe(32491);
    expect(sizeToPosition(200, 32491)).toBeCloseTo(Math.log(20) / Math.log(3249.1), 6);
    for (const size of [10, 50, 200, 1500, 32491])
      expect(positionToSize(sizeToPosition(size, 32491), 32491)).toBe(size);
  });

  it("does not break on graphs smaller than its start", () => {
    expect(positionToSize(0.3, 6)).toBe(6);
    expect(sizeToPosition(3, 6)).toBe(1);
  });

  it("says which measured size it reports", () => {
    const curve = { sizes: [32, 325, 3249], values: [0.4, null, 0.97] };
    expect(nearestMeasured(curve, 32)).toEqual({ size: 32, value: 0.4, exact: true });
    expect(nearestMeasured(curve, 400)).toEqual({ size: 3249, value: 0.97, exact: false });
    expect(nearestMeasured(null, 32)).toBeNull();
    expect(nearestMeasured({ sizes: [3], values: [null] }, 3)).toBeNull();
  });
});
