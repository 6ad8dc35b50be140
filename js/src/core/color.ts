// Colours: scales in JavaScript, the same stops as the figures, marks for what has no colour.
//
//   const scale = diverging(view.palette, 2.5);         // −2.5 … 0 … +2.5
//   const scale = sequential(view.palette, 0, 1);
//   const [r, g, b] = scale.rgb(x);  scale.css(x);  scale.ink(x)      // text colour on it
//   legend(scale, "activation")                         // element with the numbers
import { h, num } from "./dom.js";

export type Rgb = readonly [number, number, number];

export interface Palette {
  dark: boolean;
  background: string;
  text: string;
  muted: string;
  line: string;
  accent: string;
  sequential: readonly Rgb[];
  diverging: readonly Rgb[];
  missing: Rgb;
}

const hex = (code: string): Rgb => [
  Number.parseInt(code.slice(1, 3), 16),
  Number.parseInt(code.slice(3, 5), 16),
  Number.parseInt(code.slice(5, 7), 16),
];
const hexes = (...codes: string[]) => codes.map(hex);

export const palettes: { light: Palette; dark: Palette } = {
  light: {
    dark: false,
    background: "#ffffff",
    text: "#1f2328",
    muted: "#59636e",
    line: "#d8dee4",
    accent: "#b3480b",
    sequential: hexes("#ffffff", "#d6e6f2", "#8fbcdc", "#3f86be", "#14548f", "#08264d"),
    diverging: hexes("#0b3c73", "#3f86be", "#a9cde5", "#ffffff", "#f6bf9a", "#d9622b", "#7f2704"),
    missing: hex("#d9d9d9"),
  },
  dark: {
    dark: true,
    background: "#16191d",
    text: "#e6e8eb",
    muted: "#9aa4af",
    line: "#343a42",
    accent: "#ff9d5c",
    sequential: hexes("#16191d", "#16314c", "#1b5586", "#3a86bf", "#8dc3e6", "#eef7fd"),
    diverging: hexes("#b9defa", "#4d9ad6", "#1d4a75", "#16191d", "#743511", "#dd7234", "#ffd3b0"),
    missing: hex("#4a4f57"),
  },
};

/** The palette of a theme; `more` contrast leaves no grey text. */
export function paletteOf(theme: "light" | "dark", more = false): Palette {
  const palette = palettes[theme];
  return more ? { ...palette, muted: palette.text } : palette;
}

/** What a cell is when it is not a plain number inside the limits. */
export type Mark = "" | "nan" | "+inf" | "-inf" | "over" | "under" | "masked";

export interface Scale {
  low: number;
  high: number;
  signed: boolean;
  palette: Palette;
  rgb(x: number): Rgb;
  /** The colours from low to high in 256 steps, four bytes each; then that of what is missing. */
  table: Uint8Array;
  /** Writes the colours of values as pixels, opaque. */
  fill(values: ArrayLike<number>, pixels: Uint32Array): void;
  css(x: number): string;
  /** Black or white, whichever reads on the colour of x. */
  ink(x: number): string;
  mark(x: number): Mark;
}

export function sequential(palette: Palette, low: number, high: number): Scale {
  return make(palette, palette.sequential, low, high > low ? high : low + 1, false);
}

/** Symmetric about zero. */
export function diverging(palette: Palette, top: number): Scale {
  const high = top > 0 ? top : 1;
  return make(palette, palette.diverging, -high, high, true);
}

function make(palette: Palette, stops: readonly Rgb[], low: number, high: number, sign: boolean) {
  const steps = 255;
  const colours = Array.from({ length: steps + 1 }, (_, i) => mix(stops, i / steps));
  colours.push(palette.missing);
  const table = Uint8Array.from(colours.flatMap((c) => [...c, 255]));
  const words = new Uint32Array(table.buffer);
  const per = steps / (high - low);
  const place = (x: number) => {
    const at = Math.round((x - low) * per);
    return Number.isNaN(at) ? steps + 1 : Math.min(steps, Math.max(0, at));
  };
  const rgb = (x: number) => colours[place(x)] as Rgb;
  const fill = (values: ArrayLike<number>, pixels: Uint32Array) => {
    for (let i = 0; i < pixels.length; i++) pixels[i] = words[place(values[i] as number)] as number;
  };
  const slack = (high - low) * 1e-6;
  const scale: Scale = {
    low,
    high,
    signed: sign,
    palette,
    rgb,
    table,
    fill,
    css: (x) => `rgb(${rgb(x).join(",")})`,
    ink: (x) => (luminance(rgb(x)) < 0.179 ? "#ffffff" : "#000000"),
    mark: (x) => {
      if (Number.isNaN(x)) return "nan";
      if (!Number.isFinite(x)) return x > 0 ? "+inf" : "-inf";
      return x > high + slack ? "over" : x < low - slack ? "under" : "";
    },
  };
  return scale;
}

function mix(stops: readonly Rgb[], t: number): Rgb {
  const at = t * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  const a = stops[i] as Rgb;
  const b = stops[i + 1] as Rgb;
  const f = at - i;
  return [0, 1, 2].map((k) =>
    Math.round((a[k] as number) * (1 - f) + (b[k] as number) * f),
  ) as never;
}

/** Relative luminance as WCAG 2.2 defines it. */
export function luminance([r, g, b]: Rgb): number {
  const [x, y, z] = [r, g, b].map((c) => {
    const v = c / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}

export function contrast(a: Rgb, b: Rgb): number {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p) as [number, number];
  return (x + 0.05) / (y + 0.05);
}

/** The colour bar with its numbers; `marks` lists what else the reader sees in the cells. */
export function legend(scale: Scale, label: string, marks: readonly string[] = []): HTMLElement {
  const stops = (scale.signed ? scale.palette.diverging : scale.palette.sequential)
    .map((c) => `rgb(${c.join(",")})`)
    .join(", ");
  const text = (x: number) => {
    const plain = num(x)
      .replace(/(\.\d*?)0+(e|$)/, "$1$2")
      .replace(/\.(e|$)/, "$1");
    return scale.signed && x > 0 ? `+${plain}` : plain;
  };
  const middle = scale.signed ? 0 : (scale.low + scale.high) / 2;
  return h(
    "div",
    { class: "iw-legend", role: "img", "aria-label": legendText(scale, label) },
    h("span", { class: "iw-legend-label" }, label),
    h(
      "span",
      { class: "iw-legend-scale" },
      h("span", {
        class: "iw-legend-bar",
        style: { background: `linear-gradient(to right, ${stops})` },
      }),
      h(
        "span",
        { class: "iw-legend-ticks" },
        h("span", {}, text(scale.low)),
        h("span", {}, text(middle)),
        h("span", {}, text(scale.high)),
      ),
    ),
    ...marks.map((m) => h("span", { class: "iw-legend-mark" }, m)),
  );
}

export function legendText(scale: Scale, label: string): string {
  const around = scale.signed ? ", symmetric about zero" : "";
  return `${label} from ${num(scale.low)} to ${num(scale.high)}${around}`;
}
