// Marginal bars: each row and each column reduced to one number, drawn at the edges of the grid.
import type { Palette } from "../core/color.js";
import { num } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { fontOf } from "./axes.js";
import type { Camera } from "./camera.js";
import { entry } from "./labels.js";
import type { Slice } from "./model.js";
import { TEXT } from "./sizes.js";

export const REDUCTIONS = [
  ["", "none"],
  ["mean", "mean"],
  ["max", "largest"],
  ["min", "smallest"],
  ["norm", "norm"],
] as const;
export const EDGE = { width: 80, height: 44 };

interface Numbers {
  rows: NdArray;
  cols: NdArray;
}

export class Bars {
  private numbers: Numbers | undefined;
  private key = "";
  private asked: AbortController | undefined;

  constructor(
    private readonly view: View,
    private readonly slice: () => Slice,
    private readonly changed: () => void,
  ) {}

  get how(): string {
    return this.slice().state.bars ?? "";
  }

  get on(): boolean {
    return this.how !== "" && !this.view.veil.covers && this.slice().drawn === "cells";
  }

  /** Asks again when the slice, the mode or the reduction is another one. */
  refresh(): void {
    const { rows, cols, at, mode, spec } = this.slice();
    const payload = { rows, cols, at, mode, how: this.how };
    const key = JSON.stringify([payload, spec.revision]);
    if (key === this.key) return;
    this.key = key;
    this.asked?.abort();
    if (!this.how) {
      this.numbers = undefined;
      return;
    }
    const asked = new AbortController();
    this.asked = asked;
    this.view.request<Numbers>("bars", payload, { signal: asked.signal }).then(
      (numbers) => {
        this.numbers = numbers;
        this.changed();
      },
      (error) => this.view.report(error),
    );
  }

  row(row: number): number | undefined {
    return this.on ? this.numbers?.rows.data[row] : undefined;
  }

  col(col: number): number | undefined {
    return this.on ? this.numbers?.cols.data[col] : undefined;
  }

  /** What is spoken after a cell. */
  said(row: number, col: number): string {
    const [r, c] = [this.row(row), this.col(col)];
    if (r === undefined || c === undefined) return "";
    const { rows } = this.slice();
    return `${rows ? `, ${this.how} of the row ${num(r)}` : ""}, ${this.how} of the column ${num(c)}`;
  }

  /** The bar under a point of the plot's coordinates. */
  under(x: number, y: number, camera: Camera, data: (row: number) => number) {
    const { rows, cols, spec } = this.slice();
    const cell = camera.nearest(x, y);
    const atRow = x > camera.width && y >= 0 && y < camera.height;
    const atCol = y < 0 && x >= 0 && x < camera.width;
    const i = atRow ? data(cell.row) : cell.col;
    const value = atRow ? this.row(i) : atCol ? this.col(i) : undefined;
    if (value === undefined) return null;
    const [dim, over] = atRow ? [rows, cols] : [cols, rows];
    const what = over ? `${this.how} over ${over}` : this.how;
    const row: [string, string] = [what, num(value, 4)];
    return { title: entry(dim, i, spec.labels[dim]), row };
  }

  /** Right of the plot and above it; the origin is the plot's corner. `data` maps display rows. */
  paint(
    ctx: CanvasRenderingContext2D,
    camera: Camera,
    data: (row: number) => number,
    palette: Palette,
  ): void {
    if (!this.on || !this.numbers) return;
    const { rows, cols } = this.numbers;
    const of = { rows: extent(rows.data), cols: extent(cols.data) };
    const blue = `rgb(${(palette.sequential[3] ?? [63, 134, 190]).join(",")})`;
    const orange = `rgb(${(palette.diverging[5] ?? [217, 98, 43]).join(",")})`;
    const ends = (value: number, room: number, range: Extent): [number, number] => {
      const place = (v: number) => ((v - range.low) / (range.high - range.low)) * room;
      const [a, b] = [place(0), place(value)];
      return [Math.min(a, b), Math.max(1, Math.abs(b - a))];
    };
    const many = this.slice().nRows > 1;
    const { visible } = camera;
    const across = EDGE.width - 28;
    const tall = EDGE.height - 10;
    const left = camera.width + 8;
    const gap = (size: number) => (size > 6 ? 1 : 0);
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, 0, across, camera.height);
    ctx.rect(0, -tall - 6, camera.width, tall);
    ctx.clip();
    if (many) {
      each(
        visible.rows,
        camera.ch,
        (i) => rows.data[data(i)],
        (i, value) => {
          const { y, height } = camera.box(i, 0);
          const [from, size] = ends(value, across, of.rows);
          ctx.fillStyle = value < 0 ? orange : blue;
          ctx.fillRect(left + from, y, size, Math.max(1, height - gap(height)));
        },
      );
    }
    each(
      visible.cols,
      camera.cw,
      (i) => cols.data[i],
      (i, value) => {
        const { x, width } = camera.box(0, i);
        const [from, size] = ends(value, tall, of.cols);
        ctx.fillStyle = value < 0 ? orange : blue;
        ctx.fillRect(x, -6 - from - size, Math.max(1, width - gap(width)), size);
      },
    );
    ctx.restore();
    const zero = ({ low, high }: Extent) => -low / (high - low);
    ctx.fillStyle = palette.muted;
    ctx.fillRect(0, -6 - zero(of.cols) * tall - 0.5, camera.width, 1);
    ctx.font = fontOf(TEXT);
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    const name = REDUCTIONS.find(([key]) => key === this.how)?.[1] ?? this.how;
    ctx.fillText(name, left, -26);
    const span = ({ low, high }: Extent) => `${brief(low)}…${brief(high)}`;
    ctx.fillText(span(of.cols), left, -12);
    if (!many) return;
    ctx.fillRect(left + zero(of.rows) * across - 0.5, 0, 1, camera.height);
    ctx.fillText(span(of.rows), left, camera.height + 12);
  }
}

interface Extent {
  low: number;
  high: number;
}

const brief = (x: number) => num(x, 2);

function extent(array: ArrayLike<number>): Extent {
  let [low, high] = [0, 0];
  for (let i = 0; i < array.length; i++) {
    const value = array[i] as number;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low === high ? { low, high: low + 1 } : { low, high };
}

/** The bars in view; of several that share a pixel the one of largest magnitude. */
function each(
  [from, to]: readonly [number, number],
  pixels: number,
  value: (i: number) => number | undefined,
  call: (i: number, value: number) => void,
): void {
  const step = Math.max(1, Math.floor(1 / pixels));
  for (let start = from; start < to; start += step) {
    let best: number | undefined;
    for (let i = start; i < Math.min(to, start + step); i++) {
      const v = value(i);
      if (v === undefined || !Number.isFinite(v)) continue;
      if (best === undefined || Math.abs(v) > Math.abs(best)) best = v;
    }
    if (best !== undefined) call(start, best);
  }
}
