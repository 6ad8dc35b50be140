// One picture of the board, as cells or as lines and bars: what is selected, hovered, hidden, marked.
import type { Hidpi } from "../core/canvas.js";
import type { Scale } from "../core/color.js";
import type { HoverValue } from "../core/hover.js";
import { NOTHING, type SelectionValue } from "../core/selection.js";
import type { Gutter } from "./axes.js";
import type { Camera, TileRef } from "./camera.js";
import { paintFrame } from "./frame.js";
import { around, paintMarked } from "./marked.js";
import type { Cell } from "./pointer.js";
import type { Subject } from "./words.js";

/** What the board knows of its picture. */
export interface Scene extends Subject {
  readonly camera: Camera;
  readonly gutter: Gutter;
  readonly scale: Scale;
  /** Tiles of another zoom that stand in for those under way. */
  readonly under: readonly TileRef[] | undefined;
  readonly hovered: HoverValue | null;
  /** The data cell under the pointer. */
  readonly pointed: Cell | null;
  /** The data row of a display row, and the other way round. */
  row(row: number): number;
  /** Where a data cell is. */
  box(row: number, col: number): { x: number; y: number; width: number; height: number };
}

type Span = [number, number];

export function paintScene(canvas: Hidpi, of: Scene): void {
  const { slice } = of;
  const marks = (value: SelectionValue) => {
    const row = slice.selected(slice.rows, value);
    return { row: row === null ? null : of.row(row), col: slice.selected(slice.cols, value) };
  };
  const selected = marks(of.view.selection.get());
  const hovered = marks({ ...NOTHING, ...of.hovered });
  if (of.chart) of.chart.paint(canvas, of, selected, hovered);
  else asCells(canvas, of, selected, hovered);
}

type Marks = { row: number | null; col: number | null };

function asCells(canvas: Hidpi, of: Scene, selected: Marks, hovered: Marks): void {
  const { camera, gutter, view, slice, kind, refs, data, scale, under, marked } = of;
  const { veil, palette } = view;
  const { flip } = slice.spec;
  const row = (r: number) => of.row(r);
  const span = ([top, bottom]: Span, [left, right]: Span) =>
    around(of.box(top, left), of.box(bottom - 1, right - 1));
  paintFrame(canvas, {
    ...{ camera, refs, slice, gutter, scale, flip, palette, under, selected, hovered },
    masked: (r, c) => data.masked(row(r), c),
    veil: veil.covers
      ? {
          covers: (r, c) => of.veiled(row(r), c),
          revealed: slice.revealed(veil.revealed).map(([r, c]) => [row(r), c] as const),
        }
      : undefined,
    edges: (ctx) => of.bars.paint(ctx, camera, row, palette),
    tile: (ref: TileRef) => data.tile(ref)?.values,
    value: (r, c) => data.value(row(r), c),
    word: kind.word && ((r, c) => kind.word?.(row(r), c)),
    changed: slice.spec.interventions.length ? (r, c) => slice.changed(row(r), c) : undefined,
    overlay: (ctx) => {
      kind.overlay?.(ctx);
      paintMarked(ctx, span, marked, slice, palette);
    },
  });
}
