import { describe, expect, it } from "vitest";
import { isMasked, paint, place, type Scale, valueAt } from "../src/attention/paint.js";

const linear: Scale = { low: 0, high: 1, kind: "linear" };
const open = { causal: false, window: null };
const colours = Uint8Array.from({ length: 1024 }, (_, i) => (i % 4 === 3 ? 255 : i >> 2));

describe("the colour scale", () => {
  it("is undone by valueAt, whatever its kind", () => {
    for (const kind of ["linear", "sqrt", "log"] as const)
      for (const value of [0.001, 0.02, 0.3, 1])
        expect(
          valueAt(place(value, { low: 0, high: 1, kind }), { low: 0, high: 1, kind }),
        ).toBeCloseTo(value);
    for (const kind of ["linear", "sqrt"] as const)
      for (const value of [-0.4, 0, 0.1])
        expect(
          valueAt(place(value, { low: -0.4, high: 0.4, kind }), { low: -0.4, high: 0.4, kind }),
        ).toBeCloseTo(value);
  });

  it("has zero in the middle when signed and clips at its ends", () => {
    expect(place(0, { low: -2, high: 2, kind: "sqrt" })).toBe(0.5);
    expect(place(9, { low: -2, high: 2, kind: "linear" })).toBe(1);
    expect(place(-0.1, linear)).toBe(0);
    expect(place(0, { ...linear, kind: "log" })).toBe(0);
  });
});

describe("masks", () => {
  it("leaves the future of a causal head open at every pooling level", () => {
    const causal = { causal: true, window: null };
    expect(isMasked(causal, 3, 4, 1)).toBe(true);
    expect(isMasked(causal, 3, 3, 8)).toBe(false);
  });

  it("marks keys that a sliding window of 4 has left behind, only if the whole cell is", () => {
    const sliding = { causal: true, window: 4 };
    expect(isMasked(sliding, 6, 2, 1)).toBe(true);
    expect(isMasked(sliding, 6, 3, 1)).toBe(false);
    expect(isMasked(sliding, 3, 0, 2)).toBe(true); // queries 6–7, keys 0–1
    expect(isMasked(sliding, 2, 0, 2)).toBe(false); // query 4 still sees key 1
  });
});

describe("painting a tile", () => {
  it("colours values, marks NaN and leaves masked cells transparent", () => {
    const pixels = paint({
      values: [0.2, 0.9, 1, Number.NaN],
      rows: 2,
      columns: 2,
      scale: linear,
      colours,
      mask: { causal: true, window: null },
      pool: 1,
      bad: [7, 8, 9],
    });
    expect([...pixels.slice(0, 4)]).toEqual([51, 51, 51, 255]);
    expect(pixels[7]).toBe(0);
    expect([...pixels.slice(8, 12)]).toEqual([255, 255, 255, 255]);
    expect([...pixels.slice(12)]).toEqual([7, 8, 9, 255]);
  });

  it("knows where in the pattern the tile stands", () => {
    const tile = {
      values: [1, 1],
      rows: 1,
      columns: 2,
      scale: linear,
      colours,
      pool: 1,
      bad: [0, 0, 0] as const,
    };
    const causal = { causal: true, window: null };
    expect(paint({ ...tile, mask: causal, row0: 5, column0: 5 })[7]).toBe(0);
    expect(paint({ ...tile, mask: causal, row0: 6, column0: 5 })[7]).toBe(255);
    expect(paint({ ...tile, mask: open, row0: 5, column0: 5 })[7]).toBe(255);
  });
});
