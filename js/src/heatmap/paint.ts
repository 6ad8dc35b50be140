// Draws the picture: tiles as images, then what has to be readable on top of them.
import type { Mark, Scale } from "../core/color.js";
import { num, signed as plus } from "../core/dom.js";
import type { NdArray } from "../core/wire.js";
import { fontOf } from "./axes.js";
import { type Camera, TILE, type TileRef } from "./camera.js";

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
  masked?: ((row: number, col: number) => boolean) | undefined;
  /** Tiles of another zoom that stand in for those under way. */
  under?: readonly TileRef[] | undefined;
  /** While cells are hidden: whether this one is, and those that were revealed. */
  veil?: { covers(row: number, col: number): boolean; revealed: readonly Cell[] } | undefined;
}

type Cell = readonly [row: number, col: number];

const images = new WeakMap<NdArray, { key: string; canvas: HTMLCanvasElement }>();

export function paintCells(ctx: CanvasRenderingContext2D, picture: Picture): void {
  const { camera, scale } = picture;
  ctx.imageSmoothingEnabled = false;
  if (picture.veil) {
    paintVeil(ctx, picture, picture.veil.revealed);
    return;
  }
  for (const ref of [...(picture.under ?? []), ...picture.refs]) {
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

function paintVeil(
  ctx: CanvasRenderingContext2D,
  picture: Picture,
  revealed: readonly Cell[],
): void {
  const { camera, scale } = picture;
  ctx.fillStyle = `rgb(${scale.palette.missing.join(",")})`;
  ctx.fillRect(0, 0, camera.cols * camera.cw, camera.rows * camera.ch);
  for (const [row, col] of revealed) {
    const value = picture.value(row, col);
    if (value === undefined) continue;
    const { x, y, width, height } = camera.box(row, col);
    ctx.fillStyle = scale.css(value);
    ctx.fillRect(x, y, width, height);
  }
  if (camera.cw < 8 || camera.ch < 8) return;
  ctx.strokeStyle = scale.palette.background;
  ctx.lineWidth = 1;
  ctx.beginPath();
  const { rows, cols } = camera.visible;
  for (let row = rows[0]; row <= rows[1]; row++) {
    const y = Math.round(camera.box(row, 0).y) + 0.5;
    ctx.moveTo(0, y);
    ctx.lineTo(camera.width, y);
  }
  for (let col = cols[0]; col <= cols[1]; col++) {
    const x = Math.round(camera.box(0, col).x) + 0.5;
    ctx.moveTo(x, 0);
    ctx.lineTo(x, camera.height);
  }
  ctx.stroke();
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
    const pixels = new Uint32Array(image.data.buffer);
    for (let r = 0; r < rows; r++) {
      const to = cols * (flip ? rows - 1 - r : r);
      scale.fill(tile.data.subarray(r * cols, (r + 1) * cols), pixels.subarray(to, to + cols));
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
  ctx.font = fontOf(camera.text);
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let col = cols[0]; col < cols[1]; col++) {
      const value = picture.value(row, col);
      if (value === undefined) continue;
      const box = camera.box(row, col);
      if (picture.veil?.covers(row, col)) {
        ctx.fillStyle = scale.palette.muted;
        if (cw >= 12 && ch >= 12) ctx.fillText("?", box.x + cw / 2, box.y + ch / 2);
        continue;
      }
      const mark = picture.masked?.(row, col) ? "masked" : scale.mark(value);
      const ink = Number.isNaN(value) ? scale.palette.text : scale.ink(value);
      if (mark === "masked") {
        ctx.fillStyle = scale.palette.background;
        ctx.fillRect(box.x, box.y, cw, ch);
      }
      ctx.fillStyle = mark === "masked" ? scale.palette.muted : ink;
      const word = picture.word?.(row, col);
      if (word !== undefined) {
        if (cw >= 18 && ch >= 12) fitted(ctx, word, box.x + cw / 2, box.y + ch / 2, cw - 6);
        if (negative(value, scale) && ch >= 16) dash(ctx, box.x + cw / 2, box.y + ch - 3);
      } else if (GLYPHS[mark]) {
        if (cw >= 7 && ch >= 9)
          ctx.fillText(GLYPHS[mark] as string, box.x + cw / 2, box.y + ch / 2);
        else cross(ctx, box.x, box.y, cw, ch);
      } else if (numbers) {
        fitted(ctx, short(value, scale), box.x + cw / 2, box.y + ch / 2, cw - 4);
      } else if (negative(value, scale) && cw >= 8 && ch >= 8) {
        dash(ctx, box.x + cw / 2, box.y + ch / 2);
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

/** Whether a cell is dark without saying by itself which end of the scale it is at. */
export function negative(value: number, scale: Scale): boolean {
  return scale.signed && value < -0.25 * scale.high;
}

function dash(ctx: CanvasRenderingContext2D, x: number, y: number): void {
  ctx.fillRect(x - 2.5, y - 0.5, 5, 1);
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
