// The grid that arrays and lenses share: wires data, picture, pointer, keyboard and selection.
// What a kind of cell adds to it is a CellKind (cells.ts).
import { hidpi } from "../core/canvas.js";
import { legend, type Scale, sequential } from "../core/color.js";
import { h, plural } from "../core/dom.js";
import { Grid } from "../core/grid.js";
import type { HoverValue } from "../core/hover.js";
import type { SelectionValue } from "../core/selection.js";
import { Tooltip } from "../core/tooltip.js";
import type { View } from "../core/view.js";
import { Ablation } from "./ablation.js";
import { type Gutter, gutterFor } from "./axes.js";
import { Bars, EDGE } from "./bars.js";
import { Brushing } from "./brushing.js";
import { Camera, type TileRef } from "./camera.js";
import type { CellKind, Cells } from "./cells.js";
import type { Chart } from "./chart.js";
import { Data, type RangeInfo } from "./data.js";
import { Marked } from "./marked.js";
import { type HeatmapSpec, type HeatmapState, Slice } from "./model.js";
import { type Cell, listenToPointer } from "./pointer.js";
import { legendMarks, scaleOf } from "./scaling.js";
import { paintScene } from "./scene.js";
import { sizesFor } from "./sizes.js";
import { Stepping } from "./stepping.js";
import { Toolbar } from "./toolbar.js";
import { Words } from "./words.js";
import { Zoomed } from "./zoomed.js";

function hoverOf({ token, layer, head, unit }: Partial<SelectionValue>): HoverValue {
  return JSON.parse(JSON.stringify({ token, layer, head, unit }));
}

export class Board {
  readonly side = h("div", { class: "iw-heatmap-side" });
  readonly data: Data;
  readonly marked: Marked;
  slice: Slice;
  private readonly canvas = hidpi();
  private readonly stage = h("div", { class: "iw-heatmap-stage" });
  private readonly plot = h("div", { class: "iw-heatmap-plot" });
  private readonly readout = h("span", { class: "iw-readout" });
  private readonly legend = h("div", { class: "iw-heatmap-legend" });
  readonly tip: Tooltip;
  private readonly grid: Grid;
  private readonly toolbar: Toolbar;
  private readonly ablation: Ablation;
  readonly words: Words;
  readonly kind: CellKind;
  readonly bars: Bars;
  private readonly stepping: Stepping;
  private readonly brushing: Brushing;
  private readonly zoomed: Zoomed;
  camera = new Camera();
  gutter: Gutter = { left: 40, bottom: 18, slanted: false, gap: 0, top: 0, right: 0 };
  refs: readonly TileRef[] = [];
  private complete: readonly TileRef[] = [];
  under: readonly TileRef[] | undefined;
  hovered: HoverValue | null = null;
  pointed: Cell | null = null;
  private anchor: Cell | null = null;
  private width = 0;
  range: RangeInfo | undefined;
  scale: Scale;
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
    this.marked = new Marked(view, () => this.slice);
    this.words = new Words(this);
    this.stepping = new Stepping(
      view,
      () => this.slice,
      (patch) => this.set(patch),
    );
    this.kind = cells(this);
    this.bars = new Bars(
      view,
      () => this.slice,
      () => this.draw(),
    );
    this.brushing = new Brushing(view, () => this.slice, this.data, this.marked);
    this.zoomed = new Zoomed(view, () => this.slice);
    const here = <T>(call: (row: number, col: number) => T) => {
      return (row: number, col: number) => call(this.row(row), col);
    };
    this.grid = new Grid(signal, {
      label: "",
      rows: 1,
      cols: 1,
      cell: here((r, c) => this.words.describe(r, c)),
      place: (r, c) => this.places.box(r, c),
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
      step: (dim, index) => this.stepping.step(dim, index),
      zoom: (factor) => this.zoom(factor),
      fit: () => this.fit(),
      kind: () => this.kind.controls?.(),
      more: () => this.ablation.controls(),
    });
    this.plot.append(this.grid.el);
    this.stage.append(this.canvas.el, this.plot);
    view.body.append(this.stage, this.brushing.el, this.side);
    view.foot.append(this.legend, this.readout);
    this.listen();
    this.revised();
    view.onSelection((_value, changed) => {
      this.stepping.follow(changed);
      this.draw();
    });
  }

  private read(): Slice {
    const { spec, state, mode } = this.view;
    return new Slice(spec as HeatmapSpec, state, mode);
  }

  /** The data row of a display row, and the other way round. */
  row(row: number): number {
    return this.slice.spec.flip ? this.slice.nRows - 1 - row : row;
  }

  /** Where a data cell is, in CSS pixels inside the plot. */
  box(row: number, col: number) {
    return this.places.box(this.row(row), col);
  }

  /** Lines or bars, where they are drawn in the place of cells. */
  get chart(): Chart | undefined {
    return this.kind.chart?.on ? this.kind.chart : undefined;
  }

  /** Where display cells are: in the plot of lines or bars, else in the grid. */
  private get places(): Pick<Camera, "box" | "cellAt" | "nearest"> {
    return this.chart?.plot ?? this.camera;
  }

  veiled(row: number, col: number): boolean {
    return this.view.veiled(this.slice.key(row, col));
  }

  /** The data cell under a point of the window. */
  cellAt(clientX: number, clientY: number): { row: number; col: number } | null {
    const frame = this.plot.getBoundingClientRect();
    const cell = this.places.cellAt(clientX - frame.left, clientY - frame.top);
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
    const { nRows, nCols, rows, cols, spec, drawn } = this.slice;
    this.toolbar.show(this.slice);
    const shape = `${rows}|${cols}|${nRows}|${nCols}|${spec.cells}|${drawn}|${this.bars.on}`;
    if (shape !== this.key) {
      this.key = shape;
      this.camera = new Camera(this.chart ? 1 : nRows, nCols);
      if (this.chart) this.chart.plot = undefined;
      this.complete = [];
      this.layout();
    } else if (!this.chart?.list && this.zoomed.restore(this.camera)) this.draw();
    this.kind.refresh?.();
    this.bars.refresh();
    this.brushing.refresh();
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
    const free = this.view.full ? this.free : 0;
    if (this.chart) {
      this.gutter = this.chart.layout(ctx, camera, width, free);
      if (!this.chart?.list) this.zoomed.restore(camera, true);
      this.draw();
      return;
    }
    const size = this.kind.size?.(width);
    const within = (room: number) => sizesFor(slice.nRows, slice.nCols, room, free, size);
    const { text, narrowest } = within(width);
    this.gutter = gutterFor(ctx, rows, cols, width, narrowest, text);
    if (this.bars.on) {
      this.gutter.top = EDGE.height;
      this.gutter.right = EDGE.width;
    }
    const room = Math.max(60, width - this.gutter.left - this.gutter.right - 1);
    const { height, widest } = within(room);
    camera.text = text;
    camera.fit(room, height, narrowest, widest);
    this.zoomed.restore(camera, true);
    const at = this.view.state.window ? undefined : this.kind.chosen?.();
    if (at) camera.reveal(this.row(at[0]), at[1]);
    this.draw();
  }

  /** The height that full screen leaves for the cells. */
  private get free(): number {
    const { el, foot } = this.view;
    const whole = foot.getBoundingClientRect().bottom - el.getBoundingClientRect().top;
    const picture = this.stage.offsetHeight - this.gutter.top - this.gutter.bottom;
    return Math.max(200, innerHeight - (whole + el.scrollTop - picture) - 40);
  }

  private fit(): void {
    this.zoomed.clear();
    this.layout();
    this.view.say("Everything is shown");
  }

  private zoom(factor: number, x?: number, y?: number): void {
    if (this.chart?.list) return;
    this.camera.zoom(factor, x, y);
    this.moving();
  }

  /** The camera moved: what passes by is not asked for, what it stops at is. */
  private moving(): void {
    this.zoomed.keep(this.camera, () => this.draw());
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
    const { camera, gutter, slice } = this;
    const refs = camera.tiles(slice.spec.flip, slice.spec.finest);
    this.refs = refs;
    if (!this.zoomed.moving) this.data.show(refs, this.chart?.others);
    const there = refs.every((ref) => this.data.tile(ref));
    this.under = there ? undefined : this.complete;
    if (there) this.complete = refs;
    else if (this.chart && this.complete.length) this.refs = this.complete;
    const fresh = refs.map((ref) => this.data.tile(ref)).find((a) => a !== undefined);
    if (fresh) this.rescale(fresh.range, refs[0]);
    this.chart?.refresh(camera);
    Object.assign(this.plot.style, {
      left: `${gutter.left}px`,
      top: `${gutter.top}px`,
      width: `${camera.width}px`,
      height: `${camera.height}px`,
    });
    this.grid.refresh();
    if (this.readout.textContent) {
      this.readout.textContent = this.words.describe(this.row(this.grid.row), this.grid.col);
    }
    this.toolbar.zoomed(camera.zoomed, !this.chart?.list);
    this.stage.classList.toggle("iw-heatmap-pannable", camera.overflows);
    paintScene(this.canvas, this);
  }

  private rescale(range: RangeInfo, ref: TileRef | undefined): void {
    this.range = range;
    if (this.chart) {
      this.legend.replaceChildren(this.chart.legend());
      return;
    }
    this.scale = scaleOf(this.view.palette, range, this.slice);
    const marks = legendMarks(range, this.slice, ref ?? { row_step: 1, col_step: 1 });
    const outlined = this.marked.cells.length;
    if (outlined) marks.push(`□ ${plural(outlined, "cell")} outlined`);
    this.legend.replaceChildren(legend(this.scale, this.slice.quantity, marks));
  }

  private hover(row: number, col: number, x: number, y: number): void {
    this.view.hover(hoverOf(this.slice.selection(row, col)));
    this.point({ row, col });
    this.tip.show(x, y, this.slice.describe(row, col), this.words.rows(row, col));
  }

  /** What stands out under the pointer among lines and bars. */
  private point(cell: Cell | null): void {
    if (cell?.row === this.pointed?.row && cell?.col === this.pointed?.col) return;
    this.pointed = cell;
    if (this.chart) this.draw();
  }

  /** Beside the cells: the bar of a row or a column. */
  private hoverBar(x: number, y: number, event: PointerEvent): boolean {
    const found = this.bars.under(x, y, this.camera, (r) => this.row(r));
    if (found) this.tip.show(event.clientX, event.clientY, found.title, [found.row]);
    return !!found;
  }

  // Acts.

  private moved(row: number, col: number): void {
    if (this.camera.reveal(row, col)) this.moving();
    if (this.anchor) this.brush(this.anchor, { row, col });
    this.ablation.describe(this.row(row), col);
    this.readout.textContent = this.words.describe(this.row(row), col);
    if (!this.grid.focused || this.pointing) return;
    const box = this.places.box(row, col);
    const frame = this.plot.getBoundingClientRect();
    this.hover(this.row(row), col, frame.left + box.x + box.width, frame.top + box.y + box.height);
  }

  /** Display cells, both included; of lines and bars whole columns. */
  private brush(from: Cell, to: Cell): void {
    const last = this.slice.nRows - 1;
    const data = (cell: Cell, all: number) => {
      return { row: this.chart ? all : this.row(cell.row), col: cell.col };
    };
    this.marked.span(data(from, 0), data(to, last));
    this.brushing.refresh();
    this.draw();
  }

  private outline(row: number, col: number): void {
    this.marked.toggle([[row, col]]);
    this.view.say(this.words.describe(row, col));
    this.draw();
  }

  private open(row: number, col: number): void {
    if (this.words.veiled(row, col)) {
      this.view.reveal(this.slice.key(row, col));
      this.view.say(this.words.describe(row, col));
      this.draw();
      return;
    }
    this.view.selection.set(this.slice.selection(row, col));
    this.kind.open?.(row, col);
  }

  private shortcut(event: KeyboardEvent, row: number, col: number): boolean {
    const { key } = event;
    if (key === "+" || key === "=") this.zoom(1.5);
    else if (key === "-") this.zoom(1 / 1.5);
    else if (key === "0") this.fit();
    else if (key === "o" && this.markable) this.outline(row, col);
    else if (key === "Delete" && this.marked.brush) {
      this.marked.span(null);
      this.brushing.refresh();
      this.draw();
    } else if (key === "[" || key === "]") {
      if (!this.stepping.turn(key === "]" ? 1 : -1)) return false;
    } else return this.kind.key?.(event, row, col) ?? false;
    return true;
  }

  private get markable(): boolean {
    return this.kind.marks !== false;
  }

  private listen(): void {
    const { view } = this;
    view.onSpec(() => this.revised());
    view.onState(() => this.restated());
    view.onTheme(() => this.draw());
    view.onVeil(() => this.restated());
    view.onHover((value) => {
      this.hovered = value;
      this.draw();
    });
    this.plot.addEventListener(
      "keydown",
      ({ shiftKey, key }) => {
        if (!shiftKey || !key.startsWith("Arrow") || !this.markable) this.anchor = null;
        else this.anchor ??= { row: this.grid.row, col: this.grid.col };
      },
      { capture: true, signal: view.signal },
    );
    view.onResize((width) => {
      if (width > 0 && width !== this.width) {
        this.width = width;
        this.layout();
      }
    });
    view.el.addEventListener("fullscreenchange", () => this.layout(), { signal: view.signal });
    listenToPointer(this.stage, this.plot, view, {
      camera: () => this.camera,
      places: () => this.places,
      hover: (cell, event) => {
        this.hover(this.row(cell.row), cell.col, event.clientX, event.clientY);
      },
      leave: () => {
        this.tip.leave();
        view.hover(null);
        this.point(null);
      },
      panned: () => {
        this.tip.hide();
        this.moving();
      },
      brushes: (event) => this.markable && (event.shiftKey || this.slice.state.drag === "brush"),
      brush: (from, to) => this.brush(from, to),
      edge: (x, y, event) => this.hoverBar(x, y, event),
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      click: (cell, count, event) => {
        this.anchor = null;
        this.pointing = true;
        this.grid.focus(cell.row, cell.col);
        this.pointing = false;
        const outlines = event.altKey || this.slice.state.drag === "outline";
        if (outlines && this.markable) this.outline(this.row(cell.row), cell.col);
        else if (count < 2) this.open(this.row(cell.row), cell.col);
        else if (count === 2) this.ablation.toggle(this.row(cell.row), cell.col);
      },
    });
  }
}
