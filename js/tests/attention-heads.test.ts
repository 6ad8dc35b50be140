import { describe, expect, it } from "vitest";
import { gridShape, orderHeads } from "../src/attention/heads.js";

describe("the order of heads", () => {
  const scores = { induction: [0.1, 0.9, Number.NaN, 0.9, 0, 0.5], entropy: [3, 1, 2, 0, 5, 4] };

  it("follows the model when sorted by layer, or by a score that is not there yet", () => {
    expect([...orderHeads(6, "layer", scores)]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...orderHeads(6, "first_token", scores)]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("puts the highest score first, ties in model order, NaN last", () => {
    expect([...orderHeads(6, "induction", scores)]).toEqual([1, 3, 5, 0, 4, 2]);
  });

  it("puts the sharpest head first by entropy", () => {
    expect([...orderHeads(6, "entropy", scores)]).toEqual([3, 1, 2, 0, 5, 4]);
  });
});

describe("the shape of the grid", () => {
  it("keeps a layer in one row and fits all its heads", () => {
    const shape = gridShape(4, 9, true, 450);
    expect(shape.columns).toBe(9);
    expect(shape.rows).toBe(4);
    expect(9 * (shape.side + 3) - 3).toBeLessThanOrEqual(450);
  });

  it("stops shrinking at 24 pixels, the smallest target a finger can hit", () => {
    expect(gridShape(4, 32, true, 300).side).toBe(24);
  });

  it("lets sorted heads flow over as many rows as they need", () => {
    const shape = gridShape(4, 9, false, 300);
    expect(shape.columns * (shape.side + 3) - 3).toBeLessThanOrEqual(300);
    expect(shape.rows).toBe(Math.ceil(36 / shape.columns));
  });

  it("has at least one column in a box without width", () => {
    expect(gridShape(2, 3, false, 0).columns).toBe(1);
  });
});
