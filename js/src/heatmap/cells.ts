// The seam between the grid that arrays and lenses share and what a kind of cell adds to it.
//
//   view ── Board (board.ts) ── Data (data.ts: tiles and exact values of the slice)
//             │                 Camera, paint*, Pointer, Toolbar, Ablation, Scaling
//             └── CellKind      numbers (below), or tokens (../lens/cells.ts)
//
// A kind is made by a factory that gets the board: `(board) => ({ … })`. Everything is optional.
// Rows and columns are those of the data (row 0 is the first of the array), never of the screen.
// A kind may use of the board: view, slice, data.answer(row, col), data.value(row, col), side (an
// element below the grid), set({ … }) to change the state, draw() to paint again, words.describe(row, col).
import type { Board } from "./board.js";
import { Chart } from "./chart.js";

export interface CellKind {
  /** Lines and bars in the place of cells, where the reader or the result wants them. */
  chart?: Chart;
  /** Width and height of a cell and most height of all in CSS pixels, by the width of the view. */
  size?(width: number): { narrowest: number; widest: number; height: number; tallest: number };
  /** The cell that has to be in sight when there are more than fit. */
  chosen?(): readonly [row: number, col: number];
  /** Text of a cell in place of its number. */
  word?(row: number, col: number): string | undefined;
  /** What is spoken between the name of a cell and its value. */
  said?(row: number, col: number): string;
  /** Rows of the tooltip; null stands for the value alone. */
  hover?(row: number, col: number): (readonly [string, string])[] | null;
  /** After a cell was selected by click or Enter. */
  open?(row: number, col: number): void;
  /** Whether drags brush and cells can be outlined; true when left out. */
  marks?: boolean;
  /** Controls in the place of rows, columns and scale. */
  controls?(): HTMLElement[];
  /** Further keys; true for those that were used. */
  key?(event: KeyboardEvent, row: number, col: number): boolean;
  /** Drawn over the cells, clipped to the plot; board.box(row, col) says where a cell is. */
  overlay?(ctx: CanvasRenderingContext2D): void;
  /** The state or the data changed. */
  refresh?(): void;
}

export type Cells = (board: Board) => CellKind;

export const numbers: Cells = (board) => ({ chart: new Chart(board) });
