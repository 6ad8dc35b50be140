// One frame of the board: cells, marks and what stands around them.
import type { Hidpi } from "../core/canvas.js";
import type { Palette } from "../core/color.js";
import {
  fontOf,
  type Gutter,
  type Highlights,
  opened,
  paintHover,
  paintLabels,
  paintScroll,
  paintSelection,
} from "./axes.js";
import type { Slice } from "./model.js";
import { type Picture, paintCells, paintMarks } from "./paint.js";

/** Rows and columns count as on the screen. */
export interface Frame extends Picture {
  slice: Slice;
  gutter: Gutter;
  palette: Palette;
  selected: Highlights;
  hovered: Highlights;
  /** Drawn outside the cells. */
  edges?: ((ctx: CanvasRenderingContext2D) => void) | undefined;
  /** Drawn over the cells, clipped to the plot. */
  overlay?: ((ctx: CanvasRenderingContext2D) => void) | undefined;
}

export function paintFrame(canvas: Hidpi, frame: Frame): void {
  const { camera, gutter, slice, palette, selected } = frame;
  const bottom = gutter.bottom + 16;
  const ctx = opened(canvas, camera, gutter, bottom);
  if (!ctx) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, 0, camera.width, camera.height);
  ctx.clip();
  paintCells(ctx, frame);
  paintMarks(ctx, frame);
  paintHover(ctx, camera, frame.hovered, palette);
  frame.overlay?.(ctx);
  ctx.restore();
  ctx.strokeStyle = palette.line;
  ctx.lineWidth = 1;
  const across = Math.min(camera.width, (slice.nCols - camera.left) * camera.cw);
  ctx.strokeRect(0.5, 0.5, across - 1, camera.height - 1);
  paintSelection(ctx, camera, selected, palette);
  paintScroll(ctx, camera, palette);
  frame.edges?.(ctx);
  const { labels } = slice.spec;
  const rows = { dim: slice.rows, labels: labels[slice.rows] };
  const cols = { dim: slice.cols, labels: labels[slice.cols] };
  paintLabels(ctx, camera, gutter, rows, cols, selected, palette, slice.spec.flip);
  ctx.font = fontOf(camera.text);
  ctx.fillStyle = palette.muted;
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  const axes = [slice.rows && `${slice.rows} ↕`, slice.cols && `${slice.cols} ↔`]
    .filter(Boolean)
    .join("   ");
  ctx.fillText(axes, 0, camera.height + bottom - 3);
  ctx.restore();
}
