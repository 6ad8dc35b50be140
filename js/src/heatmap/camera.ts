// Where the cells are: pan, zoom, and which tiles a picture needs.

import { TEXT } from "./sizes.js";

export const TILE = 256;

/** All columns are shown where that makes them only a little narrower than the narrowest. */
const SQUEEZE = 0.93;

export interface TileRef {
  row: number;
  col: number;
  row_step: number;
  col_step: number;
}

/** Cells counted in display order; x, y in CSS pixels inside the plot. */
export class Camera {
  width = 0;
  height = 0;
  /** Pixels per cell. */
  cw = 1;
  ch = 1;
  /** Cell coordinate at the left and top edge. */
  left = 0;
  top = 0;
  /** Pixels of the font. */
  text = TEXT;
  private fitted = { cw: 1, ch: 1 };

  constructor(
    public rows = 1,
    public cols = 1,
  ) {}

  /** Shows everything, with cells at most `widest` and at least `narrowest` pixels wide. */
  fit(width: number, height: number, narrowest: number, widest: number): void {
    this.width = width;
    this.height = height;
    const even = width / this.cols;
    const cw = Math.min(widest, even < SQUEEZE * narrowest ? narrowest : even);
    const ch = height / this.rows;
    this.fitted = { cw, ch };
    this.cw = cw;
    this.ch = ch;
    this.left = 0;
    this.top = 0;
  }

  get zoomed(): boolean {
    return this.cw > this.fitted.cw * 1.001 || this.ch > this.fitted.ch * 1.001;
  }

  /** Whether there are cells beyond the edges. */
  get overflows(): boolean {
    return this.cols * this.cw > this.width + 0.5 || this.rows * this.ch > this.height + 0.5;
  }

  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    const atX = this.left + x / this.cw;
    const atY = this.top + y / this.ch;
    const limit = (now: number, least: number) =>
      Math.min(Math.max(64, least), Math.max(least, now * factor));
    this.cw = limit(this.cw, this.fitted.cw);
    this.ch = limit(this.ch, this.fitted.ch);
    this.left = atX - x / this.cw;
    this.top = atY - y / this.ch;
    this.clamp();
  }

  pan(dx: number, dy: number): void {
    this.left -= dx / this.cw;
    this.top -= dy / this.ch;
    this.clamp();
  }

  /** Pans as little as needed to show a cell. */
  reveal(row: number, col: number): boolean {
    const before = `${this.left},${this.top}`;
    const across = this.width / this.cw;
    const down = this.height / this.ch;
    if (col < this.left) this.left = col;
    else if (col + 1 > this.left + across) this.left = col + 1 - across;
    if (row < this.top) this.top = row;
    else if (row + 1 > this.top + down) this.top = row + 1 - down;
    this.clamp();
    return before !== `${this.left},${this.top}`;
  }

  cellAt(x: number, y: number): { row: number; col: number } | null {
    const col = Math.floor(this.left + x / this.cw);
    const row = Math.floor(this.top + y / this.ch);
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    return row >= 0 && row < this.rows && col >= 0 && col < this.cols ? { row, col } : null;
  }

  /** The cell under a point, or the one nearest to it. */
  nearest(x: number, y: number): { row: number; col: number } {
    const within = (at: number, [from, to]: readonly [number, number]) =>
      Math.max(from, Math.min(to - 1, Math.floor(at)));
    const { rows, cols } = this.visible;
    return {
      row: within(this.top + y / this.ch, rows),
      col: within(this.left + x / this.cw, cols),
    };
  }

  whole(): void {
    Object.assign(this, this.fitted, { left: 0, top: 0 });
  }

  /** Shows rows and columns from and to, as far as the least and greatest zoom allow. */
  show(rows: readonly [number, number], cols: readonly [number, number]): void {
    const limit = (least: number, size: number, [from, to]: readonly [number, number]) =>
      Math.min(Math.max(64, least), Math.max(least, size / Math.max(0.5, to - from)));
    this.cw = limit(this.fitted.cw, this.width, cols);
    this.ch = limit(this.fitted.ch, this.height, rows);
    this.left = cols[0];
    this.top = rows[0];
    this.clamp();
  }

  box(row: number, col: number) {
    return {
      x: (col - this.left) * this.cw,
      y: (row - this.top) * this.ch,
      width: this.cw,
      height: this.ch,
    };
  }

  get visible() {
    return {
      rows: span(this.top, this.height / this.ch, this.rows),
      cols: span(this.left, this.width / this.cw, this.cols),
    };
  }

  /** Cells per pixel, as a power of two, so that an overview moves no more dots than it has room for. */
  get steps(): { row_step: number; col_step: number } {
    return { row_step: stepFor(this.ch), col_step: stepFor(this.cw) };
  }

  /** The tiles on the screen, in data rows: `flip` when row 0 is drawn at the bottom. */
  tiles(flip: boolean, finest?: { row_step: number; col_step: number }): TileRef[] {
    const row_step = Math.max(this.steps.row_step, finest?.row_step ?? 1);
    const col_step = Math.max(this.steps.col_step, finest?.col_step ?? 1);
    const { rows, cols } = this.visible;
    const [first, last] = flip ? [this.rows - rows[1], this.rows - rows[0]] : [rows[0], rows[1]];
    const found: TileRef[] = [];
    const tall = TILE * row_step;
    const wide = TILE * col_step;
    for (let row = Math.floor(first / tall); row * tall < last; row++) {
      for (let col = Math.floor(cols[0] / wide); col * wide < cols[1]; col++) {
        found.push({ row, col, row_step, col_step });
      }
    }
    return found;
  }

  private clamp(): void {
    const across = this.width / this.cw;
    const down = this.height / this.ch;
    this.left = Math.max(0, Math.min(this.left, this.cols - across));
    this.top = Math.max(0, Math.min(this.top, this.rows - down));
  }
}

function span(start: number, length: number, size: number): [number, number] {
  return [Math.max(0, Math.floor(start)), Math.min(size, Math.ceil(start + length))];
}

function stepFor(pixels: number): number {
  let step = 1;
  while (pixels * step < 0.8 && step < 1 << 20) step *= 2;
  return step;
}
