// The colour bar of a scale that may be bent: its numbers stand where their colours are.

import type { Scale as Colours, Palette } from "../core/color.js";
import { h, num, signed } from "../core/dom.js";
import { type Scale, valueAt } from "./paint.js";

export function scaleLegend(
  colours: Colours,
  scale: Scale,
  label: string,
  masked: string,
): HTMLElement {
  const stops = Array.from({ length: 9 }, (_, i) =>
    colours.css(colours.low + (i / 8) * (colours.high - colours.low)),
  );
  const text = scale.low < 0 ? signed : num;
  const ticks = [0, 0.5, 1].map((share) => text(valueAt(share, scale)));
  const kind = { linear: "", sqrt: ", square-root scale", log: ", logarithmic scale" }[
    scale.low < 0 && scale.kind === "log" ? "sqrt" : scale.kind
  ];
  const middle = scale.low < 0 ? ", symmetric about zero" : "";
  return h(
    "span",
    { class: "iw-legend" },
    h(
      "span",
      {
        class: "iw-legend",
        role: "img",
        "aria-label": `${label}${kind}, from ${ticks[0]} to ${ticks[2]}${middle}`,
      },
      h("span", { class: "iw-legend-label" }, `${label}${kind}`),
      h(
        "span",
        { class: "iw-legend-scale" },
        h("span", {
          class: "iw-legend-bar",
          style: { background: `linear-gradient(to right, ${stops.join(", ")})` },
        }),
        h("span", { class: "iw-legend-ticks" }, ...ticks.map((t) => h("span", {}, t))),
      ),
    ),
    masked && h("span", { class: "iw-legend-mark iw-att-masked" }, masked),
  );
}

/** What stands behind cells that nobody may attend to; the same mix is in attention.css. */
export function maskColour(palette: Palette): string {
  const part = (hex: string, i: number): number =>
    Number.parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mix = [0, 1, 2].map((i) =>
    Math.round((part(palette.line, i) + part(palette.background, i)) / 2),
  );
  return `rgb(${mix.join(",")})`;
}
