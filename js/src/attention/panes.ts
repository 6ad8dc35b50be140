// The large heads: the open one and what is compared with it, side by side where there is room.

import { h } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { type CameAlong, Colouring, type Of } from "./data.js";
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

/** Pixels between panes, and the narrowest room that two and three of them share. */
const GAP = 24;
const TWO = 480;
const THREE = 780;

export class Panes {
  readonly el = h("div", { class: "iw-att-pair" });
  /** The open head. */
  readonly open: Pane;
  /** The panes beside it, made when they are first needed. */
  private readonly others = new Map<Of, Pane>();
  /** The colours of the difference: a scale of its own, symmetric about zero. */
  readonly contrastColours: Colouring;
  private windowShown = "null";

  constructor(
    private readonly view: View,
    private shape: Shape,
    private readonly colouring: Colouring,
    private readonly actions: PanesActions,
  ) {
    this.contrastColours = new Colouring(view.palette);
    this.open = this.make("own");
    this.el.append(this.open.el);
  }

  private make(of: Of): Pane {
    const { actions, view } = this;
    const colours = of === "contrast" ? this.contrastColours : this.colouring;
    const pane: Pane = new Pane(view, this.shape, of, colours, {
      hover: (spot, x, y) => actions.hover(spot, x, y, pane),
      pin: (spot) => actions.pin(spot, pane),
      arrived: (what) => actions.arrived(what),
      moved: () => this.moved(pane),
      thumb: (id) => actions.thumb(id),
      reveal: (id) => {
        view.reveal(nameOf(this.shape, id));
        if (of === "contrast" && this.otherId !== null)
          view.reveal(nameOf(this.shape, this.otherId));
      },
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
    return of === null ? null : this.pane(of);
  }

  /** Whether the compared have a difference: two heads, or two prompts of one length. */
  get comparable(): boolean {
    const { against, queries, keys } = this.shape;
    if (!this.comparesPrompt) return this.otherId !== null;
    return against?.queries === queries && against.keys === keys;
  }

  /** The difference, where it is shown. */
  get contrast(): Pane | null {
    return this.view.state.contrast && this.comparable ? this.pane("contrast") : null;
  }

  private pane(of: Of): Pane {
    let pane = this.others.get(of);
    if (!pane) {
      pane = this.make(of);
      pane.reset(this.shape);
      this.others.set(of, pane);
      this.el.append(
        ...["own", "against", "contrast"].flatMap((k) => this.others.get(k as Of)?.el ?? []),
      );
    }
    return pane;
  }

  get all(): Pane[] {
    return [this.open, this.beside, this.contrast].filter((pane) => pane !== null);
  }

  /** The head that a pane shows. */
  idOf(pane: Pane, open: number): number {
    return pane === this.beside ? (this.otherId ?? open) : open;
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
    const { beside, contrast } = this;
    const second = this.comparesPrompt ? id : (this.otherId ?? id);
    const { other } = this.view.state;
    for (const pane of this.others.values()) {
      if (pane.data.of !== "contrast") pane.open(second, hidden(second), pane === beside);
      else if (contrast)
        pane.open(id, hidden(id) || hidden(second), true, this.comparesPrompt ? null : other);
      else pane.open(id, false, false, null);
    }
    this.restoreWindow();
  }

  private moved(pane: Pane): void {
    const { open } = this;
    const { window } = pane.matrix;
    const { queries, keys } = pane.lengths;
    for (const other of this.all)
      if (other !== pane && other.lengths.queries === queries && other.lengths.keys === keys)
        other.matrix.setWindow(window, false);
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
    if (q1 > queries || k1 > keys) return;
    for (const pane of this.all)
      if (pane.lengths.queries === queries && pane.lengths.keys === keys)
        pane.matrix.setWindow({ q0, q1, k0, k1 }, false);
  }

  /** Shows the panes that a drawing needs; of a picture none but its weights. */
  arrange(picture: boolean): void {
    const shown = this.all;
    this.open.matrix.el.classList.toggle("iw-att-away", picture);
    for (const pane of this.others.values()) pane.el.hidden = !shown.includes(pane) || picture;
    this.el.classList.toggle("iw-att-two", shown.length > 1 && !picture);
  }

  resize(room: number, picture: boolean): void {
    const count = picture ? 1 : this.all.length;
    const across = room >= THREE ? count : room >= TWO ? Math.min(2, count) : 1;
    this.el.style.setProperty("--iw-across", String(across));
    for (const pane of this.all) pane.resize((room - GAP * (across - 1)) / across);
  }

  /** Largest magnitude among the tiles in sight, differences left out. */
  get top(): number {
    const weights = this.all.filter((pane) => pane !== this.contrast);
    return Math.max(0, ...weights.map((pane) => pane.data.top));
  }
}
