// What a reader marks in the grid: outlined cells, and a brushed rectangle. Both live in the state,
// as indices of the data, so that Python and the figure know them.
import type { View } from "../core/view.js";
import type { Slice } from "./model.js";

/** One index for each dim of the array; null stands for every slice. */
export type Place = (number | null)[];

export interface Brush {
  rows: string;
  cols: string;
  /** From and to (exclusive), in data rows and columns. */
  row: [number, number];
  col: [number, number];
}

export interface Box {
  row: [number, number];
  col: [number, number];
}

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** What two boxes span. */
export function around(a: Rect, b: Rect): Rect {
  const [x, y] = [Math.min(a.x, b.x), Math.min(a.y, b.y)];
  const width = Math.max(a.x + a.width, b.x + b.width) - x;
  return { x, y, width, height: Math.max(a.y + a.height, b.y + b.height) - y };
}

export class Marked {
  constructor(
    private readonly view: View,
    private readonly slice: () => Slice,
  ) {}

  /** Outlined cells of this slice, as row and column of the data; -1 stands for every one. */
  get cells(): [number, number][] {
    const { spec, rows, cols, at } = this.slice();
    const places: Place[] = this.view.state.outline ?? [];
    return places
      .filter((place) =>
        spec.dims.every((dim, i) => {
          const here = place[i] ?? null;
          return dim === rows || dim === cols || here === null || here === at[dim];
        }),
      )
      .map((place) => {
        const index = (dim: string) => (dim ? (place[spec.dims.indexOf(dim)] ?? -1) : 0);
        return [index(rows), index(cols)];
      });
  }

  outlined(row: number, col: number): boolean {
    return this.cells.some(([r, c]) => (r < 0 || r === row) && (c < 0 || c === col));
  }

  /** Outlines cells of this slice, or takes the outline away when all of them have it. */
  toggle(cells: readonly (readonly [number, number])[]): void {
    const slice = this.slice();
    const places: Place[] = this.view.state.outline ?? [];
    const own = cells.map(([row, col]) => {
      const place = slice.place(row, col);
      return slice.spec.dims.map((dim) => place[dim] ?? null);
    });
    const has = (place: Place) =>
      places.some((p) => p.every((i, n) => i === null || i === place[n]));
    const covers = (p: Place, q: Place) => p.every((i, n) => i === null || i === q[n]);
    const next = own.every(has)
      ? places.filter((p) => !own.some((q) => covers(p, q)))
      : [...places, ...own.filter((place) => !has(place))];
    this.view.update({ outline: next });
  }

  get brush(): Box | null {
    const brush: Brush | null = this.view.state.brush ?? null;
    const { rows, cols, nRows, nCols } = this.slice();
    if (brush?.rows !== rows || brush.cols !== cols) return null;
    const cut = ([from, to]: [number, number], size: number): [number, number] => [
      Math.max(0, from),
      Math.min(size, to),
    ];
    return { row: cut(brush.row, nRows), col: cut(brush.col, nCols) };
  }

  /** Brushes the rectangle between two cells, both included; null takes it away. */
  span(a: { row: number; col: number } | null, b = a): void {
    const { rows, cols } = this.slice();
    const order = (x: number, y: number): [number, number] => [Math.min(x, y), Math.max(x, y) + 1];
    const brush =
      a && b ? { rows, cols, row: order(a.row, b.row), col: order(a.col, b.col) } : null;
    if (JSON.stringify(brush) !== JSON.stringify(this.view.state.brush ?? null)) {
      this.view.update({ brush });
    }
  }
}

/** Draws the frames of outlined cells and of the brush, clipped to the plot. */
export function paintMarked(
  ctx: CanvasRenderingContext2D,
  span: (row: [number, number], col: [number, number]) => Rect,
  marked: Marked,
  size: { nRows: number; nCols: number },
  palette: { text: string; background: string; accent: string },
): void {
  const frame = (row: [number, number], col: [number, number], ink: string, dash: number[]) => {
    const { x, y, width: across, height } = span(row, col);
    const [w, h] = [Math.max(3, across - 2), Math.max(3, height - 2)];
    for (const [color, width] of [[palette.background, 4] as const, [ink, 2] as const]) {
      ctx.setLineDash(color === ink ? dash : []);
      ctx.strokeStyle = color;
      ctx.lineWidth = width;
      ctx.strokeRect(x + 1, y + 1, w, h);
    }
    ctx.setLineDash([]);
  };
  for (const [row, col] of marked.cells) {
    frame(
      row < 0 ? [0, size.nRows] : [row, row + 1],
      col < 0 ? [0, size.nCols] : [col, col + 1],
      palette.text,
      [],
    );
  }
  const { brush } = marked;
  if (brush) frame(brush.row, brush.col, palette.accent, [5, 3]);
}
