// Links on a canvas, strongest on top. Full quality is drawn in slices so that the page never
// stalls, the strongest first.

import { type Strokes, THINNEST } from "./curve.js";
import type { Layout } from "./layout.js";
import { BEND } from "./sway.js";

export interface Paint {
  positive: string;
  negative: string;
  ghost: string;
  cut: string;
  /** Links that are no part of a reference, hidden, or too faint for a colour. */
  faint: string;
  /** Marks of nodes by kind, for graphs with more nodes than elements. */
  node: string;
}

export interface Viewport {
  scale: number;
  x: number;
  y: number;
}

/** From so many links on, thin ones are hairlines without dashes: neither can be seen in a crowd. */
export const CROWD = 10_000;
const HAIR = 1; // px
const EVERY = 24; // links between two looks at the clock

/** Widths shrink slower than the picture when zoomed out, and grow slower when zoomed in. */
export const lineScale = (scale: number): number => Math.sqrt(scale) / scale;

/** How many times stronger links cover the picture where a link is half as dark. */
const HALF = 0.35;
/** So faint a link has no colour left: a canvas rounds it to another hue. */
const FAINTEST = 0.02;

/**
 * How dark a link is among stronger ones that cover so many times the picture: these stay readable
 * however many there are, because all ink together has a bound, but for the faintest.
 */
export function opacity(width: number, cover: number): number {
  const strong = Math.min(1, Math.max(0, width - THINNEST) / 2);
  return Math.max(FAINTEST, (0.65 + 0.25 * strong) / (1 + (cover / HALF) ** 2));
}

export function place(ctx: CanvasRenderingContext2D, view: Viewport, ratio: number): void {
  const scale = view.scale * ratio;
  ctx.setTransform(scale, 0, 0, scale, view.x * ratio, view.y * ratio);
}

export function clear(ctx: CanvasRenderingContext2D): void {
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
}

/** How a link is drawn beside its sign: cut, absent from a reference, missed, hidden. */
export type Look = "" | "cut" | "extra" | "miss" | "veiled";

export interface DrawOptions {
  /** Positions in `strokes` to draw, in this order; all of them without it. */
  only?: ArrayLike<number>;
  /** The look of a link (its position in the order of strength). */
  look?: (edge: number) => Look;
  /** No fading. */
  solid?: boolean;
  /** Strongest first, each under those before it: the same picture, of use before it is done. */
  under?: boolean;
  /** What of the world can be seen; links outside of it are left out. */
  within?: { x0: number; y0: number; x1: number; y1: number };
}

const outside = (s: Strokes, i: number, w: NonNullable<DrawOptions["within"]>): boolean =>
  (s.x0[i]! < w.x0 && s.x1[i]! < w.x0) ||
  (s.x0[i]! > w.x1 && s.x1[i]! > w.x1) ||
  (s.y0[i]! < w.y0 && s.y1[i]! < w.y0) ||
  (s.y0[i]! > w.y1 && s.y1[i]! > w.y1);

/** Draws links; the generator yields every few, so that the caller may stop for a frame. */
export function* drawing(
  ctx: CanvasRenderingContext2D,
  strokes: Strokes,
  paint: Paint,
  view: Viewport,
  options: DrawOptions = {},
): Generator<void> {
  const { only, look, solid = false, under = false, within } = options;
  const scaled = lineScale(view.scale);
  const count = only ? only.length : strokes.edge.length;
  let style = "";
  let alpha = -1;
  let thick = -1;
  ctx.lineCap = "butt";
  const piece = (n: number): number => (only ? only[n]! : under ? count - 1 - n : n);
  const crowd = count > CROWD;
  const hair = HAIR / (view.scale * (globalThis.devicePixelRatio || 1));
  ctx.globalCompositeOperation = under ? "destination-over" : "source-over";
  let open = false; // whether the last piece is part of a line that goes on
  for (let n = 0; n < count; n++) {
    if (n % EVERY === EVERY - 1 && !open) yield;
    const i = piece(n);
    if (!open) {
      if (within && outside(strokes, i, within)) continue;
      const how = look ? look(strokes.edge[i]!) : "";
      const negative = strokes.negative[i] === 1;
      const width = how === "cut" || how === "miss" ? 1.5 : how ? 1 : strokes.width[i]!;
      const shade = solid ? 1 : opacity(width, strokes.cover[i]! / Math.sqrt(view.scale));
      const strength = how === "extra" ? 0.5 : how ? 1 : Math.round(shade * 200) / 200;
      const thin = crowd && how === "" && width < 1;
      const faint = how === "" && strength <= FAINTEST;
      const dashed = how === "" && negative && !thin && !faint;
      const key = how || (faint ? "faint" : negative ? "negative" : "positive");
      if (key !== style) {
        style = key;
        const grey = how === "cut" || how === "miss" ? paint.cut : paint.faint;
        ctx.strokeStyle = how || faint ? grey : negative ? paint.negative : paint.positive;
        if (how === "cut") ctx.setLineDash([1.5 * scaled, 4 * scaled]);
        else if (how === "miss") ctx.setLineDash([2 * scaled, 2 * scaled]);
        else ctx.setLineDash([]);
      }
      if (thin && negative) ctx.setLineDash([]);
      if (dashed) ctx.setLineDash([(5 + width) * scaled, (2.5 + width / 2) * scaled]);
      if (strength !== alpha) ctx.globalAlpha = alpha = strength;
      if (width !== thick) {
        thick = width;
        ctx.lineWidth = thin ? Math.min(hair, width * scaled) : width * scaled;
      }
      ctx.beginPath();
      ctx.moveTo(strokes.x0[i]!, strokes.y0[i]!);
    }
    const y0 = strokes.y0[i]!;
    const y1 = strokes.y1[i]!;
    const bend = (y1 - y0) * BEND;
    ctx.bezierCurveTo(strokes.x0[i]!, y0 + bend, strokes.x1[i]!, y1 - bend, strokes.x1[i]!, y1);
    const next = n + 1 < count ? piece(n + 1) : -1;
    open =
      next === i + 1 &&
      strokes.edge[next] === strokes.edge[i] &&
      !(within && outside(strokes, next, within));
    if (!open) ctx.stroke();
  }
  ctx.globalAlpha = 1;
  ctx.globalCompositeOperation = "source-over";
  ctx.setLineDash([]);
}

/** Draws links at once. */
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
