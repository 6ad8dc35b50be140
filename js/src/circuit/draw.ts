// Edges on a canvas, strongest on top. Full quality is drawn in slices so that the page never stalls;
// while something moves, a draft of thin lines stands in (without a GPU wide curves cost ten times
// as much as hairlines).

import { BEND, type Strokes } from "./curve.js";
import type { Layout } from "./layout.js";

export interface Paint {
  positive: string;
  negative: string;
  ghost: string;
  cut: string;
}

export interface Viewport {
  scale: number;
  x: number;
  y: number;
}

/** Strong edges keep their width in a draft. */
const KEPT_WIDE = 120;
/** Most edges in a draft. */
export const DRAFT = 3000;

/** Widths shrink slower than the picture when zoomed out, and grow slower when zoomed in. */
export const lineScale = (scale: number): number => Math.sqrt(scale) / scale;

/** Thin lines fade when there are many, so that the strong ones stay readable. */
export function opacity(width: number, drawn: number): number {
  const crowd = Math.min(1, Math.max(0, Math.log10(Math.max(drawn, 100) / 100) / 2));
  const strong = Math.min(1, (width - 0.5) / 2);
  return 0.9 - (1 - strong) * (0.25 + 0.53 * crowd);
}

export function place(ctx: CanvasRenderingContext2D, view: Viewport, ratio: number): void {
  const scale = view.scale * ratio;
  ctx.setTransform(scale, 0, 0, scale, view.x * ratio, view.y * ratio);
}

export function clear(ctx: CanvasRenderingContext2D): void {
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
}

export interface DrawOptions {
  /** Positions in `strokes` to draw, in this order; all of them without it. */
  only?: ArrayLike<number>;
  /** Edges drawn dotted and grey whatever their sign. */
  cut?: ReadonlySet<number>;
  /** No fading. */
  solid?: boolean;
  /** Thin lines for all but the strongest. */
  draft?: boolean;
}

/** Draws edges; the generator yields every few edges, so that the caller may stop for a frame. */
export function* drawing(
  ctx: CanvasRenderingContext2D,
  strokes: Strokes,
  paint: Paint,
  view: Viewport,
  options: DrawOptions = {},
): Generator<void> {
  const { only, cut, solid = false, draft = false } = options;
  const scaled = lineScale(view.scale);
  const count = only ? only.length : strokes.edge.length;
  const first = draft ? Math.max(0, count - DRAFT) : 0;
  const hairline = (0.9 / view.scale) * Math.min(1, Math.sqrt(view.scale));
  let style = -1;
  ctx.lineCap = "butt";
  for (let n = first; n < count; n++) {
    const i = only ? only[n]! : n;
    const severed = cut?.has(strokes.edge[i]!) ?? false;
    const kind = severed ? 2 : strokes.negative[i]!;
    const wide = !draft || n >= count - KEPT_WIDE;
    const width = severed ? 1.25 : strokes.width[i]!;
    const key = kind * 2 + (wide ? 1 : 0);
    if (key !== style) {
      style = key;
      ctx.strokeStyle = [paint.positive, paint.negative, paint.cut][kind]!;
      if (!wide || kind === 0) ctx.setLineDash([]);
      else if (kind === 2) ctx.setLineDash([1.5 * scaled, 4 * scaled]);
    }
    if (wide && kind === 1) ctx.setLineDash([(5 + width) * scaled, (2.5 + width / 2) * scaled]);
    ctx.globalAlpha = solid || severed ? 1 : opacity(width, count);
    ctx.lineWidth = wide ? width * scaled : hairline;
    const y0 = strokes.y0[i]!;
    const y1 = strokes.y1[i]!;
    const bend = (y1 - y0) * BEND;
    ctx.beginPath();
    ctx.moveTo(strokes.x0[i]!, y0);
    ctx.bezierCurveTo(strokes.x0[i]!, y0 + bend, strokes.x1[i]!, y1 - bend, strokes.x1[i]!, y1);
    ctx.stroke();
    if (n % 16 === 15) yield;
  }
  ctx.globalAlpha = 1;
  ctx.setLineDash([]);
}

/** Draws edges at once. */
export function drawEdges(...call: Parameters<typeof drawing>): void {
  for (const _ of drawing(...call));
}

/** Places of components that are not in the circuit, as dots, so that the grid stays in sight. */
export function drawGhosts(
  ctx: CanvasRenderingContext2D,
  layout: Layout,
  hidden: readonly number[],
  paint: Paint,
): void {
  ctx.fillStyle = paint.ghost;
  const radius = Math.min(1.75, layout.boxHeight / 8);
  for (const node of hidden) {
    if (Number.isNaN(layout.x[node]!)) continue;
    ctx.beginPath();
    ctx.arc(layout.x[node]!, layout.y[node]!, radius, 0, 2 * Math.PI);
    ctx.fill();
  }
}
