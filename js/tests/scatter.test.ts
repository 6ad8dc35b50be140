import { describe, expect, it } from "vitest";
import { Axes, inside, nearest, placed } from "../src/scatter/plot.js";
import view from "../src/views/scatter.js";
import { SPEC, settle, words } from "./fake-model.js";
import { press, show } from "./view-harness.js";

const FRAME = { left: 50, top: 10, width: 200, height: 100 };
const POINTS = { x: [0, 1, 2, Number.NaN], y: [0, 5, 10, 3] };

describe("the axes of a scatter", () => {
  const axes = new Axes(POINTS, FRAME);

  it("reach a little beyond the finite points and put large y at the top", () => {
    expect(axes.x[0]).toBeCloseTo(-0.12);
    expect(axes.y[1]).toBeCloseTo(10.6);
    expect(axes.px(1)).toBeCloseTo(150);
    expect(axes.py(10)).toBeLessThan(axes.py(0));
    expect(axes.identity).toEqual([-0.12, 2.12]);
  });

  it("stand for nothing but NaN, and for one value", () => {
    expect(new Axes({ x: [Number.NaN], y: [1] }, FRAME).x).toEqual([-1, 1]);
    const flat = new Axes({ x: [3, 3], y: [0, 0] }, FRAME);
    expect(flat.x).toEqual([0, 6]);
    expect(flat.y).toEqual([-1, 1]);
  });

  it("of a plane have one scale, around the same middle", () => {
    const plane = new Axes(POINTS, FRAME, true);
    const [wide, high] = [plane.px(1) - plane.px(0), plane.py(0) - plane.py(1)];
    expect(wide).toBeCloseTo(high);
    expect(plane.y).toEqual(axes.y);
    expect(plane.px(1)).toBeCloseTo(axes.px(1));
  });

  it("find the point under the pointer, and those inside a lasso", () => {
    expect(nearest(POINTS, axes, { x: axes.px(1) + 4, y: axes.py(5) })).toBe(1);
    expect(nearest(POINTS, axes, { x: axes.px(1) + 40, y: axes.py(5) })).toBeNull();
    const line = [
      { x: 50, y: 60 },
      { x: 260, y: 0 },
      { x: 260, y: 70 },
      { x: 140, y: 70 },
    ];
    expect(inside(POINTS, axes, line)).toEqual([1, 2]);
  });
});

it("names cover neither one another nor a point", () => {
  const at = { x: 100, y: 50 };
  const spots = placed(
    [at, at, at].map((a) => ({ at: a, width: 30 })),
    FRAME,
    12,
    [at],
  );
  expect(spots[0]).toEqual({ x: 108, y: 44 });
  expect(new Set(spots.map((s) => JSON.stringify(s))).size).toBe(3);
});

describe("the scatter in a page", () => {
  const first = {
    points: {
      mode: "current",
      x: { $buffer: 0, dtype: "float32", shape: [4] },
      y: { $buffer: 1, dtype: "float32", shape: [4] },
      cell: { $buffer: 2, dtype: "int32", shape: [4, 2] },
      outliers: [2],
      pearson: 0.5,
      spearman: null,
      count: 3,
    },
  };
  const spec = {
    ...SPEC,
    kind: "scatter",
    dims: ["layer", "head"],
    labels: { layer: ["4", "<script>"] },
    numbers: { layer: [4, -1] },
    selects: { layer: "layer", head: "head" },
    x: { title: "a", quantity: "effect" },
    y: { title: "b", quantity: "effect" },
    first,
    buffers: [
      words([3, 1, 2, Number.NaN], "float32"),
      words([1, 2, 9, 0], "float32"),
      words([0, 0, 0, 1, 0, 2, 1, 0], "int32"),
    ],
  };

  it("walks from left to right, selects with Enter and brushes with Space", async () => {
    const shown = show(view, { spec, state: { brushed: [], labels: 3 } }, { select: () => ({}) });
    await settle();
    expect(shown.root.textContent).toContain("Pearson r 0.500");
    expect(shown.root.textContent).toContain("Spearman ρ undefined");
    expect(shown.root.textContent).toContain("1 not finite");
    const cell = shown.root.querySelector<HTMLElement>("[role=gridcell]")!;
    cell.focus();
    expect(cell.getAttribute("aria-label")).toBe("layer 4, head 1, x 1, y 2");
    press(cell, "ArrowRight");
    expect(cell.getAttribute("aria-label")).toContain("head 2, x 2, y 9");
    press(cell, "Enter");
    await settle();
    expect(shown.model.sent.at(-1).payload).toEqual({ layer: 4, head: 2 });
    press(cell, " ");
    await settle();
    expect(shown.model.get("state").brushed).toEqual([2]);
    press(cell, "Delete");
    await settle();
    expect(shown.model.get("state").brushed).toEqual([]);
    shown.close();
    expect(shown.model.listening).toBe(0);
  });
});
