// A slice as lines or bars in the place of cells: what is drawn, how large, and its legend.
import type { Hidpi } from "../core/canvas.js";
import { h, num } from "../core/dom.js";
import { type Series, seriesOf } from "../core/series.js";
import type { View } from "../core/view.js";
import { fontOf, type Gutter, type Highlights } from "./axes.js";
import type { Camera, TileRef } from "./camera.js";
import { paintChart } from "./chart_paint.js";
import type { Data, RangeInfo } from "./data.js";
import { axisLabel, wordy } from "./labels.js";
import { paintMarked } from "./marked.js";
import type { Other, Slice } from "./model.js";
import { type Ends, Plot, reach, type Shape } from "./plot.js";
import { countMarks } from "./scaling.js";
import type { Scene } from "./scene.js";
import { TEXT } from "./sizes.js";

/** What the chart is of, as the board has it. */
export interface Subject {
  readonly view: View;
  readonly slice: Slice;
  readonly data: Data;
  readonly range: RangeInfo | undefined;
  readonly refs: readonly TileRef[];
  veiled(row: number, col: number): boolean;
}

/** CSS pixels: height of lines, of a line of a list; most width of a column, least of the whole. */
const SIZE = { height: 220, line: 22, column: 130, least: 300, track: 560 };
const LEGIBLE = 24;
/** Numbered columns whose bars stand side by side; more are histograms over one another. */
const SIDE_BY_SIDE = 12;

export class Chart {
  plot: Plot | undefined;

  constructor(private readonly of: Subject) {}

  /** Whether it is drawn in the place of cells. */
  get on(): boolean {
    return this.of.slice.drawn !== "cells";
  }

  get shape(): Shape {
    const { drawn, rows, cols, nRows, nCols, spec, ends } = this.of.slice;
    if (drawn === "lines") return "lines";
    if (!rows && spec.names?.includes(cols)) return "list";
    const many = nRows > 1 && nCols > SIDE_BY_SIDE && !ends;
    return many && numeric(spec.labels[cols]) ? "steps" : "groups";
  }

  get list(): boolean {
    return this.shape === "list";
  }

  /** The value before the interventions, where the current one is shown. */
  get before(): Other | null {
    const { slice } = this.of;
    return slice.spec.changed && slice.mode === "current" ? { mode: "base" } : null;
  }

  /** What has to be asked for besides the slice. */
  get others(): Other[] {
    return [...(this.of.slice.ends ?? []), ...(this.before ? [this.before] : [])];
  }

  get names(): string[] {
    const { rows, nRows, spec } = this.of.slice;
    return Array.from({ length: nRows }, (_, i) => axisLabel(spec.labels[rows]?.[i] ?? `${i}`, 24));
  }

  series(row: number): Series {
    return seriesOf(row, this.of.view.palette);
  }

  value(row: number, col: number, other?: Other): number | undefined {
    return this.of.data.pooled(row, col, this.of.refs, other);
  }

  /** Fits the camera into a width, and says what stands around it. `free` as in sizesFor. */
  layout(
    ctx: CanvasRenderingContext2D | null,
    camera: Camera,
    width: number,
    free: number,
  ): Gutter {
    const { cols, nCols, nRows, spec } = this.of.slice;
    const text = free ? Math.max(TEXT, Math.min(18, Math.round(width / 70))) : TEXT;
    camera.text = text;
    if (ctx) ctx.font = fontOf(text);
    const measure = (words: string) => (ctx ? ctx.measureText(words).width : words.length * 6);
    const widest = (names: readonly string[]) => Math.ceil(Math.max(0, ...names.map(measure)));
    const labels = spec.labels[cols];
    if (this.list) {
      const names = (labels ?? []).map((name) => axisLabel(name, LEGIBLE));
      const left = Math.min(widest(names) + 14, 0.4 * width);
      const right = measure("−0.00000") + 8;
      const line = free ? Math.min(88, Math.max(SIZE.line, free / nCols)) : SIZE.line;
      const track = Math.min(width - left - right - 1, free ? width : SIZE.track);
      camera.fit(Math.max(60, track), nCols * line, 0, width);
      return { left, right, top: 4, bottom: 6, slanted: false, gap: 0 };
    }
    const shown = labels ? labels.map((name) => axisLabel(name)) : [String(nCols - 1)];
    const longest = widest(shown);
    const lines = this.shape === "lines" && nRows > 1;
    const left = Math.round(5.2 * text);
    const right = lines ? Math.min(widest(this.names) + 30, Math.round(0.3 * width)) : 14;
    const room = Math.max(60, width - left - right - 1);
    const most = Math.max(SIZE.least, SIZE.column * nCols);
    const across = free ? room : Math.min(room, most);
    const height = free ? Math.max(120, free) : Math.min(SIZE.height, Math.max(140, 0.6 * width));
    camera.fit(across, height, 0, across);
    const slanted = !numeric(labels) && longest > camera.cw - 6;
    const bottom = slanted ? Math.min(8 * text, longest + 10) : Math.round(1.5 * text + 1);
    const gap = numeric(labels) ? longest + 10 : 0;
    return { left, right, top: 2 * text, bottom: bottom + 2, slanted, gap };
  }

  /** Takes what has arrived; to be called before anything is asked of the plot. */
  refresh(camera: Camera): void {
    const { slice } = this.of;
    const hidden = (row: number, col: number) => this.of.veiled(row, col);
    const value = (row: number, col: number) => this.value(row, col);
    const ends = reach(this.known(), slice.drawn === "bars");
    this.plot = new Plot(this.shape, camera, { rows: slice.nRows, value, hidden }, ends);
  }

  paint(canvas: Hidpi, scene: Scene, selected: Highlights, hovered: Highlights): void {
    const { camera, gutter, slice, view, pointed, marked, refs } = scene;
    const { plot } = this;
    if (!plot) return;
    const { palette } = view;
    paintChart(canvas, {
      ...{ chart: this, plot, camera, gutter, slice, palette, selected, hovered, pointed },
      step: refs[0]?.col_step ?? 1,
      overlay: (ctx) =>
        paintMarked(ctx, (row, col) => plot.frame(row, col), marked, slice, palette),
    });
  }

  /** Whether the value axis says something that the veil does not hide. */
  get told(): boolean {
    return !this.of.view.veil.covers || this.known().length > 0;
  }

  /** Ends of what may be seen. */
  private known(): Ends[] {
    const { view, slice, range, data, refs } = this.of;
    if (view.veil.covers) {
      return slice
        .revealed(view.veil.revealed)
        .flatMap(([row, col]) => [{}, ...this.others].map((other) => this.value(row, col, other)))
        .filter((value) => value !== undefined && Number.isFinite(value))
        .map((value) => [value as number, value as number]);
    }
    if (!range) return [];
    if (slice.state.scale === "trim") return [[range.trim_low, range.trim_high]];
    const more = this.others.map((other) => refs[0] && data.tile(refs[0], other)?.range);
    return [range, ...more].flatMap((found) => (found ? [[found.low, found.high] as const] : []));
  }

  /** Rows of the tooltip after the value: the interval, and the value before. */
  more(row: number, col: number): (readonly [string, string])[] {
    const { data } = this.of;
    const found: (readonly [string, string])[] = [];
    const ends = this.interval(row, col);
    if (ends) found.push(["95 % interval", ends]);
    const before = this.before && data.value(row, col, this.before);
    if (typeof before === "number") found.push(["base", num(before, 4)]);
    return found;
  }

  /** "0.812 to 0.861"; empty where there is none. */
  interval(row: number, col: number): string {
    const ends = this.of.slice.ends?.map((end) => this.of.data.value(row, col, end)) ?? [];
    return ends.length && ends.every(Number.isFinite) ? ends.map((x) => num(x)).join(" to ") : "";
  }

  private swatch(row: number): HTMLElement {
    const { color, fill } = this.series(row);
    const inside = `color-mix(in srgb, ${color} ${100 * fill}%, transparent)`;
    return h("i", { style: { background: inside, "border-color": color } });
  }

  /** Which colour is which row where no label stands beside it, and what else is drawn. */
  legend(): HTMLElement {
    const { slice, range, refs } = this.of;
    const marks: string[] = [];
    if (slice.ends) {
      marks.push(`${this.shape === "lines" ? "bands" : "whiskers"}: 95 % intervals`);
    }
    if (this.before) marks.push("dashed: base");
    if (slice.state.scale === "trim") marks.push("middle 99 %; what is beyond stands at the edge");
    if (slice.state.scale === "all") marks.push("same axis on every slice");
    if (range && !this.of.view.veil.covers)
      marks.push(...countMarks(range, slice, refs[0] ?? { row_step: 1, col_step: 1 }));
    const keys = this.shape === "lines" || !slice.rows ? [] : this.names;
    return h(
      "div",
      { class: "iw-legend" },
      ...keys.map((name, i) => h("span", { class: "iw-legend-key" }, this.swatch(i), name)),
      ...marks.map((mark) => h("span", { class: "iw-legend-mark" }, mark)),
    );
  }
}

/** Whether entries are numbers, between which there is something. */
export function numeric(labels: readonly string[] | undefined): boolean {
  if (!wordy(labels)) return true;
  return !!labels?.every((name) => name.trim() !== "" && Number.isFinite(Number(name)));
}
