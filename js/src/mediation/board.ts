// The effects of all mediators: a grid of cells, or bars with intervals where they are a list.

import { fitted, hidpi } from "../core/canvas.js";
import { diverging, type Scale } from "../core/color.js";
import { h, num } from "../core/dom.js";
import { Grid } from "../core/grid.js";
import { ticks } from "../core/ticks.js";
import { Tooltip } from "../core/tooltip.js";
import type { Mediation, Mediator } from "./model.js";

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const ROW = 24;

export class Board {
  readonly el = h("div", { class: "iw-mediation-board" });
  private readonly canvas = hidpi();
  private readonly grid: Grid;
  private readonly tip: Tooltip;
  private width = 0;
  private left = 0;
  private top = 0;
  private cellWidth = 0;
  private cellHeight = ROW;
  private pointing = false;

  constructor(private readonly data: Mediation) {
    const { view } = data;
    this.tip = new Tooltip(view.el, view.signal);
    this.grid = new Grid(view.signal, {
      label: "",
      rows: 1,
      cols: 1,
      cell: (r, c) => data.spoken(data.index(r, c)),
      place: (r, c) => this.place(r, c),
      move: (r, c) => this.moved(r, c),
      open: (r, c) => this.open(r, c),
      leave: () => this.tip.hide(),
    });
    this.el.append(this.canvas.el, this.grid.el);
    this.listen();
  }

  resize(width: number): void {
    this.width = width;
  }

  /** Other numbers came: what the tooltip says is old. */
  forget(): void {
    this.tip.hide();
  }

  get scale(): Scale {
    return diverging(this.data.view.palette, this.data.top());
  }

  draw(): void {
    const { data, width } = this;
    if (width <= 0) return;
    const { view } = data;
    this.grid.resize(data.rows, data.cols, `${data.label(data.quantity)}, ${view.spec.quantity}`);
    const ctx = this.canvas.el.getContext("2d");
    this.measure(ctx);
    const high = this.top + data.rows * this.cellHeight + (data.isGrid ? 38 : 20);
    this.el.style.height = `${high}px`;
    const paint = this.canvas.resize(width, high);
    this.grid.refresh();
    if (!paint) return;
    paint.clearRect(0, 0, width, high);
    paint.font = FONT;
    paint.textBaseline = "middle";
    if (data.isGrid) this.cells(paint);
    else this.bars(paint);
  }

  private measure(ctx: CanvasRenderingContext2D | null): void {
    const { data } = this;
    const names = data.isGrid ? data.labels(0) : data.mediators.map((m) => m.name);
    let widest = 8 * Math.max(...names.map((name) => name.length));
    if (ctx) {
      ctx.font = FONT;
      widest = Math.max(...names.map((name) => ctx.measureText(name).width));
    }
    const title = data.isGrid ? 18 : 0;
    this.left = Math.round(Math.min(0.34 * this.width, widest + 12) + title);
    this.top = 4;
    const room = this.width - this.left - 8;
    this.cellWidth = data.isGrid ? Math.min(72, room / data.cols) : room;
    const tall = Math.min(36, Math.max(ROW, 240 / data.rows));
    this.cellHeight = !data.isGrid ? ROW : data.rows > 24 ? 14 : tall;
  }

  private cells(ctx: CanvasRenderingContext2D): void {
    const { data } = this;
    const { palette, spec } = data.view;
    const { scale } = this;
    for (let r = 0; r < data.rows; r++) {
      for (let c = 0; c < data.cols; c++) {
        const i = data.index(r, c);
        const { mean, low, high } = data.effect(i);
        const { x, y, width, height } = this.box(r, c);
        const hidden = data.hidden(i);
        ctx.fillStyle = hidden ? palette.line : scale.css(mean);
        ctx.fillRect(x, y, width - 1, height - 1);
        if (hidden || Number.isNaN(mean)) continue;
        const sure = Number.isFinite(low) && (low > 0 || high < 0);
        if (sure && width > 10 && height > 12) {
          ctx.fillStyle = scale.ink(mean);
          ctx.textAlign = "center";
          ctx.fillText(mean < 0 ? "−" : "+", x + width / 2, y + height / 2);
        }
      }
    }
    ctx.lineWidth = 1;
    ctx.strokeStyle = palette.line;
    const across = data.cols * this.cellWidth;
    ctx.strokeRect(this.left - 0.5, this.top - 0.5, across, data.rows * this.cellHeight);
    ctx.fillStyle = palette.muted;
    ctx.textAlign = "right";
    const rowEvery = Math.ceil(12 / this.cellHeight);
    data.labels(0).forEach((name, r) => {
      if (r % rowEvery) return;
      const { y, height } = this.box(r, 0);
      fitted(ctx, name, this.left - 24, (text) =>
        ctx.fillText(text, this.left - 6, y + height / 2),
      );
    });
    ctx.textAlign = "center";
    const below = this.top + data.rows * this.cellHeight + 8;
    const names = data.labels(1);
    const widest = Math.max(...names.map((name) => ctx.measureText(name).width)) + 6;
    const every = Math.max(1, Math.ceil(Math.min(widest, 64) / this.cellWidth));
    names.forEach((name, c) => {
      if (c % every) return;
      const { x, width } = this.box(0, c);
      fitted(ctx, name, every * this.cellWidth - 4, (text) =>
        ctx.fillText(text, x + width / 2, below),
      );
    });
    const middle = this.left + (data.cols * this.cellWidth) / 2;
    ctx.fillText(spec.dims[1], middle, below + 18);
    ctx.save();
    ctx.translate(8, this.top + (data.rows * this.cellHeight) / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(spec.dims[0], 0, 0);
    ctx.restore();
    this.mark(ctx);
  }

  private bars(ctx: CanvasRenderingContext2D): void {
    const { data } = this;
    const { palette } = data.view;
    const { scale } = this;
    const [low, high] = this.domain();
    const at = (v: number) => this.left + ((v - low) / (high - low)) * (this.width - this.left - 8);
    const bottom = this.top + data.rows * ROW;
    ctx.strokeStyle = palette.line;
    ctx.fillStyle = palette.muted;
    ctx.textAlign = "center";
    for (const tick of ticks(low, high, (this.width - this.left) / 70)) {
      ctx.lineWidth = 1;
      ctx.beginPath();
      ctx.moveTo(Math.round(at(tick)) + 0.5, this.top);
      ctx.lineTo(Math.round(at(tick)) + 0.5, bottom);
      ctx.strokeStyle = tick === 0 ? palette.muted : palette.line;
      ctx.stroke();
      const x = Math.min(Math.max(at(tick), this.left + 8), this.width - 14);
      ctx.fillText(plain(tick), x, bottom + 10);
    }
    for (let r = 0; r < data.rows; r++) {
      const effect = data.effect(r);
      const y = this.top + r * ROW;
      ctx.textAlign = "right";
      ctx.fillStyle = r === data.chosen ? palette.text : palette.muted;
      const name = (data.mediators[r] as Mediator).name;
      fitted(ctx, name, this.left - 10, (text) => ctx.fillText(text, this.left - 8, y + ROW / 2));
      if (data.hidden(r) || Number.isNaN(effect.mean)) {
        ctx.fillStyle = palette.line;
        ctx.fillRect(at(0), y + 6, 24, ROW - 12);
        continue;
      }
      const [a, b] = [at(0), at(effect.mean)];
      ctx.fillStyle = scale.css(effect.mean < 0 ? 0.6 * scale.low : 0.6 * scale.high);
      ctx.fillRect(Math.min(a, b), y + 5, Math.max(1, Math.abs(b - a)), ROW - 10);
      if (Number.isFinite(effect.low))
        whisker(ctx, at(effect.low), at(effect.high), y + ROW / 2, palette.text);
    }
    this.mark(ctx);
  }

  private domain(): [number, number] {
    const { data } = this;
    let [low, high] = [0, 0];
    for (let i = 0; i < data.mediators.length; i++) {
      if (data.hidden(i)) continue;
      const effect = data.effect(i);
      for (const v of [effect.mean, effect.low, effect.high]) {
        if (Number.isFinite(v)) [low, high] = [Math.min(low, v), Math.max(high, v)];
      }
    }
    const gap = (high - low || 1) * 0.06;
    return [low < 0 ? low - gap : -gap / 3, high > 0 ? high + gap : gap / 3];
  }

  /** Frames the chosen mediator. */
  private mark(ctx: CanvasRenderingContext2D): void {
    const { data } = this;
    const cell = data.cell(data.chosen);
    if (!cell) return;
    const { x, y, width, height } = this.box(...cell);
    ctx.lineWidth = 2;
    ctx.strokeStyle = data.view.palette.text;
    if (data.isGrid) ctx.strokeRect(x, y, width - 1, height - 1);
    else {
      ctx.fillStyle = data.view.palette.accent;
      ctx.fillRect(0, y + 4, 3, height - 8);
    }
  }

  private box(row: number, col: number) {
    const width = this.data.isGrid ? this.cellWidth : this.width;
    const x = this.data.isGrid ? this.left + col * this.cellWidth : 0;
    return { x, y: this.top + row * this.cellHeight, width, height: this.cellHeight };
  }

  private place(row: number, col: number) {
    return this.width > 0 ? this.box(row, col) : null;
  }

  // Pointer and keyboard.

  private at(event: MouseEvent): [number, number] | null {
    const frame = this.el.getBoundingClientRect();
    const { data } = this;
    const row = Math.floor((event.clientY - frame.top - this.top) / this.cellHeight);
    const x = event.clientX - frame.left;
    const col = data.isGrid ? Math.floor((x - this.left) / this.cellWidth) : 0;
    const inside = row >= 0 && row < data.rows && col >= 0 && col < data.cols;
    return inside ? [row, col] : null;
  }

  private show(row: number, col: number, x: number, y: number): void {
    const { data } = this;
    const i = data.index(row, col);
    const own = data.mediators[i] as Mediator;
    data.view.hover(JSON.parse(JSON.stringify(data.fields(i))));
    const rows = data.hidden(i) ? ([["hidden", ""]] as [string, string][]) : data.facts(i);
    this.tip.show(x, y, `${own.name} (${own.type})`, rows);
  }

  /** Scrolls a list so that the row is seen. */
  private uncover(row: number): void {
    const pane = this.el.parentElement;
    if (!pane) return;
    const { y, height } = this.box(row, 0);
    if (y < pane.scrollTop) pane.scrollTop = y;
    const over = y + height - (pane.scrollTop + pane.clientHeight);
    if (over > 0) pane.scrollTop += over;
  }

  private moved(row: number, col: number): void {
    if (!this.grid.focused || this.pointing) return;
    this.uncover(row);
    const frame = this.el.getBoundingClientRect();
    const { x, y, width, height } = this.box(row, col);
    const across = this.data.isGrid ? x + width : this.left;
    this.show(row, col, frame.left + across, frame.top + y + height / 2);
  }

  private open(row: number, col: number): void {
    const { data } = this;
    const i = data.index(row, col);
    if (data.hidden(i)) data.view.reveal((data.mediators[i] as Mediator).name);
    else {
      data.choose(i);
      data.view.say(data.spoken(i));
    }
  }

  private listen(): void {
    const { view } = this.data;
    const on = <K extends keyof HTMLElementEventMap>(
      name: K,
      call: (event: HTMLElementEventMap[K]) => void,
    ) => this.el.addEventListener(name, view.guard(call), { signal: view.signal });
    on("pointermove", (event) => {
      const cell = this.at(event);
      if (cell) this.show(...cell, event.clientX, event.clientY);
      else {
        this.tip.leave();
        view.hover(null);
      }
    });
    on("pointerleave", () => {
      this.tip.leave();
      view.hover(null);
    });
    on("click", (event) => {
      const cell = this.at(event);
      if (!cell) return;
      this.pointing = true;
      this.grid.focus(...cell);
      this.pointing = false;
      this.open(...cell);
    });
  }
}

export function whisker(
  ctx: CanvasRenderingContext2D,
  a: number,
  b: number,
  y: number,
  color: string,
): void {
  ctx.strokeStyle = color;
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(a, y);
  ctx.lineTo(b, y);
  for (const x of [a, b]) {
    ctx.moveTo(x, y - 3);
    ctx.lineTo(x, y + 3);
  }
  ctx.stroke();
}

/** A round number without needless zeros. */
export function plain(x: number): string {
  const a = Math.abs(x);
  return a >= 1e5 || (a > 0 && a < 1e-3) ? num(x) : String(x).replace("-", "−");
}
