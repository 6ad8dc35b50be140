import { describe, expect, it } from "vitest";
import { diverging, palettes, sequential } from "../src/core/color.js";
import { NOTHING } from "../src/core/selection.js";
import { Camera } from "../src/heatmap/camera.js";
import { axisLabel, entry, thin } from "../src/heatmap/labels.js";
import { type HeatmapSpec, Slice } from "../src/heatmap/model.js";
import { short } from "../src/heatmap/paint.js";
import { settle } from "./fake-model.js";
import { show, Z } from "./heatmap-helpers.js";

const LENS: HeatmapSpec = {
  ...Z,
  cells: "token",
  dims: ["layer", "position"],
  sizes: { layer: 3, position: 2 },
  labels: { layer: ["embed", "0", "1"], position: [" a", " b"] },
  numbers: { layer: [-1, 0, 1] },
  targets: [],
  sites: ["resid_pre.0", "resid_post.0", "resid_post.1"],
  flip: true,
};

describe("the camera", () => {
  it("asks for whole tiles while cells are larger than pixels", () => {
    const camera = new Camera(3, 600);
    camera.fit(1200, 60, 0, 50);
    expect(camera.tiles(false).map((t) => [t.row, t.col, t.col_step])).toEqual([
      [0, 0, 1],
      [0, 1, 1],
      [0, 2, 1],
    ]);
  });

  it("asks for pooled tiles when there are more cells than pixels", () => {
    const camera = new Camera(100, 4096);
    camera.fit(512, 400, 0, 50);
    expect(camera.steps).toEqual({ row_step: 1, col_step: 8 });
    expect(camera.tiles(false).map((t) => t.col)).toEqual([0, 1]);
  });

  it("only asks for what is on the screen after zooming in, and never shows beyond the edge", () => {
    const camera = new Camera(2000, 2000);
    camera.fit(500, 500, 0, 50);
    camera.zoom(100, 500, 500);
    expect(camera.tiles(false)).toEqual([{ row: 7, col: 7, row_step: 1, col_step: 1 }]);
    camera.pan(-1e6, -1e6);
    expect(camera.left + camera.width / camera.cw).toBeCloseTo(2000);
    expect(camera.cellAt(499, 499)).toEqual({ row: 1999, col: 1999 });
  });

  it("reaches data rows from the bottom when it is flipped", () => {
    const camera = new Camera(600, 4);
    camera.fit(100, 600, 0, 50);
    camera.zoom(60, 0, 0);
    expect(camera.visible.rows[0]).toBe(0);
    expect(camera.tiles(true).map((t) => t.row)).toEqual([2]);
    expect(camera.tiles(false).map((t) => t.row)).toEqual([0]);
  });

  it("reveals a cell with the smallest pan", () => {
    const camera = new Camera(3, 100);
    camera.fit(320, 66, 64, 120);
    expect(camera.overflows).toBe(true);
    expect(camera.reveal(0, 7)).toBe(true);
    expect(camera.left).toBe(3);
    expect(camera.reveal(0, 5)).toBe(false);
  });
});

describe("a slice", () => {
  const slice = new Slice(Z, { rows: "head", cols: "position", at: { layer: 2 } }, "current");

  it("selects by the model's own layer numbers and steps to what others select", () => {
    expect(slice.selection(1, 3)).toEqual({ layer: 6, head: 1, token: 3 });
    expect(slice.selected("layer", { ...NOTHING, layer: 5 })).toBe(1);
    expect(slice.selected("layer", { ...NOTHING, layer: 0 })).toBeNull();
  });

  it("means the intervention of its head, whichever position was clicked", () => {
    const target = Z.targets[0]!;
    const expected = { kind: "ablate", site: "z", layer: 6, head: [1] };
    expect(slice.intervention(target, 1, 3)).toEqual(expected);
  });

  it("marks cells of a changed head only", () => {
    const interventions = [{ kind: "ablate", site: "z", layer: 6, head: [1], on: true }];
    const changed = new Slice({ ...Z, interventions }, slice.state, "current");
    expect(changed.changed(1, 0)).toBe(true);
    expect(changed.changed(0, 0)).toBe(false);
    const elsewhere = new Slice({ ...Z, interventions }, { ...slice.state, at: { layer: 1 } }, "x");
    expect(elsewhere.changed(1, 0)).toBe(false);
  });

  it("of a lens ablates the residual of its row and position; the embedding selects no layer", () => {
    const lens = new Slice(LENS, { channel: "probability" }, "current");
    expect(lens.intervention(lens.targets[0]!, 2, 1)).toEqual({
      kind: "ablate",
      site: "resid_post",
      layer: 1,
      position: [1],
    });
    expect(lens.selection(0, 1)).toEqual({ layer: null, token: 1 });
  });
});

describe("labels", () => {
  it("show the space inside but not the one that begins a word", () => {
    expect(axisLabel(" store")).toBe("store");
    expect(axisLabel("  x")).toBe("··x");
    expect(axisLabel("\n\u202e")).toBe("↵\\u202e");
    expect(axisLabel("")).toBe("∅");
    expect([...axisLabel("a".repeat(40))].length).toBe(14);
  });

  it("keep their distance", () => {
    expect(thin(0, 100, 5, 40)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    expect(thin(7, 12, 50, 40)).toEqual([7, 8, 9, 10, 11]);
  });

  it("name an entry for people and screen readers", () => {
    expect(entry("position", 4, Z.labels.position)).toBe("position 4 “<script>”");
    expect(entry("head", 3, undefined)).toBe("head 3");
  });

  it("give all cells of a scale the same decimals", () => {
    const scale = diverging(palettes.light, 21);
    expect([-20.96, 0.04, 1e-7, 3].map((x) => short(x, scale))).toEqual([
      "−21.0",
      "0",
      "0",
      "+3.0",
    ]);
    expect(short(0.5, sequential(palettes.light, 0, 1))).toBe("0.50");
  });
});

describe("the heatmap in a page", () => {
  it("asks for its one tile, shows the scale and counts what is not a number", async () => {
    const { el, tiles } = show();
    await settle();
    expect(tiles().length).toBe(1);
    expect(tiles()[0]).toMatchObject({ at: { layer: 0 }, mode: "current", row_step: 1 });
    const legend = el.querySelector(".iw-heatmap-legend")!.textContent;
    expect(legend).toContain("−2");
    expect(legend).toContain("symmetric about zero; − marks negative cells");
    expect(legend).toContain("× 2 not a number");
  });

  it("speaks the cell under the keyboard, selects with Enter, ablates with Space", async () => {
    const { model, cell, press } = show();
    await settle();
    cell().focus();
    press("ArrowDown");
    expect(cell().getAttribute("aria-label")).toBe("head 1, position 0 “·a”, −5");
    press("ArrowRight");
    expect(cell().getAttribute("aria-label")).toContain("NaN");
    press("Enter");
    await settle();
    const chosen = model.sent.find((m) => m.name === "select");
    expect(chosen.payload).toEqual({ layer: 4, head: 1, token: 1 });
    press(" ");
    const sent = model.sent.find((m) => m.name === "intervene");
    expect(sent.payload).toEqual({ kind: "ablate", site: "z", layer: 4, head: [1] });
  });

  it("asks again after a new revision and for another slice", async () => {
    const { model, el, tiles } = show();
    await settle();
    model.set("spec", { ...Z, revision: 1, changed: true });
    await settle();
    expect(tiles().length).toBe(2);
    el.querySelector<HTMLButtonElement>("button[title='Next layer']")!.click();
    await settle();
    expect(tiles().at(-1)).toMatchObject({ at: { layer: 1 } });
    expect(model.get("state").at).toEqual({ layer: 1 });
  });

  it("leaves nothing behind", async () => {
    const { model, life } = show();
    await settle();
    life.abort();
    await settle();
    expect(model.listening).toBe(0);
  });
});
