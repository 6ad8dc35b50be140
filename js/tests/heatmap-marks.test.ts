// What a reader marks and leaves behind in the heatmap: brush, outline, bars, veil, zoom, a fling.
import { describe, expect, it } from "vitest";
import { settle, words } from "./fake-model.js";
import { show, small } from "./heatmap-helpers.js";

const REST = 100;
const LONG = { dims: ["position", "unit"], sizes: { position: 4, unit: 6000 }, labels: {} };
const ALONG = { rows: "position", cols: "unit", at: {} };

const text = (el: Element, selector: string) => el.querySelector(selector)?.textContent ?? "";

describe("a brush", () => {
  it("grows with Shift and the arrows, says its mean, and goes with Delete", async () => {
    const { model, el, cell, press } = show();
    await settle();
    cell().focus();
    press("ArrowRight");
    press("ArrowDown", { shiftKey: true });
    press("ArrowRight", { shiftKey: true });
    await settle();
    const brush = { rows: "head", cols: "position", row: [0, 2], col: [1, 3] };
    expect(model.get("state").brush).toEqual(brush);
    const said = text(el, ".iw-heatmap-brush");
    expect(said).toContain("head 0 to 1, position 1 to 2: 4 cells, mean 3.33, from 1 to 7");
    expect(said).toContain("1 cell not finite");
    expect(model.sent.filter((m) => m.name === "brush")).toEqual([]);
    press("Delete");
    await settle();
    expect(model.get("state").brush).toBeNull();
    expect(el.querySelector<HTMLElement>(".iw-heatmap-brush")!.hidden).toBe(true);
  });

  it("asks Python where the browser holds no exact values", async () => {
    const facts = { count: 40, finite: 39, mean: 0.25, low: 0, high: 1 };
    const { model, el } = show({
      spec: LONG,
      state: { ...ALONG, brush: { rows: "position", cols: "unit", row: [1, 3], col: [0, 20] } },
      answer: null,
    });
    await settle();
    const [asked] = model.sent.filter((m) => m.name === "brush");
    expect(asked.payload).toMatchObject({ brush_rows: [1, 3], brush_cols: [0, 20] });
    model.respond({ id: asked.id, ok: true, payload: facts });
    await settle();
    expect(text(el, ".iw-heatmap-brush")).toContain("40 cells, mean 0.250, from 0 to 1");
  });

  it("of other axes is not this slice's", async () => {
    const brush = { rows: "layer", cols: "position", row: [0, 1], col: [0, 1] };
    const { el } = show({ state: { brush } });
    await settle();
    expect(el.querySelector<HTMLElement>(".iw-heatmap-brush")!.hidden).toBe(true);
  });
});

describe("an outline", () => {
  it("is set and taken away with o, spoken, and counted in the legend", async () => {
    const { model, el, cell, press } = show();
    await settle();
    cell().focus();
    press("ArrowDown");
    press("o");
    await settle();
    expect(model.get("state").outline).toEqual([[0, 1, 0]]);
    expect(cell().getAttribute("aria-label")).toBe("head 1, position 0 “·a”, −5, outlined");
    expect(text(el, ".iw-heatmap-legend")).toContain("□ 1 cell outlined");
    press("o");
    await settle();
    expect(model.get("state").outline).toEqual([]);
    expect(text(el, ".iw-heatmap-legend")).not.toContain("outlined");
  });

  it("of a brushed rectangle takes every cell of it, in this slice only", async () => {
    const brush = { rows: "head", cols: "position", row: [0, 2], col: [3, 5] };
    const { model, el } = show({ state: { at: { layer: 2 } } });
    await settle();
    model.set("state", { ...model.get("state"), brush });
    await settle();
    [...el.querySelectorAll("button")].find((b) => b.textContent === "Outline")!.click();
    await settle();
    expect(model.get("state").outline).toHaveLength(4);
    expect(model.get("state").outline).toContainEqual([2, 1, 4]);
    expect(text(el, ".iw-heatmap-legend")).toContain("4 cells outlined");
    model.set("state", { ...model.get("state"), at: { layer: 0 } });
    await settle();
    expect(text(el, ".iw-heatmap-legend")).not.toContain("outlined");
  });
});

describe("bars at the edges", () => {
  it("are asked for once, spoken after the cell, and again for another slice", async () => {
    const { model, cell, press } = show({
      state: { bars: "mean" },
      answer: (name, payload) => {
        const of = (n: number) => ({ $buffer: n - 2 ? 1 : 0, dtype: "float32", shape: [n] });
        const $buffers = [words([2, 4], "float32"), words([1, 2, 3, 4, 5], "float32")];
        return name === "bars" ? { rows: of(2), cols: of(5), $buffers } : small(name, payload);
      },
    });
    await settle();
    const bars = () => model.sent.filter((m) => m.name === "bars").map((m) => m.payload);
    expect(bars()).toEqual([
      { rows: "head", cols: "position", at: { layer: 0 }, mode: "current", how: "mean" },
    ]);
    cell().focus();
    press("ArrowDown");
    expect(cell().getAttribute("aria-label")).toContain("mean of the row 4, mean of the column 1");
    press("]");
    await settle();
    expect(bars().map((p) => p.at.layer)).toEqual([0, 1]);
  });
});

describe("a veil", () => {
  it("hides numbers everywhere, and Enter shows one cell of one slice", async () => {
    const brush = { rows: "head", cols: "position", row: [0, 2], col: [0, 5] };
    const { model, el, cell, press } = show({
      state: { predict: true, revealed: [], brush },
    });
    await settle();
    cell().focus();
    press("ArrowDown");
    await settle();
    expect(cell().getAttribute("aria-label")).toBe("head 1, position 0 “·a”, hidden");
    expect(text(el, ".iw-tooltip")).toContain("hidden");
    for (const place of [".iw-tooltip", ".iw-readout", ".iw-heatmap-brush", "[aria-live]"])
      expect(text(el, place)).not.toContain("−5");
    expect(text(el, ".iw-heatmap-brush")).toMatch(/: hidden/);
    press("Enter");
    await settle();
    expect(model.get("state").revealed).toEqual(["1,0@layer=0"]);
    expect(model.sent.some((m) => m.name === "select")).toBe(false);
    expect(cell().getAttribute("aria-label")).toContain("−5");
    press("]");
    await settle();
    expect(cell().getAttribute("aria-label")).toContain("hidden");
  });
});

describe("the zoom", () => {
  it("rests in the state as rows and columns, comes back from it, and is let go with 0", async () => {
    const { model, cell, press } = show({ spec: LONG, state: ALONG, answer: null });
    await settle();
    cell().focus();
    press("+");
    press("+");
    expect(model.get("state").window ?? null).toBeNull();
    await settle(REST);
    const { col } = model.get("state").window;
    expect(col[1] - col[0]).toBeCloseTo(6000 / 2.25, 0);
    press("0");
    await settle(REST);
    expect(model.get("state").window).toBeNull();
    const before = model.sent.length;
    model.set("state", { ...model.get("state"), window: { row: [0, 4], col: [5000, 5100] } });
    await settle();
    const asked = model.sent.slice(before).filter((m) => m.name === "tile");
    expect(asked.map((m) => m.payload)).toMatchObject([{ row: 0, col: 19, col_step: 1 }]);
  });

  it("asks only where a fling comes to rest, and cancels what has left the screen", async () => {
    const window = { row: [0, 4], col: [0, 200] };
    const { model, cell, press, tiles } = show({
      spec: LONG,
      state: { ...ALONG, window },
      answer: null,
    });
    await settle();
    expect(tiles().map((t) => t.col)).toEqual([0]);
    cell().focus();
    for (let i = 0; i < 20; i++) press("PageDown");
    for (let i = 0; i < 40; i++) press("ArrowRight");
    expect(tiles()).toHaveLength(1);
    press("End");
    await settle(REST);
    const [first] = model.sent.filter((m) => m.name === "tile");
    expect(model.sent.filter((m) => m.kind === "cancel").map((m) => m.id)).toEqual([first.id]);
    expect(tiles().map((t) => t.col)).toEqual([0, 22, 23]);
    model.respond({ id: first.id, ok: true, payload: {} });
    await settle();
    expect(tiles()).toHaveLength(3);
  });
});
