// Scatters: the pairs of one mediator, and mediators by size; points that can be pointed at.

import { h, s, signed, visible } from "../core/dom.js";
import { ticks } from "../core/ticks.js";
import type { Tooltip } from "../core/tooltip.js";
import { plain } from "./board.js";

export interface Point {
  x: number;
  y: number;
  name: string;
  rows: readonly (readonly [string, string])[];
  mark?: boolean;
  label?: string;
}

export interface Plot {
  points: readonly Point[];
  xLabel: string;
  yLabel: string;
  width: number;
  height: number;
  log?: boolean;
  /** Draws y = x. */
  identity?: boolean;
  /** Draws y = 1. */
  one?: boolean;
  pick?: (index: number) => void;
}

export function drawPoints(plot: Plot, tip: Tooltip): HTMLElement {
  const { width, height } = plot;
  const pad = { left: 48, right: 12, top: 8, bottom: 36 };
  const form = (v: number) => (plot.log ? Math.log10(v) : v);
  const shown = plot.points
    .map((p, i) => ({ ...p, i, px: form(p.x) }))
    .filter((p) => Number.isFinite(p.px) && Number.isFinite(p.y));
  const [x0, x1] = reach(shown.map((p) => p.px));
  const [y0, y1] = reach([...shown.map((p) => p.y), 0, ...(plot.one ? [1] : [])]);
  const px = (v: number) => pad.left + ((v - x0) / (x1 - x0)) * (width - pad.left - pad.right);
  const py = (v: number) =>
    height - pad.bottom - ((v - y0) / (y1 - y0)) * (height - pad.top - pad.bottom);
  const picture = s("svg", {
    class: "iw-mediation-points",
    width,
    height,
    role: "img",
    "aria-label": `${plot.yLabel} against ${plot.xLabel}, ${shown.length} points`,
  });
  for (const tick of ticks(y0, y1, height / 40)) {
    picture.append(
      s("line", {
        class: tick === 0 ? "iw-mediation-zero" : "iw-mediation-tick",
        x1: pad.left,
        x2: width - pad.right,
        y1: py(tick),
        y2: py(tick),
      }),
      s("text", { class: "iw-mediation-ytick", x: pad.left - 6, y: py(tick) + 4 }, plain(tick)),
    );
  }
  for (const tick of plot.log ? decades(x0, x1) : ticks(x0, x1, width / 70)) {
    picture.append(
      s(
        "text",
        { class: "iw-mediation-xtick", x: px(form(tick)), y: height - pad.bottom + 14 },
        plain(tick),
      ),
    );
  }
  const line = (a: [number, number], b: [number, number]) =>
    picture.append(
      s("line", {
        class: "iw-mediation-guide",
        x1: px(a[0]),
        y1: py(a[1]),
        x2: px(b[0]),
        y2: py(b[1]),
      }),
    );
  if (plot.identity) {
    const [low, high] = [Math.max(x0, y0), Math.min(x1, y1)];
    if (high > low) line([low, low], [high, high]);
  }
  if (plot.one) line([x0, 1], [x1, 1]);
  picture.append(
    s(
      "text",
      { class: "iw-mediation-axis", x: (pad.left + width - pad.right) / 2, y: height - 4 },
      plot.xLabel,
    ),
  );
  const turned = `rotate(-90) translate(${-(height - pad.bottom + pad.top) / 2} 11)`;
  picture.append(s("text", { class: "iw-mediation-axis", transform: turned }, plot.yLabel));
  const named: { x: number; y: number }[] = [];
  for (const p of shown) {
    const dot = s("circle", {
      class: p.mark ? "iw-mediation-dot iw-mediation-chosen" : "iw-mediation-dot",
      cx: px(p.px),
      cy: py(p.y),
      r: p.mark ? 6 : shown.length > 200 ? 3 : 4,
    });
    const show = (event: MouseEvent) => tip.show(event.clientX, event.clientY, p.name, p.rows);
    dot.addEventListener("pointermove", show);
    dot.addEventListener("pointerleave", () => tip.leave());
    if (plot.pick) dot.addEventListener("click", () => plot.pick?.(p.i));
    picture.append(dot);
    const free = named.every(
      (at) => Math.abs(at.x - px(p.px)) > 60 || Math.abs(at.y - py(p.y)) > 12,
    );
    if (p.label && free) {
      named.push({ x: px(p.px), y: py(p.y) });
      const right = px(p.px) > width / 2;
      picture.append(
        s(
          "text",
          {
            class: `iw-mediation-label${right ? " iw-mediation-end" : ""}`,
            x: px(p.px) + (right ? -9 : 9),
            y: py(p.y) - 7,
          },
          p.label,
        ),
      );
    }
  }
  return h("figure", { class: "iw-mediation-figure" }, picture);
}

/** What a pair is called: its two prompts. */
export function pairName(texts: readonly string[] | undefined, i: number): string {
  const [clean = "", other = ""] = (texts ?? []).map((t) => visible(t));
  const short = (t: string) => (t.length > 90 ? `…${t.slice(-89)}` : t);
  return clean
    ? `${i + 1}: ${short(clean)}${other ? `  /  ${short(other)}` : ""}`
    : `pair ${i + 1}`;
}

export const value = (x: number) => signed(x);

/** 1, 2, 5, 10, … between two logarithms. */
function decades(low: number, high: number): number[] {
  const found = [];
  for (let k = Math.floor(low); k <= high; k++) {
    for (const f of [1, 2, 5]) {
      const v = f * 10 ** k;
      if (Math.log10(v) >= low && Math.log10(v) <= high) found.push(Number(v.toPrecision(3)));
    }
  }
  return found;
}

function reach(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (!Number.isFinite(low)) return [-1, 1];
  const gap = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - gap, high + gap];
}
