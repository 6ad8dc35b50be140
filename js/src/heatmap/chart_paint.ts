// Draws lines and bars with their axes, names and numbers.
import { fitted, type Hidpi } from "../core/canvas.js";
import type { Palette } from "../core/color.js";
import { num } from "../core/dom.js";
import { drawMarker, type Series } from "../core/series.js";
import { ticks, tickText } from "../core/ticks.js";
import { fontOf, type Gutter, type Highlights, opened, paintLabels, paintScroll } from "./axes.js";
import type { Camera } from "./camera.js";
import type { Chart } from "./chart.js";
import { axisLabel } from "./labels.js";
import type { Other, Slice } from "./model.js";
import { type Box, type Plot, spread } from "./plot.js";

export interface ChartFrame {
  chart: Chart;
  plot: Plot;
  camera: Camera;
  gutter: Gutter;
  slice: Slice;
  palette: Palette;
  /** Columns of one dot. */
  step: number;
  selected: Highlights;
  hovered: Highlights;
  /** The cell under the pointer. */
  pointed: { row: number; col: number } | null;
  overlay(ctx: CanvasRenderingContext2D): void;
}

type Ctx = CanvasRenderingContext2D;
interface Spot {
  x: number;
  y: number;
}

const TITLE = 18;

export function paintChart(canvas: Hidpi, frame: ChartFrame): void {
  const { camera, gutter, plot, slice, palette } = frame;
  const bottom = gutter.bottom + TITLE;
  const ctx = opened(canvas, camera, gutter, bottom);
  if (!ctx) return;
  ctx.lineJoin = "round";
  if (!plot.list) paintAxis(ctx, frame);
  paintColumns(ctx, frame);
  ctx.save();
  ctx.beginPath();
  if (plot.list) ctx.rect(0, 0, camera.width + gutter.right, camera.height);
  else ctx.rect(0, -6, camera.width, camera.height + 12);
  ctx.clip();
  if (plot.shape === "lines") paintLines(ctx, frame);
  else paintBars(ctx, frame);
  frame.overlay(ctx);
  ctx.restore();
  if (plot.list) paintList(ctx, frame);
  else {
    if (plot.shape === "lines" && slice.rows) paintEnds(ctx, frame);
    paintScroll(ctx, camera, palette);
    const cols = { dim: slice.cols, labels: slice.spec.labels[slice.cols] };
    const none = { dim: "", labels: undefined };
    paintLabels(ctx, camera, gutter, none, cols, frame.selected, palette, false);
  }
  paintTitles(ctx, frame, bottom);
  ctx.restore();
}

/** The indices of the dots in sight, and one more at each side. */
function dots({ camera, step }: ChartFrame): number[] {
  const [from, to] = camera.visible.cols;
  const found: number[] = [];
  for (let col = (Math.floor(from / step) - 1) * step; col < to + step; col += step) {
    if (col >= 0 && col < camera.cols) found.push(col);
  }
  return found;
}

function middle({ camera, step }: ChartFrame, col: number): number {
  const { x, width } = camera.box(0, col);
  return x + (width * Math.min(step, camera.cols - col)) / 2;
}

function paintAxis(ctx: Ctx, { plot, camera, palette, chart }: ChartFrame): void {
  ctx.lineWidth = 1;
  ctx.font = fontOf(camera.text);
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.fillStyle = palette.muted;
  for (const value of ticks(...plot.ends, camera.height / (4 * camera.text))) {
    const y = Math.round(plot.at(value)) + 0.5;
    ctx.strokeStyle = value === 0 ? palette.muted : palette.line;
    ctx.beginPath();
    ctx.moveTo(0, y);
    ctx.lineTo(camera.width, y);
    ctx.stroke();
    if (chart.told) ctx.fillText(tickText(value), -6, y);
  }
}

/** The columns that are selected, hovered in another view, or under the pointer. */
function paintColumns(ctx: Ctx, frame: ChartFrame): void {
  const { plot, camera, gutter, palette, selected, hovered, pointed } = frame;
  const strip = (col: number, ink: string, dash: number[]) => {
    const slot: Box = plot.list ? plot.slot(0, col) : { ...plot.frame([0, 2], [col, col + 1]) };
    ctx.strokeStyle = ink;
    ctx.lineWidth = dash.length ? 1 : 1.5;
    ctx.setLineDash(dash);
    if (plot.shape === "lines") {
      const x = slot.x + slot.width / 2;
      ctx.beginPath();
      ctx.moveTo(x, 0);
      ctx.lineTo(x, camera.height);
      ctx.stroke();
    } else if (plot.list) {
      const across = gutter.left + camera.width + gutter.right;
      ctx.strokeRect(1.5 - gutter.left, slot.y + 0.5, across - 3, slot.height - 1);
    } else {
      const { x, width } = camera.box(0, col);
      ctx.strokeRect(x + 0.5, 0.5, Math.max(2, width - 1), camera.height - 1);
    }
    ctx.setLineDash([]);
  };
  if (pointed) strip(pointed.col, palette.muted, [1, 3]);
  if (hovered.col !== null) strip(hovered.col, palette.accent, [3, 3]);
  if (selected.col !== null) strip(selected.col, palette.accent, []);
}

/** The row that stands out; null while all are alike. */
function ahead({ selected, hovered, pointed, slice }: ChartFrame): number | null {
  return slice.nRows > 1 ? (pointed?.row ?? hovered.row ?? selected.row) : null;
}

function paintLines(ctx: Ctx, frame: ChartFrame): void {
  const { chart, plot, slice, camera, palette, step, pointed } = frame;
  const cols = dots(frame);
  const close = step * camera.cw < 7;
  const size = camera.text / 11;
  const first = ahead(frame);
  const spots = (row: number, other?: Other) =>
    cols.map((col): Spot | null => {
      const value = plot.values.hidden(row, col) ? undefined : chart.value(row, col, other);
      if (value === undefined || !Number.isFinite(value)) return null;
      return { x: middle(frame, col), y: plot.at(value) };
    });
  const order = Array.from({ length: slice.nRows }, (_, i) => i);
  if (first !== null) order.push(...order.splice(first, 1));
  const { ends } = slice;
  for (const row of order) {
    const series = chart.series(row);
    const alpha = first === null || first === row ? 1 : 0.3;
    ctx.fillStyle = ctx.strokeStyle = series.color;
    if (ends) {
      ctx.globalAlpha = alpha * (palette.dark ? 0.24 : 0.15);
      band(ctx, spots(row, ends[0]), spots(row, ends[1]));
    }
    if (chart.before) {
      ctx.globalAlpha = 0.7 * alpha;
      ctx.lineWidth = 1.2 * size;
      ctx.setLineDash([3, 3]);
      trace(ctx, spots(row, chart.before));
    }
    ctx.globalAlpha = alpha;
    ctx.lineWidth = (close && camera.cols > 200 ? 1.2 : 2) * size;
    ctx.setLineDash(series.dash.map((x) => x * size));
    const points = spots(row);
    trace(ctx, points);
    ctx.setLineDash([]);
    points.forEach((spot, i) => {
      const alone = !points[i - 1] && !points[i + 1];
      if (spot && close && alone) ctx.fillRect(spot.x - 1, spot.y - 1, 2, 2);
      else if (spot && !close) drawMarker(ctx, series.marker, spot.x, spot.y, 3.4 * size);
    });
    for (const col of cols) if (plot.values.hidden(row, col)) question(ctx, frame, row, col);
  }
  ctx.globalAlpha = 1;
  const at = pointed && plot.place(pointed.row, pointed.col);
  if (!pointed || at === null || plot.values.hidden(pointed.row, pointed.col)) return;
  ctx.strokeStyle = palette.text;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  const { x, width } = camera.box(0, pointed.col);
  ctx.arc(x + width / 2, at, 6 * size, 0, 2 * Math.PI);
  ctx.stroke();
}

function trace(ctx: Ctx, spots: readonly (Spot | null)[]): void {
  ctx.beginPath();
  spots.forEach((spot, i) => {
    if (spot && spots[i - 1]) ctx.lineTo(spot.x, spot.y);
    else if (spot) ctx.moveTo(spot.x, spot.y);
  });
  ctx.stroke();
}

function band(ctx: Ctx, low: readonly (Spot | null)[], high: readonly (Spot | null)[]): void {
  ctx.beginPath();
  for (let i = 1; i < low.length; i++) {
    const [a, b, c, d] = [low[i - 1], low[i], high[i], high[i - 1]];
    if (!a || !b || !c || !d) continue;
    ctx.moveTo(a.x, a.y);
    for (const { x, y } of [b, c, d]) ctx.lineTo(x, y);
  }
  ctx.fill();
}

function question(ctx: Ctx, { plot, camera, palette }: ChartFrame, row: number, col: number): void {
  const { x, y, width, height } = plot.slot(row, col);
  if (width < 10 || camera.height / plot.values.rows < 10) return;
  ctx.font = fontOf(camera.text);
  ctx.fillStyle = palette.muted;
  ctx.textBaseline = "middle";
  ctx.textAlign = plot.list ? "left" : "center";
  if (plot.list) ctx.fillText("?", plot.at(0) + 6, y + height / 2);
  else ctx.fillText("?", x + width / 2, plot.place(row, col) as number);
}

function paintBars(ctx: Ctx, frame: ChartFrame): void {
  const { chart, plot, slice, camera, palette, step } = frame;
  const steps = plot.shape === "steps";
  const first = ahead(frame);
  const cols = dots(frame);
  for (let row = 0; row < slice.nRows; row++) {
    const { color, fill } = chart.series(row);
    const alpha = first === null || first === row ? 1 : 0.35;
    for (const col of cols) {
      if (plot.values.hidden(row, col)) {
        question(ctx, frame, row, col);
        continue;
      }
      const slot = plot.slot(row, col);
      slot.width *= plot.list ? 1 : Math.min(step, camera.cols - col);
      const value = chart.value(row, col);
      ctx.fillStyle = color;
      ctx.globalAlpha = alpha * (steps ? 0.35 : fill);
      if (value !== undefined && Number.isFinite(value)) {
        const bar = plot.bar(slot, value);
        const gap = !steps && slot.width > 5 && !plot.list ? 1 : 0;
        const [w, tall] = [Math.max(1, bar.width - gap), Math.max(1, bar.height)];
        ctx.fillRect(bar.x, bar.y, w, tall);
        ctx.globalAlpha = alpha;
        ctx.strokeStyle = color;
        ctx.lineWidth = 1.2;
        if (fill < 1 && !steps) ctx.strokeRect(bar.x + 0.6, bar.y, Math.max(0.5, w - 1.2), tall);
      }
      ctx.globalAlpha = alpha;
      const before = steps || !chart.before ? undefined : chart.value(row, col, chart.before);
      if (before !== undefined && Math.abs(plot.at(before) - plot.at(value || 0)) > 2) {
        ghost(ctx, plot.bar(slot, before), palette.text);
      }
      const ends = slice.ends?.map((end) => chart.value(row, col, end));
      if (ends?.every(Number.isFinite)) whisker(ctx, plot, slot, ends as number[], palette.text);
      else if (!plot.list && value !== undefined) number(ctx, frame, slot, value);
    }
    if (!steps) continue;
    ctx.strokeStyle = color;
    ctx.lineWidth = 1.8;
    outline(ctx, frame, row, cols);
    if (!chart.before) continue;
    ctx.lineWidth = 1.2;
    ctx.setLineDash([3, 3]);
    outline(ctx, frame, row, cols, chart.before);
    ctx.setLineDash([]);
  }
  ctx.globalAlpha = 1;
}

/** The tops of a histogram. */
function outline(
  ctx: Ctx,
  { chart, plot, camera, step }: ChartFrame,
  row: number,
  cols: readonly number[],
  other?: Other,
): void {
  const tops = cols.flatMap((col): (Spot | null)[] => {
    const value = plot.values.hidden(row, col) ? undefined : chart.value(row, col, other);
    if (value === undefined || !Number.isFinite(value)) return [null];
    const { x, width } = plot.slot(row, col);
    const y = plot.at(value);
    return [
      { x, y },
      { x: x + width * Math.min(step, camera.cols - col), y },
    ];
  });
  trace(ctx, tops);
}

/** The interval of a bar. */
function whisker(ctx: Ctx, plot: Plot, slot: Box, ends: readonly number[], ink: string): void {
  const [low, high] = ends.map((end) => plot.at(end)) as [number, number];
  const [x, y] = [slot.x + slot.width / 2, slot.y + slot.height / 2];
  ctx.strokeStyle = ink;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  ctx.moveTo(plot.list ? low : x, plot.list ? y : low);
  ctx.lineTo(plot.list ? high : x, plot.list ? y : high);
  ctx.stroke();
}

function ghost(ctx: Ctx, { x, y, width, height }: Box, ink: string): void {
  ctx.strokeStyle = ink;
  ctx.lineWidth = 1;
  ctx.setLineDash([2, 2]);
  ctx.strokeRect(x + 0.5, y + 0.5, Math.max(1, width - 1), Math.max(1, height - 1));
  ctx.setLineDash([]);
}

/** Three digits, without an exponent where a reader can count the zeros. */
function brief(value: number): string {
  const a = Math.abs(value);
  if (a >= 100) return num(Math.round(value));
  return a >= 1e-5 ? String(Number(value.toPrecision(3))).replace("-", "−") : num(value, 2);
}

/** The number over a bar, or the mark of a gap, where there is room. */
function number(ctx: Ctx, { plot, camera, palette }: ChartFrame, slot: Box, value: number): void {
  ctx.font = fontOf(camera.text);
  const mark = Number.isNaN(value) ? "×" : Number.isFinite(value) ? "" : num(value);
  const text = mark || brief(value);
  if (plot.shape === "steps" || ctx.measureText(text).width > slot.width) return;
  ctx.fillStyle = mark ? palette.muted : palette.text;
  ctx.textAlign = "center";
  const up = mark !== "" || value >= 0;
  ctx.textBaseline = up ? "bottom" : "top";
  ctx.fillText(text, slot.x + slot.width / 2, plot.at(mark ? 0 : value) + (up ? -2 : 3));
}

/** Names at the left of a list, numbers at the ends of its bars. */
function paintList(ctx: Ctx, frame: ChartFrame): void {
  const { chart, plot, camera, gutter, slice, palette, selected } = frame;
  const zero = plot.at(0);
  ctx.fillStyle = palette.muted;
  ctx.fillRect(zero - 0.5, 0, 1, camera.height);
  ctx.textBaseline = "middle";
  for (let col = 0; col < camera.cols; col++) {
    const { y, height } = plot.slot(0, col);
    const at = y + height / 2 + 0.5;
    ctx.font = `${selected.col === col ? "600 " : ""}${fontOf(camera.text)}`;
    ctx.fillStyle = selected.col === col ? palette.accent : palette.text;
    ctx.textAlign = "right";
    const name = axisLabel(slice.spec.labels[slice.cols]?.[col] ?? String(col), 24);
    fitted(ctx, name, gutter.left - 10, (text) => ctx.fillText(text, -7, at));
    const value = chart.value(0, col);
    if (plot.values.hidden(0, col) || value === undefined) continue;
    ctx.font = fontOf(camera.text);
    ctx.fillStyle = palette.text;
    ctx.textAlign = "left";
    const end = Number.isFinite(value) ? Math.max(zero, plot.at(value)) : zero;
    const beside = chart.others.map((other) => chart.value(0, col, other));
    const ends = beside.flatMap((x) => (Number.isFinite(x) ? [plot.at(x as number)] : []));
    ctx.fillText(brief(value), Math.max(end, ...ends) + 5, at);
  }
}

/** The name of every line at its end. */
function paintEnds(ctx: Ctx, frame: ChartFrame): void {
  const { chart, plot, camera, gutter, slice } = frame;
  if (slice.nRows < 2) return;
  const cols = dots(frame).filter((col) => middle(frame, col) <= camera.width + 1);
  const last = chart.names.map((_, row): Spot => {
    const shown = cols.filter((c) => !plot.values.hidden(row, c) && plot.place(row, c) !== null);
    const col = shown.at(-1);
    if (col !== undefined) return { x: middle(frame, col), y: plot.place(row, col) as number };
    return { x: -camera.width, y: ((row + 0.5) / slice.nRows) * camera.height };
  });
  const gap = Math.min(camera.text + 3, camera.height / slice.nRows);
  const at = spread(
    last.map(({ y }) => y),
    gap,
    camera.height,
  );
  const first = ahead(frame);
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  chart.names.forEach((name, row) => {
    const { color, marker } = chart.series(row) as Series;
    const { x, y } = last[row] as Spot;
    const to = at[row] as number;
    ctx.globalAlpha = first === null || first === row ? 1 : 0.45;
    ctx.fillStyle = ctx.strokeStyle = color;
    ctx.lineWidth = 0.8;
    if (x + 1.2 * frame.step * camera.cw > camera.width) {
      ctx.beginPath();
      ctx.moveTo(x + 5, y);
      ctx.lineTo(camera.width + 8, to);
      ctx.stroke();
    }
    drawMarker(ctx, marker, camera.width + 12, to, (3.4 * camera.text) / 11);
    ctx.font = `${first === row ? "600 " : ""}${fontOf(camera.text)}`;
    const left = camera.width + 12 + 0.7 * camera.text;
    fitted(ctx, name, gutter.right - left + camera.width, (text) => ctx.fillText(text, left, to));
  });
  ctx.globalAlpha = 1;
}

function paintTitles(
  ctx: Ctx,
  { plot, camera, gutter, slice, palette }: ChartFrame,
  bottom: number,
) {
  ctx.font = fontOf(camera.text);
  ctx.textBaseline = "alphabetic";
  const under = camera.height + bottom - 4;
  const whole = gutter.left + camera.width + gutter.right;
  ctx.fillStyle = palette.muted;
  ctx.textAlign = "left";
  if (plot.list) {
    const words = `${slice.cols} ↕   ${slice.quantity} →`;
    fitted(ctx, words, whole, (text) => ctx.fillText(text, -gutter.left, under));
    return;
  }
  const across = slice.cols;
  ctx.fillText(`${across} →`, 0, under);
  const title = `${slice.quantity} ↑`;
  fitted(ctx, title, whole, (text) => ctx.fillText(text, -gutter.left, -camera.text + 1));
}
