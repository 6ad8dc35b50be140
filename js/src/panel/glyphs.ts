// The panel's own icons, as paths: fonts of notebooks lack most symbols.
import { s } from "../core/dom.js";

const PATHS = {
  up: "M8 13V3.5M4 7.5l4-4 4 4",
  down: "M8 3v9.5M4 8.5l4 4 4-4",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  rename: "M3 13l.6-2.8 7.4-7.4 2.2 2.2-7.4 7.4zM9.6 4.2l2.2 2.2",
  remove: "M4 4l8 8M12 4l-8 8",
  grip: "M6 4v.1M10 4v.1M6 8v.1M10 8v.1M6 12v.1M10 12v.1",
} as const;

export function glyph(name: keyof typeof PATHS): SVGSVGElement {
  return s(
    "svg",
    { class: "iw-svg-icon", viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    s("path", {
      d: PATHS[name],
      fill: "none",
      stroke: "currentColor",
      "stroke-width": name === "grip" ? 2 : 1.3,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );
}
