// The course of pinned tokens through layers or positions, as lines told apart by colour and dash.
import type { Palette } from "../core/color.js";
import { h, num, s } from "../core/dom.js";
import { COLORS } from "../core/series.js";
import { axisLabel, thin } from "../heatmap/labels.js";

export interface Line {
  name: string;
  /** One value per step; NaN leaves a gap. */
  values: number[];
}

export interface Plot {
  lines: Line[];
  steps: string[];
  /** The step that the grid's chosen cell stands at. */
  chosen: number;
  log: boolean;
  signed: boolean;
  width: number;
  palette: Palette;
  title: string;
}

const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "1 2", "12 4", "5 2 1 2 1 2"];
export const HEIGHT = 176;
const LEFT = 44;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 24;
/** The lowest probability on a logarithmic axis. */
const FLOOR = 1e-6;

export function strokeOf(index: number, palette: Palette): { stroke: string; dash: string } {
  const colours = COLORS[palette.dark ? "dark" : "light"];
  return {
    stroke: colours[index % colours.length] as string,
    dash: DASHES[index % DASHES.length] as string,
  };
}

/** The sample of a line that stands in the legend. */
export function swatch(index: number, palette: Palette): SVGElement {
  const { stroke, dash } = strokeOf(index, palette);
  return s(
    "svg",
    { width: 28, height: 10, "aria-hidden": "true", class: "iw-lens-swatch" },
    s("line", { x1: 1, x2: 27, y1: 5, y2: 5, stroke, "stroke-width": 2, "stroke-dasharray": dash }),
  );
}

export function xOf(step: number, plot: Plot): number {
  const room = plot.width - LEFT - RIGHT;
  return LEFT + (plot.steps.length < 2 ? room / 2 : (room * step) / (plot.steps.length - 1));
}

/** The step under a horizontal pixel. */
export function stepAt(x: number, plot: Plot): number {
  const last = plot.steps.length - 1;
  const t = (x - LEFT) / Math.max(1, plot.width - LEFT - RIGHT);
  return Math.max(0, Math.min(last, Math.round(t * last)));
}

/** Ends of the vertical axis: from zero to a round number, symmetric for differences. */
export function limits(plot: Plot): [number, number] {
  if (plot.log && !plot.signed) return [FLOOR, 1];
  let top = 0;
  for (const line of plot.lines) {
    for (const v of line.values) if (Number.isFinite(v)) top = Math.max(top, Math.abs(v));
  }
  const high = round(top);
  return plot.signed ? [-high, high] : [0, high];
}

function round(top: number): number {
  if (top <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(top));
  return ([1, 2, 5, 10].find((m) => m * unit >= top * 0.999) ?? 10) * unit;
}

function yOf(value: number, plot: Plot, [low, high]: [number, number]): number {
  const log = plot.log && !plot.signed;
  const share = log
    ? Math.log(Math.max(value, low) / low) / Math.log(high / low)
    : (value - low) / (high - low);
  return TOP + (1 - Math.min(1, Math.max(0, share))) * (HEIGHT - TOP - BOTTOM);
}

export function drawLines(plot: Plot): SVGSVGElement {
  const { palette, steps, width } = plot;
  const ends = limits(plot);
  const y = (v: number) => yOf(v, plot, ends);
  const right = width - RIGHT;
  const text = (x: number, at: number, words: string, anchor: string, fill = palette.muted) =>
    s("text", { x, y: at, fill, "text-anchor": anchor, "font-size": 11 }, words);
  const ticks =
    plot.log && !plot.signed
      ? [1, 1e-2, 1e-4, FLOOR]
      : plot.signed
        ? [ends[1], 0, ends[0]]
        : [ends[1], ends[1] / 2, 0];
  const grid = ticks.flatMap((tick) => [
    s("line", { x1: LEFT, x2: right, y1: y(tick), y2: y(tick), stroke: palette.line }),
    text(LEFT - 6, y(tick) + 4, tickText(tick, plot.signed), "end"),
  ]);
  const room = (width - LEFT - RIGHT) / Math.max(1, steps.length - 1);
  const longest = steps.reduce((n, step) => Math.max(n, axisLabel(step, 8).length), 1);
  const names = thin(0, steps.length, room, 7 * longest + 6).map((i) =>
    text(
      xOf(i, plot),
      HEIGHT - 8,
      axisLabel(steps[i] as string, 8),
      i === 0 ? "start" : i === steps.length - 1 ? "end" : "middle",
      i === plot.chosen ? palette.accent : palette.muted,
    ),
  );
  const here = xOf(plot.chosen, plot);
  const rule = { x1: here, x2: here, y1: TOP, y2: HEIGHT - BOTTOM, "stroke-dasharray": "1 3" };
  const paths = plot.lines.flatMap((line, i) => {
    const { stroke, dash } = strokeOf(i, palette);
    const common = { fill: "none", stroke, "stroke-width": 2, "stroke-linejoin": "round" };
    const path = s("path", { ...common, d: route(line, plot, y), "stroke-dasharray": dash });
    const value = line.values[plot.chosen] ?? Number.NaN;
    const dot =
      Number.isFinite(value) && s("circle", { cx: here, cy: y(value), r: 3.5, fill: stroke });
    return dot ? [path, dot] : [path];
  });
  return s(
    "svg",
    {
      class: "iw-lens-lines",
      width,
      height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "img",
      tabindex: 0,
      "aria-label": summary(plot),
    },
    ...grid,
    s("line", { ...rule, stroke: palette.accent }),
    ...paths,
    ...names,
  );
}

function tickText(tick: number, signed: boolean): string {
  const small = Math.abs(tick) < 0.01 && tick !== 0;
  const text = (small ? tick.toExponential() : String(Number(tick.toPrecision(3)))).replace(
    "-",
    "−",
  );
  return signed && tick > 0 ? `+${text}` : text;
}

function route(line: Line, plot: Plot, y: (v: number) => number): string {
  let down = false;
  const parts = line.values.map((value, i) => {
    if (!Number.isFinite(value)) {
      down = false;
      return "";
    }
    const part = `${down ? "L" : "M"}${xOf(i, plot).toFixed(1)} ${y(value).toFixed(1)}`;
    down = true;
    return part;
  });
  return parts.join("");
}

/** What a screen reader says of the lines: where each starts, ends and is highest. */
export function summary(plot: Plot): string {
  const lines = plot.lines.map(({ name, values }) => {
    const known = values.filter(Number.isFinite);
    if (!known.length) return `${name}: no values`;
    const best = values.indexOf(Math.max(...known));
    return `${name}: from ${num(known[0])} to ${num(known[known.length - 1])}, highest ${num(values[best])} at ${plot.steps[best]}`;
  });
  return `${plot.title}. ${lines.join("; ")}`;
}

/** A rule under the pointer, moved without drawing the lines again. */
export function pointerRule(svg: SVGSVGElement, plot: Plot, step: number | null): void {
  svg.querySelector(".iw-lens-rule")?.remove();
  if (step === null) return;
  const x = xOf(step, plot);
  svg.append(
    s("line", {
      class: "iw-lens-rule",
      x1: x,
      x2: x,
      y1: TOP,
      y2: HEIGHT - BOTTOM,
      stroke: plot.palette.muted,
    }),
  );
}

export function emptyLines(): HTMLElement {
  return h(
    "p",
    { class: "iw-label iw-lens-empty" },
    "Pin a token, from the list of a cell or by typing it, to follow its probability.",
  );
}
