// One head large, as a matrix or as lines: the open head, and the one beside it when two are compared.

import { button } from "../core/controls.js";
import { h } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { type CameAlong, type Colouring, type Of, Patterns } from "./data.js";
import { Lines, NO_LINES } from "./drawing.js";
import { strongest } from "./lines.js";
import { Matrix, type Spot } from "./matrix.js";
import { describe, headOf, type Lengths, nameOf, type Shape } from "./shape.js";
import { TILE, type Window } from "./window.js";

export interface PaneActions {
  hover(spot: Spot, x: number, y: number): void;
  pin(spot: Spot): void;
  arrived(what: "tile" | "row"): void;
  moved(window: Window): void;
  thumb(id: number): NdArray | undefined;
  reveal(id: number): void;
}

export class Pane {
  readonly el = h("div", { class: "iw-att-pane" });
  readonly title = h("h3", { class: "iw-att-title" });
  readonly bar = h("div", { class: "iw-att-bar" }, this.title);
  readonly data: Patterns;
  readonly matrix: Matrix;
  private readonly lines: Lines;
  private readonly note = h("div", { class: "iw-att-note" });
  private readonly veil: HTMLElement;
  private id = 0;
  private veiled = false;
  private shown = false;

  constructor(
    private readonly view: View,
    private shape: Shape,
    of: Of,
    private readonly colouring: Colouring,
    private readonly actions: PaneActions,
  ) {
    const { hover, pin } = actions;
    this.data = new Patterns(
      view,
      this.lengthsOf(of),
      shape.layers,
      of,
      colouring,
      actions.arrived,
    );
    this.matrix = new Matrix(
      this.data.lengths,
      {
        fixedPool: () => this.fixedPool(),
        tile: (tile) => (this.veiled ? undefined : this.data.tile(tile)),
        want: (tiles) => this.data.wantTiles(this.shown && !this.veiled ? tiles : []),
        pixels: (values, pool, row0, column0) => this.data.pixels(values, pool, row0, column0),
        overview: () => this.overview(),
        said: (query, key, ask) => this.said(query, key, ask),
        hover,
        pin,
        moved: actions.moved,
      },
      view.signal,
    );
    this.lines = new Lines({ hover, pin }, view.signal);
    this.veil = h(
      "div",
      { class: "iw-att-hidden" },
      button("Reveal this head", () => actions.reveal(this.id)),
    );
    this.el.append(this.bar, this.veil, this.matrix.el, this.lines.el, this.note);
  }

  /** A new result, with the tiles that came along. */
  reset(shape: Shape, tiles: readonly CameAlong[] = []): void {
    this.shape = shape;
    const lengths = this.lengthsOf(this.data.of);
    this.data.reset(lengths, shape.layers);
    for (const tile of tiles) this.data.put(tile);
    this.matrix.setShape(lengths);
    this.lines.setShape(lengths);
  }

  private lengthsOf(of: Of): Lengths {
    return (of === "against" && this.shape.against) || this.shape;
  }

  get lengths(): Lengths {
    return this.data.lengths;
  }

  /** Opens a head; what is not shown asks for nothing. */
  open(
    id: number,
    veiled: boolean,
    shown: boolean,
    versus?: readonly [number, number] | null,
  ): void {
    this.id = id;
    this.veiled = veiled;
    this.shown = shown;
    const head = headOf(this.shape, id);
    this.data.setOpen(versus === undefined ? head : { ...head, versus });
    this.veil.hidden = !veiled;
    this.el.classList.toggle("iw-att-covered", veiled);
  }

  /** What is spoken of a cell. */
  said(query: number, key: number, ask: boolean): string {
    const { lengths, data } = this;
    if (this.veiled) return describe(lengths, query, key, undefined, false).replace("…", "hidden");
    return describe(lengths, query, key, data.value(query, key, ask), data.signed);
  }

  /** An exported page holds each head at one level. */
  private fixedPool(): number | null {
    if (this.view.spec.live || this.view.model.get("status")?.phase !== "static") return null;
    let pool = 1;
    const { queries, keys } = this.lengths;
    while (Math.max(queries, keys) / pool > 2 * TILE) pool *= 2;
    return pool;
  }

  private overview(): { values: NdArray; pool: number } | undefined {
    if (this.data.of !== "own" || this.veiled) return undefined;
    const values = this.actions.thumb(this.id);
    return values && { values, pool: this.shape.thumb.pool };
  }

  get drawsLines(): boolean {
    return this.view.state.drawing === "lines";
  }

  /** Colours or drawing changed; `name` names the colours. */
  recolour(name: string, colours: { line: string; mask: string; focus: string }): void {
    this.matrix.el.hidden = this.drawsLines;
    this.lines.el.hidden = !this.drawsLines;
    this.matrix.setColours(`${name}:${this.veiled}`, colours);
  }

  resize(room: number): void {
    this.matrix.resize(room);
    this.lines.resize(room);
  }

  mark(spot: Spot, pinned: Spot): void {
    if (this.drawsLines) this.drawLines(spot, pinned);
    else {
      this.note.textContent = "";
      this.matrix.mark(spot, pinned);
    }
  }

  private drawLines(spot: Spot, pinned: Spot): void {
    const { queries, keys } = this.lengths;
    const pattern = this.veiled || !this.shown ? undefined : this.data.pattern;
    const rows = Math.max(queries, keys);
    if (!pattern) {
      const long = rows > TILE;
      this.note.textContent = long ? NO_LINES : "";
      this.lines.draw([], 1, () => "", long ? 1 : rows, spot, pinned);
      return;
    }
    const focus = spot.row === null && spot.column === null ? pinned : spot;
    const both = focus.row !== null && focus.row === focus.column && !this.lengths.query_tokens;
    const only = both ? { query: focus.row, key: null } : { query: focus.row, key: focus.column };
    const { lines, dropped } = strongest(pattern, queries, keys, only);
    this.note.textContent = dropped ? `${dropped} weaker lines are not drawn` : "";
    const { diverging: ends, sequential } = this.view.palette;
    const css = (c: readonly number[] | undefined): string => `rgb(${(c ?? [0, 0, 0]).join(",")})`;
    const colour = (v: number): string =>
      this.data.signed ? css(v < 0 ? ends[1] : ends[5]) : css(sequential[3]);
    this.lines.draw(lines, this.colouring.scale.high, colour, rows, spot, pinned);
  }

  get name(): string {
    return nameOf(this.shape, this.id);
  }
}
