// Heatmap of arrays, and the lens grid: wiring of data, picture, pointer, keyboard and selection.

import { canonical } from "../core/canonical.js";
import { hidpi } from "../core/canvas.js";
import { diverging, legend, type Scale, sequential } from "../core/color.js";
import { button, type Control, select, stepper } from "../core/controls.js";
import { h, num, signed } from "../core/dom.js";
import { Grid } from "../core/grid.js";
import { Tiles } from "../core/tiles.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { Camera, TILE, type TileRef } from "../heatmap/camera.js";
import { type HeatmapSpec, interventionText, Slice, type Target } from "../heatmap/model.js";
import {
  FONT,
  type Gutter,
  gutterFor,
  paintCells,
  paintLabels,
  paintMarks,
  paintScroll,
  paintSelection,
} from "../heatmap/paint.js";
import { listenToPointer } from "../heatmap/pointer.js";
import { type LensTile, percent, ranked, rankedList, topWord } from "../heatmap/words.js";

interface RangeInfo {
  low: number;
  high: number;
  trim_low: number;
  trim_high: number;
  nan: number;
  inf: number;
  signed: boolean;
}

interface Answer extends Partial<LensTile> {
  values: NdArray;
  range: RangeInfo;
}

const PROBABILITIES = new Set(["probability", "answer_prob"]);
const TALLEST = 440;

class Heatmap {
  private readonly canvas = hidpi();
  private readonly stage = h("div", { class: "iw-heatmap-stage" });
  private readonly plot = h("div", { class: "iw-heatmap-plot" });
  private readonly side = h("div", { class: "iw-heatmap-side" });
  private readonly readout = h("span", { class: "iw-readout" });
  private readonly legend = h("div", { class: "iw-heatmap-legend" });
  private readonly act: HTMLButtonElement;
  private readonly steppers = new Map<string, Control<number>>();
  private readonly zoomOut: HTMLButtonElement;
  private readonly fitButton: HTMLButtonElement;
  private readonly tip: Tooltip;
  private readonly grid: Grid;
  private readonly tiles: Tiles<Answer>;
  private camera = new Camera();
  private slice: Slice;
  private gutter: Gutter = { left: 40, bottom: 18, slanted: false };
  private width = 0;
  private range: RangeInfo | undefined;
  private scale: Scale;
  private target: Target | undefined;
  private scheduled = false;
  private key = "";
  private controlsKey = "";

  constructor(private readonly view: View) {
    const { signal } = view;
    this.slice = this.read();
    this.scale = sequential(view.palette, 0, 1);
    this.tip = new Tooltip(view.el, signal);
    this.tiles = new Tiles(
      (key, abort) => view.request<Answer>("tile", JSON.parse(key), { signal: abort }),
      {
        done: () => this.draw(),
        failed: (error) => view.report(error, () => this.draw()),
      },
    );
    this.grid = new Grid(signal, {
      label: "",
      rows: 1,
      cols: 1,
      cell: (r, c) => this.spoken(r, c),
      place: (r, c) => this.camera.box(r, c),
      move: (r, c) => this.moved(r, c),
      open: (r, c) => this.open(r, c),
      toggle: (r, c) => this.ablate(r, c),
      leave: () => this.tip.hide(),
      key: (event) => this.shortcut(event.key),
    });
    this.act = button("Ablate", () => this.ablate(this.grid.row, this.grid.col));
    this.zoomOut = button("Zoom out", () => this.zoom(1 / 1.5), { icon: "minus" });
    this.fitButton = button("Fit", () => this.fit());
    this.plot.append(this.grid.el);
    this.stage.append(this.canvas.el, this.plot);
    view.body.append(this.stage, this.side);
    view.foot.append(this.legend, this.readout);
    this.listen();
    view.onSpec(() => this.revised());
    view.onState(() => this.restated());
    view.onTheme(() => this.draw());
    view.onResize((width) => {
      if (width > 0 && width !== this.width) {
        this.width = width;
        this.layout();
      }
    });
    this.revised();
    view.onSelection((_value, changed) => {
      this.follow(changed);
      this.draw();
    });
  }

  private read(): Slice {
    const { spec, state, mode } = this.view;
    return new Slice(spec as HeatmapSpec, state, mode);
  }

  // Data.

  private revised(): void {
    this.tiles.clear();
    this.slice = this.read();
    for (const { payload, ...answer } of this.view.first.tiles ?? []) {
      const { row, col, row_step, col_step } = payload;
      const key = JSON.stringify(this.slice.payload({ row, col, row_step, col_step }));
      if (canonical(JSON.parse(key)) === canonical(payload)) this.tiles.put(key, answer);
    }
    this.restated();
  }

  private restated(): void {
    this.slice = this.read();
    const { nRows, nCols, rows, cols, spec } = this.slice;
    this.controls();
    const shape = `${rows}|${cols}|${nRows}|${nCols}|${spec.cells}`;
    if (shape !== this.key) {
      this.key = shape;
      this.camera = new Camera(nRows, nCols);
      this.layout();
    }
    for (const [dim, control] of this.steppers) control.set(this.slice.at[dim] ?? 0);
    this.grid.resize(nRows, nCols, `${spec.title}: ${rows || "values"} by ${cols}`);
    this.describe(this.grid.row, this.grid.col);
    this.draw();
  }

  private data(displayRow: number): number {
    return this.slice.spec.flip ? this.slice.nRows - 1 - displayRow : displayRow;
  }

  private ref(row: number, col: number): TileRef {
    return { row: Math.floor(row / TILE), col: Math.floor(col / TILE), row_step: 1, col_step: 1 };
  }

  private answer(ref: TileRef): Answer | undefined {
    const key = JSON.stringify(this.slice.payload(ref));
    return this.tiles.get(key) ?? this.tiles.stale(key);
  }

  private value(displayRow: number, col: number): number | undefined {
    const row = this.data(displayRow);
    const tile = this.answer(this.ref(row, col))?.values;
    return tile?.data[(row % TILE) * (tile.shape[1] ?? 1) + (col % TILE)];
  }

  private lens(displayRow: number, col: number): { tile: LensTile; r: number; c: number } | null {
    const row = this.data(displayRow);
    const answer = this.answer(this.ref(row, col));
    if (!answer?.ids || !answer.probs || !answer.strings) return null;
    return { tile: answer as LensTile, r: row % TILE, c: col % TILE };
  }

  /** Cells per drawn pixel; an exported page has nothing finer than spec.finest. */
  private visibleTiles(): TileRef[] {
    return this.camera.tiles(this.slice.spec.flip, this.slice.spec.finest);
  }

  // Picture.

  private layout(): void {
    if (this.width <= 0) return;
    const { slice, camera, width } = this;
    const token = slice.spec.cells === "token";
    const labels = slice.spec.labels;
    const ctx = this.canvas.el.getContext("2d");
    const rows = { dim: slice.rows, labels: labels[slice.rows], count: slice.nRows };
    const cols = { dim: slice.cols, labels: labels[slice.cols], count: slice.nCols };
    const narrowest = token ? (width < 480 ? 52 : 64) : 0;
    this.gutter = gutterFor(ctx, rows, cols, width, narrowest);
    const room = Math.max(60, width - this.gutter.left - 1);
    const full = document.fullscreenElement === this.view.el;
    const tallest = full ? Math.max(200, innerHeight - 240) : TALLEST;
    const comfortable = token ? 22 : Math.max(16, Math.min(28, room / slice.nCols));
    const height = Math.max(
      token ? 22 : 18,
      Math.min(tallest, slice.nRows * (slice.nRows > 200 ? 2 : comfortable)),
    );
    camera.fit(room, height, narrowest, token ? 120 : 56);
    this.draw();
  }

  private fit(): void {
    this.layout();
    this.view.say("Everything is shown");
  }

  private zoom(factor: number, x?: number, y?: number): void {
    this.camera.zoom(factor, x, y);
    this.draw();
  }

  draw(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      if (!this.view.signal.aborted) this.view.guard(() => this.paint())();
    });
  }

  private paint(): void {
    if (this.width <= 0) return;
    const { camera, gutter, view, slice } = this;
    const refs = this.visibleTiles();
    this.tiles.show(refs.map((ref) => JSON.stringify(slice.payload(ref))));
    const fresh = refs.map((ref) => this.answer(ref)).find((a) => a !== undefined);
    if (fresh) this.rescale(fresh.range);
    const bottom = gutter.bottom + 16;
    const ctx = this.canvas.resize(gutter.left + camera.width + 1, camera.height + bottom);
    Object.assign(this.plot.style, {
      left: `${gutter.left}px`,
      width: `${camera.width}px`,
      height: `${camera.height}px`,
    });
    this.grid.refresh();
    if (this.readout.textContent) {
      this.readout.textContent = this.spoken(this.grid.row, this.grid.col);
    }
    this.zoomOut.disabled = !camera.zoomed;
    this.fitButton.disabled = !camera.zoomed;
    this.stage.classList.toggle("iw-heatmap-pannable", camera.overflows);
    if (!ctx) return;
    ctx.clearRect(0, 0, gutter.left + camera.width + 2, camera.height + bottom);
    const selection = view.selection.get();
    const display = (row: number | null) =>
      row === null ? null : slice.spec.flip ? slice.nRows - 1 - row : row;
    const selected = {
      row: display(slice.selected(slice.rows, selection)),
      col: slice.selected(slice.cols, selection),
    };
    ctx.save();
    ctx.translate(gutter.left, 0);
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, 0, camera.width, camera.height);
    ctx.clip();
    const token = slice.spec.cells === "token";
    const picture = {
      camera,
      refs,
      scale: this.scale,
      flip: slice.spec.flip,
      tile: (ref: TileRef) => this.answer(ref)?.values,
      value: (row: number, col: number) => this.value(row, col),
      word: token ? (row: number, col: number) => this.word(row, col) : undefined,
      changed: slice.spec.interventions.length
        ? (row: number, col: number) => slice.changed(this.data(row), col)
        : undefined,
    };
    paintCells(ctx, picture);
    paintMarks(ctx, picture);
    ctx.restore();
    ctx.strokeStyle = view.palette.line;
    ctx.lineWidth = 1;
    const across = Math.min(camera.width, (slice.nCols - camera.left) * camera.cw);
    ctx.strokeRect(0.5, 0.5, across - 1, camera.height - 1);
    paintSelection(ctx, camera, selected, view.palette);
    paintScroll(ctx, camera, view.palette);
    const labels = slice.spec.labels;
    paintLabels(
      ctx,
      camera,
      gutter,
      { dim: slice.rows, labels: labels[slice.rows] },
      { dim: slice.cols, labels: labels[slice.cols] },
      selected,
      view.palette,
      slice.spec.flip,
    );
    ctx.font = FONT;
    ctx.fillStyle = view.palette.muted;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    const axes = slice.rows ? `${slice.rows} ↕   ${slice.cols} ↔` : `${slice.cols} ↔`;
    ctx.fillText(axes, 0, camera.height + bottom - 3);
    ctx.restore();
  }

  private word(row: number, col: number): string | undefined {
    const at = this.lens(row, col);
    return at ? topWord(at.tile, at.r, at.c) : undefined;
  }

  private rescale(range: RangeInfo): void {
    const { state, quantity } = this.slice;
    const trim = state.scale === "trim";
    const low = trim ? range.trim_low : range.low;
    const high = trim ? range.trim_high : range.high;
    const { palette } = this.view;
    const probability = PROBABILITIES.has(state.channel ?? "") && !range.signed;
    if (range.signed) this.scale = diverging(palette, Math.max(Math.abs(low), Math.abs(high)));
    else if (probability) this.scale = sequential(palette, 0, 1);
    else this.scale = sequential(palette, low > 0 && low < 0.5 * high ? 0 : low, high);
    this.range = range;
    const { row_step, col_step } = this.visibleTiles()[0] ?? { row_step: 1, col_step: 1 };
    const marks: string[] = [];
    if (range.signed) marks.push("symmetric about zero");
    if (state.scale === "all") marks.push("same scale on every slice");
    if (trim) marks.push("middle 99 %; cells beyond have a marked corner");
    if (range.nan) marks.push(`× ${range.nan.toLocaleString("en")} not a number`);
    if (range.inf) marks.push(`∞ ${range.inf.toLocaleString("en")} infinite`);
    if (row_step * col_step > 1) {
      const how = state.pool === "mean" ? "mean" : range.signed ? "largest magnitude" : "maximum";
      marks.push(`one dot is the ${how} of ${row_step} × ${col_step} cells`);
    }
    this.legend.replaceChildren(legend(this.scale, quantity, marks));
  }

  // Words.

  private valueText(row: number, col: number): string {
    const value = this.value(row, col);
    if (value === undefined) return "…";
    return this.range?.signed ? signed(value, 4) : num(value, 4);
  }

  private spoken(row: number, col: number): string {
    const at = this.lens(row, col);
    const word = at ? ` says “${ranked(at.tile, at.r, at.c)[0]?.[0]}”` : "";
    const cut = this.slice.changed(this.data(row), col) ? ", ablated" : "";
    return `${this.slice.describe(this.data(row), col)}${word}, ${this.valueText(row, col)}${cut}`;
  }

  private hover(row: number, col: number, x: number, y: number): void {
    const at = this.lens(row, col);
    const title = this.slice.describe(this.data(row), col);
    const value = [this.slice.quantity, this.valueText(row, col)] as const;
    const words = at
      ? ranked(at.tile, at.r, at.c)
          .slice(0, 5)
          .map(([token, p]) => [`“${token}”`, percent(p)] as const)
      : [];
    const isTop = this.slice.state.channel === "probability" && this.slice.mode !== "difference";
    this.tip.show(x, y, title, at && isTop ? words : [...words, value]);
  }

  private describe(row: number, col: number): void {
    const target = this.target;
    const here = target && this.slice.intervention(target, this.data(row), col);
    this.act.hidden = !target;
    if (!here) {
      this.act.disabled = true;
      this.act.textContent = "Ablate";
      return;
    }
    this.act.disabled = false;
    const cut = this.slice.spec.interventions.some(
      (i) => interventionText(i) === interventionText(here) && i.kind === "ablate",
    );
    this.act.textContent = `${cut ? "Restore" : "Ablate"} ${interventionText(here)}`;
  }

  // Acts.

  private moved(row: number, col: number): void {
    if (this.camera.reveal(row, col)) this.draw();
    this.describe(row, col);
    this.readout.textContent = this.spoken(row, col);
    if (!this.grid.focused || this.pointing) return;
    const box = this.camera.box(row, col);
    const frame = this.plot.getBoundingClientRect();
    this.hover(row, col, frame.left + box.x + box.width, frame.top + box.y + box.height);
  }

  private pointing = false;

  private open(row: number, col: number): void {
    this.view.selection.set(this.slice.selection(this.data(row), col));
    const at = this.lens(row, col);
    if (!at) return;
    this.side.replaceChildren(
      rankedList(this.slice.describe(this.data(row), col), ranked(at.tile, at.r, at.c)),
    );
  }

  private ablate(row: number, col: number): void {
    const target = this.target;
    const here = target && this.slice.intervention(target, this.data(row), col);
    if (!here) {
      this.view.say("This cell names nothing that can be ablated");
      return;
    }
    void this.view.intervene(here, `${this.act.textContent}: done`);
  }

  private shortcut(key: string): boolean {
    if (key === "+" || key === "=") this.zoom(1.5);
    else if (key === "-") this.zoom(1 / 1.5);
    else if (key === "0") this.fit();
    else if (key === "[" || key === "]") {
      const dim = this.slice.free[0];
      if (!dim) return false;
      const size = this.slice.spec.sizes[dim] ?? 1;
      const next = (this.slice.at[dim] ?? 0) + (key === "]" ? 1 : -1);
      if (next >= 0 && next < size) this.step(dim, next);
    } else return false;
    return true;
  }

  private step(dim: string, index: number): void {
    this.view.update({ at: { ...this.slice.at, [dim]: index } });
    this.restated();
    const field = this.slice.spec.selects[dim];
    if (field && dim !== "position")
      this.view.selection.set({ [field]: this.slice.number(dim, index) });
  }

  /** Steps to the slice that another view selected. */
  private follow(changed: Set<string>): void {
    const at: Record<string, number> = {};
    for (const dim of this.slice.free) {
      const field = this.slice.spec.selects[dim];
      if (!field || !changed.has(field)) continue;
      const index = this.slice.selected(dim, this.view.selection.get());
      if (index !== null && index !== this.slice.at[dim]) at[dim] = index;
    }
    if (!Object.keys(at).length) return;
    this.view.update({ at: { ...this.slice.at, ...at } });
    this.restated();
  }

  // Controls and pointer.

  private controls(): void {
    const { view, slice } = this;
    const { spec, rows, cols } = slice;
    const key = JSON.stringify([spec.dims, spec.sizes, rows, cols, spec.channels, spec.targets]);
    if (key === this.controlsKey) return;
    this.controlsKey = key;
    this.steppers.clear();
    const parts: HTMLElement[] = [];
    for (const dim of spec.frozen ? [] : slice.free) {
      const control = stepper(
        dim,
        spec.sizes[dim] ?? 1,
        slice.at[dim] ?? 0,
        (i) => this.step(dim, i),
        {
          labels: spec.labels[dim],
        },
      );
      this.steppers.set(dim, control);
      parts.push(control.el);
    }
    const set = (patch: Record<string, unknown>) => {
      view.update(patch);
      this.restated();
    };
    if (spec.cells === "token") {
      const now = slice.state.channel ?? "probability";
      parts.push(select("Colour", spec.channels ?? [], now, (channel) => set({ channel })).el);
    } else {
      if (spec.dims.length > 1 && !spec.finest) {
        const dims = spec.dims.map((d) => [d, d] as const);
        parts.push(
          select("Rows", dims, rows, (to) => set(this.axes(to, to === cols ? rows : cols))).el,
          select("Columns", dims, cols, (to) => set(this.axes(to === rows ? cols : rows, to))).el,
        );
      }
      const scales = [
        ["slice", "this slice"],
        ["trim", "middle 99 %"],
        ["all", "all slices"],
      ] as const;
      const usable = slice.free.length && !spec.finest ? scales : scales.slice(0, 2);
      parts.push(
        select("Scale", usable, slice.state.scale ?? "slice", (scale) => set({ scale })).el,
      );
    }
    const zoom = h(
      "span",
      { class: "iw-field", role: "group", "aria-label": "Zoom" },
      this.zoomOut,
      button("Zoom in", () => this.zoom(1.5), { icon: "plus" }),
      this.fitButton,
    );
    parts.push(zoom, ...this.actions());
    view.toolbar.querySelectorAll(":scope > [data-own]").forEach((el) => {
      el.remove();
    });
    for (const part of parts) part.dataset.own = "";
    view.toolbar.prepend(...parts);
    view.toolbar.hidden = false;
  }

  private actions(): HTMLElement[] {
    const targets = this.slice.targets;
    this.target = targets[0];
    this.act.hidden = !targets.length;
    if (targets.length < 2) return targets.length ? [this.act] : [];
    const options = targets.map((t, i) => [String(i), t.label] as const);
    const choice = select("Ablate by", options, "0", (i) => {
      this.target = targets[Number(i)];
      this.describe(this.grid.row, this.grid.col);
      this.draw();
    });
    return [choice.el, this.act];
  }

  private axes(rows: string, cols: string): Record<string, unknown> {
    const { spec, at } = this.slice;
    const free = spec.dims.filter((d) => d !== rows && d !== cols);
    return { rows, cols, at: Object.fromEntries(free.map((d) => [d, at[d] ?? 0])) };
  }

  private listen(): void {
    listenToPointer(this.stage, this.plot, this.view, {
      camera: () => this.camera,
      hover: (cell, event) => this.hover(cell.row, cell.col, event.clientX, event.clientY),
      leave: () => this.tip.leave(),
      panned: () => {
        this.tip.hide();
        this.draw();
      },
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      click: (cell, count) => {
        this.pointing = true;
        this.grid.focus(cell.row, cell.col);
        this.pointing = false;
        if (count < 2) this.open(cell.row, cell.col);
        else if (count === 2) this.ablate(cell.row, cell.col);
      },
    });
    const { el, signal } = this.view;
    el.addEventListener("fullscreenchange", () => this.layout(), { signal });
  }
}

export default defineView(
  "heatmap",
  (view) => {
    new Heatmap(view);
  },
  {
    modes: true,
    keys: [
      ["← ↑ → ↓", "move from cell to cell; Home, End, Page up, Page down go further"],
      ["Enter", "select the cell in every view; in a lens also list its best tokens"],
      ["Space", "ablate what the cell stands for, or restore it (also a double click)"],
      ["+ − 0", "zoom in, out, fit (also Ctrl + wheel); drag to move"],
      ["[ ]", "previous and next slice"],
      ["Esc", "leave the grid"],
    ],
  },
);
