// The drawing x → M → Y and x → Y, with the effects printed on its arrows.
import { h, num, s, signed } from "../core/dom.js";
import type { Mediation, Mediator } from "./model.js";

const [WIDTH, HEIGHT] = [360, 172];
const X = { x: 40, y: 104 };
const M = { x: 180, y: 30 };
const Y = { x: 326, y: 104 };

/** Effects of the chosen mediator, of the run shown or at another strength. */
export type Means = (quantity: string) => { mean: number; low: number; high: number };

export function drawPath(data: Mediation, i: number, means: Means): HTMLElement {
  const own = data.mediators[i] as Mediator;
  const { spec } = data.view;
  const through = spec.interchange ? "NIE" : "CE";
  const around = spec.interchange ? "NDE" : "CDE";
  const hidden = data.hidden(i);
  const value = (name: string) => (hidden ? Number.NaN : means(name).mean);
  const most = Math.max(...["TE", through, around].map((q) => Math.abs(value(q)) || 0)) || 1;
  const picture = s("svg", {
    class: "iw-mediation-path",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": hidden ? `${own.name}, hidden` : said(data, own, means, through, around),
  });
  const arrow = (a: { x: number; y: number }, b: { x: number; y: number }, name: string) => {
    const v = value(name);
    const sign = v < 0 ? "negative" : "positive";
    const wide = 1 + (5 * Math.abs(v || 0)) / most;
    picture.append(tapered(a, b, wide, `iw-mediation-${sign}`));
  };
  arrow({ x: X.x + 30, y: X.y - 16 }, { x: M.x - 66, y: M.y + 8 }, through);
  arrow({ x: M.x + 66, y: M.y + 8 }, { x: Y.x - 16, y: Y.y - 18 }, through);
  if (spec.two_sided) arrow({ x: X.x + 36, y: X.y }, { x: Y.x - 20, y: Y.y }, around);
  const node = (at: { x: number; y: number }, text: string, wide: number) => {
    picture.append(
      s("rect", {
        class: "iw-mediation-node",
        x: at.x - wide / 2,
        y: at.y - 13,
        width: wide,
        height: 26,
        rx: 4,
      }),
      s("text", { class: "iw-mediation-name", x: at.x, y: at.y + 4 }, text),
    );
  };
  node(X, spec.two_sided ? "x → x′" : "x", 64);
  node(M, own.name.length > 18 ? `${own.name.slice(0, 17)}…` : own.name, 130);
  node(Y, "Y", 32);
  const write = (x: number, y: number, name: string, cls: string, below: boolean) => {
    const { mean, low, high } = means(name);
    const range = Number.isFinite(low) && !hidden ? `[${num(low)}, ${num(high)}]` : "";
    const strong = s("tspan", { class: "iw-mediation-strong" }, hidden ? "?" : signed(mean));
    const label = s("text", { class: `iw-mediation-value ${cls}`, x, y });
    label.append(`${data.label(name)} `, strong);
    if (range && !below) label.append(s("tspan", { class: "iw-mediation-range" }, ` ${range}`));
    picture.append(label);
    if (range && below) {
      picture.append(s("text", { class: `iw-mediation-range ${cls}`, x, y: y + 14 }, range));
    }
  };
  write(WIDTH - 4, 34, through, "iw-mediation-end", true);
  if (spec.two_sided) {
    write(180, 126, around, "", false);
    write(180, 158, "TE", "", false);
  }
  return h("figure", { class: "iw-mediation-figure" }, picture);
}

function said(
  data: Mediation,
  own: Mediator,
  means: Means,
  through: string,
  around: string,
): string {
  const part = (name: string) => `${data.label(name)} ${data.text(means(name))}`;
  const two = data.view.spec.two_sided ? [part(around), part("TE")] : [];
  return [`${own.name}: ${part(through)}`, ...two].join(", ");
}

/** An arrow whose shaft is as wide as the effect is large. */
function tapered(
  a: { x: number; y: number },
  b: { x: number; y: number },
  wide: number,
  cls: string,
): SVGPathElement {
  const long = Math.hypot(b.x - a.x, b.y - a.y);
  const [ux, uy] = [(b.x - a.x) / long, (b.y - a.y) / long];
  const head = 7 + wide;
  const side = 3 + wide;
  const at = (along: number, across: number) =>
    `${(a.x + ux * along - uy * across).toFixed(1)},${(a.y + uy * along + ux * across).toFixed(1)}`;
  const w = wide / 2;
  const neck = long - head;
  const points = [
    at(0, -w),
    at(neck, -w),
    at(neck, -side),
    at(long, 0),
    at(neck, side),
    at(neck, w),
    at(0, w),
  ];
  return s("path", { class: cls, d: `M${points.join("L")}Z` });
}
