// Icons as paths: fonts of notebooks lack most symbols.
import { s } from "./dom.js";

const PATHS = {
  table: "M2.5 3.5h11v9h-11zM2.5 6.5h11M2.5 9.5h11M6.5 3.5v9",
  code: "M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5",
  full: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  undo: "M5.5 3 2.5 6l3 3M2.5 6h6.5a4 4 0 0 1 0 8H6",
  redo: "M10.5 3l3 3-3 3M13.5 6H7a4 4 0 0 0 0 8h3",
  help: "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM6 6.2a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1v.4M8 11.4v.2",
  previous: "M9.5 4 5.5 8l4 4",
  next: "M6.5 4l4 4-4 4",
  save: "M8 2.5v7M5 6.8 8 9.8l3-3M2.8 10.5v3h10.4v-3",
  more: "M3 7.4a.6.6 0 1 0 .01 0zM8 7.4a.6.6 0 1 0 .01 0zM13 7.4a.6.6 0 1 0 .01 0z",
  plus: "M8 3.5v9M3.5 8h9",
  minus: "M3.5 8h9",
} as const;

export type IconName = keyof typeof PATHS;

export function isIcon(name: string): name is IconName {
  return name in PATHS;
}

export function icon(name: IconName): SVGSVGElement {
  return s(
    "svg",
    { class: "iw-svg-icon", viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    s("path", {
      d: PATHS[name],
      fill: "none",
      stroke: "currentColor",
      "stroke-width": 1.3,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );
}
