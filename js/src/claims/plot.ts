// Small plots in SVG: a histogram with marked values, points, bars. Text is sized in CSS pixels, so
// a plot is drawn again when its width changes.

import { s } from "../core/dom.js";
import { ticks } from "../core/ticks.js";

export interface Frame {
  svg: SVGSVGElement;
  x(value: number): number;
  y(value: number): number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

interface Axes {
  width: number;
  height: number;
  x: readonly [number, number];
  y: readonly [number, number];
  xLabel: string;
  yLabel: string;
  label: string;
  xTicks?: readonly number[];
  yTicks?: readonly number[];
  yNames?: readonly string[];
  left?: number;
}

function tick(value: number): string {
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

/** A range with room at both ends; never of width 0. */
export function padded(values: readonly number[], room = 0.06): [number, number] {
  const finite = values.filter(Number.isFinite);
  let low = Math.min(...finite);
  let high = Math.max(...finite);
  if (!(high > low)) {
    low -= 0.5;
    high += 0.5;
  }
  const more = (high - low) * room;
  return [low - more, high + more];
}

export function frame(axes: Axes): Frame {
  const { width, height } = axes;
  const left = axes.left ?? 40;
  const right = width - 10;
  const top = 18;
  const bottom = height - 34;
  const [x0, x1] = axes.x;
  const [y0, y1] = axes.y;
  const x = (v: number) => left + ((v - x0) / (x1 - x0)) * (right - left);
  const y = (v: number) => bottom - ((v - y0) / (y1 - y0)) * (bottom - top);
  const svg = s("svg", {
    class: "iw-cl-plot",
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": axes.label,
  });
  svg.append(line(left, bottom, right, bottom, "iw-cl-axis"));
  svg.append(line(left, top, left, bottom, "iw-cl-axis"));
  for (const t of axes.xTicks ?? ticks(x0, x1, Math.max(2, Math.floor((right - left) / 60)))) {
    svg.append(line(x(t), bottom, x(t), bottom + 4, "iw-cl-axis"));
    svg.append(text(x(t), bottom + 15, tick(t), "middle"));
  }
  const named = axes.yNames;
  for (const [i, t] of (axes.yTicks ?? ticks(y0, y1, 4)).entries()) {
    if (!named) svg.append(line(left - 4, y(t), left, y(t), "iw-cl-axis"));
    svg.append(text(left - 6, y(t) + 4, named?.[i] ?? tick(t), "end"));
  }
  svg.append(text((left + right) / 2, height - 4, axes.xLabel, "middle"));
  if (axes.yLabel) svg.append(text(2, 11, axes.yLabel, "start"));
  return { svg, x, y, left, right, top, bottom };
}

export function line(x1: number, y1: number, x2: number, y2: number, cls: string): SVGLineElement {
  return s("line", { x1, y1, x2, y2, class: cls });
}

export function text(
  x: number,
  y: number,
  words: string,
  anchor: string,
  cls = "",
): SVGTextElement {
  return s("text", { x, y, "text-anchor": anchor, class: `iw-cl-text ${cls}`.trim() }, words);
}

export interface Mark {
  at: number;
  words: string;
  cls: string;
}

/** Counts of values, and marked values above them; words of marks never overlap. */
export function histogram(
  values: readonly number[],
  marks: readonly Mark[],
  options: { width: number; height: number; xLabel: string; yLabel: string; label: string },
): SVGSVGElement {
  const [low, high] = padded([...values, ...marks.map((m) => m.at)]);
  const bins = Math.min(24, Math.max(8, Math.floor(options.width / 14)));
  const counts = new Array<number>(bins).fill(0);
  for (const v of values) {
    const at = Math.min(bins - 1, Math.max(0, Math.floor(((v - low) / (high - low)) * bins)));
    counts[at] = (counts[at] ?? 0) + 1;
  }
  const most = Math.max(1, ...counts);
  const lines = marks.length;
  const plot = frame({ ...options, x: [low, high], y: [0, most * (1 + 0.22 * lines + 0.1)] });
  const each = (plot.right - plot.left) / bins;
  for (const [i, n] of counts.entries()) {
    if (!n) continue;
    const top = plot.y(n);
    plot.svg.append(
      s("rect", {
        x: plot.left + i * each + 0.5,
        y: top,
        width: Math.max(1, each - 1),
        height: plot.bottom - top,
        class: "iw-cl-bar",
      }),
    );
  }
  const height = (i: number) => plot.top + 12 + i * 15;
  for (const [i, mark] of marks.entries()) {
    const x = plot.x(mark.at);
    plot.svg.append(line(x, height(i) - 8, x, plot.bottom, mark.cls));
  }
  for (const [i, mark] of marks.entries()) {
    const x = plot.x(mark.at);
    const y = height(i);
    const toLeft = x > (plot.left + plot.right) / 2;
    const width = mark.words.length * 6 + 2;
    const left = toLeft ? x - 4 - width : x + 4;
    plot.svg.append(
      s("rect", { x: left, y: y - 10, width, height: 13, class: "iw-cl-behind" }),
      text(x + (toLeft ? -4 : 4), y, mark.words, toLeft ? "end" : "start", "iw-cl-say"),
    );
  }
  return plot.svg;
}
