// One head as a matrix, query rows and key columns: canvas for the cells, elements for the labels,
// and one movable grid cell that keyboard and screen reader walk with.

import { hidpi } from "../core/canvas.js";
import { h } from "../core/dom.js";
import { Grid } from "../core/grid.js";
import type { NdArray } from "../core/wire.js";
import { type Lengths, queryTokens, tokenNames } from "./shape.js";
import {
  isFuture,
  isWhole,
  labelled,
  pan,
  poolFor,
  reveal,
  type Tile,
  tileSpan,
  tilesFor,
  type Window,
  whole,
  zoom,
} from "./window.js";

export interface Spot {
  readonly row: number | null;
  readonly column: number | null;
}

export interface MatrixActions {
  /** Positions of a cell where that cannot be chosen, as in an exported page. */
  fixedPool(): number | null;
  tile(tile: Tile): NdArray | undefined;
  want(tiles: readonly Tile[]): void;
  /** The colours of a tile, one pixel a cell. */
  pixels(values: NdArray, pool: number, row0: number, column0: number): ImageData;
  /** The head's thumbnail and how many positions a cell of it stands for. */
  overview(): { values: NdArray; pool: number } | undefined;
  /** What is spoken of a cell. */
  said(query: number, key: number, ask: boolean): string;
  hover(spot: Spot, x: number, y: number): void;
  pin(spot: Spot): void;
  moved(window: Window): void;
}

/** Pixels a cell takes at most, and the side of the largest matrix where the window has no more. */
const CELL = 34;
const LARGEST = 600;
/** Height in pixels of what stands above and below the matrix in full screen. */
const AROUND = 340;

interface Names {
  rows: { text: string; twice: boolean }[];
  columns: { text: string; twice: boolean }[];
}

export class Matrix {
  readonly el = h("div", { class: "iw-att-matrix" });
  window: Window;
  private readonly cells = hidpi("iw-canvas iw-att-cells");
  private readonly marks = hidpi("iw-canvas iw-att-marks");
  private readonly plot = h("div", { class: "iw-att-plot" });
  private readonly rows = h("div", { class: "iw-att-ylabels", "aria-hidden": "true" });
  private readonly columns = h("div", { class: "iw-att-xlabels", "aria-hidden": "true" });
  private readonly grid: Grid;
  private readonly painted = new WeakMap<NdArray, { colours: string; canvas: HTMLCanvasElement }>();
  private readonly colour = { line: "#fff", mask: "#eee", focus: "#b40" };
  private names: Names = { rows: [], columns: [] };
  private side = 0;
  private height = 0;
  private room = 480;
  private colours = "";
  private spot: Spot = { row: null, column: null };
  private pinned: Spot = { row: null, column: null };
  private walking = false;
  private drag: { x: number; y: number; from: Window; moved: boolean } | null = null;

  constructor(
    private shape: Lengths,
    private readonly actions: MatrixActions,
    signal: AbortSignal,
  ) {
    this.window = whole(shape.queries, shape.keys);
    this.grid = new Grid(signal, {
      label: "Attention of one head, queries down and keys across",
      rows: shape.queries,
      cols: shape.keys,
      cell: (query, key) => actions.said(query, key, this.walking),
      place: (query, key) => this.box(query, key),
      move: (query, key) => this.focused(query, key),
      open: (query, key) => actions.pin({ row: query, column: key }),
      leave: () => {
        this.walking = false;
        actions.hover(NOWHERE, 0, 0);
      },
      key: (event, query, key) => this.key(event, query, key),
    });
    this.plot.append(this.cells.el, this.marks.el, this.grid.el);
    this.el.append(
      h("span", { class: "iw-att-yname", "aria-hidden": "true" }, "query"),
      this.rows,
      this.plot,
      this.columns,
      h("span", { class: "iw-att-xname", "aria-hidden": "true" }, "key"),
    );
    const on = <E extends Event>(el: HTMLElement, name: string, call: (e: E) => void) =>
      el.addEventListener(name, call as EventListener, { signal, passive: false });
    on<PointerEvent>(this.plot, "pointerdown", (e) => this.down(e));
    on<PointerEvent>(this.plot, "pointermove", (e) => this.move(e));
    on<PointerEvent>(this.plot, "pointerup", (e) => this.up(e));
    on<PointerEvent>(this.plot, "pointerleave", () => this.actions.hover(NOWHERE, 0, 0));
    on<WheelEvent>(this.plot, "wheel", (e) => this.wheel(e));
    for (const [labels, side] of [
      [this.rows, "row"],
      [this.columns, "column"],
    ] as const) {
      const position = (e: Event): number | null => {
        const label = (e.target as Element).closest<HTMLElement>("[data-i]");
        return label ? Number(label.dataset.i) : null;
      };
      on<PointerEvent>(labels, "pointerover", (e) => {
        const i = position(e);
        if (i === null) return;
        const both = this.shape.query_tokens === null;
        const spot = both ? { row: i, column: i } : { row: null, column: null, [side]: i };
        this.actions.hover(spot, e.clientX, e.clientY);
      });
      on(labels, "pointerleave", () => this.actions.hover(NOWHERE, 0, 0));
      on<MouseEvent>(labels, "click", (e) => {
        const i = position(e);
        if (i !== null) this.actions.pin({ row: null, column: null, [side]: i });
      });
    }
  }

  /** A new result, or the same with other tokens; keeps the window where it still fits. */
  setShape(shape: Lengths): void {
    const same = shape.queries === this.shape.queries && shape.keys === this.shape.keys;
    this.shape = shape;
    const columns = tokenNames(shape.tokens);
    this.names = { columns, rows: shape.query_tokens ? tokenNames(queryTokens(shape)) : columns };
    if (!same) this.window = whole(shape.queries, shape.keys);
    this.grid.resize(shape.queries, shape.keys);
    this.lay();
  }

  setWindow(window: Window, tell = true): void {
    this.window = window;
    if (tell) this.actions.moved(window);
    this.draw();
  }

  /** Moves by a share of what is in sight. */
  panBy(down: number, right: number): void {
    const w = this.window;
    const { queries, keys } = this.shape;
    this.setWindow(pan(w, down * (w.q1 - w.q0), right * (w.k1 - w.k0), queries, keys));
  }

  get zoomed(): boolean {
    return !isWhole(this.window, this.shape.queries, this.shape.keys);
  }

  zoomBy(factor: number, query?: number, key?: number): void {
    const w = this.window;
    const { queries, keys } = this.shape;
    const to = zoom(w, factor, query ?? (w.q0 + w.q1) / 2, key ?? (w.k0 + w.k1) / 2, queries, keys);
    this.setWindow(to);
  }

  reset(): void {
    this.setWindow(whole(this.shape.queries, this.shape.keys));
  }

  resize(width: number): void {
    this.room = width;
    this.lay();
  }

  /** Colours changed (theme, scale); `key` names them so that painted tiles can be reused. */
  setColours(key: string, colours: Partial<typeof this.colour>): void {
    this.colours = key;
    Object.assign(this.colour, colours);
    this.draw();
  }

  mark(spot: Spot, pinned: Spot): void {
    this.spot = spot;
    this.pinned = pinned;
    this.drawMarks();
  }

  /** Positions a cell stands for now. */
  get pool(): number {
    const fixed = this.actions.fixedPool();
    return (
      fixed ?? poolFor(this.window, Math.max(this.side * (globalThis.devicePixelRatio || 1), 64))
    );
  }

  draw(): void {
    if (!this.side) return;
    this.labels();
    this.drawCells();
    this.drawMarks();
    this.grid.refresh();
  }

  private lay(): void {
    const { queries, keys } = this.shape;
    const names = [...this.names.rows, ...this.names.columns];
    const longest = names.reduce((n, { text }) => Math.max(n, [...text].length), 2);
    const digits = String(Math.max(queries, keys) - 1).length;
    const indexed = names.some(({ twice }) => twice) || Math.max(queries, keys) > 40;
    const gutter = Math.min(120, 14 + longest * 6.5 + (indexed ? digits * 5.5 : 0));
    const full = document.fullscreenElement?.contains(this.el) ?? false;
    const largest = full ? Math.max(LARGEST, innerHeight - AROUND) : LARGEST;
    const cell = full ? 2 * CELL : CELL;
    const room = Math.max(120, Math.min(largest, this.room - gutter - 20));
    this.side = Math.round(Math.min(room, Math.max(96, keys * cell)));
    this.height = Math.round(Math.min(largest, (this.side * queries) / keys));
    this.el.style.setProperty("--iw-gutter", `${gutter}px`);
    this.el.style.setProperty("--iw-width", `${this.side}px`);
    this.el.style.setProperty("--iw-height", `${this.height}px`);
    this.draw();
  }

  private x(key: number): number {
    return ((key - this.window.k0) / (this.window.k1 - this.window.k0)) * this.side;
  }

  private y(query: number): number {
    return ((query - this.window.q0) / (this.window.q1 - this.window.q0)) * this.height;
  }

  private drawCells(): void {
    const ctx = this.cells.resize(this.side, this.height);
    const { queries, keys } = this.shape;
    const pool = this.pool;
    const tiles = tilesFor(this.window, pool, queries, keys);
    const causal = this.shape.masks.every((m) => m.causal);
    this.actions.want(causal ? tiles.filter((t) => !isFuture(t)) : tiles);
    if (!ctx) return;
    ctx.imageSmoothingEnabled = false;
    ctx.fillStyle = this.colour.mask;
    ctx.fillRect(0, 0, this.side, this.height);
    const overview = this.actions.overview();
    const there = tiles.map((t) => [t, this.actions.tile(t)] as const);
    if (overview && there.some(([, values]) => !values)) {
      const span = overview.pool;
      const [rows, columns] = overview.values.shape as [number, number];
      this.stretch(
        ctx,
        overview.values,
        span,
        { pool: span, row: 0, column: 0 },
        rows * span,
        columns * span,
      );
    }
    for (const [tile, values] of there) {
      if (!values) continue;
      const [rows, columns] = values.shape as [number, number];
      this.stretch(ctx, values, pool, tile, rows * pool, columns * pool);
    }
    this.lines(ctx);
  }

  private stretch(
    ctx: CanvasRenderingContext2D,
    values: NdArray,
    pool: number,
    tile: Tile,
    rows: number,
    columns: number,
  ): void {
    const { q0, k0 } = tileSpan(tile, this.shape.queries, this.shape.keys);
    const image = this.image(values, pool, q0 / pool, k0 / pool);
    if (!image) return;
    const x = this.x(k0);
    const y = this.y(q0);
    ctx.drawImage(image, x, y, this.x(k0 + columns) - x, this.y(q0 + rows) - y);
  }

  private image(
    values: NdArray,
    pool: number,
    row0: number,
    column0: number,
  ): HTMLCanvasElement | null {
    const known = this.painted.get(values);
    if (known?.colours === this.colours) return known.canvas;
    const canvas = known?.canvas ?? document.createElement("canvas");
    const pixels = this.actions.pixels(values, pool, row0, column0);
    canvas.width = pixels.width;
    canvas.height = pixels.height;
    const ctx = canvas.getContext("2d");
    if (!ctx) return null;
    ctx.putImageData(pixels, 0, 0);
    this.painted.set(values, { colours: this.colours, canvas });
    return canvas;
  }

  private lines(ctx: CanvasRenderingContext2D): void {
    const w = this.window;
    if (this.side / (w.k1 - w.k0) < 12) return;
    ctx.strokeStyle = this.colour.line;
    ctx.globalAlpha = 0.6;
    ctx.lineWidth = 0.5;
    ctx.beginPath();
    for (let k = Math.ceil(w.k0); k <= w.k1; k++) {
      ctx.moveTo(this.x(k), 0);
      ctx.lineTo(this.x(k), this.height);
    }
    for (let q = Math.ceil(w.q0); q <= w.q1; q++) {
      ctx.moveTo(0, this.y(q));
      ctx.lineTo(this.side, this.y(q));
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  private drawMarks(): void {
    const ctx = this.marks.resize(this.side, this.height);
    for (const [labels, now, pin] of [
      [this.rows, this.spot.row, this.pinned.row],
      [this.columns, this.spot.column, this.pinned.column],
    ] as const)
      for (const label of labels.querySelectorAll<HTMLElement>("[data-i]")) {
        label.classList.toggle("iw-att-on", Number(label.dataset.i) === now);
        label.classList.toggle("iw-att-pin", Number(label.dataset.i) === pin);
      }
    if (!ctx) return;
    ctx.clearRect(0, 0, this.side, this.height);
    const band = (spot: Spot, width: number, dash: number[]): void => {
      ctx.lineWidth = width;
      ctx.setLineDash(dash);
      ctx.strokeStyle = this.colour.focus;
      const frame = (x: number, y: number, w: number, hh: number): void => {
        ctx.strokeRect(
          x + width / 2,
          y + width / 2,
          Math.max(1, w - width),
          Math.max(1, hh - width),
        );
      };
      if (spot.row !== null)
        frame(0, this.y(spot.row), this.side, this.y(spot.row + 1) - this.y(spot.row));
      if (spot.column !== null)
        frame(this.x(spot.column), 0, this.x(spot.column + 1) - this.x(spot.column), this.height);
    };
    band(this.pinned, 1.5, [4, 2]);
    band(this.spot, 1.5, []);
  }

  private labels(): void {
    const w = this.window;
    const make = (side: keyof Names, a: number, b: number, pixels: number) => {
      const vertical = side === "rows";
      const labels = this[side];
      const cell = pixels / (b - a);
      const spans = labelled(a, b, pixels, 14).map((i) => {
        const { text, twice } = this.names[side][i] ?? { text: "", twice: false };
        const el = h(
          "span",
          { dir: "auto" },
          h("bdi", {}, text),
          (twice || cell < 14) && h("sub", {}, i),
        );
        el.dataset.i = String(i);
        el.style.setProperty(vertical ? "top" : "left", `${(i + 0.5 - a) * cell}px`);
        return el;
      });
      labels.replaceChildren(...spans);
    };
    make("rows", w.q0, w.q1, this.height);
    make("columns", w.k0, w.k1, this.side);
  }

  // The pointer.

  private cellAt(event: MouseEvent): { query: number; key: number } {
    const box = this.plot.getBoundingClientRect();
    const w = this.window;
    const share = (v: number, size: number): number => Math.min(0.9999999, Math.max(0, v / size));
    return {
      query: Math.floor(w.q0 + share(event.clientY - box.top, this.height) * (w.q1 - w.q0)),
      key: Math.floor(w.k0 + share(event.clientX - box.left, this.side) * (w.k1 - w.k0)),
    };
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.drag = { x: event.clientX, y: event.clientY, from: this.window, moved: false };
    if (this.zoomed) this.plot.setPointerCapture(event.pointerId);
  }

  private move(event: PointerEvent): void {
    const drag = this.drag;
    if (drag && this.zoomed) {
      const w = drag.from;
      const dx = event.clientX - drag.x;
      const dy = event.clientY - drag.y;
      if (Math.hypot(dx, dy) > 3) drag.moved = true;
      if (drag.moved) {
        const dq = (-dy / this.height) * (w.q1 - w.q0);
        const dk = (-dx / this.side) * (w.k1 - w.k0);
        this.setWindow(pan(w, dq, dk, this.shape.queries, this.shape.keys));
        return;
      }
    }
    const { query, key } = this.cellAt(event);
    this.actions.hover({ row: query, column: key }, event.clientX, event.clientY);
  }

  private up(event: PointerEvent): void {
    const drag = this.drag;
    this.drag = null;
    if (!drag || drag.moved) return;
    const { query, key } = this.cellAt(event);
    this.grid.focus(query, key);
    this.actions.pin({ row: query, column: key });
  }

  private wheel(event: WheelEvent): void {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { query, key } = this.cellAt(event);
    this.zoomBy(Math.exp(-event.deltaY / 200), query + 0.5, key + 0.5);
  }

  // The keyboard.

  private key(event: KeyboardEvent, query: number, key: number): boolean {
    if (event.ctrlKey || event.metaKey) return false;
    if (event.key === "+" || event.key === "=") this.zoomBy(2, query + 0.5, key + 0.5);
    else if (event.key === "-") this.zoomBy(0.5, query + 0.5, key + 0.5);
    else if (event.key === "0") this.reset();
    else if (event.shiftKey && event.key in PANS) this.panBy(...PANS[event.key]!);
    else return false;
    return true;
  }

  private focused(query: number, key: number): void {
    this.walking = true;
    const { queries, keys } = this.shape;
    const seen = reveal(this.window, query, key, queries, keys);
    if (seen !== this.window) this.setWindow(seen);
    const plot = this.plot.getBoundingClientRect();
    const { x, y, width, height } = this.box(query, key);
    const right = plot.left + x + width;
    this.actions.hover({ row: query, column: key }, right, plot.top + y + height);
  }

  private box(query: number, key: number): { x: number; y: number; width: number; height: number } {
    const x = this.x(key);
    const y = this.y(query);
    return { x, y, width: this.x(key + 1) - x, height: this.y(query + 1) - y };
  }
}

const NOWHERE: Spot = { row: null, column: null };

/** Shift and an arrow move the window by a quarter. */
const PANS: Record<string, [number, number]> = {
  ArrowUp: [-0.25, 0],
  ArrowDown: [0.25, 0],
  ArrowLeft: [0, -0.25],
  ArrowRight: [0, 0.25],
};
