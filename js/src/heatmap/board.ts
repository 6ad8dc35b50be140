// The grid that arrays and lenses share: wires data, picture, pointer, keyboard and selection.
// What a kind of cell adds to it is a CellKind (cells.ts).
import { hidpi } from "../core/canvas.js";
import { legend, type Scale, sequential } from "../core/color.js";
import { h, num, signed } from "../core/dom.js";
import { Grid } from "../core/grid.js";
import { Tooltip } from "../core/tooltip.js";
import type { View } from "../core/view.js";
import { Ablation } from "./ablation.js";
import { type Gutter, gutterFor } from "./axes.js";
import { Camera, type TileRef } from "./camera.js";
import type { CellKind, Cells } from "./cells.js";
import { Data, type RangeInfo } from "./data.js";
import { paintFrame } from "./frame.js";
import { type HeatmapSpec, type HeatmapState, Slice } from "./model.js";
import { listenToPointer } from "./pointer.js";
import { legendMarks, scaleOf } from "./scaling.js";
import { Toolbar } from "./toolbar.js";

const TALLEST = 440;

export class Board {
  readonly side = h("div", { class: "iw-heatmap-side" });
  readonly data: Data;
  slice: Slice;
  private readonly canvas = hidpi();
  private readonly stage = h("div", { class: "iw-heatmap-stage" });
  private readonly plot = h("div", { class: "iw-heatmap-plot" });
  private readonly readout = h("span", { class: "iw-readout" });
  private readonly legend = h("div", { class: "iw-heatmap-legend" });
  private readonly tip: Tooltip;
  private readonly grid: Grid;
  private readonly toolbar: Toolbar;
  private readonly ablation: Ablation;
  private readonly kind: CellKind;
  private camera = new Camera();
  private gutter: Gutter = { left: 40, bottom: 18, slanted: false };
  private width = 0;
  private range: RangeInfo | undefined;
  private scale: Scale;
  private scheduled = false;
  private pointing = false;
  private key = "";

  constructor(
    readonly view: View,
    cells: Cells,
  ) {
    const { signal } = view;
    this.slice = this.read();
    this.scale = sequential(view.palette, 0, 1);
    this.tip = new Tooltip(view.el, signal);
    this.data = new Data(
      view,
      () => this.slice,
      () => this.draw(),
    );
    this.kind = cells(this);
    const here = <T>(call: (row: number, col: number) => T) => {
      return (row: number, col: number) => call(this.row(row), col);
    };
    this.grid = new Grid(signal, {
      label: "",
      rows: 1,
      cols: 1,
      cell: here((r, c) => this.describe(r, c)),
      place: (r, c) => this.camera.box(r, c),
      move: (r, c) => this.moved(r, c),
      open: here((r, c) => this.open(r, c)),
      toggle: here((r, c) => this.ablation.toggle(r, c)),
      leave: () => this.tip.hide(),
      key: (event, r, c) => this.shortcut(event, this.row(r), c),
    });
    this.ablation = new Ablation(
      view,
      () => this.slice,
      () => this.ablation.toggle(this.row(this.grid.row), this.grid.col),
      () => {
        this.ablation.describe(this.row(this.grid.row), this.grid.col);
        this.draw();
      },
    );
    this.toolbar = new Toolbar(view, {
      set: (patch) => this.set(patch),
      step: (dim, index) => this.step(dim, index),
      zoom: (factor) => this.zoom(factor),
      fit: () => this.fit(),
      kind: () => this.kind.controls?.(),
      more: () => this.ablation.controls(),
    });
    this.plot.append(this.grid.el);
    this.stage.append(this.canvas.el, this.plot);
    view.body.append(this.stage, this.side);
    view.foot.append(this.legend, this.readout);
    this.listen();
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

  /** The data row of a display row, and the other way round. */
  private row(row: number): number {
    return this.slice.spec.flip ? this.slice.nRows - 1 - row : row;
  }

  /** Where a data cell is, in CSS pixels inside the plot. */
  box(row: number, col: number) {
    return this.camera.box(this.row(row), col);
  }

  /** The data cell under a point of the window. */
  cellAt(clientX: number, clientY: number): { row: number; col: number } | null {
    const frame = this.plot.getBoundingClientRect();
    const cell = this.camera.cellAt(clientX - frame.left, clientY - frame.top);
    return cell && { row: this.row(cell.row), col: cell.col };
  }

  // State.

  set(patch: HeatmapState): void {
    this.view.update({ ...patch });
    this.restated();
  }

  private revised(): void {
    this.slice = this.read();
    this.data.revise();
    this.restated();
  }

  private restated(): void {
    this.slice = this.read();
    const { nRows, nCols, rows, cols, spec } = this.slice;
    this.toolbar.show(this.slice);
    const shape = `${rows}|${cols}|${nRows}|${nCols}|${spec.cells}`;
    if (shape !== this.key) {
      this.key = shape;
      this.camera = new Camera(nRows, nCols);
      this.layout();
    }
    this.kind.refresh?.();
    this.grid.resize(nRows, nCols, `${spec.title}: ${rows || "values"} by ${cols}`);
    this.ablation.describe(this.row(this.grid.row), this.grid.col);
    this.draw();
  }

  // Picture.

  private layout(): void {
    if (this.width <= 0) return;
    const { slice, camera, width } = this;
    const { labels } = slice.spec;
    const ctx = this.canvas.el.getContext("2d");
    const rows = { dim: slice.rows, labels: labels[slice.rows], count: slice.nRows };
    const cols = { dim: slice.cols, labels: labels[slice.cols], count: slice.nCols };
    const size = this.kind.size?.(width);
    this.gutter = gutterFor(ctx, rows, cols, width, size?.narrowest ?? 0);
    const room = Math.max(60, width - this.gutter.left - 1);
    const full = document.fullscreenElement === this.view.el;
    const tallest = full ? Math.max(200, innerHeight - 240) : TALLEST;
    const comfortable = size?.height ?? Math.max(16, Math.min(28, room / slice.nCols));
    const height = Math.min(tallest, slice.nRows * (slice.nRows > 200 ? 2 : comfortable));
    camera.fit(
      room,
      Math.max(size?.height ?? 18, height),
      size?.narrowest ?? 0,
      size?.widest ?? 56,
    );
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
    const { camera, gutter, view, slice, kind } = this;
    const refs = camera.tiles(slice.spec.flip, slice.spec.finest);
    this.data.show(refs);
    const fresh = refs.map((ref) => this.data.tile(ref)).find((a) => a !== undefined);
    if (fresh) this.rescale(fresh.range, refs[0]);
    Object.assign(this.plot.style, {
      left: `${gutter.left}px`,
      width: `${camera.width}px`,
      height: `${camera.height}px`,
    });
    this.grid.refresh();
    if (this.readout.textContent) {
      this.readout.textContent = this.describe(this.row(this.grid.row), this.grid.col);
    }
    this.toolbar.zoomed(camera.zoomed);
    this.stage.classList.toggle("iw-heatmap-pannable", camera.overflows);
    const selection = view.selection.get();
    const row = slice.selected(slice.rows, selection);
    paintFrame(this.canvas, {
      camera,
      refs,
      slice,
      gutter,
      scale: this.scale,
      flip: slice.spec.flip,
      palette: view.palette,
      selected: {
        row: row === null ? null : this.row(row),
        col: slice.selected(slice.cols, selection),
      },
      tile: (ref: TileRef) => this.data.tile(ref)?.values,
      value: (r, c) => this.data.value(this.row(r), c),
      word: kind.word && ((r, c) => kind.word?.(this.row(r), c)),
      changed: slice.spec.interventions.length
        ? (r, c) => slice.changed(this.row(r), c)
        : undefined,
      overlay: kind.overlay && ((ctx) => kind.overlay?.(ctx)),
    });
  }

  private rescale(range: RangeInfo, ref: TileRef | undefined): void {
    this.range = range;
    this.scale = scaleOf(this.view.palette, range, this.slice);
    const marks = legendMarks(range, this.slice, ref ?? { row_step: 1, col_step: 1 });
    this.legend.replaceChildren(legend(this.scale, this.slice.quantity, marks));
  }

  // Words.

  private valueText(row: number, col: number): string {
    const value = this.data.value(row, col);
    if (value === undefined) return "…";
    return this.range?.signed ? signed(value, 4) : num(value, 4);
  }

  valueRow(row: number, col: number): readonly [string, string] {
    return [this.slice.quantity, this.valueText(row, col)];
  }

  /** What a screen reader and the line under the grid say of a cell. */
  describe(row: number, col: number): string {
    const word = this.kind.said?.(row, col) ?? "";
    const cut = this.slice.changed(row, col) ? ", ablated" : "";
    return `${this.slice.describe(row, col)}${word}, ${this.valueText(row, col)}${cut}`;
  }

  private hover(row: number, col: number, x: number, y: number): void {
    const rows = this.kind.hover?.(row, col) ?? [this.valueRow(row, col)];
    this.tip.show(x, y, this.slice.describe(row, col), rows);
  }

  // Acts.

  private moved(row: number, col: number): void {
    if (this.camera.reveal(row, col)) this.draw();
    this.ablation.describe(this.row(row), col);
    this.readout.textContent = this.describe(this.row(row), col);
    if (!this.grid.focused || this.pointing) return;
    const box = this.camera.box(row, col);
    const frame = this.plot.getBoundingClientRect();
    this.hover(this.row(row), col, frame.left + box.x + box.width, frame.top + box.y + box.height);
  }

  private open(row: number, col: number): void {
    this.view.selection.set(this.slice.selection(row, col));
    this.kind.open?.(row, col);
  }

  private shortcut(event: KeyboardEvent, row: number, col: number): boolean {
    const { key } = event;
    if (key === "+" || key === "=") this.zoom(1.5);
    else if (key === "-") this.zoom(1 / 1.5);
    else if (key === "0") this.fit();
    else if (key === "[" || key === "]") {
      const dim = this.slice.free[0];
      if (!dim) return false;
      const size = this.slice.spec.sizes[dim] ?? 1;
      const next = (this.slice.at[dim] ?? 0) + (key === "]" ? 1 : -1);
      if (next >= 0 && next < size) this.step(dim, next);
    } else return this.kind.key?.(event, row, col) ?? false;
    return true;
  }

  private step(dim: string, index: number): void {
    this.set({ at: { ...this.slice.at, [dim]: index } });
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
    if (Object.keys(at).length) this.set({ at: { ...this.slice.at, ...at } });
  }

  private listen(): void {
    const { view } = this;
    view.onSpec(() => this.revised());
    view.onState(() => this.restated());
    view.onTheme(() => this.draw());
    view.onResize((width) => {
      if (width > 0 && width !== this.width) {
        this.width = width;
        this.layout();
      }
    });
    view.el.addEventListener("fullscreenchange", () => this.layout(), { signal: view.signal });
    listenToPointer(this.stage, this.plot, view, {
      camera: () => this.camera,
      hover: (cell, event) => {
        this.hover(this.row(cell.row), cell.col, event.clientX, event.clientY);
      },
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
        if (count < 2) this.open(this.row(cell.row), cell.col);
        else if (count === 2) this.ablation.toggle(this.row(cell.row), cell.col);
      },
    });
  }
}
