// The large heads: the open one and what is compared with it, side by side where there is room.

import { h } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import type { CameAlong, Colouring } from "./data.js";
import type { Spot } from "./matrix.js";
import { Pane } from "./pane.js";
import { idOf, nameOf, type Shape } from "./shape.js";

export interface PanesActions {
  hover(spot: Spot, x: number, y: number, over: Pane): void;
  pin(spot: Spot, over: Pane): void;
  arrived(what: "tile" | "row"): void;
  /** The window of the open head is another one. */
  moved(): void;
  thumb(id: number): NdArray | undefined;
  hidden(id: number): boolean;
}

/** Pixels between panes, and the narrowest room that two of them share. */
const GAP = 24;
const TWO = 480;

export class Panes {
  readonly el = h("div", { class: "iw-att-pair" });
  /** The open head. */
  readonly open: Pane;
  /** The panes beside it, made when they are first needed. */
  private readonly others = new Map<"own" | "against", Pane>();
  private windowShown = "null";

  constructor(
    private readonly view: View,
    private shape: Shape,
    private readonly colouring: Colouring,
    private readonly actions: PanesActions,
  ) {
    this.open = this.make("own");
    this.el.append(this.open.el);
  }

  private make(of: "own" | "against"): Pane {
    const { actions, view } = this;
    const pane: Pane = new Pane(view, this.shape, of, this.colouring, {
      hover: (spot, x, y) => actions.hover(spot, x, y, pane),
      pin: (spot) => actions.pin(spot, pane),
      arrived: (what) => actions.arrived(what),
      moved: () => this.moved(pane),
      thumb: (id) => actions.thumb(id),
      reveal: (id) => view.reveal(nameOf(this.shape, id)),
    });
    return pane;
  }

  /** The head beside the open one, or null. */
  get otherId(): number | null {
    const { compare, other } = this.view.state;
    if (compare !== "head" || !other) return null;
    const id = idOf(this.shape, Number(other[0]), Number(other[1]));
    return id < 0 ? null : id;
  }

  get comparesPrompt(): boolean {
    return this.view.state.compare === "prompt" && this.shape.against !== null;
  }

  get beside(): Pane | null {
    const of = this.comparesPrompt ? "against" : this.otherId === null ? null : "own";
    if (of === null) return null;
    let pane = this.others.get(of);
    if (!pane) {
      pane = this.make(of);
      pane.reset(this.shape);
      this.others.set(of, pane);
      this.el.append(pane.el);
    }
    return pane;
  }

  get all(): Pane[] {
    return this.beside ? [this.open, this.beside] : [this.open];
  }

  /** The head that a pane shows. */
  idOf(pane: Pane, open: number): number {
    return pane === this.open ? open : (this.otherId ?? open);
  }

  /** A new result, with the tiles that came along. */
  reset(shape: Shape, tiles: readonly CameAlong[]): void {
    this.shape = shape;
    for (const pane of [this.open, ...this.others.values()]) pane.reset(shape, tiles);
  }

  /** Shows a head, and what it is compared with. */
  show(id: number): void {
    const { hidden } = this.actions;
    this.open.open(id, hidden(id), true);
    const { beside } = this;
    const second = this.comparesPrompt ? id : (this.otherId ?? id);
    for (const pane of this.others.values()) pane.open(second, hidden(second), pane === beside);
    this.restoreWindow();
  }

  private moved(pane: Pane): void {
    const { beside, open } = this;
    const { window } = pane.matrix;
    const alike =
      beside?.lengths.queries === open.lengths.queries && beside.lengths.keys === open.lengths.keys;
    if (beside && alike) (pane === open ? beside : open).matrix.setWindow(window, false);
    const w = open.matrix.window;
    const kept = open.matrix.zoomed ? [w.q0, w.q1, w.k0, w.k1] : null;
    this.windowShown = JSON.stringify(kept);
    this.view.update({ window: kept });
    this.actions.moved();
  }

  private restoreWindow(): void {
    const { window } = this.view.state;
    const text = JSON.stringify(window ?? null);
    if (text === this.windowShown) return;
    this.windowShown = text;
    const { queries, keys } = this.shape;
    const [q0, q1, k0, k1] = window ?? [0, queries, 0, keys];
    if (q1 <= queries && k1 <= keys) this.open.matrix.setWindow({ q0, q1, k0, k1 }, false);
  }

  /** Shows the panes that a drawing needs; of a picture none but its weights. */
  arrange(picture: boolean): void {
    const { beside } = this;
    this.open.matrix.el.classList.toggle("iw-att-away", picture);
    for (const pane of this.others.values()) pane.el.hidden = pane !== beside || picture;
    this.el.classList.toggle("iw-att-two", beside !== null && !picture);
  }

  resize(room: number, picture: boolean): void {
    const split = this.beside !== null && !picture && room >= TWO;
    this.el.classList.toggle("iw-att-side-by-side", split);
    for (const pane of this.all) pane.resize(split ? (room - GAP) / 2 : room);
  }

  /** Largest magnitude among the tiles in sight. */
  get top(): number {
    return Math.max(0, ...this.all.map((pane) => pane.data.top));
  }
}
