import { describe, expect, it } from "vitest";
import { curve, stroke, strongest } from "../src/attention/lines.js";

// 2 queries, 3 keys
const pattern = Float32Array.from([1, 0, 0, 0.2, 0.005, 0.795]);

describe("lines between tokens", () => {
  it("leaves out what is too weak to see and paints the strongest last", () => {
    const { lines, dropped } = strongest(pattern, 2, 3);
    expect(lines.map((l) => [l.query, l.key])).toEqual([
      [1, 0],
      [1, 2],
      [0, 0],
    ]);
    expect(dropped).toBe(0);
  });

  it("shows one token's lines when it is hovered, as query or as key", () => {
    expect(strongest(pattern, 2, 3, { query: 1, key: null }).lines).toHaveLength(2);
    expect(strongest(pattern, 2, 3, { query: null, key: 0 }).lines).toHaveLength(2);
    expect(strongest(pattern, 2, 3, { query: null, key: 1 }).lines).toHaveLength(0);
  });

  it("drops the weakest above the limit and says how many", () => {
    const { lines, dropped } = strongest(pattern, 2, 3, { query: null, key: null }, 2);
    expect(lines.map((l) => l.value)).toEqual([expect.closeTo(0.795), 1]);
    expect(dropped).toBe(1);
  });

  it("ranks differences by size, whatever their sign", () => {
    const { lines } = strongest([0.1, -0.6], 1, 2);
    expect(lines.at(-1)!.value).toBe(-0.6);
  });

  it("starts and ends in the middle of the rows", () => {
    const c = curve(0, 2, 20, 200);
    expect([c.y0, c.y1]).toEqual([10, 50]);
    expect(stroke(-0.5, 0.5)).toEqual({ opacity: 1, width: 3 });
    expect(stroke(0.1, 0).opacity).toBeCloseTo(0.08);
  });
});
