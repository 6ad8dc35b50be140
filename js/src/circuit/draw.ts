// Edges on a canvas: batched by sign and width, strongest on top.

import { BEND, type Strokes } from "./curve";
import type { Layout } from "./layout";

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

const BINS = [0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6];

const binOf = (width: number): number => {
  let i = 0;
  while (i < BINS.length - 1 && width > (BINS[i]! + BINS[i + 1]!) / 2) i++;
  return i;
};

function trace(path: CanvasPath, strokes: Strokes, i: number): void {
  const y0 = strokes.y0[i]!;
  const y1 = strokes.y1[i]!;
  const x0 = strokes.x0[i]!;
  const x1 = strokes.x1[i]!;
  const bend = (y1 - y0) * BEND;
  path.moveTo(x0, y0);
  path.bezierCurveTo(x0, y0 + bend, x1, y1 - bend, x1, y1);
}

/** Widths shrink slower than the picture when zoomed out, and grow slower when zoomed in. */
export const lineScale = (scale: number): number => Math.sqrt(scale) / scale;

/** Thin lines fade when there are many, so that the strong ones stay readable. */
export function opacity(width: number, drawn: number): number {
  const crowd = Math.min(1, Math.max(0, Math.log10(Math.max(drawn, 100) / 100) / 2));
  const strong = Math.min(1, (width - 0.5) / 2);
  return 0.9 - (1 - strong) * (0.25 + 0.45 * crowd);
}

export function place(ctx: CanvasRenderingContext2D, view: Viewport, ratio: number): void {
  ctx.setTransform(
    view.scale * ratio,
    0,
    0,
    view.scale * ratio,
    view.x * ratio,
    view.y * ratio,
  );
}

export function clear(ctx: CanvasRenderingContext2D): void {
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
}

/**
 * Draw edges. `only` restricts to positions for which it is true; `solid` leaves out the fading of
 * a crowd; `cut` are drawn as dotted grey lines whatever their sign.
 */
export function drawEdges(
  ctx: CanvasRenderingContext2D,
  strokes: Strokes,
  paint: Paint,
  view: Viewport,
  options: { only?: (edge: number) => boolean; cut?: ReadonlySet<number>; solid?: boolean } = {},
): number {
  const { only, cut, solid = false } = options;
  const scaled = lineScale(view.scale);
  const paths = new Map<number, Path2D>();
  const severed = new Path2D();
  let drawn = 0;
  for (let i = 0; i < strokes.edge.length; i++) {
    const edge = strokes.edge[i]!;
    if (only && !only(edge)) continue;
    drawn++;
    if (cut?.has(edge)) {
      trace(severed, strokes, i);
      continue;
    }
    const key = binOf(strokes.width[i]!) * 2 + strokes.negative[i]!;
    let path = paths.get(key);
    if (!path) paths.set(key, (path = new Path2D()));
    trace(path, strokes, i);
  }
  ctx.lineCap = "butt";
  for (const key of [...paths.keys()].sort((a, b) => a - b)) {
    const width = BINS[key >> 1]!;
    const negative = key % 2 === 1;
    ctx.strokeStyle = negative ? paint.negative : paint.positive;
    ctx.globalAlpha = solid ? 1 : opacity(width, drawn);
    ctx.lineWidth = width * scaled;
    ctx.setLineDash(negative ? [5 * scaled + width * scaled, 3.5 * scaled] : []);
    ctx.stroke(paths.get(key)!);
  }
  ctx.globalAlpha = 1;
  ctx.strokeStyle = paint.cut;
  ctx.lineWidth = 1.25 * scaled;
  ctx.setLineDash([1.5 * scaled, 4 * scaled]);
  ctx.stroke(severed);
  ctx.setLineDash([]);
  return drawn;
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
    ctx.beginPath();
    ctx.arc(layout.x[node]!, layout.y[node]!, radius, 0, 2 * Math.PI);
    ctx.fill();
  }
}
