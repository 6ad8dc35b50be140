import { describe, expect, it } from "vitest";
import {
  isFuture,
  labelled,
  pan,
  poolFor,
  reveal,
  TILE,
  tileSpan,
  tilesFor,
  whole,
  zoom,
} from "../src/attention/window.js";

describe("pooling and tiles", () => {
  it("shows a short prompt as it is and pools a long one to the canvas", () => {
    expect(poolFor(whole(15, 15), 560)).toBe(1);
    expect(poolFor(whole(1024, 1024), 560)).toBe(2);
    expect(poolFor(whole(32768, 32768), 560)).toBe(64);
  });

  it("needs no more tiles for 32,768 tokens than for 1,024", () => {
    const many = tilesFor(whole(32768, 32768), 64, 32768, 32768);
    const few = tilesFor(whole(1024, 1024), 2, 1024, 1024);
    expect(many.length).toBe(few.length);
    expect(few.length).toBe(4);
  });

  it("covers a window in the middle, its own tile first", () => {
    const tiles = tilesFor({ q0: 300, q1: 520, k0: 10, k1: 200 }, 1, 1000, 700);
    expect(tiles[0]).toEqual({ pool: 1, row: 1, column: 0 });
    expect(tiles).toHaveLength(2);
  });

  it("stops at the last query and key of a pattern that is not square", () => {
    const last = tilesFor(whole(300, 700), 1, 300, 700).find((t) => t.row === 1 && t.column === 2)!;
    expect(tileSpan(last, 300, 700)).toEqual({ q0: TILE, q1: 300, k0: 2 * TILE, k1: 700 });
  });

  it("knows the tiles that a causal head leaves empty", () => {
    expect(isFuture({ pool: 4, row: 0, column: 1 })).toBe(true);
    expect(isFuture({ pool: 4, row: 1, column: 1 })).toBe(false);
  });
});

describe("moving the window", () => {
  it("keeps the point under the cursor in place when zooming in", () => {
    const w = zoom(whole(100, 60), 2, 40, 30, 100, 60);
    expect((40 - w.q0) / (w.q1 - w.q0)).toBeCloseTo(0.4);
    expect((30 - w.k0) / (w.k1 - w.k0)).toBeCloseTo(0.5);
  });

  it("never leaves the pattern and never shows fewer than four cells", () => {
    let w = whole(100, 60);
    for (let i = 0; i < 20; i++) w = zoom(w, 2, 0, 60, 100, 60);
    expect(w.q1 - w.q0).toBe(4);
    expect(w.q0).toBe(0);
    expect(w.k1).toBe(60);
    for (let i = 0; i < 20; i++) w = zoom(w, 0.5, 3, 58, 100, 60);
    expect(w).toEqual(whole(100, 60));
  });

  it("pans to the edge and no further, and only as far as a focused cell needs", () => {
    const w = { q0: 10, q1: 20, k0: 10, k1: 20 };
    expect(pan(w, -50, 50, 100, 60)).toEqual({ q0: 0, q1: 10, k0: 50, k1: 60 });
    expect(reveal(w, 20, 9, 100, 60)).toEqual({ q0: 11, q1: 21, k0: 9, k1: 19 });
    expect(reveal(w, 15, 15, 100, 60)).toBe(w);
  });
});

describe("labels on an axis", () => {
  it("labels every token when there is room, else at round steps", () => {
    expect(labelled(0, 5, 100, 12)).toEqual([0, 1, 2, 3, 4]);
    expect(labelled(0, 200, 400, 14)).toEqual(Array.from({ length: 20 }, (_, i) => i * 10));
    expect(labelled(33, 73, 200, 14)[0]).toBe(35);
  });
});
