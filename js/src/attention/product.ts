// How one query and one key make one weight: q, k and their product, dimension by dimension.

import { hidpi } from "../core/canvas.js";
import { diverging, type Palette } from "../core/color.js";
import { button } from "../core/controls.js";
import { h, num, signed } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { missed } from "./data.js";
import { type Lengths, queryTokens, spoken } from "./shape.js";

interface Answer {
  q: NdArray;
  k: NdArray;
  terms: NdArray;
  dot: number;
  /** null: minus infinity, a hidden key. */
  score: number | null;
  weight: number;
}

export interface Pair {
  readonly layer: number;
  readonly head: number;
  readonly query: number;
  readonly key: number;
}

const STRIP = 18;
const BARS = 96;
const GAP = 6;
const NAME = 44;

export class Product {
  readonly el = h("section", { class: "iw-att-product", "aria-label": "Query times key" });
  private readonly canvas = hidpi();
  private readonly said = h("div", { class: "iw-att-sum" });
  private readonly under = h("div", { class: "iw-att-note" });
  private answer: Answer | null = null;
  private asked = "";
  private width = 300;

  constructor(
    private readonly view: View,
    close: () => void,
  ) {
    this.canvas.el.setAttribute("role", "img");
    this.canvas.el.addEventListener("pointermove", (e) => this.over(e), { signal: view.signal });
    this.canvas.el.addEventListener("pointerleave", () => this.words(null), {
      signal: view.signal,
    });
    this.el.append(
      h("div", { class: "iw-att-bar" }, this.said, button("Close", close, { icon: "×" })),
      this.canvas.el,
      this.under,
    );
    this.el.hidden = true;
  }

  resize(width: number): void {
    this.width = Math.max(200, Math.min(640, width));
    this.draw();
  }

  /** Shows a pair, asking for it when it is another one than before; null hides. */
  show(pair: Pair | null, lengths: Lengths): void {
    this.el.hidden = pair === null;
    if (!pair) {
      this.asked = "";
      return;
    }
    const { mode } = this.view;
    const where = { mode: mode === "difference" ? "current" : mode, of: "own", ...pair };
    const key = JSON.stringify([where, this.view.spec.revision]);
    if (key === this.asked) {
      this.draw();
      return;
    }
    this.asked = key;
    const names = `${spoken(queryTokens(lengths), pair.query)} · ${spoken(lengths.tokens, pair.key)}`;
    this.said.textContent = `q · k of ${names}`;
    this.view
      .request<Answer>("product", where)
      .then((answer) => {
        if (this.asked !== key) return;
        this.answer = answer;
        this.headline(names, answer);
        this.draw();
        this.words(null);
      })
      .catch((error) => {
        this.el.hidden = true;
        missed(this.view, error);
      });
  }

  private headline(names: string, { dot, score, weight }: Answer): void {
    const changed = score === null || Math.abs(score - dot) > 1e-4 * Math.max(1, Math.abs(dot));
    const parts = [`Σ q·k·scale = ${num(dot)}`];
    if (changed)
      parts.push(score === null ? "masked" : `with soft cap or position bias ${num(score)}`);
    parts.push(`weight after the softmax ${num(weight)}`);
    this.said.replaceChildren(h("strong", {}, names), h("span", {}, parts.join(" → ")));
    this.canvas.el.setAttribute("aria-label", `${names}: ${parts.join(", ")}`);
  }

  private get step(): number {
    return (this.width - NAME) / Math.max(1, this.answer?.terms.data.length ?? 1);
  }

  private draw(): void {
    const { answer } = this;
    if (!answer || this.el.hidden) return;
    const { palette } = this.view;
    const height = 2 * (STRIP + GAP) + BARS;
    const ctx = this.canvas.resize(this.width, height);
    if (!ctx) return;
    ctx.clearRect(0, 0, this.width, height);
    ctx.font = "11px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    this.strip(ctx, "q", answer.q.data, 0, palette);
    this.strip(ctx, "k", answer.k.data, STRIP + GAP, palette);
    this.bars(ctx, answer.terms.data, 2 * (STRIP + GAP), palette);
  }

  private strip(
    ctx: CanvasRenderingContext2D,
    name: string,
    values: ArrayLike<number>,
    top: number,
    palette: Palette,
  ): void {
    ctx.fillStyle = palette.text;
    ctx.fillText(name, 0, top + STRIP / 2);
    const colours = diverging(palette, most(values));
    for (let i = 0; i < values.length; i++) {
      ctx.fillStyle = colours.css(values[i]!);
      ctx.fillRect(NAME + i * this.step, top, this.step + 0.5, STRIP);
    }
    ctx.strokeStyle = palette.line;
    ctx.strokeRect(NAME + 0.5, top + 0.5, this.width - NAME - 1, STRIP - 1);
  }

  private bars(
    ctx: CanvasRenderingContext2D,
    terms: ArrayLike<number>,
    top: number,
    palette: Palette,
  ): void {
    const limit = most(terms);
    const zero = top + BARS / 2;
    const ends = palette.diverging;
    const css = (c: readonly number[]): string => `rgb(${c.join(",")})`;
    for (let i = 0; i < terms.length; i++) {
      const size = (Math.abs(terms[i]!) / limit) * (BARS / 2 - 2);
      ctx.fillStyle = css(terms[i]! < 0 ? ends[1]! : ends[5]!);
      const width = Math.max(1, this.step - (this.step > 3 ? 1 : 0));
      ctx.fillRect(NAME + i * this.step, terms[i]! < 0 ? zero : zero - size, width, size);
    }
    ctx.strokeStyle = palette.muted;
    ctx.beginPath();
    ctx.moveTo(NAME, zero + 0.5);
    ctx.lineTo(this.width, zero + 0.5);
    ctx.stroke();
    ctx.fillStyle = palette.muted;
    ctx.fillText(signed(limit, 2), 0, top + 8);
    ctx.fillText(signed(-limit, 2), 0, top + BARS - 8);
    ctx.fillStyle = palette.text;
    ctx.fillText("q·k", 0, zero);
  }

  private over(event: PointerEvent): void {
    const x = event.clientX - this.canvas.el.getBoundingClientRect().left - NAME;
    const i = Math.floor(x / this.step);
    this.words(i >= 0 && i < (this.answer?.terms.data.length ?? 0) ? i : null);
  }

  private words(at: number | null): void {
    const { answer } = this;
    if (!answer) return;
    const { q, k, terms } = answer;
    if (at !== null) {
      const [a, b, c] = [q, k, terms].map((x) => signed(x.data[at]!));
      this.under.textContent = `dimension ${at}: q ${a}, k ${b}, adds ${c}`;
      return;
    }
    const order = Array.from(terms.data, (_, i) => i).sort(
      (i, j) => Math.abs(terms.data[j]!) - Math.abs(terms.data[i]!),
    );
    const best = order.slice(0, 5).map((i) => `${i} (${signed(terms.data[i]!, 2)})`);
    this.under.textContent = `Dimensions that add most: ${best.join(", ")}`;
  }
}

function most(values: ArrayLike<number>): number {
  let top = 0;
  for (let i = 0; i < values.length; i++) top = Math.max(top, Math.abs(values[i]!));
  return top || 1;
}
