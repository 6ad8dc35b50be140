// What colours, dashes, widths and marks mean.
import { h, s } from "../core/dom.js";
import type { Strokes } from "./curve.js";
import { markPath } from "./marks.js";
import { portMark } from "./nodes.js";

const picture = (width: number, ...children: SVGElement[]): SVGElement =>
  s("svg", { width, height: 10, "aria-hidden": "true" }, ...children);
const line = (cls: string): SVGElement => picture(24, s("path", { class: cls, d: "M0 5H24" }));
const item = (mark: SVGElement, text: string): Node => h("span", { class: "iw-key" }, mark, text);

/** Which signs the drawn links have. */
export interface Signs {
  positive: boolean;
  negative: boolean;
}

export const signsOf = (strokes: Strokes): Signs => ({
  positive: strokes.negative.includes(0),
  negative: strokes.negative.includes(1),
});

const signs = ({ positive, negative }: Signs, up: string, down: string): Node[] => [
  ...(positive ? [item(line("iw-line-positive"), up)] : []),
  ...(negative ? [item(line("iw-line-negative"), down)] : []),
];

export interface LegendOptions {
  drawn: Signs;
  difference?: boolean;
  reference?: "node" | "edge" | undefined;
}

export function circuitLegend({ drawn, difference = false, reference }: LegendOptions): Node[] {
  const port = (p: "q" | "k" | "v", text: string) =>
    item(picture(10, portMark(p, 5, 5, 3.5)), text);
  const parts = [
    ...(difference
      ? signs(drawn, "score rose", "score fell")
      : signs(drawn, "raises the metric", "lowers it")),
    port("q", "query"),
    port("k", "key"),
    port("v", "value"),
    h("span", { class: "iw-key" }, difference ? "width: |change|" : "width: |score|"),
  ];
  if (reference === "edge")
    parts.push(
      item(line("iw-line-extra"), "not in the reference"),
      item(line("iw-line-miss"), "missed"),
    );
  if (reference === "node") {
    const box = (cls: string) =>
      picture(16, s("rect", { class: cls, x: 2, y: 1, width: 12, height: 8, rx: 2 }));
    parts.push(
      item(box("iw-key-hit"), "in the reference"),
      item(box("iw-key-extra"), "not in it"),
      item(box("iw-key-miss"), "missed"),
    );
  }
  return parts;
}

export function attributionLegend(drawn: Signs): Node[] {
  const mark = (kind: "feature" | "error" | "embedding") =>
    picture(12, s("path", { class: `iw-key-${kind}`, d: markPath(kind, 6, 5, 4) }));
  return [
    ...signs(drawn, "raises its target", "lowers it"),
    h("span", { class: "iw-key" }, "width: |weight|"),
    item(mark("feature"), "feature"),
    item(mark("error"), "error"),
    item(mark("embedding"), "token or output"),
  ];
}
