// What the pointer is over: the line under the matrix and the tooltip, with both sides of a comparison.

import { h, num, signed } from "../core/dom.js";
import type { Tooltip } from "../core/tooltip.js";
import type { Spot } from "./matrix.js";
import type { Pane } from "./pane.js";
import type { Panes } from "./panes.js";
import { nameOf, queryTokens, type Shape, spoken } from "./shape.js";

export class Readout {
  readonly el = h("div", { class: "iw-att-readout" });
  private tipped = false;

  constructor(
    private readonly panes: Panes,
    private readonly tip: Tooltip,
    private readonly hidden: (id: number) => boolean,
  ) {}

  clear(): void {
    this.el.textContent = "";
    if (this.tipped) this.tip.leave();
    this.tipped = false;
  }

  show(spot: Spot, over: Pane, open: number, shape: Shape, at: { x: number; y: number }): void {
    const { row, column } = spot;
    if (row === null || column === null) {
      this.clear();
      return;
    }
    this.tipped = true;
    const { lengths, data } = over;
    this.el.textContent = over.said(row, column, true);
    const future = data.mask.causal && column > row;
    const title = this.veiled(over, open)
      ? "hidden"
      : future
        ? "a future token: masked"
        : written(over, data.value(row, column));
    this.tip.show(at.x, at.y, title, [
      ["query", spoken(queryTokens(lengths), row)],
      ["key", spoken(lengths.tokens, column)],
      ...(future ? [] : this.compared(row, column, open, shape)),
    ]);
  }

  private veiled(pane: Pane, open: number): boolean {
    const { contrast, otherId } = this.panes;
    if (pane !== contrast) return this.hidden(this.panes.idOf(pane, open));
    return this.hidden(open) || this.hidden(otherId ?? open);
  }

  /** Both weights and what the first has more. */
  private compared(row: number, column: number, open: number, shape: Shape): [string, string][] {
    const { open: first, beside, comparesPrompt, otherId } = this.panes;
    if (!beside || !this.panes.comparable) return [];
    const names = comparesPrompt
      ? ["this prompt", "the other prompt"]
      : [open, otherId ?? open].map((id) => `head ${nameOf(shape, id)}`);
    const values = [first, beside].map((pane) =>
      this.veiled(pane, open) ? null : pane.data.value(row, column),
    );
    const text = (value: number | null | undefined, pane: Pane): string =>
      value === null ? "hidden" : written(pane, value);
    const [a, b] = values;
    const both = typeof a === "number" && typeof b === "number";
    const known = values.includes(null) ? "hidden" : both ? signed(a - b) : "…";
    return [
      [names[0]!, text(a, first)],
      [names[1]!, text(b, beside)],
      ["difference", known],
    ];
  }
}

function written(pane: Pane, value: number | undefined): string {
  return value === undefined ? "…" : pane.data.signed ? signed(value) : num(value);
}
