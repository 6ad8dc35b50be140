// Attention: all heads as thumbnails, one of them large as a matrix or as lines, the prompt below.
// Layout, painting and data are in ../attention/; this file connects them with state and selection.

import { Patterns } from "../attention/data.js";
import { Lines } from "../attention/drawing.js";
import { HeadGrid } from "../attention/grid.js";
import { largestSide, ORDERS, SCORE_NAMES } from "../attention/heads.js";
import { scaleLegend } from "../attention/legend.js";
import { strongest } from "../attention/lines.js";
import { Matrix, type Spot } from "../attention/matrix.js";
import { place } from "../attention/paint.js";
import {
  ablated,
  describe,
  headOf,
  idOf,
  nameOf,
  poolText,
  type Shape,
} from "../attention/shape.js";
import type { Palette } from "../core/color.js";
import { button, segmented, select } from "../core/controls.js";
import { h, num, signed, visible } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { TokenStrip } from "../tokens/strip.js";

const KEYS = [
  ["← → ↑ ↓", "move between heads, cells or tokens"],
  ["Enter", "open the head; pin the token"],
  ["Space", "ablate the head, or restore it"],
  ["+ − 0", "zoom the matrix in, out, to all"],
  ["Ctrl + wheel", "zoom at the pointer; drag to pan"],
] as const;

const NOWHERE: Spot = { row: null, column: null };

export default defineView("attention", (view) => new AttentionView(view).start(), {
  keys: KEYS,
  modes: true,
});

/** What stands behind cells that nobody may attend to; the same mix is in attention.css. */
function maskColour(palette: Palette): string {
  const part = (hex: string, i: number): number =>
    Number.parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mix = [0, 1, 2].map((i) =>
    Math.round((part(palette.line, i) + part(palette.background, i)) / 2),
  );
  return `rgb(${mix.join(",")})`;
}

class AttentionView {
  private shape: Shape;
  private readonly data: Patterns;
  private readonly tip: Tooltip;
  private readonly grid: HeadGrid;
  private readonly matrix: Matrix;
  private readonly lines: Lines;
  private readonly strip: TokenStrip;
  private readonly headTitle = h("h4", { class: "iw-att-title" });
  private readonly ablate: HTMLButtonElement;
  private readonly zoomBar: HTMLElement;
  private readonly poolNote = h("span", { class: "iw-att-note" });
  private readonly readout = h("div", { class: "iw-att-readout" });
  private readonly legend = h("div", { class: "iw-att-legend" });
  private readonly linesNote = h("div", { class: "iw-att-note" });
  private readonly stripNote = h("span", { class: "iw-att-note" });
  private hovered: Spot = NOWHERE;
  private token: number | null = null;
  private pointer = { x: 0, y: 0 };
  private revision = -1;
  private scoresAsked = "";
  private placeShown = "";
  private scaleName = "";
  private coloured = "";
  private tipped = false;

  constructor(private readonly view: View) {
    this.shape = view.spec as unknown as Shape;
    this.tip = new Tooltip(view.el, view.signal);
    this.data = new Patterns(view, this.shape, (what) => this.arrived(what));
    this.grid = new HeadGrid(
      this.shape,
      {
        open: (id) => this.open(id),
        ablate: (id) => this.toggle(id),
        pixels: (id) => this.thumbPixels(id),
        inSight: (ids) => this.data.wantThumbs(ids),
      },
      this.tip,
      view.signal,
    );
    const hover = (spot: Spot, x: number, y: number) => this.hover(spot, null, x, y);
    const pin = (spot: Spot) => this.pin(spot.row ?? spot.column);
    this.matrix = new Matrix(
      this.shape,
      {
        tile: (tile) => this.data.tile(tile),
        want: (tiles) => this.data.wantTiles(tiles),
        value: (query, key, ask) => this.data.value(query, key, ask),
        pixels: (values, pool, row0, column0) => this.data.pixels(values, pool, row0, column0),
        overview: () => this.data.thumb(this.id),
        hover,
        pin,
        moved: () => this.showPool(),
        difference: () => this.data.difference,
      },
      view.signal,
    );
    this.lines = new Lines({ hover, pin }, view.signal);
    this.strip = new TokenStrip(
      {
        hover: (token, x, y) => this.hover(NOWHERE, token, x, y),
        pin: (token) => this.pin(token),
      },
      view.signal,
    );
    this.ablate = button("Ablate", () => this.toggle(this.id), { class: "iw-att-ablate" });
    this.zoomBar = h(
      "span",
      { class: "iw-att-zoom", role: "group", "aria-label": "Zoom" },
      button("Zoom in", () => this.matrix.zoomBy(2), { icon: "+" }),
      button("Zoom out", () => this.matrix.zoomBy(0.5), { icon: "−" }),
      button("Show all", () => this.matrix.reset(), { icon: "□" }),
    );
  }

  start(): void {
    const { view } = this;
    this.controls();
    view.body.append(
      h(
        "div",
        { class: "iw-att-panes" },
        this.grid.el,
        h(
          "div",
          { class: "iw-att-one" },
          h("div", { class: "iw-att-bar" }, this.headTitle, this.zoomBar, this.ablate),
          this.matrix.el,
          this.lines.el,
          this.linesNote,
          this.readout,
        ),
      ),
      h("div", { class: "iw-att-striphead" }, this.side().el, this.stripNote, this.strip.pager),
      this.strip.el,
    );
    view.foot.append(this.legend, this.poolNote, this.sourceNote());
    view.onSpec(() => this.update());
    view.onState(() => this.update());
    view.onTheme(() => this.update());
    view.onSelection((value, changed) => {
      const id = idOf(this.shape, value.layer ?? -1, value.head ?? -1);
      if ((changed.has("layer") || changed.has("head")) && id >= 0 && id !== this.id)
        view.update({ layer: value.layer, head: value.head });
      if (changed.has("token") && value.token !== null) this.strip.reveal(value.token);
      this.update();
    });
    view.onResize((width) => this.resize(width));
    this.update();
  }

  private get id(): number {
    const { layer, head } = this.view.state;
    return Math.max(0, idOf(this.shape, Number(layer), Number(head)));
  }

  private get pinned(): number | null {
    const { token } = this.view.selection.get();
    return token !== null && token < Math.max(this.shape.queries, this.shape.keys) ? token : null;
  }

  private get side_(): "query" | "key" {
    return this.view.state.side === "key" ? "key" : "query";
  }

  private get drawsLines(): boolean {
    return this.view.state.drawing === "lines";
  }

  // Controls.

  private controls(): void {
    const { view } = this;
    const orders = Object.entries(ORDERS).filter(
      ([key]) => key === "layer" || key === "effect" || key in view.spec.scores,
    );
    const sort = select("Sort", orders, view.state.sort ?? "layer", (v) => {
      view.update({ sort: v });
      view.say(`Heads sorted by ${ORDERS[v]}`);
    });
    const effect = sort.el.querySelector<HTMLOptionElement>('option[value="effect"]');
    const drawing = segmented(
      "Draw as",
      [
        ["matrix", "Matrix"],
        ["lines", "Lines"],
      ],
      view.state.drawing ?? "matrix",
      (v) => view.update({ drawing: v }),
    );
    const scale = select(
      "Scale",
      [
        ["linear", "linear"],
        ["sqrt", "square root"],
        ["log", "logarithmic"],
      ],
      view.state.scale ?? "linear",
      (v) => view.update({ scale: v }),
    );
    view.toolbar.append(sort.el, drawing.el, scale.el);
    view.onState(() => {
      sort.set(view.state.sort);
      drawing.set(view.state.drawing);
      scale.set(view.state.scale);
    });
    const allow = (): void => {
      if (effect) effect.disabled = !view.spec.changed;
    };
    view.onSpec(allow);
    allow();
  }

  private side() {
    const { view } = this;
    const control = segmented(
      "A hovered token is the",
      [
        ["query", "Where a token looks"],
        ["key", "Who looks at it"],
      ],
      this.side_,
      (v) => view.update({ side: v }),
    );
    view.onState(() => control.set(this.side_));
    return control;
  }

  private sourceNote(): HTMLElement {
    return h("span", {}, this.view.spec.source);
  }

  // Doing.

  private open(id: number): void {
    const ref = headOf(this.shape, id);
    this.view.update(ref);
    this.view.selection.set(ref);
    this.view.say(`Head ${nameOf(this.shape, id)} open`);
  }

  private toggle(id: number): void {
    const { view } = this;
    if (!view.spec.can_ablate) {
      view.note("Ablating needs the model: this view has no session.", "info");
      return;
    }
    const { layer, head } = headOf(this.shape, id);
    const name = nameOf(this.shape, id);
    const gone = ablated(this.shape, view.spec.interventions).has(id);
    view.guard(() =>
      view.intervene(
        { kind: "ablate", site: "z", layer, head, method: "zero" },
        gone ? `Head ${name} restored` : `Head ${name} ablated`,
      ),
    )();
  }

  private pin(token: number | null): void {
    if (token !== null) this.view.selection.toggle({ token });
  }

  private hover(spot: Spot, token: number | null, x: number, y: number): void {
    this.hovered = token === null ? spot : { row: token, column: token };
    this.token = token;
    this.pointer = { x, y };
    this.highlight();
  }

  // Showing.

  private update(): void {
    const { view, shape: before } = this;
    const { revision } = view.spec;
    const { layer, head } = headOf(before, this.id);
    if (revision !== this.revision) {
      this.revision = revision;
      this.shape = view.spec as unknown as Shape;
      this.data.reset(this.shape, view.first.thumbs as NdArray | undefined);
      this.data.setOpen(layer, head);
      this.matrix.setShape(this.shape);
      this.lines.setShape(this.shape);
      this.strip.setTokens(this.shape.tokens);
    }
    const order = view.state.sort ?? "layer";
    const asked = `${revision}:${view.mode}`;
    if (asked !== this.scoresAsked && (this.shape.quick_scores || order !== "layer")) {
      this.scoresAsked = asked;
      this.askScores();
    }
    this.data.setOpen(layer, head);
    this.data.wantThumbs(this.grid.inSight());
    const gone = ablated(this.shape, view.spec.interventions);
    this.grid.show(this.shape, {
      order,
      scores: this.data.scores,
      open: this.id,
      ablated: gone,
      changed: view.spec.changed,
    });
    const place = `${this.id}:${view.state.sort}`;
    if (place !== this.placeShown) this.grid.reveal(this.id);
    this.placeShown = place;
    this.headline(gone);
    this.recolour();
  }

  private askScores(): void {
    this.data.askScores().catch((error) => this.view.report(error));
  }

  private arrived(what: "tile" | "row" | "thumbs" | "scores"): void {
    if (what === "row") this.highlight();
    else if (what === "tile") {
      this.matrix.draw();
      this.highlight();
    } else this.update();
  }

  private recolour(): void {
    const { palette, state } = this.view;
    const name = this.data.setScale(state.scale ?? "linear", palette);
    this.scaleName = name;
    this.grid.paint();
    const label = this.data.difference ? "attention, current − base" : "attention";
    this.legend.replaceChildren(
      scaleLegend(this.data.map, this.data.scale, label, this.maskNote()),
    );
    this.matrix.el.hidden = this.drawsLines;
    this.lines.el.hidden = !this.drawsLines;
    this.zoomBar.hidden = this.drawsLines || Math.max(this.shape.queries, this.shape.keys) < 24;
    this.matrix.setColours(name, {
      line: palette.background,
      mask: maskColour(palette),
      focus: palette.accent,
    });
    this.showPool();
    this.highlight();
  }

  private maskNote(): string {
    return this.shape.masks.some((m) => m.causal) ? "future tokens" : "";
  }

  private headline(gone: ReadonlySet<number>): void {
    const { view, id } = this;
    const name = nameOf(this.shape, id);
    const is = gone.has(id);
    const scores = ["induction", "previous_token", "duplicate_token", "first_token"]
      .filter((key) => (this.data.scores[key]?.[id] ?? 0) >= 0.3)
      .map((key) => `${SCORE_NAMES[key]} ${num(this.data.scores[key]![id]!)}`);
    const entropy = this.data.scores.entropy?.[id];
    if (entropy !== undefined) scores.push(`entropy ${num(entropy)} nats`);
    this.headTitle.replaceChildren(
      h("span", {}, `Head ${name}`),
      ...(is ? [h("span", { class: "iw-att-tag" }, "ablated")] : []),
      h("span", { class: "iw-att-note" }, scores.join(" · ")),
    );
    this.ablate.textContent = is ? `Restore head ${name}` : `Ablate head ${name}`;
    this.ablate.hidden = !view.spec.can_ablate;
    this.ablate.setAttribute("aria-pressed", String(is));
    this.ablate.title = is
      ? "Run the model with this head again"
      : "Set this head's output z to zero and run everything again";
  }

  private showPool(): void {
    const pool = this.drawsLines ? 1 : this.matrix.pool;
    const thumb = this.shape.thumb.pool;
    const parts = [
      pool > 1 && `a cell of the matrix is ${poolText(this.shape, pool)}`,
      thumb > 1 && `of a thumbnail ${poolText(this.shape, thumb)}`,
    ].filter(Boolean);
    this.poolNote.textContent = parts.length ? `max-pooled: ${parts.join(", ")}` : "";
    this.poolNote.hidden = !parts.length;
  }

  private highlight(): void {
    const pin = this.pinned;
    const spot = this.hovered;
    const asPin: Spot = pin === null ? NOWHERE : { row: pin, column: pin };
    if (this.drawsLines) this.drawLines(spot, asPin);
    else this.matrix.mark(spot, asPin);
    this.colourStrip(pin);
    this.readOut(spot);
  }

  private drawLines(spot: Spot, pinned: Spot): void {
    const pattern = this.data.pattern;
    const { queries, keys } = this.shape;
    const focus = spot.row === null && spot.column === null ? pinned : spot;
    const only =
      this.token !== null
        ? { query: focus.row, key: null }
        : { query: focus.row, key: focus.column };
    if (!pattern) {
      this.linesNote.textContent =
        queries > 256 || keys > 256
          ? "Lines are drawn for up to 256 tokens; this prompt is longer. Use the matrix."
          : "";
      this.lines.draw([], 1, () => "", Math.max(queries, keys), spot, pinned);
      return;
    }
    const { lines, dropped } = strongest(pattern, queries, keys, only);
    this.linesNote.textContent = dropped ? `${dropped} weaker lines are not drawn` : "";
    const ends = this.view.palette.diverging;
    const css = (c: readonly number[] | undefined): string => `rgb(${(c ?? [0, 0, 0]).join(",")})`;
    const colour = (v: number): string =>
      this.data.difference ? css(v < 0 ? ends[1] : ends[5]) : css(this.view.palette.sequential[3]);
    this.lines.draw(lines, this.data.scale.high, colour, Math.max(queries, keys), spot, pinned);
  }

  private colourStrip(pin: number | null): void {
    const { row, column } = this.hovered;
    const side = this.side_;
    const hovered = this.token ?? (side === "query" ? row : column);
    const subject = hovered ?? pin;
    const values = subject === null ? null : (this.data.row(side, subject) ?? null);
    const share = (v: number): number => place(v, this.data.scale);
    const shown = [subject, side, pin, this.id, this.scaleName, this.revision, values === null];
    const page = this.strip.first;
    if (this.coloured === `${shown}:${page}`) return;
    this.coloured = `${shown}:${page}`;
    this.strip.colour(values, this.data.map, share, subject, pin);
    const token =
      subject === null ? "" : `“${visible(this.shape.tokens[subject] ?? "")}” (${subject})`;
    this.stripNote.textContent =
      subject === null
        ? "Hover or focus a token; click to pin it."
        : side === "query"
          ? `what ${token} attends to`
          : `what attends to ${token}`;
  }

  private readOut(spot: Spot): void {
    const { row, column } = spot;
    if (this.token !== null || row === null || column === null || this.drawsLines) {
      this.readout.textContent = "";
      if (this.tipped) this.tip.leave();
      this.tipped = false;
      return;
    }
    this.tipped = true;
    const { tokens } = this.shape;
    const value = this.data.value(row, column);
    this.readout.textContent = describe(tokens, row, column, value, this.data.difference);
    const text = value === undefined ? "…" : this.data.difference ? signed(value) : num(value);
    const masked = this.shape.masks[this.shape.layers.indexOf(Number(this.view.state.layer))];
    const future = masked?.causal && column > row;
    this.tip.show(this.pointer.x, this.pointer.y, future ? "a future token: masked" : text, [
      ["query", `${visible(tokens[row] ?? "")} (${row})`],
      ["key", `${visible(tokens[column] ?? "")} (${column})`],
    ]);
  }

  private thumbPixels(id: number): ImageData | null {
    const values = this.data.thumb(id);
    if (!values) return null;
    const { layer } = headOf(this.shape, id);
    return this.data.pixels(values, this.shape.thumb.pool, 0, 0, layer);
  }

  private resize(width: number): void {
    const wide = width >= 640;
    this.view.body.classList.toggle("iw-att-wide", wide);
    const share = this.shape.heads > 8 ? 0.48 : 0.42;
    const left = wide ? Math.max(260, Math.min(width * share, this.gridWidth())) : width;
    this.view.body.style.setProperty("--iw-left", `${Math.round(left)}px`);
    this.grid.resize(left);
    const room = wide ? width - left - 24 : width;
    this.matrix.resize(room);
    this.lines.resize(room);
    this.grid.reveal(this.id);
    this.highlight();
  }

  private gridWidth(): number {
    const { layers, heads } = this.shape;
    return 28 + heads * (largestSide(layers.length * heads) + 3) + 14;
  }
}
