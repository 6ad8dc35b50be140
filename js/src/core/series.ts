// Colours, markers and dashes that tell lines and bars apart, in the order of the figures
// (figures/lines.py); the colours are those of Okabe and Ito, readable as text in both themes.
import type { Palette } from "./color.js";

export const COLORS = {
  light: ["#0072b2", "#d55e00", "#007a59", "#a8437a", "#2b83b5", "#946200", "#5a5a5a", "#000000"],
  dark: ["#56b4e9", "#ff9d5c", "#3fcf9f", "#e59ac4", "#9ad1f0", "#f0b429", "#b8b8b8", "#ffffff"],
} as const;

const FIVE = [0, 1, 2, 3, 7];
const DASHES = [[], [5, 3], [1.5, 2.5]];
/** Bars of the same colour: full, tinted, hollow. */
const FILLS = [1, 0.4, 0];
const MARKERS = ["disc", "square", "up", "diamond", "down"] as const;

export interface Series {
  color: string;
  dash: number[];
  /** Opacity of a bar inside its outline. */
  fill: number;
  marker: (typeof MARKERS)[number];
}

export function seriesOf(index: number, palette: Palette): Series {
  const five = index % FIVE.length;
  const colors = COLORS[palette.dark ? "dark" : "light"];
  const round = Math.floor(index / FIVE.length) % DASHES.length;
  return {
    color: colors[FIVE[five] as number] as string,
    dash: DASHES[round] as number[],
    fill: FILLS[round] as number,
    marker: MARKERS[five] as Series["marker"],
  };
}

/** A filled marker around a point. */
export function drawMarker(
  ctx: CanvasRenderingContext2D,
  marker: Series["marker"],
  x: number,
  y: number,
  r: number,
): void {
  ctx.beginPath();
  if (marker === "disc") ctx.arc(x, y, r, 0, 2 * Math.PI);
  else if (marker === "square") ctx.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
  else {
    const down = marker === "down" ? -1 : 1;
    const side = 1.2 * r;
    ctx.moveTo(x, y - down * side);
    ctx.lineTo(x + side, marker === "diamond" ? y : y + down * side);
    if (marker === "diamond") ctx.lineTo(x, y + side);
    ctx.lineTo(x - side, marker === "diamond" ? y : y + down * side);
    ctx.closePath();
  }
  ctx.fill();
}
