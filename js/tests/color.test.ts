import { describe, expect, it } from "vitest";
import {
  contrast,
  diverging,
  legend,
  luminance,
  palettes,
  type Rgb,
  sequential,
} from "../src/core/color.js";

const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];

describe("colour scales", () => {
  it("put zero of signed data in the middle, on the background", () => {
    for (const palette of [palettes.light, palettes.dark]) {
      const scale = diverging(palette, 2);
      expect([scale.low, scale.high]).toEqual([-2, 2]);
      expect(luminance(scale.rgb(0))).toBeCloseTo(luminance(hex(palette.background)), 1);
      expect(scale.rgb(-2)).toEqual(palette.diverging[0]);
      expect(scale.rgb(2)).toEqual(palette.diverging.at(-1));
    }
  });

  it("mark what has no colour of its own", () => {
    const scale = sequential(palettes.light, 0, 1);
    const marks = [Number.NaN, Infinity, -Infinity, 1.2, -0.1, 0.5, 1].map((x) => scale.mark(x));
    expect(marks).toEqual(["nan", "+inf", "-inf", "over", "under", "", ""]);
    expect(scale.rgb(Number.NaN)).toEqual(palettes.light.missing);
  });

  it("fill pixels with the colour that one value has", () => {
    for (const scale of [sequential(palettes.dark, -1, 3), diverging(palettes.light, 2)]) {
      const values = [Number.NaN, -Infinity, -2, -0.31, 0, 0.7, 1.9, 9, Infinity];
      const pixels = new Uint32Array(values.length);
      scale.fill(values, pixels);
      const bytes = [...new Uint8Array(pixels.buffer)];
      expect(bytes).toEqual(values.flatMap((x) => [...scale.rgb(x), 255]));
    }
  });

  it("do not call the limits clipped because of rounding", () => {
    const top = Math.fround(0.1);
    expect(sequential(palettes.light, 0, 0.1).mark(top)).toBe("");
  });

  it("keep text readable on every colour (4.5:1)", () => {
    for (const palette of [palettes.light, palettes.dark]) {
      for (const scale of [diverging(palette, 1), sequential(palette, -1, 1)]) {
        for (let x = -1; x <= 1; x += 0.01) {
          const ink = scale.ink(x) === "#ffffff" ? WHITE : BLACK;
          expect(contrast(ink, scale.rgb(x))).toBeGreaterThanOrEqual(4.5);
        }
      }
    }
  });

  it("survive a constant", () => {
    const scale = sequential(palettes.light, 3, 3);
    expect(scale.high).toBeGreaterThan(scale.low);
    expect(diverging(palettes.light, 0).high).toBe(1);
  });
});

describe("the legend", () => {
  it("always has its numbers, with a true minus and a plus where signed", () => {
    const el = legend(diverging(palettes.light, 2.5), "logit difference", ["× 3 not a number"]);
    expect(el.textContent).toContain("−2.5");
    expect(el.textContent).toContain("+2.5");
    expect(el.textContent).toContain("× 3 not a number");
    expect(el.getAttribute("aria-label")).toBe(
      "logit difference from −2.50 to 2.50, symmetric about zero",
    );
  });
});

describe("the palettes", () => {
  it.each(["light", "dark"] as const)("%s has readable text and visible accents", (name) => {
    const palette = palettes[name];
    const back = hex(palette.background);
    expect(contrast(hex(palette.text), back)).toBeGreaterThanOrEqual(7);
    expect(contrast(hex(palette.muted), back)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(hex(palette.accent), back)).toBeGreaterThanOrEqual(3);
  });
});

function hex(code: string): Rgb {
  const at = (i: number) => Number.parseInt(code.slice(i, i + 2), 16);
  return [at(1), at(3), at(5)];
}
