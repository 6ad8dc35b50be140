/// <reference types="node" />
// Contrast of every pair of colours that the style sheets use (WCAG 2.2: 1.4.3 and 1.4.11).
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { contrast, paletteOf, palettes, type Rgb } from "../src/core/color.js";

const SRC = join(dirname(fileURLToPath(import.meta.url)), "..", "src");
const SHEETS = ["core", "views"].flatMap((folder) =>
  readdirSync(join(SRC, folder))
    .filter((name) => name.endsWith(".css"))
    .map((name) => [name, readFileSync(join(SRC, folder, name), "utf8")] as const),
);

/** What text and shapes stand on. */
const SURFACES = ["bg", "panel"];
/** Text in these needs 4.5 : 1 on every surface. */
const TEXT = ["text", "muted", "accent", "error", "warn"];
/** Shapes, edges of controls and the focus need 3 : 1 on every surface. */
const SHAPES = [
  ...TEXT,
  "control",
  "focus",
  "bar",
  "hit",
  "class",
  "positive",
  "negative",
  "q",
  "k",
  "v",
];
/** Hairlines between parts and the grey of masked cells carry nothing alone. */
const QUIET = ["line", "mask"];
/** Text on a surface of its own. */
const OWN: Record<string, string[]> = {
  "warn-bg": ["warn", "text"],
  "error-bg": ["error", "text"],
};

/** The values of each variable; more than one where a view has classes of its own. */
type Colours = Record<string, string[]>;

function coloursOf(theme: "light" | "dark"): Colours {
  const dark = '[data-iw-theme="dark"]';
  const found = new Map<string, [string, string]>();
  for (const [, text] of SHEETS) {
    for (const [, selector = "", body = ""] of rules(text)) {
      if (theme === "light" && selector.includes(dark)) continue;
      for (const [, name = "", value = ""] of body.matchAll(/--iw-([\w-]+):\s*(#[0-9a-f]{6})\b/g)) {
        found.set(`${name} ${selector.replace(dark, "")}`, [name, value]);
      }
    }
  }
  const colours: Colours = {};
  for (const [name, value] of found.values()) (colours[name] ??= []).push(value);
  return colours;
}

/** Selector and body of the rules outside media queries. */
function rules(text: string): RegExpMatchArray[] {
  const plain = text
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/@\w[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}/g, "");
  return [...plain.matchAll(/([^{}]+)\{([^{}]*)\}/g)].map((match) => {
    match[1] = match[1]?.trim() ?? "";
    return match;
  });
}

function hex(code: string): Rgb {
  const at = (i: number) => Number.parseInt(code.slice(i, i + 2), 16);
  return [at(1), at(3), at(5)];
}

describe.each(["light", "dark"] as const)("the %s theme", (theme) => {
  const colours = coloursOf(theme);
  const ratio = (a: string, b: string) => {
    expect([a, b].filter((name) => !colours[name])).toEqual([]);
    const [ours, under] = [colours[a], colours[b]] as [string[], string[]];
    return Math.min(...ours.flatMap((x) => under.map((y) => contrast(hex(x), hex(y)))));
  };

  it("has readable text on every surface (4.5 : 1)", () => {
    const weak = TEXT.flatMap((text) =>
      SURFACES.map((surface) => [`${text} on ${surface}`, ratio(text, surface)] as const),
    );
    for (const [surface, texts] of Object.entries(OWN))
      for (const text of texts) weak.push([`${text} on ${surface}`, ratio(text, surface)]);
    expect(weak.filter(([, value]) => value < 4.5)).toEqual([]);
  });

  it("has visible shapes, controls and focus on every surface (3 : 1)", () => {
    const weak = SHAPES.flatMap((shape) =>
      SURFACES.map((surface) => [`${shape} on ${surface}`, ratio(shape, surface)] as const),
    );
    expect(weak.filter(([, value]) => value < 3)).toEqual([]);
  });

  it("draws canvases with the colours of the style sheet", () => {
    const { background, text, muted, line, accent } = palettes[theme];
    const sheet = (name: string) => colours[name]?.[0];
    expect({ background, text, muted, line, accent }).toEqual({
      background: sheet("bg"),
      text: sheet("text"),
      muted: sheet("muted"),
      line: sheet("line"),
      accent: sheet("accent"),
    });
    expect(paletteOf(theme, true).muted).toBe(text);
    expect(paletteOf(theme)).toBe(palettes[theme]);
  });

  it("has data colours whose ends stand out from the background (3 : 1)", () => {
    const { background, sequential, diverging } = palettes[theme];
    for (const end of [sequential.at(-1), diverging[0], diverging.at(-1)]) {
      expect(contrast(end as Rgb, hex(background))).toBeGreaterThanOrEqual(3);
    }
  });
});

describe("the style sheets", () => {
  const declarations = SHEETS.flatMap(([name, text]) =>
    rules(text).flatMap(([, selector = "", body = ""]) =>
      [...body.matchAll(/(?:^|[;{\s])([a-z-]+):([^;]*)/g)].flatMap(
        ([, property = "", value = ""]) =>
          [...value.matchAll(/var\(--iw-([\w-]+)/g)].map(([, colour = ""]) => ({
            where: `${name} ${selector} ${property}: ${colour}`,
            property,
            colour,
            selector,
          })),
      ),
    ),
  );
  const defined = coloursOf("light");
  const of = (...properties: string[]) =>
    declarations.filter((d) => properties.includes(d.property) && d.colour in defined);

  it("use for text only what was measured as text", () => {
    const known = [...TEXT, "bg"]; // the background's colour on the text's colour: the same pair
    expect(of("color").filter(({ colour }) => !known.includes(colour))).toEqual([]);
    expect(of("color").length).toBeGreaterThan(20);
  });

  it("use for shapes only what was measured as shapes, or what is quiet", () => {
    const known = [...SHAPES, ...SURFACES, ...QUIET, ...Object.keys(OWN)];
    const used = of(
      "fill",
      "stroke",
      "background",
      "border",
      "border-color",
      "outline",
      "box-shadow",
    );
    expect(used.filter(({ colour }) => !known.includes(colour))).toEqual([]);
  });

  it("name colours only where themes are defined, so that no pair escapes", () => {
    const loose = SHEETS.flatMap(([name, text]) =>
      rules(text)
        .filter(([, , body = ""]) => /(?<!--iw-[\w-]+:\s*)#[0-9a-f]{3,8}\b/.test(body))
        .map(([, selector]) => `${name} ${selector}`),
    );
    expect(loose).toEqual([]);
  });
});
