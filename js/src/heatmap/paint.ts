// Draws the picture: tiles as images, then what has to be readable on top of them.
import type { Mark, Palette, Scale } from "../core/color.js";
import { num, signed as plus } from "../core/dom.js";
import type { NdArray } from "../core/wire.js";
import { type Camera, TILE, type TileRef } from "./camera.js";
import { axisLabel, thin, wordy } from "./labels.js";

export const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const BOLD = `600 ${FONT}`;

export interface Picture {
  camera: Camera;
  refs: readonly TileRef[];
  scale: Scale;
  flip: boolean;
  tile(ref: TileRef): NdArray | undefined;
  /** The exact value of a display cell, or undefined while it is under way or pooled. */
  value(row: number, col: number): number | undefined;
  /** Text of a cell in place of its number. */
  word?: ((row: number, col: number) => string | undefined) | undefined;
  changed?: ((row: number, col: number) => boolean) | undefined;
}

export interface Gutter {
  left: number;
  bottom: number;
  slanted: boolean;
}

export interface Axis {
  dim: string;
  labels: readonly string[] | undefined;
}

const images = new WeakMap<NdArray, { key: string; canvas: HTMLCanvasElement }>();

export function paintCells(ctx: CanvasRenderingContext2D, picture: Picture): void {
  const { camera, scale } = picture;
  ctx.imageSmoothingEnabled = false;
  for (const ref of picture.refs) {
    const tile = picture.tile(ref);
    if (!tile) continue;
    const [rows = 1, cols = 1] = tile.shape;
    const image = imageOf(tile, scale, picture.flip);
    const first = ref.row * TILE * ref.row_step;
    const left = ref.col * TILE * ref.col_step;
    const tall = Math.min(rows * ref.row_step, camera.rows - first);
    const top = picture.flip ? camera.rows - first - tall : first;
    const box = camera.box(top, left);
    ctx.drawImage(
      image,
      0,
      0,
      Math.min(cols, (camera.cols - left) / ref.col_step),
      tall / ref.row_step,
      box.x,
      box.y,
      Math.min(cols * ref.col_step, camera.cols - left) * camera.cw,
      tall * camera.ch,
    );
  }
}

function imageOf(tile: NdArray, scale: Scale, flip: boolean): HTMLCanvasElement {
  const key = `${scale.low},${scale.high},${scale.signed},${scale.palette.dark},${flip}`;
  const known = images.get(tile);
  if (known?.key === key) return known.canvas;
  const [rows = 1, cols = 1] = tile.shape;
  const canvas = document.createElement("canvas");
  canvas.width = cols;
  canvas.height = rows;
  const ctx = canvas.getContext("2d");
  if (ctx) {
    const image = ctx.createImageData(cols, rows);
    for (let r = 0; r < rows; r++) {
      const to = flip ? rows - 1 - r : r;
      for (let c = 0; c < cols; c++) {
        const [red, green, blue] = scale.rgb(tile.data[r * cols + c] as number);
        const at = 4 * (to * cols + c);
        image.data[at] = red;
        image.data[at + 1] = green;
        image.data[at + 2] = blue;
        image.data[at + 3] = 255;
      }
    }
    ctx.putImageData(image, 0, 0);
  }
  images.set(tile, { key, canvas });
  return canvas;
}

const GLYPHS: Partial<Record<Mark, string>> = { nan: "×", "+inf": "∞", "-inf": "−∞", masked: "·" };

/** Words, numbers, signs and marks of the cells that are large enough to carry them. */
export function paintMarks(ctx: CanvasRenderingContext2D, picture: Picture): void {
  const { camera, scale } = picture;
  const { cw, ch } = camera;
  if (cw < 4 || ch < 4) return;
  const numbers = !picture.word && cw >= 40 && ch >= 14;
  const { rows, cols } = camera.visible;
  if ((rows[1] - rows[0]) * (cols[1] - cols[0]) > 40_000) return;
  ctx.font = FONT;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let col = cols[0]; col < cols[1]; col++) {
      const value = picture.value(row, col);
      if (value === undefined) continue;
      const box = camera.box(row, col);
      const mark = scale.mark(value);
      const ink = Number.isNaN(value) ? scale.palette.text : scale.ink(value);
      ctx.fillStyle = ink;
      const word = picture.word?.(row, col);
      if (word !== undefined) {
        if (cw >= 18 && ch >= 12) fitted(ctx, word, box.x + cw / 2, box.y + ch / 2, cw - 6);
      } else if (GLYPHS[mark]) {
        if (cw >= 7 && ch >= 9)
          ctx.fillText(GLYPHS[mark] as string, box.x + cw / 2, box.y + ch / 2);
        else cross(ctx, box.x, box.y, cw, ch);
      } else if (numbers) {
        fitted(ctx, short(value, scale), box.x + cw / 2, box.y + ch / 2, cw - 4);
      } else if (scale.signed && value < -0.25 * scale.high && cw >= 8 && ch >= 8) {
        ctx.fillRect(box.x + cw / 2 - 2.5, box.y + ch / 2 - 0.5, 5, 1);
      }
      if (mark === "over" || mark === "under") corner(ctx, box.x, box.y, cw, ch, mark === "over");
      if (picture.changed?.(row, col)) {
        ctx.strokeStyle = ink;
        ctx.lineWidth = 1.5;
        cross(ctx, box.x + 1.5, box.y + 1.5, cw - 3, ch - 3);
      }
    }
  }
}

/** A number with as many decimals as the scale deserves, the same in every cell. */
export function short(value: number, scale: Scale): string {
  const top = Math.max(Math.abs(scale.low), Math.abs(scale.high));
  if (top >= 1e5 || top < 1e-3) return scale.signed ? plus(value, 2) : num(value, 2);
  const text = value.toFixed(top >= 100 ? 0 : top >= 10 ? 1 : top >= 0.1 ? 2 : 4);
  if (Number(text) === 0) return "0";
  return `${scale.signed && value > 0 ? "+" : ""}${text}`.replace("-", "−");
}

function fitted(ctx: CanvasRenderingContext2D, text: string, x: number, y: number, room: number) {
  let shown = text;
  while (shown.length > 1 && ctx.measureText(shown).width > room) {
    shown = `${[...shown.replace(/…$/, "")].slice(0, -1).join("")}…`;
    if (shown === "…") return;
  }
  ctx.fillText(shown, x, y);
}

function cross(ctx: CanvasRenderingContext2D, x: number, y: number, w: number, hh: number): void {
  ctx.strokeStyle = ctx.fillStyle;
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x + w, y + hh);
  ctx.moveTo(x + w, y);
  ctx.lineTo(x, y + hh);
  ctx.stroke();
}

function corner(
  ctx: CanvasRenderingContext2D,
  x: number,
  y: number,
  w: number,
  hh: number,
  over: boolean,
): void {
  const s = Math.min(6, w / 2, hh / 2);
  const edge = over ? y : y + hh;
  ctx.beginPath();
  ctx.moveTo(x + w, edge);
  ctx.lineTo(x + w - s, edge);
  ctx.lineTo(x + w, over ? edge + s : edge - s);
  ctx.fill();
}

/** The room that the labels need, measured. */
export function gutterFor(
  ctx: CanvasRenderingContext2D | null,
  rows: Axis & { count: number },
  cols: Axis & { count: number },
  width: number,
  narrowest: number,
): Gutter {
  const measure = (text: string) => (ctx ? ctx.measureText(text).width : text.length * 6);
  if (ctx) ctx.font = FONT;
  const longest = (axis: Axis & { count: number }) => {
    const names = axis.labels ?? [String(Math.max(0, axis.count - 1))];
    let most = 0;
    for (const name of names) most = Math.max(most, measure(axisLabel(name)));
    return most;
  };
  const left = rows.dim ? Math.min(Math.ceil(longest(rows)) + 8, Math.max(40, width * 0.28)) : 4;
  const cell = Math.max(narrowest, Math.min(56, (width - left) / Math.max(1, cols.count)));
  const slanted = wordy(cols.labels) && cell < 40 && longest(cols) > cell - 4;
  const bottom = slanted ? Math.min(88, Math.ceil(longest(cols)) + 10) : 18;
  return { left: Math.max(left, 24), bottom, slanted };
}

export interface Highlights {
  row: number | null;
  col: number | null;
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
    ctx.font = on ? BOLD : FONT;
    ctx.fillStyle = on ? palette.accent : palette.muted;
  };
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  if (rows.dim) {
    for (const row of thinned(visible.rows, camera.ch, 13, selected.row)) {
      const box = camera.box(row, 0);
      const middle = box.y + box.height / 2;
      if (middle < 0 || middle > camera.height) continue;
      const y = Math.max(6, Math.min(camera.height - 6, middle));
      style(row === selected.row);
      clip(ctx, nameOf(rows, flip ? camera.rows - 1 - row : row), gutter.left - 6, (text) =>
        ctx.fillText(text, -6, y),
      );
    }
  }
  const words = wordy(cols.labels);
  const last = 7 * nameOf(cols, camera.cols - 1).length + 8;
  const widest = gutter.slanted ? 13 : words ? Math.min(camera.cw, 40) : Math.max(20, last);
  for (const col of thinned(visible.cols, camera.cw, widest, selected.col)) {
    const box = camera.box(0, col);
    const x = box.x + box.width / 2;
    if (x < 0 || x > camera.width) continue;
    style(col === selected.col);
    ctx.save();
    ctx.translate(x, camera.height + 6);
    if (gutter.slanted) {
      ctx.rotate(-Math.PI / 2);
      ctx.textAlign = "right";
      clip(ctx, nameOf(cols, col), gutter.bottom - 8, (text) => ctx.fillText(text, 0, 0));
    } else {
      ctx.textAlign = "center";
      if (words) clip(ctx, nameOf(cols, col), camera.cw - 4, (text) => ctx.fillText(text, 0, 5));
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

function clip(
  ctx: CanvasRenderingContext2D,
  text: string,
  room: number,
  draw: (text: string) => void,
): void {
  let shown = text;
  while (shown.length > 2 && ctx.measureText(shown).width > room) {
    shown = `${[...shown.replace(/…$/, "")].slice(0, -1).join("")}…`;
  }
  draw(shown);
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
