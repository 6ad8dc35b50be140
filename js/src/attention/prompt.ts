// The prompt below the heads: what a token attends to, or what attends to it, as coloured text.

import { segmented } from "../core/controls.js";
import { h } from "../core/dom.js";
import type { View } from "../core/view.js";
import { type StripActions, TokenStrip } from "../tokens/strip.js";
import type { Colouring } from "./data.js";
import { place } from "./paint.js";
import { queryTokens, type Shape, spoken } from "./shape.js";

export type Axis = "query" | "key";

/** The token whose weights are shown, and where they come from. */
export interface Subject {
  readonly token: number | null;
  readonly pin: number | null;
  readonly values: ArrayLike<number> | null;
  /** Changes when the same values have other colours. */
  readonly name: string;
}

export class PromptText {
  readonly head = h("div", { class: "iw-att-striphead" });
  private readonly strip: TokenStrip;
  private readonly note = h("span", { class: "iw-att-note" });
  private coloured = "";

  constructor(
    private readonly view: View,
    private shape: Shape,
    private readonly colouring: Colouring,
    actions: StripActions,
  ) {
    this.strip = new TokenStrip(actions, view.signal);
    this.head.append(this.side(), this.note, this.strip.pager);
  }

  get el(): HTMLElement {
    return this.strip.el;
  }

  /** The part of the keys in cross-attention; else what the reader chose. */
  get axis(): Axis {
    return this.cross || this.view.state.side !== "key" ? "query" : "key";
  }

  private get cross(): boolean {
    return this.shape.query_tokens !== null;
  }

  private side(): HTMLElement {
    const { view } = this;
    const chosen = (): Axis => (view.state.side === "key" ? "key" : "query");
    const control = segmented(
      "A hovered token is the",
      [
        ["query", "Where a token looks"],
        ["key", "Who looks at it"],
      ],
      chosen(),
      (v) => view.update({ side: v }),
    );
    view.onState(() => control.set(chosen()));
    control.el.hidden = this.cross;
    return control.el;
  }

  setShape(shape: Shape): void {
    this.shape = shape;
    this.strip.setTokens(shape.tokens);
  }

  set hidden(hidden: boolean) {
    this.head.hidden = hidden;
    this.el.hidden = hidden;
  }

  reveal(token: number): void {
    this.strip.reveal(token);
  }

  colour({ token, pin, values, name }: Subject): void {
    const { axis, cross, colouring } = this;
    const key = JSON.stringify([token, axis, pin, name, values === null, this.strip.first]);
    if (this.coloured === key) return;
    this.coloured = key;
    const share = (v: number): number => place(v, colouring.scale);
    this.strip.colour(values, colouring.map, share, cross ? null : token, cross ? null : pin);
    const tokens = axis === "query" ? queryTokens(this.shape) : this.shape.tokens;
    const said = token === null ? "" : spoken(tokens, token);
    this.note.textContent =
      token === null
        ? "Hover or focus a token; click to pin it."
        : axis === "query"
          ? `what ${said} attends to`
          : `what attends to ${said}`;
  }
}
