// Bars with intervals, and lines over the layers, as SVG in CSS pixels.

import { h, num, s, signed } from "../core/dom.js";
import { ticks } from "../core/ticks.js";
import { type ConceptTable, domainOf, FLAGS, pText, type Row, rowOf } from "./rows.js";

const HEIGHT = 24;

export function toX(domain: readonly [number, number], width: number): (v: number) => number {
  const [low, high] = domain;
  return (v) => ((v - low) / (high - low)) * width;
}

/** One bar from zero, its interval as a whisker, and where it was before as a hollow mark. */
export function bar(
  row: Row,
  domain: readonly [number, number],
  width: number,
  before = Number.NaN,
): SVGSVGElement {
  const x = toX(domain, width);
  const middle = HEIGHT / 2;
  const picture = s("svg", { class: "iw-bar", width, height: HEIGHT, "aria-hidden": "true" });
  for (const tick of ticks(...domain, Math.max(2, width / 70))) {
    const cls = tick === 0 ? "iw-bar-zero" : "iw-bar-tick";
    picture.append(s("line", { class: cls, x1: x(tick), x2: x(tick), y1: 0, y2: HEIGHT }));
  }
  if (!Number.isFinite(row.effect)) return picture;
  const kind = row.flag === 3 ? "relevant" : row.flag === 2 ? "negligible" : "weak";
  const sign = row.effect < 0 ? "negative" : "positive";
  picture.append(
    s("rect", {
      class: `iw-bar-${kind} iw-bar-${sign}`,
      x: Math.min(x(0), x(row.effect)),
      y: 6,
      width: Math.max(1, Math.abs(x(row.effect) - x(0))),
      height: HEIGHT - 12,
    }),
  );
  if (Number.isFinite(row.low) && Number.isFinite(row.high)) {
    const [a, b] = [x(row.low), x(row.high)];
    picture.append(
      s("path", {
        class: "iw-bar-whisker",
        d: `M${a},${middle}H${b}M${a},${middle - 3}v6M${b},${middle - 3}v6`,
      }),
    );
  }
  if (Number.isFinite(before)) {
    picture.append(s("circle", { class: "iw-bar-before", cx: x(before), cy: middle, r: 3 }));
  }
  return picture;
}

export function axis(domain: readonly [number, number], width: number): SVGSVGElement {
  const x = toX(domain, width);
  const picture = s("svg", { class: "iw-bar-axis", width, height: 16, "aria-hidden": "true" });
  for (const tick of ticks(...domain, Math.max(2, width / 70))) {
    picture.append(s("text", { x: x(tick), y: 12 }, num(tick)));
  }
  return picture;
}

/** `stripes, effect +8.1, interval 7.2 to 9.0, relevant, TCAV score 1.00 against 0.50 at random`. */
export function spoken(row: Row, scoreName: string): string {
  const parts = [row.name];
  if (!Number.isFinite(row.effect)) return `${row.name}, undefined`;
  parts.push(`effect ${signed(row.effect)}`);
  if (Number.isFinite(row.low)) parts.push(`interval ${num(row.low)} to ${num(row.high)}`);
  parts.push(FLAGS[row.flag]?.name ?? "", pText(row.p));
  if (Number.isFinite(row.score))
    parts.push(`${scoreName} ${row.score.toFixed(2)}${nullText(row)}`);
  return parts.join(", ");
}

export const nullText = (row: Row): string =>
  Number.isFinite(row.scoreNull) ? ` (random ${row.scoreNull.toFixed(2)})` : "";

/** Effect over the layers of the shown concepts; the chosen one with its band. */
export function lines(
  table: ConceptTable,
  concepts: readonly number[],
  chosen: number,
  layer: number,
  width: number,
): SVGSVGElement {
  const height = 132;
  const pad = { left: 40, right: 12, top: 8, bottom: 20 };
  const count = table.layers.length;
  const rows = concepts.map((c) => table.layers.map((_, l) => rowOf(table, c, l)));
  const effects = rows.flat().map((r) => ({ ...r, low: r.effect, high: r.effect }));
  const mine = table.layers.map((_, l) => rowOf(table, chosen, l));
  const domain = domainOf([...effects, ...mine]);
  const inner = width - pad.left - pad.right;
  const x = (l: number) => pad.left + (count === 1 ? inner / 2 : (l / (count - 1)) * inner);
  const y = (v: number) =>
    height -
    pad.bottom -
    ((v - domain[0]) / (domain[1] - domain[0])) * (height - pad.top - pad.bottom);
  const picture = s("svg", { class: "iw-lines", width, height, "aria-hidden": "true" });
  for (const tick of ticks(...domain, 4)) {
    picture.append(
      s("line", {
        class: tick === 0 ? "iw-bar-zero" : "iw-bar-tick",
        x1: pad.left,
        x2: width - pad.right,
        y1: y(tick),
        y2: y(tick),
      }),
      s("text", { class: "iw-lines-y", x: pad.left - 6, y: y(tick) + 4 }, num(tick)),
    );
  }
  const every = Math.ceil(count / Math.max(2, Math.floor(inner / 36)));
  table.layers.forEach((name, l) => {
    if (l % every === 0 || l === layer) {
      picture.append(s("text", { class: "iw-lines-x", x: x(l), y: height - 5 }, name));
    }
  });
  picture.append(
    s("line", {
      class: "iw-lines-now",
      x1: x(layer),
      x2: x(layer),
      y1: pad.top,
      y2: height - pad.bottom,
    }),
  );
  const path = (list: readonly Row[], value: (r: Row) => number): string => {
    let pen = "M";
    return list
      .map((r, l) => {
        const v = value(r);
        if (!Number.isFinite(v)) {
          pen = "M";
          return "";
        }
        const step = `${pen}${x(l).toFixed(1)},${y(v).toFixed(1)}`;
        pen = "L";
        return step;
      })
      .join("");
  };
  rows.forEach((list, i) => {
    if (concepts[i] !== chosen)
      picture.append(s("path", { class: "iw-lines-other", d: path(list, (r) => r.effect) }));
  });
  const band = mine.filter((r) => Number.isFinite(r.low) && Number.isFinite(r.high));
  if (band.length > 1) {
    const at = (r: Row) => x(mine.indexOf(r)).toFixed(1);
    const up = band.map((r) => `${at(r)},${y(r.high).toFixed(1)}`);
    const down = [...band].reverse().map((r) => `${at(r)},${y(r.low).toFixed(1)}`);
    picture.append(s("path", { class: "iw-lines-band", d: `M${[...up, ...down].join("L")}Z` }));
  }
  picture.append(s("path", { class: "iw-lines-mine", d: path(mine, (r) => r.effect) }));
  mine.forEach((r, l) => {
    if (!Number.isFinite(r.effect)) return;
    const cls = r.flag === 3 ? "iw-dot-full" : r.flag === 2 ? "iw-dot-half" : "iw-dot-empty";
    picture.append(s("circle", { class: cls, cx: x(l), cy: y(r.effect), r: 3 }));
  });
  return picture;
}

export function flagMark(flag: number): HTMLElement {
  const { glyph, name } = FLAGS[flag] ?? FLAGS[0];
  return h(
    "span",
    { class: `iw-flag iw-flag-${flag}`, title: name, role: "img", "aria-label": name },
    glyph,
  );
}
