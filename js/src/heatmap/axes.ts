// What stands around the cells: labels with the room they need, selection, where in the whole we are.
import { fitted, type Hidpi } from "../core/canvas.js";
import type { Palette } from "../core/color.js";
import type { Camera } from "./camera.js";
import { axisLabel, thin, wordy } from "./labels.js";
import { TEXT } from "./sizes.js";

export const fontOf = (pixels: number): string =>
  `${pixels}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;

export interface Gutter {
  left: number;
  bottom: number;
  slanted: boolean;
  /** Pixels between two labels of columns that are thinned out; 0 where each is cut to its column. */
  gap: number;
  /** Room for marginal bars. */
  top: number;
  right: number;
}

export interface Axis {
  dim: string;
  labels: readonly string[] | undefined;
}

/** The room that the labels need, measured. */
export function gutterFor(
  ctx: CanvasRenderingContext2D | null,
  rows: Axis & { count: number },
  cols: Axis & { count: number },
  width: number,
  narrowest: number,
  text = TEXT,
): Gutter {
  const measure = (text: string) => (ctx ? ctx.measureText(text).width : text.length * 6);
  if (ctx) ctx.font = fontOf(text);
  const longest = (axis: Axis & { count: number }) => {
    const names = axis.labels ?? [String(Math.max(0, axis.count - 1))];
    let most = 0;
    for (const name of names) most = Math.max(most, measure(axisLabel(name)));
    return most;
  };
  const left = rows.dim ? Math.min(Math.ceil(longest(rows)) + 8, Math.max(40, width * 0.28)) : 4;
  const cell = Math.max(narrowest, Math.min(56, (width - left) / Math.max(1, cols.count)));
  const slanted = wordy(cols.labels) && cell < 40 && longest(cols) > cell - 4;
  const bottom = slanted
    ? Math.min(8 * text, Math.ceil(longest(cols)) + 10)
    : Math.round(1.5 * text + 1);
  return { left: Math.max(left, 24), bottom, slanted, gap: 0, top: 0, right: 0 };
}

export interface Highlights {
  row: number | null;
  col: number | null;
}

/** A cleared canvas of the plot and what stands around it, with the plot's corner as origin. */
export function opened(
  canvas: Hidpi,
  camera: Camera,
  gutter: Gutter,
  bottom: number,
): CanvasRenderingContext2D | null {
  const width = gutter.left + camera.width + gutter.right + 1;
  const height = gutter.top + camera.height + bottom;
  const ctx = canvas.resize(width, height);
  if (!ctx) return null;
  ctx.clearRect(0, 0, width + 1, height);
  ctx.save();
  ctx.translate(gutter.left, gutter.top);
  return ctx;
}

/** Row labels at the left, column labels below; selected ones are bold. */
export function paintLabels(
  ctx: CanvasRenderingContext2D,
  camera: Camera,
  gutter: Gutter,
  rows: Axis,
  cols: Axis,
  selected: Highlights,
  palette: Palette,
  flip: boolean,
): void {
  const { visible } = camera;
  const nameOf = (axis: Axis, i: number) => axisLabel(axis.labels?.[i] ?? String(i));
  const style = (on: boolean) => {
    ctx.font = on ? `600 ${fontOf(camera.text)}` : fontOf(camera.text);
    ctx.fillStyle = on ? palette.accent : palette.muted;
  };
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  if (rows.dim) {
    for (const row of thinned(visible.rows, camera.ch, camera.text + 2, selected.row)) {
      const box = camera.box(row, 0);
      const middle = box.y + box.height / 2;
      if (middle < 0 || middle > camera.height) continue;
      const y = Math.max(6, Math.min(camera.height - 6, middle));
      style(row === selected.row);
      fitted(ctx, nameOf(rows, flip ? camera.rows - 1 - row : row), gutter.left - 6, (text) =>
        ctx.fillText(text, -6, y),
      );
    }
  }
  const words = wordy(cols.labels) && !gutter.gap;
  const last = 0.64 * camera.text * nameOf(cols, camera.cols - 1).length + 8;
  const least = words ? Math.min(camera.cw, 40) : Math.max(20, last);
  const widest = gutter.gap || (gutter.slanted ? camera.text + 2 : least);
  for (const col of thinned(visible.cols, camera.cw, widest, selected.col)) {
    const box = camera.box(0, col);
    const x = box.x + box.width / 2;
    if (x < 0 || x > camera.width) continue;
    style(col === selected.col);
    ctx.save();
    ctx.translate(x, camera.height + 6 + (camera.text - TEXT) / 2);
    if (gutter.slanted) {
      ctx.rotate(-Math.PI / 2);
      ctx.textAlign = "right";
      fitted(ctx, nameOf(cols, col), gutter.bottom - 8, (text) => ctx.fillText(text, 0, 0));
    } else {
      ctx.textAlign = "center";
      if (words) fitted(ctx, nameOf(cols, col), camera.cw - 4, (text) => ctx.fillText(text, 0, 5));
      else ctx.fillText(nameOf(cols, col), 0, 5);
    }
    ctx.restore();
  }
}

function thinned(
  [from, to]: readonly [number, number],
  pixels: number,
  gap: number,
  always: number | null,
): number[] {
  const found = thin(from, to, pixels, gap);
  if (always === null || always < from || always >= to) return found;
  return [...found.filter((i) => Math.abs(i - always) * pixels >= gap), always];
}

/** Where in the whole the plot is, while there is more than it shows. */
export function paintScroll(ctx: CanvasRenderingContext2D, camera: Camera, palette: Palette): void {
  const across = camera.width / (camera.cols * camera.cw);
  const down = camera.height / (camera.rows * camera.ch);
  const bar = (x: number, y: number, w: number, hh: number, color: string) => {
    ctx.fillStyle = color;
    ctx.fillRect(x, y, w, hh);
  };
  if (across < 0.999) {
    const y = camera.height - 4;
    bar(0, y, camera.width, 4, palette.line);
    bar((camera.left / camera.cols) * camera.width, y, across * camera.width, 4, palette.muted);
  }
  if (down < 0.999) {
    const x = camera.width - 4;
    bar(x, 0, 4, camera.height, palette.line);
    bar(x, (camera.top / camera.rows) * camera.height, 4, down * camera.height, palette.muted);
  }
}

/** The row and column that the pointer is over in another view. */
export function paintHover(
  ctx: CanvasRenderingContext2D,
  camera: Camera,
  hovered: Highlights,
  palette: Palette,
): void {
  const right = Math.min(camera.width, (camera.cols - camera.left) * camera.cw);
  ctx.save();
  ctx.strokeStyle = palette.accent;
  ctx.lineWidth = 1;
  ctx.setLineDash([3, 3]);
  if (hovered.row !== null) {
    const { y, height } = camera.box(hovered.row, 0);
    ctx.strokeRect(0.5, y + 0.5, right - 1, Math.max(2, height - 1));
  }
  if (hovered.col !== null) {
    const { x, width } = camera.box(0, hovered.col);
    ctx.strokeRect(x + 0.5, 0.5, Math.max(2, width - 1), camera.height - 1);
  }
  ctx.restore();
}

/** The selected row and column, outlined. */
export function paintSelection(
  ctx: CanvasRenderingContext2D,
  camera: Camera,
  selected: Highlights,
  palette: Palette,
): void {
  const { width, height } = camera;
  const right = Math.min(width, (camera.cols - camera.left) * camera.cw);
  const outline = (x: number, y: number, w: number, hh: number) => {
    ctx.lineWidth = 3;
    ctx.strokeStyle = palette.background;
    ctx.strokeRect(x, y, w, hh);
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = palette.accent;
    ctx.strokeRect(x, y, w, hh);
  };
  ctx.save();
  ctx.beginPath();
  ctx.rect(-2, -2, width + 4, height + 4);
  ctx.clip();
  if (selected.row !== null) {
    const { y, height: hh } = camera.box(selected.row, 0);
    outline(0.5, y, right - 1, Math.max(hh, 2));
  }
  if (selected.col !== null) {
    const { x, width: w } = camera.box(0, selected.col);
    outline(x, 0.5, Math.max(w, 2), Math.min(height, camera.rows * camera.ch) - 1);
  }
  ctx.restore();
}
