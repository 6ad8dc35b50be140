import { describe, expect, it } from "vitest";

import { CLOSEST, enlarged, hold, reveal, whole, zoomAt } from "../src/circuit/camera.js";

const world = { width: 800, height: 600 };
const screen = { width: 400, height: 400 };

describe("pan and zoom", () => {
  it("fits the whole graph and does not enlarge a small one", () => {
    expect(whole(world, screen)).toEqual({ scale: 0.5, x: 0, y: 50 });
    expect(whole({ width: 100, height: 80 }, screen)).toEqual({ scale: 1, x: 150, y: 160 });
    expect(whole({ width: 200, height: 80 }, screen, enlarged(1500))).toEqual({
      scale: 1.5,
      x: 50,
      y: 140,
    });
    expect([enlarged(700), enlarged(4000)]).toEqual([1, 2]);
  });

  it("keeps the point under the pointer where it is", () => {
    const before = { scale: 1, x: -200, y: -100 };
    const after = zoomAt(before, 2, 120, 90, world, screen);
    const point = (v: typeof before): number[] => [(120 - v.x) / v.scale, (90 - v.y) / v.scale];
    expect(point(after)).toEqual(point(before));
  });

  it("stops at the whole and at eightfold", () => {
    const start = whole(world, screen);
    expect(zoomAt(start, 0.1, 10, 10, world, screen)).toEqual(start);
    expect(zoomAt(start, 1e6, 10, 10, world, screen).scale).toBe(CLOSEST);
  });

  it("cannot be dragged out of sight", () => {
    expect(hold({ scale: 1, x: 500, y: -900 }, world, screen)).toEqual({ scale: 1, x: 0, y: -200 });
  });

  it("brings a focused node into sight and leaves a visible one alone", () => {
    const view = { scale: 1, x: 0, y: 0 };
    expect(reveal(view, 200, 200, world, screen)).toBe(view);
    expect(reveal(view, 700, 200, world, screen).x).toBe(-348);
  });
});
