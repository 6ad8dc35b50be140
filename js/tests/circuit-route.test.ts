import { describe, expect, it } from "vitest";
import { hitEdge, ROUTED, strokesOf } from "../src/circuit/curve.js";
import { drawEdges } from "../src/circuit/draw.js";
import { circuitOf } from "../src/circuit/graph.js";
import { layoutPacked } from "../src/circuit/layout.js";
import { type Point, type Rect, Router } from "../src/circuit/route.js";
import { Scene } from "../src/circuit/scene.js";
import { edgesByName, smallGraph } from "./circuit-helpers.js";

/** Whether a chain of S-curves comes into a box, by points on it. */
function touches(knots: readonly Point[], box: Rect): boolean {
  return knots.slice(1).some(([xb, yb], i) => {
    const [xa, ya] = knots[i] as Point;
    return Array.from({ length: 61 }, (_, n) => n / 60).some((t) => {
      const r = 1 - t;
      const x = xa * (r ** 3 + 3 * r * r * t) + xb * (3 * r * t * t + t ** 3);
      const y = ya + (yb - ya) * (1.5 * r * t + t ** 3);
      return x > box.x0 && x < box.x1 && y > box.y0 && y < box.y1;
    });
  });
}

const boxes: Rect[] = [];
for (let row = 0; row < 6; row++)
  for (let n = 0; n < 4; n++) {
    const x = 60 + n * 110 + (row % 2) * 45;
    const wide = 20 + ((row * 7 + n * 5) % 24);
    const y = 600 - row * 80;
    boxes.push({ id: boxes.length, x0: x - wide, x1: x + wide, y0: y - 14, y1: y + 14 });
  }

describe("routing", () => {
  const middle = (b: Rect) => (b.x0 + b.x1) / 2;
  const pairs = boxes.flatMap((a) =>
    boxes
      .filter((b) => b.y1 < a.y0 - 80 && (a.id * 3 + b.id) % 4 === 0)
      .map((b) => [a, b] as const),
  );
  const straight = pairs.map(([a, b]): [Point, Point] => [
    [middle(a), a.y0],
    [b.x0 + 8, b.y1],
  ]);
  const bad = (lines: readonly (readonly Point[])[]) =>
    lines.flatMap((knots, i) => {
      const [a, b] = pairs[i]!;
      return boxes.filter((box) => box !== a && box !== b && touches(knots, box));
    });

  it("passes beside every box that a link does not touch", () => {
    expect(bad(straight).length).toBeGreaterThan(20);
    const router = new Router(boxes, 4, 500);
    const routed = straight.map(([a, b], i) =>
      router.route(
        a,
        b,
        pairs[i]!.map((box) => box.id),
      ),
    );
    expect(bad(routed)).toEqual([]);
    expect(routed.map((k) => [k[0], k.at(-1)])).toEqual(straight);
    expect(routed.flat().every(([x]) => x >= 4 && x <= 500)).toBe(true);
    expect(routed.some((k) => k.length === 2)).toBe(true);
  });

  it("keeps the plain curve where there is no way past", () => {
    const wall = { id: 0, x0: 0, x1: 400, y0: 90, y1: 110 };
    const [a, b]: [Point, Point] = [
      [100, 200],
      [300, 0],
    ];
    expect(new Router([wall], 0, 400).route(a, b, [])).toEqual([a, b]);
  });
});

describe("a routed link", () => {
  const graph = smallGraph(3, 1);
  const edges = edgesByName(graph, [
    ["input", "a0.h0<q>", 5],
    ["a0.h0", "a1.h0<q>", 4],
    ["a1.h0", "a2.h0<q>", 3],
    ["a2.h0", "logits", 2],
    ["input", "logits", -1],
  ]);
  const circuit = circuitOf(edges, 5);
  const layout = layoutPacked(graph, circuit.nodes, 600, 400);
  const strokes = strokesOf(edges, circuit, layout);
  const pieces = [...strokes.edge.keys()].filter((i) => strokes.edge[i] === 4);

  it("is several pieces of one line, each of which can be pointed at", () => {
    expect(pieces.length).toBeGreaterThan(2);
    for (const i of pieces.slice(1)) expect(strokes.x0[i]).toBe(strokes.x1[i - 1]);
    for (const i of pieces) {
      const [x, y] = [(strokes.x0[i]! + strokes.x1[i]!) / 2, (strokes.y0[i]! + strokes.y1[i]!) / 2];
      expect(hitEdge(strokes, x, y, 4)).toBe(4);
    }
    const drawn: string[] = [];
    const ctx = new Proxy({} as Record<string, unknown>, {
      get: (at, key) => at[key as string] ?? (() => drawn.push(key as string)),
      set: (at, key, value) => Reflect.set(at, key, value),
    });
    const paint = { positive: "", negative: "", ghost: "", cut: "", faint: "", node: "" };
    drawEdges(ctx as never, strokes, paint, { scale: 1, x: 0, y: 0 });
    expect(drawn.filter((name) => name === "stroke").length).toBe(5);
    expect(drawn.filter((name) => name === "bezierCurveTo").length).toBe(strokes.edge.length);
  });

  it("runs straight while its node is dragged", () => {
    const scene = new Scene(edges);
    scene.update({
      wanted: 5,
      connected: true,
      kind: "packed",
      width: 600,
      height: 400,
      also: [],
      groups: [],
      positions: {},
    });
    const at = graph.find("logits");
    scene.layout.x[at] = 77;
    scene.moveStrokes(new Set([4]));
    const own = [...scene.strokes.edge.keys()].filter((i) => scene.strokes.edge[i] === 4);
    expect(scene.strokes.x1[own[0]!]).toBe(77);
    for (const i of own.slice(1)) expect(scene.strokes.y0[i]).toBe(scene.strokes.y1[i]);
  });

  it("is plain among many", () => {
    const many = smallGraph(12, 12);
    const names = many.nodes.flatMap(({ id }) =>
      [...(id.includes("h") ? "qkv" : "")].map((p) => ["input", `${id}<${p}>`, 1] as const),
    );
    const wide = edgesByName(many, names as never);
    const all = circuitOf(wide, wide.length, false);
    expect(all.edges.length).toBeGreaterThan(ROUTED);
    const drawn = strokesOf(wide, all, layoutPacked(many, all.nodes, 900, 600));
    expect(drawn.edge.length).toBe(all.edges.length);
  });
});
