// Draws the scatter: axes, points, rings, names, the lasso.

import { fitted } from "../core/canvas.js";
import type { Palette } from "../core/color.js";
import { ticks, tickText } from "../core/ticks.js";
import { type Axes, type Points, placed, type Spot } from "./plot.js";

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const TITLE = FONT.replace("11px", "12px");

/** Lines between points: two ends each. */
export interface Links {
  ends: ArrayLike<number>;
  weight: ArrayLike<number>;
  value: ArrayLike<number>;
}

export interface Picture {
  axes: Axes;
  points: Points;
  /** Share of the largest area. */
  size?: ArrayLike<number> | undefined;
  links?: Links | undefined;
  order: readonly number[];
  palette: Palette;
  names: readonly (readonly [point: number, name: string])[];
  brushed: readonly number[];
  selected: ReadonlySet<number>;
  hovered: ReadonlySet<number>;
  lasso: readonly Spot[];
  identity: boolean;
  ends: { x: string; y: string };
}

export function paintCloud(ctx: CanvasRenderingContext2D, picture: Picture): void {
  const { axes, palette, points, order } = picture;
  const { left, top, width, height } = axes.frame;
  ctx.clearRect(0, 0, left + width + 20, top + height + 60);
  paintAxes(ctx, picture);
  const at = (i: number): Spot => ({
    x: axes.px(points.x[i] as number),
    y: axes.py(points.y[i] as number),
  });
  const radius = order.length > 2000 ? 2 : order.length > 400 ? 3 : 4;
  const area = picture.size;
  if (picture.links) paintLinks(ctx, picture.links, palette, at);
  const disc = ({ x, y }: Spot, r: number) => {
    ctx.beginPath();
    ctx.arc(x, y, r, 0, 2 * Math.PI);
  };
  const blue = palette.sequential[3] ?? [63, 134, 190];
  ctx.globalAlpha = order.length > 400 ? 0.55 : 0.85;
  ctx.fillStyle = `rgb(${blue.join(",")})`;
  for (const i of order) {
    disc(at(i), area ? 2.5 + 7 * Math.sqrt(area[i] as number) : radius);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
  const ring = (i: number, r: number, color: string, line: number, dash: number[] = []) => {
    ctx.setLineDash(dash);
    ctx.strokeStyle = color;
    ctx.lineWidth = line;
    disc(at(i), r);
    ctx.stroke();
    ctx.setLineDash([]);
  };
  for (const i of picture.brushed) ring(i, radius + 3, palette.text, 1.5);
  for (const i of picture.selected) ring(i, radius + 5, palette.accent, 2.5);
  for (const i of picture.hovered) ring(i, radius + 7, palette.accent, 1.5, [3, 3]);
  paintNames(ctx, picture, at);
  const [start, ...rest] = picture.lasso;
  if (!start) return;
  ctx.beginPath();
  ctx.moveTo(start.x, start.y);
  for (const { x, y } of rest) ctx.lineTo(x, y);
  ctx.closePath();
  ctx.globalAlpha = 0.12;
  ctx.fillStyle = palette.accent;
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.setLineDash([4, 3]);
  ctx.strokeStyle = palette.accent;
  ctx.lineWidth = 1.5;
  ctx.stroke();
  ctx.setLineDash([]);
}

function paintAxes(ctx: CanvasRenderingContext2D, { axes, palette, identity, ends }: Picture) {
  const { left, top, width, height } = axes.frame;
  const bottom = top + height;
  const line = (x0: number, y0: number, x1: number, y1: number, color: string) => {
    ctx.strokeStyle = color;
    ctx.beginPath();
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
  };
  ctx.lineWidth = 1;
  ctx.font = FONT;
  ctx.textBaseline = "middle";
  for (const value of ticks(...axes.x, width / 70)) {
    const x = Math.round(axes.px(value)) + 0.5;
    line(x, top, x, bottom, value === 0 ? palette.muted : palette.line);
    ctx.fillStyle = palette.muted;
    ctx.textAlign = "center";
    ctx.fillText(tickText(value), x, bottom + 12);
  }
  for (const value of ticks(...axes.y, height / 48)) {
    const y = Math.round(axes.py(value)) + 0.5;
    line(left, y, left + width, y, value === 0 ? palette.muted : palette.line);
    ctx.fillStyle = palette.muted;
    ctx.textAlign = "right";
    ctx.fillText(tickText(value), left - 6, y);
  }
  const same = identity ? axes.identity : null;
  if (same) {
    ctx.setLineDash([6, 4]);
    ctx.lineWidth = 1.5;
    line(axes.px(same[0]), axes.py(same[0]), axes.px(same[1]), axes.py(same[1]), palette.muted);
    ctx.setLineDash([]);
  }
  ctx.font = TITLE;
  ctx.fillStyle = palette.text;
  ctx.textAlign = "center";
  fitted(ctx, ends.x, width, (words) => ctx.fillText(words, left + width / 2, bottom + 32));
  ctx.save();
  ctx.translate(12, top + height / 2);
  ctx.rotate(-Math.PI / 2);
  fitted(ctx, ends.y, height, (words) => ctx.fillText(words, 0, 0));
  ctx.restore();
}

function paintNames(
  ctx: CanvasRenderingContext2D,
  { names, axes, palette, order }: Picture,
  at: (i: number) => Spot,
): void {
  ctx.font = FONT;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  const spots = placed(
    names.map(([i, name]) => ({ at: at(i), width: ctx.measureText(name).width })),
    axes.frame,
    12,
    order.slice(0, 400).map(at),
  );
  names.forEach(([, name], k) => {
    const spot = spots[k];
    if (!spot) return;
    ctx.lineWidth = 3;
    ctx.strokeStyle = palette.background;
    ctx.strokeText(name, spot.x, spot.y);
    ctx.fillStyle = palette.text;
    ctx.fillText(name, spot.x, spot.y);
  });
}

/** Wider for more weight, farther along the palette for more value. */
function paintLinks(
  ctx: CanvasRenderingContext2D,
  links: Links,
  palette: Palette,
  at: (i: number) => Spot,
): void {
  const values = Array.from(links.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const colors = palette.sequential.slice(1);
  ctx.lineCap = "round";
  values.forEach((value, i) => {
    const share = high > low ? (value - low) / (high - low) : 1;
    const color = colors[Math.round(share * (colors.length - 1))] ?? [63, 134, 190];
    const [from, to] = [at(links.ends[2 * i] as number), at(links.ends[2 * i + 1] as number)];
    ctx.strokeStyle = `rgb(${color.join(",")})`;
    ctx.lineWidth = 0.8 + 5 * (links.weight[i] as number);
    ctx.beginPath();
    ctx.moveTo(from.x, from.y);
    ctx.lineTo(to.x, to.y);
    ctx.stroke();
  });
  ctx.lineCap = "butt";
}
