// The array view as lines and bars: where points stand, what is hit, what is hidden, what is asked.
import { describe, expect, it } from "vitest";
import { palettes } from "../src/core/color.js";
import { seriesOf } from "../src/core/series.js";
import { Camera } from "../src/heatmap/camera.js";
import { type HeatmapSpec, Slice } from "../src/heatmap/model.js";
import { Plot, reach, type Shape, spread } from "../src/heatmap/plot.js";
import { settle } from "./fake-model.js";
import { show, small, Z } from "./heatmap-helpers.js";

const NUMBERS = [
  [0, 1, 2, 4],
  [4, Number.NaN, -4, Number.POSITIVE_INFINITY],
];

function plotOf(shape: Shape, hidden = (_r: number, _c: number) => false, rows = 2) {
  const camera = new Camera(1, 4);
  camera.fit(400, 200, 0, 400);
  const value = (r: number, c: number) => NUMBERS[r]?.[c];
  return new Plot(shape, camera, { rows, value, hidden }, [-5, 5]);
}

describe("the value axis", () => {
  it("surrounds the data and its intervals, from zero for bars", () => {
    expect(reach([[0.5, 1]], false)).toEqual([0.47, 1.03]);
    expect(reach([[0.5, 1]], true)).toEqual([0, 1.06]);
    expect(reach([[-2, -1]], true)).toEqual([-2.12, 0]);
    expect(reach([[0.1, 1]], false)[0]).toBe(0);
    const [low, high] = reach(
      [
        [0.8, 0.9],
        [0.7, 0.95],
      ],
      false,
    );
    expect(low).toBeLessThan(0.7);
    expect(high).toBeGreaterThan(0.95);
  });

  it("of nothing finite is still an axis", () => {
    expect(reach([[Infinity, -Infinity]], false)).toEqual([0, 1]);
    const [low, high] = reach([[3, 3]], false);
    expect(low).toBeLessThan(3);
    expect(high).toBeGreaterThan(3);
  });
});

describe("lines", () => {
  it("have a point in the middle of each column, and gaps where there is no number", () => {
    const plot = plotOf("lines");
    expect(plot.box(0, 0)).toEqual({ x: 44, y: 94, width: 12, height: 12 });
    expect(plot.place(1, 2)).toBeCloseTo(180);
    expect(plot.place(1, 1)).toBeNull();
    expect(plot.place(1, 3)).toBeNull();
  });

  it("give the point of a column that is nearest to the pointer", () => {
    const plot = plotOf("lines");
    expect(plot.cellAt(250, 170)).toEqual({ row: 1, col: 2 });
    expect(plot.cellAt(250, 70)).toEqual({ row: 0, col: 2 });
    expect(plot.cellAt(150, 199)).toEqual({ row: 0, col: 1 });
    expect(plot.cellAt(401, 50)).toBeNull();
  });

  it("that are hidden stand where no value can be read from", () => {
    const plot = plotOf("lines", (_row, col) => col === 0);
    expect([plot.place(0, 0), plot.place(1, 0)]).toEqual([50, 150]);
    expect(plot.cellAt(50, 160)).toEqual({ row: 1, col: 0 });
    expect(plot.place(0, 1)).toBeCloseTo(80);
  });
});

describe("bars", () => {
  it("share a column, and negative ones go down from zero", () => {
    const plot = plotOf("groups");
    const [a, b] = [plot.slot(0, 2), plot.slot(1, 2)];
    expect(a.x).toBeGreaterThan(200);
    expect(b.x).toBeCloseTo(a.x + a.width);
    expect(b.x + b.width).toBeLessThan(300);
    expect(plot.bar(b, -4)).toMatchObject({ y: 100, height: 80 });
    expect(plot.bar(a, 2).y).toBeCloseTo(60);
    expect(plot.bar(a, 2).height).toBeCloseTo(40);
    expect(plot.cellAt(b.x + 2, 5)).toEqual({ row: 1, col: 2 });
  });

  it("of names are a list from top to bottom", () => {
    const plot = plotOf("list", undefined, 1);
    expect(plot.slot(0, 3)).toEqual({ x: 0, y: 150, width: 400, height: 50 });
    expect(plot.bar(plot.slot(0, 3), 4)).toMatchObject({ x: 200, width: 160 });
    expect(plot.cellAt(390, 149)).toEqual({ row: 0, col: 2 });
    expect(plot.frame([0, 1], [1, 3])).toEqual({ x: 0, y: 50, width: 400, height: 100 });
  });

  it("over one another are hit at the nearer top", () => {
    expect(plotOf("steps").cellAt(10, 30)).toEqual({ row: 1, col: 0 });
    expect(plotOf("steps").cellAt(10, 95)).toEqual({ row: 0, col: 0 });
  });
});

it("labels at the ends of lines are moved apart in their order", () => {
  expect(spread([10, 11, 100], 14, 200)).toEqual([10, 24, 100]);
  expect(spread([199, 198, 5], 14, 200)).toEqual([193, 179, 7]);
});

it("fifteen rows differ in colour, marker or dash, in both themes", () => {
  for (const palette of [palettes.light, palettes.dark]) {
    const all = Array.from({ length: 15 }, (_, i) => JSON.stringify(seriesOf(i, palette)));
    expect(new Set(all).size).toBe(15);
  }
});

describe("what suits", () => {
  const one = (labels: Record<string, string[]>, names: string[]): HeatmapSpec => {
    return { ...Z, dims: ["x"], sizes: { x: 3 }, labels, names };
  };
  const drawn = (spec: HeatmapSpec, state: object) => new Slice(spec, state, "current").drawn;

  it("is bars for one row of names, lines for one of numbers, cells otherwise", () => {
    expect(drawn(one({ x: ["a", "b", "c"] }, ["x"]), { cols: "x" })).toBe("bars");
    expect(drawn(one({}, []), { cols: "x" })).toBe("lines");
    expect(drawn(one({}, []), { cols: "x", draw: "cells" })).toBe("cells");
    expect(drawn(Z, { rows: "head", cols: "position" })).toBe("cells");
    expect(drawn({ ...Z, draw: "lines" }, { rows: "head", cols: "position" })).toBe("lines");
    expect(drawn({ ...Z, dims: [], sizes: {} }, {})).toBe("cells");
    expect(drawn({ ...Z, cells: "token" }, { draw: "lines" })).toBe("cells");
  });

  it("is cells for more rows than can be told apart, and the control says so", async () => {
    const { el } = show({ spec: { sizes: { ...Z.sizes, head: 16 } }, state: { draw: "lines" } });
    await settle();
    const field = [...el.querySelectorAll("label")].find((l) => l.textContent?.startsWith("Draw"))!;
    expect(field.title).toBe("Lines and bars are for at most 15 rows; there are 16");
    expect(field.querySelector("select")!.disabled).toBe(true);
    expect(field.querySelector("select")!.value).toBe("cells");
  });
});

describe("a view of lines", () => {
  const INTERVALS = {
    dims: ["quantity", "head", "position"],
    sizes: { quantity: 3, head: 2, position: 5 },
    labels: { quantity: ["R²", "R², low", "R², high"], position: Z.labels.position },
    selects: { head: "head", position: "token" },
    draw: "lines",
    targets: [],
  };
  const AT = { at: { quantity: 0 } };

  it("asks for the intervals beside what is shown, and says them", async () => {
    const { el, cell, press, tiles } = show({ spec: INTERVALS, state: AT });
    await settle();
    expect(tiles().map((t) => t.at.quantity)).toEqual([0, 1, 2]);
    expect(el.querySelector(".iw-heatmap-legend")!.textContent).toContain("bands: 95 % intervals");
    expect(el.querySelector(".iw-heatmap-legend")!.textContent).toContain("× 2 not a number");
    cell().focus();
    press("ArrowRight");
    expect(cell().getAttribute("aria-label")).toContain(
      "position 1 “·b”, +1, 95 % interval 1 to 1",
    );
    press("ArrowDown");
    expect(cell().getAttribute("aria-label")).toBe("head 1, position 1 “·b”, NaN");
  });

  it("has no intervals of a difference, and none where an exported page froze the slice", async () => {
    const changed = { ...INTERVALS, changed: true };
    const difference = show({ spec: changed, state: { ...AT, mode: "difference" } });
    await settle();
    expect(difference.tiles().map((t) => [t.mode, t.at.quantity])).toEqual([["difference", 0]]);
    const frozen = show({ spec: { ...INTERVALS, frozen: true }, state: AT });
    await settle();
    expect(frozen.tiles()).toHaveLength(1);
  });

  it("shows the base behind what an intervention changed", async () => {
    const spec = { draw: "bars", changed: true, interventions: [{ kind: "ablate", site: "z" }] };
    const { el, tiles } = show({ spec });
    await settle();
    expect(tiles().map((t) => t.mode)).toEqual(["current", "base"]);
    expect(el.querySelector(".iw-heatmap-legend")!.textContent).toContain("dashed: base");
  });

  it("selects the point that was clicked, as a click on a cell does", async () => {
    const answer = (name: string, payload: unknown) => {
      const found = small(name, payload);
      return { ...found, range: { ...found.range, low: -5, high: 9 } };
    };
    const { model, el } = show({ spec: { draw: "lines" }, answer });
    await settle();
    await new Promise((done) => setTimeout(done, 40));
    const stage = el.querySelector(".iw-heatmap-stage")!;
    const width = Number.parseFloat(el.querySelector<HTMLElement>(".iw-heatmap-plot")!.style.width);
    const at = { clientX: 0.5 * width, clientY: 2, bubbles: true, detail: 1 };
    stage.dispatchEvent(new MouseEvent("click", at));
    await settle();
    expect(el.querySelector("[role=gridcell]")!.getAttribute("aria-colindex")).toBe("3");
    expect(el.querySelector("[role=gridcell]")!.getAttribute("aria-label")).toContain("head 1");
    const [asked] = model.sent.filter((m) => m.name === "select");
    expect(asked.payload).toEqual({ layer: 4, head: 1, token: 2 });
  });

  it("keeps the choice in the state, and brushes whole columns", async () => {
    const { model, el, cell, press } = show();
    await settle();
    const field = [...el.querySelectorAll("label")].find((l) => l.textContent?.startsWith("Draw"))!;
    const choice = field.querySelector("select")!;
    expect(choice.value).toBe("cells");
    choice.value = "bars";
    choice.dispatchEvent(new Event("change"));
    await settle();
    expect(model.get("state").draw).toBe("bars");
    expect(el.querySelector(".iw-toolbar")!.textContent).not.toContain("Edges");
    expect(el.querySelectorAll(".iw-legend-key")).toHaveLength(2);
    cell().focus();
    press("ArrowRight");
    press("ArrowRight", { shiftKey: true });
    await settle();
    expect(model.get("state").brush).toMatchObject({ row: [0, 2], col: [1, 3] });
  });

  it("tells nothing of what is veiled, until it is revealed", async () => {
    const { model, el, cell, press } = show({
      spec: { draw: "lines" },
      state: { predict: true, revealed: [] },
      answer: small,
    });
    await settle();
    cell().focus();
    expect(cell().getAttribute("aria-label")).toBe("head 0, position 0 “·a”, hidden");
    press("Enter");
    await settle();
    expect(model.get("state").revealed).toEqual(["0,0@layer=0"]);
    expect(cell().getAttribute("aria-label")).toContain("position 0 “·a”, 0");
    expect(el.querySelector(".iw-tooltip")!.textContent).not.toContain("9");
  });
});
