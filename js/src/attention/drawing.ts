// One head as lines between two columns of tokens, queries at the left and keys at the right.

import { hidpi } from "../core/canvas.js";
import { h } from "../core/dom.js";
import { curve, type Line, stroke } from "./lines.js";
import type { Spot } from "./matrix.js";
import { type Lengths, queryTokens, tokenNames } from "./shape.js";
import { TILE } from "./window.js";

export interface LinesActions {
  hover(spot: Spot, x: number, y: number): void;
  pin(spot: Spot): void;
}

const PITCH = 22;

export const NO_LINES = `Lines are drawn for up to ${TILE} tokens; this prompt is longer. Use the matrix.`;

export class Lines {
  readonly el = h("div", { class: "iw-att-lines" });
  private readonly canvas = hidpi();
  private readonly left = h("div", { class: "iw-att-side", role: "list", "aria-label": "Queries" });
  private readonly right = h("div", { class: "iw-att-side", role: "list", "aria-label": "Keys" });
  private width = 160;

  constructor(actions: LinesActions, signal: AbortSignal) {
    this.el.append(this.left, h("div", { class: "iw-att-between" }, this.canvas.el), this.right);
    for (const [side, name] of [
      [this.left, "row"],
      [this.right, "column"],
    ] as const) {
      const spot = (event: Event): Spot | null => {
        const el = (event.target as Element).closest<HTMLElement>("[data-i]");
        return el ? { row: null, column: null, [name]: Number(el.dataset.i) } : null;
      };
      side.addEventListener(
        "pointerover",
        (e) => {
          const at = spot(e);
          if (at) actions.hover(at, e.clientX, e.clientY);
        },
        { signal },
      );
      side.addEventListener(
        "pointerleave",
        () => actions.hover({ row: null, column: null }, 0, 0),
        { signal },
      );
      side.addEventListener(
        "click",
        (e) => {
          const at = spot(e);
          if (at) actions.pin(at);
        },
        { signal },
      );
    }
  }

  setShape(shape: Lengths): void {
    const make = (tokens: readonly string[]): HTMLElement[] =>
      tokenNames(tokens).map(({ text, twice }, i) => {
        const el = h("div", { role: "listitem" }, h("bdi", {}, text), twice && h("sub", {}, i));
        el.dataset.i = String(i);
        return el;
      });
    const few = Math.max(shape.queries, shape.keys) <= TILE;
    this.left.replaceChildren(...(few ? make(queryTokens(shape)) : []));
    this.right.replaceChildren(...(few ? make(shape.tokens) : []));
  }

  resize(width: number): void {
    this.width = Math.max(72, Math.min(320, width - 220));
  }

  draw(
    lines: readonly Line[],
    top: number,
    colour: (value: number) => string,
    rows: number,
    spot: Spot,
    pinned: Spot,
  ): void {
    for (const [side, now, pin] of [
      [this.left, spot.row, pinned.row],
      [this.right, spot.column, pinned.column],
    ] as const)
      [...side.children].forEach((el, i) => {
        el.classList.toggle("iw-att-on", i === now);
        el.classList.toggle("iw-att-pin", i === pin);
      });
    const ctx = this.canvas.resize(this.width, Math.max(1, rows) * PITCH);
    if (!ctx) return;
    ctx.clearRect(0, 0, this.width, rows * PITCH);
    for (const line of lines) {
      const { y0, y1, c0, c1 } = curve(line.query, line.key, PITCH, this.width);
      const { opacity, width } = stroke(line.value, top);
      ctx.globalAlpha = opacity;
      ctx.lineWidth = width;
      ctx.strokeStyle = colour(line.value);
      ctx.setLineDash(line.value < 0 ? [5, 3] : []);
      ctx.beginPath();
      ctx.moveTo(0, y0);
      ctx.bezierCurveTo(c0, y0, c1, y1, this.width, y1);
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
  }
}
