// Elements without HTML strings: text reaches the page only as text.
//
//   h("div", { class: "iw-row", role: "row" }, "Layer ", h("b", {}, name))

export type Child = Node | string | number | null | undefined | false;
type Props = Record<string, unknown>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  assign(el, props);
  append(el, children);
  return el;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for SVG elements. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const el = document.createElementNS(SVG, tag) as SVGElementTagNameMap[K];
  assign(el, props);
  append(el, children);
  return el;
}

/** Sets attributes; `on…` functions become listeners, `class`, `style` (an object) and `data-…` work. */
export function assign(el: Element, props: Props): void {
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on") && typeof value === "function") {
      el.addEventListener(key.slice(2), value as EventListener);
    } else if (key === "style" && typeof value === "object") {
      for (const [name, v] of Object.entries(value as Record<string, string>)) {
        (el as HTMLElement).style.setProperty(name, v);
      }
    } else el.setAttribute(key, value === true ? "" : String(value));
  }
}

function append(el: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    el.append(child instanceof Node ? child : String(child));
  }
}

let ids = 0;
/** An id that no other element of the page has. */
export function uid(prefix = "iw"): string {
  return `${prefix}-${Date.now().toString(36)}${(ids++).toString(36)}`;
}

/** Joiners inside of an emoji or of a word are part of its shape and stay as they are. */
const JOINERS = new Set(["\u200c", "\u200d"]);
const JOINED = /(\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{L}|\p{M})$/u;

/** A token as readers can see it: spaces at the ends as ·, control characters as escapes. */
export function visible(token: string): string {
  if (token === "") return "∅";
  return token
    .replace(/\n/g, "↵")
    .replace(/\t/g, "⇥")
    .replace(
      /[\u0000-\u001f\u007f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
      (c, at: number, all: string) => {
        if (JOINERS.has(c) && JOINED.test(all.slice(0, at)) && at + 1 < all.length) return c;
        return `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
      },
    )
    .replace(/^ +| +$/g, (spaces) => "·".repeat(spaces.length));
}

/** A number for a reader: three significant digits, a true minus sign, words for NaN and ∞. */
export function num(x: number | null | undefined, digits = 3): string {
  if (x === null || x === undefined || Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "+∞" : "−∞";
  if (x === 0) return "0";
  const a = Math.abs(x);
  const text =
    a >= 1e5 || a < 1e-3
      ? x.toExponential(digits - 1).replace("e+", "e")
      : Number.isInteger(x)
        ? String(x)
        : x.toPrecision(digits);
  return text.replace("-", "−");
}

/** `1 edge`, `1,200 edges`, `2 forward passes`. */
export function plural(n: number, word: string): string {
  const ending = n === 1 ? "" : word.endsWith("s") ? "es" : "s";
  return `${n.toLocaleString("en")} ${word}${ending}`;
}

/** The same with an explicit plus, for differences and signed data. */
export function signed(x: number, digits = 3): string {
  return x > 0 ? `+${num(x, digits)}` : num(x, digits);
}
