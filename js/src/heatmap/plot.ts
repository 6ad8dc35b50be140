// Where lines and bars are: values to pixels, the slot of every cell, which cell is under a point.
// Columns stand where the camera has them; a list of bars has them below one another.
import type { Camera } from "./camera.js";

export type Shape = "lines" | "steps" | "groups" | "list";
export type Ends = readonly [low: number, high: number];

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Values {
  rows: number;
  /** NaN and infinite are gaps; undefined while it is under way. */
  value(row: number, col: number): number | undefined;
  /** Not to be shown yet. */
  hidden(row: number, col: number): boolean;
}

const POINT = 6;

/** Ends of the value axis: round the data, from zero for bars and where zero is near. */
export function reach(all: readonly Ends[], zero: boolean): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const [a, b] of all) {
    if (Number.isFinite(a)) low = Math.min(low, a);
    if (Number.isFinite(b)) high = Math.max(high, b);
  }
  if (low > high) return [0, 1];
  if (zero || (low > 0 && low < 0.25 * high)) low = Math.min(low, 0);
  if (zero) high = Math.max(high, 0);
  const room = 0.06 * (high - low) || Math.abs(high) || 1;
  return [low === 0 ? 0 : low - room, high === 0 ? 0 : high + room];
}

export class Plot {
  constructor(
    readonly shape: Shape,
    readonly camera: Camera,
    readonly values: Values,
    readonly ends: Ends,
  ) {}

  get list(): boolean {
    return this.shape === "list";
  }

  /** Pixels along the value axis; beyond the ends, the end. */
  at(value: number): number {
    const [low, high] = this.ends;
    const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
    return this.list ? share * this.camera.width : (1 - share) * this.camera.height;
  }

  /** Pixels of the end of a bar or a point; where it is hidden, of its question mark. */
  place(row: number, col: number): number | null {
    if (this.values.hidden(row, col)) {
      return ((row + 0.5) / this.values.rows) * this.camera.height;
    }
    const value = this.values.value(row, col);
    return value === undefined || !Number.isFinite(value) ? null : this.at(value);
  }

  /** The room of a cell: its column, its share of a group, its line of a list. */
  slot(row: number, col: number): Box {
    const { camera } = this;
    if (this.list) {
      const height = camera.height / camera.cols;
      return { x: 0, y: col * height, width: camera.width, height };
    }
    const { x, width } = camera.box(0, col);
    if (this.shape !== "groups") return { x, y: 0, width, height: camera.height };
    const share = (width * (width > 4 ? 0.84 : 1)) / this.values.rows;
    const left = x + (width - share * this.values.rows) / 2 + row * share;
    return { x: left, y: 0, width: share, height: camera.height };
  }

  /** The bar of a value in a slot. */
  bar(slot: Box, value: number): Box {
    const [a, b] = [this.at(0), this.at(value)];
    const [from, size] = [Math.min(a, b), Math.abs(b - a)];
    if (this.list) return { x: from, y: slot.y + 3, width: size, height: slot.height - 6 };
    return { x: slot.x, y: from, width: slot.width, height: size };
  }

  /** What is outlined for a cell: its point, its bar, its line. */
  box(row: number, col: number): Box {
    const slot = this.slot(row, col);
    if (this.list) return slot;
    const y = this.place(row, col) ?? this.camera.height - POINT;
    const middle = { y: y - POINT, height: 2 * POINT };
    if (this.shape === "lines") {
      return { x: slot.x + slot.width / 2 - POINT, width: 2 * POINT, ...middle };
    }
    const value = this.values.value(row, col);
    if (this.values.hidden(row, col) || value === undefined || !Number.isFinite(value)) {
      return { x: slot.x, width: slot.width, ...middle };
    }
    const bar = this.bar(slot, value);
    const extra = Math.max(0, 2 * POINT - bar.height) / 2;
    return { ...bar, y: bar.y - extra, height: bar.height + 2 * extra };
  }

  /** A span of cells: of one the box, of more all of their columns. */
  frame([top, bottom]: Ends, [left, right]: Ends): Box {
    if (bottom - top === 1 && right - left === 1) return this.box(top, left);
    const [a, b] = [this.slot(top, left), this.slot(bottom - 1, right - 1)];
    const [x, y] = [Math.min(a.x, b.x), a.y];
    return { x, y, width: b.x + b.width - x, height: b.y + b.height - y };
  }

  cellAt(x: number, y: number): { row: number; col: number } | null {
    const { camera } = this;
    if (x < 0 || y < 0 || x >= camera.width || y >= camera.height) return null;
    if (!this.list && !camera.cellAt(x, 0)) return null;
    return this.nearest(x, y);
  }

  /** The cell under a point, or the one nearest to it. */
  nearest(x: number, y: number): { row: number; col: number } {
    const { camera } = this;
    if (this.list) {
      const col = Math.floor((y / camera.height) * camera.cols);
      return { row: 0, col: Math.max(0, Math.min(camera.cols - 1, col)) };
    }
    const { col } = camera.nearest(x, 0);
    return { row: this.shape === "groups" ? this.member(x, col) : this.level(y, col), col };
  }

  private member(x: number, col: number): number {
    const { x: left, width } = this.slot(0, col);
    return Math.max(0, Math.min(this.values.rows - 1, Math.floor((x - left) / width)));
  }

  private level(y: number, col: number): number {
    let [best, distance] = [0, Infinity];
    for (let row = 0; row < this.values.rows; row++) {
      const there = this.place(row, col);
      if (there === null || Math.abs(there - y) >= distance) continue;
      [best, distance] = [row, Math.abs(there - y)];
    }
    return best;
  }
}

/** Moves labels apart until they are `gap` apart and between 0 and `height`, in their order. */
export function spread(at: readonly number[], gap: number, height: number): number[] {
  const order = at.map((_, i) => i).sort((a, b) => (at[a] as number) - (at[b] as number));
  const found = [...at];
  let least = gap / 2;
  for (const i of order) {
    found[i] = Math.max(found[i] as number, least);
    least = (found[i] as number) + gap;
  }
  let most = height - gap / 2;
  for (const i of order.reverse()) {
    found[i] = Math.min(found[i] as number, most);
    most = (found[i] as number) - gap;
  }
  return found;
}
