// Attention: all heads as thumbnails, one or two of them large, the prompt below.
// Layout, painting and data are in ../attention/; this file connects them with state and selection.

import { addControls, KEYS } from "../attention/bar.js";
import { Colouring } from "../attention/data.js";
import { HeadGrid } from "../attention/grid.js";
import { headline } from "../attention/headline.js";
import { largestSide } from "../attention/heads.js";
import { maskColour, scaleLegend } from "../attention/legend.js";
import type { Spot } from "../attention/matrix.js";
import type { Pane } from "../attention/pane.js";
import { Panes } from "../attention/panes.js";
import { Picture } from "../attention/picture.js";
import { Product } from "../attention/product.js";
import { PromptText } from "../attention/prompt.js";
import { Readout } from "../attention/readout.js";
import { ablated, headOf, idOf, nameOf, pooledText, type Shape } from "../attention/shape.js";
import { Thumbs } from "../attention/thumbs.js";
import { button } from "../core/controls.js";
import { h, visible } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";

const NOWHERE: Spot = { row: null, column: null };

export default defineView("attention", (view) => new AttentionView(view).start(), {
  keys: KEYS,
  modes: true,
});

class AttentionView {
  private shape: Shape;
  private readonly colouring: Colouring;
  private readonly thumbs: Thumbs;
  private readonly tip: Tooltip;
  private readonly grid: HeadGrid;
  private readonly panes: Panes;
  private readonly product: Product;
  private readonly picture: Picture;
  private readonly prompt: PromptText;
  private readonly ablate: HTMLButtonElement;
  private readonly zoomBar: HTMLElement;
  private readonly poolNote = h("span", { class: "iw-att-note" });
  private readonly source = h("span");
  private readonly readout: Readout;
  private readonly legend = h("div", { class: "iw-att-legend" });
  private hovered: Spot = NOWHERE;
  private token: number | null = null;
  private pointer = { x: 0, y: 0 };
  private width = 0;
  private revision = -1;
  private scoresAsked = "";
  private placeShown = "";
  private scaleName = "";
  private contrastName = "";

  constructor(private readonly view: View) {
    this.shape = view.spec as unknown as Shape;
    this.tip = new Tooltip(view.el, view.signal);
    this.colouring = new Colouring(view.palette);
    this.thumbs = new Thumbs(view, this.shape, () => this.update());
    this.grid = new HeadGrid(
      this.shape,
      {
        open: (id) => this.open(id),
        compare: (id) => this.compareWith(id),
        ablate: (id) => this.toggle(id),
        hover: (id) => view.hover(id === null ? null : { ...headOf(this.shape, id) }),
        pixels: (id) => this.thumbPixels(id),
        inSight: (ids) => this.thumbs.want(ids, this.id),
      },
      this.tip,
      view.signal,
    );
    this.panes = new Panes(view, this.shape, this.colouring, {
      hover: (spot, x, y, over) => this.hover(spot, null, x, y, over),
      pin: (spot, over) => this.pinCell(spot, over === this.pane),
      arrived: (what) => this.arrived(what),
      moved: () => this.showPool(),
      thumb: (id) => this.thumbs.get(id),
      hidden: (id) => this.hidden(id),
    });
    this.readout = new Readout(this.panes, this.tip, (id) => this.hidden(id));
    this.product = new Product(view, () => view.update({ pair: null }));
    this.picture = new Picture(
      {
        hover: (token, x, y) => this.hover(NOWHERE, token, x, y),
        pin: (token) => this.pin(token),
        row: (token) => {
          const shown = this.drawsPicture && !this.hidden(this.id);
          return shown ? this.pane.data.row("query", token) : undefined;
        },
      },
      this.colouring,
      view.signal,
    );
    this.prompt = new PromptText(view, this.shape, this.colouring, {
      hover: (token, x, y) => {
        if (this.cross) this.hover({ row: null, column: token }, null, x, y);
        else this.hover(NOWHERE, token, x, y);
      },
      pin: (token) => this.pin(token),
    });
    this.ablate = button("Ablate", () => this.toggle(this.id), { class: "iw-att-ablate" });
    this.zoomBar = h(
      "span",
      { class: "iw-att-zoom", role: "group", "aria-label": "Zoom" },
      button("Zoom in", () => this.pane.matrix.zoomBy(2), { icon: "+" }),
      button("Zoom out", () => this.pane.matrix.zoomBy(0.5), { icon: "−" }),
      button("Show all", () => this.pane.matrix.reset(), { icon: "□" }),
    );
  }

  start(): void {
    const { view } = this;
    addControls(view, this.shape, (what) => this.compare(what));
    this.pane.bar.append(this.zoomBar, this.ablate);
    view.body.append(
      h(
        "div",
        { class: "iw-att-panes" },
        this.grid.el,
        h(
          "div",
          { class: "iw-att-one" },
          this.panes.el,
          this.picture.el,
          this.readout.el,
          this.product.el,
        ),
      ),
      this.prompt.head,
      this.prompt.el,
    );
    view.foot.append(this.legend, this.poolNote, this.source);
    view.onSpec(() => this.update());
    view.onState(() => this.update());
    view.onVeil(() => this.update());
    view.onTheme(() => this.update());
    view.onSelection((value, changed) => {
      const id = idOf(this.shape, value.layer ?? -1, value.head ?? -1);
      if ((changed.has("layer") || changed.has("head")) && id >= 0 && id !== this.id)
        view.update({ layer: value.layer, head: value.head });
      if (changed.has("token") && value.token !== null) this.prompt.reveal(value.token);
      this.update();
    });
    view.onHover((value) => {
      const token = value?.token ?? null;
      this.hovered = token === null ? NOWHERE : { row: token, column: token };
      this.token = token;
      this.highlight();
      const id = idOf(this.shape, value?.layer ?? -1, value?.head ?? -1);
      this.grid.point(id >= 0 ? id : null);
    });
    view.onResize((width) => this.resize(width));
    this.update();
  }

  private get id(): number {
    const { layer, head } = this.view.state;
    return Math.max(0, idOf(this.shape, Number(layer), Number(head)));
  }

  private get pane(): Pane {
    return this.panes.open;
  }

  private hidden(id: number): boolean {
    return this.view.veiled(nameOf(this.shape, id));
  }

  /** Whether queries and keys are different texts; the strip then shows the keys. */
  private get cross(): boolean {
    return this.shape.query_tokens !== null;
  }

  /** What a head is called, by the kind of attention. */
  private get head(): string {
    return this.cross ? "Cross-attention head" : "Head";
  }

  private get pinned(): number | null {
    const { token } = this.view.selection.get();
    return token !== null && token < Math.max(this.shape.queries, this.shape.keys) ? token : null;
  }

  private get drawsPicture(): boolean {
    return this.view.state.drawing === "picture" && this.shape.patches !== null;
  }

  // Doing.

  private open(id: number): void {
    if (this.hidden(id)) {
      this.view.reveal(nameOf(this.shape, id));
      return;
    }
    const ref = headOf(this.shape, id);
    this.view.update(ref);
    this.view.selection.set(ref);
    this.view.say(`Head ${nameOf(this.shape, id)} open`);
  }

  private compareWith(id: number): void {
    const { layer, head } = headOf(this.shape, id);
    const same = id === this.panes.otherId;
    this.view.update(same ? { compare: "none" } : { compare: "head", other: [layer, head] });
    this.view.say(same ? "Comparison closed" : `Head ${nameOf(this.shape, id)} beside`);
  }

  private compare(what: string): void {
    const { other } = this.view.state;
    const count = this.shape.layers.length * this.shape.heads;
    const next = headOf(this.shape, (this.id + 1) % count);
    const chosen = what === "head" && !other ? [next.layer, next.head] : other;
    this.view.update({ compare: what, other: chosen });
  }

  private toggle(id: number): void {
    const { view } = this;
    if (!view.spec.can_ablate || !view.spec.live) {
      view.note("Ablating needs the model: this view has no session for it.", "info");
      return;
    }
    const { layer, head } = headOf(this.shape, id);
    const name = nameOf(this.shape, id);
    const gone = ablated(this.shape, view.spec.interventions).has(id);
    view.guard(() =>
      view.intervene(
        { kind: "ablate", site: this.shape.site, layer, head, method: "zero" },
        gone ? `${this.head} ${name} restored` : `${this.head} ${name} ablated`,
      ),
    )();
  }

  private pin(token: number | null): void {
    if (token !== null) this.view.selection.toggle({ token });
  }

  /** A click on a cell pins its query and shows how the weight comes about. */
  private pinCell(spot: Spot, main: boolean): void {
    const { row, column } = spot;
    this.pin(row ?? column);
    if (!main || row === null || column === null || !this.shape.products) return;
    const { pair } = this.view.state;
    const same = pair && pair[0] === row && pair[1] === column;
    this.view.update({ pair: same ? null : [row, column] });
  }

  private hover(spot: Spot, token: number | null, x: number, y: number, over = this.pane): void {
    this.hovered = token === null ? spot : { row: token, column: token };
    this.token = token;
    this.pointer = { x, y };
    const own = over === this.pane || this.view.state.compare === "head";
    const subject = own ? (token ?? spot.row ?? spot.column) : null;
    this.view.hover(subject === null ? null : { token: subject, ...headOf(this.shape, this.id) });
    this.highlight(over);
  }

  // Showing.

  private update(): void {
    const { view } = this;
    const { revision } = view.spec;
    if (revision !== this.revision) this.reset(revision);
    const order = view.state.sort ?? "layer";
    const asked = `${revision}:${view.mode}`;
    const needs = order !== "layer" && order !== "given";
    if (asked !== this.scoresAsked && (this.shape.quick_scores || needs)) {
      this.scoresAsked = asked;
      this.thumbs.askScores().catch((error) => this.view.report(error));
    }
    const { id } = this;
    const { otherId } = this.panes;
    this.panes.show(id);
    this.thumbs.want(this.grid.inSight(), id);
    const gone = ablated(this.shape, view.spec.interventions);
    this.grid.show(this.shape, {
      order,
      scores: this.thumbs.scores,
      open: id,
      other: otherId,
      veiled: (n) => this.hidden(n),
      ablated: gone,
      changed: view.spec.changed,
    });
    const place = `${id}:${view.state.sort}`;
    if (place !== this.placeShown) this.grid.reveal(id);
    this.placeShown = place;
    this.arrange();
    this.headlines(gone);
    this.recolour();
    this.showProduct();
  }

  private reset(revision: number): void {
    const { view } = this;
    this.revision = revision;
    this.shape = view.spec as unknown as Shape;
    const { thumbs, scores, image, tiles = [] } = view.first;
    this.thumbs.reset(this.shape, thumbs as NdArray | undefined, scores);
    if (scores) this.scoresAsked = `${revision}:current`;
    this.panes.reset(this.shape, tiles);
    this.prompt.setShape(this.shape);
    this.source.textContent = view.spec.source;
    const { patches, tokens } = this.shape;
    if (patches) this.picture.setImage(image as NdArray | undefined, patches, tokens);
  }

  /** Shows the parts that this drawing and comparison need. */
  private arrange(): void {
    const { drawsPicture } = this;
    this.panes.arrange(drawsPicture);
    this.picture.el.hidden = !drawsPicture || this.hidden(this.id);
    this.prompt.hidden = drawsPicture;
    if (this.width) this.resize(this.width);
  }

  private arrived(what: "tile" | "row"): void {
    if (what === "tile") for (const pane of this.panes.all) pane.matrix.draw();
    const { contrast, contrastColours } = this.panes;
    const wider =
      this.topOf() > this.colouring.scale.high * 1.001 ||
      (contrast?.data.top ?? 0) > contrastColours.scale.high * 1.001 ||
      (contrast?.data.top && !this.contrastName);
    if (what === "tile" && wider) this.recolour();
    this.highlight();
  }

  /** Where the colour scale ends. */
  private topOf(): number {
    if (!this.pane.data.signed && this.view.state.weigh !== "value") return 1;
    return Math.max(this.thumbs.top, this.panes.top) || 1;
  }

  private recolour(): void {
    const { palette, state } = this.view;
    const change = this.pane.data.signed;
    const name = this.colouring.set(state.scale ?? "linear", palette, this.topOf(), change);
    this.scaleName = `${name}:${state.weigh}:${state.pool}:${this.view.mode}`;
    this.grid.paint();
    const what = state.weigh === "value" ? "attention × ‖v W_O‖" : "attention";
    const label = change ? `${what}, current − base` : what;
    this.legend.replaceChildren(
      scaleLegend(this.colouring.map, this.colouring.scale, label, this.maskNote()),
      this.contrastLegend(what) ?? "",
    );
    const longest = Math.max(this.shape.queries, this.shape.keys);
    this.zoomBar.hidden = this.pane.drawsLines || this.drawsPicture || longest < 24;
    const colours = {
      line: palette.background,
      mask: maskColour(palette),
      focus: palette.accent,
    };
    for (const pane of this.panes.all) {
      const name = pane === this.panes.contrast ? this.contrastName : "";
      pane.recolour(`${this.scaleName}:${name}`, colours);
    }
    this.showPool();
    this.highlight();
  }

  /** The scale of the difference, symmetric about zero, with what it is of. */
  private contrastLegend(what: string): HTMLElement | null {
    const { contrast, contrastColours: colours, otherId, comparesPrompt } = this.panes;
    if (!contrast || this.drawsPicture) return null;
    const { palette, state } = this.view;
    this.contrastName = colours.set(state.scale ?? "linear", palette, contrast.data.top || 1, true);
    const names = [this.id, otherId ?? this.id].map((id) => nameOf(this.shape, id));
    const of = comparesPrompt ? "this − the other prompt" : names.join(" − ");
    return scaleLegend(colours.map, colours.scale, `difference of ${what}, ${of}`, "");
  }

  private maskNote(): string {
    return this.shape.masks.some((m) => m.causal) && !this.drawsPicture ? "future tokens" : "";
  }

  private headlines(gone: ReadonlySet<number>): void {
    const { view, id, shape } = this;
    const name = nameOf(shape, id);
    const is = gone.has(id);
    const { beside, comparesPrompt, otherId } = this.panes;
    this.title(this.pane, id, is, comparesPrompt ? "this prompt" : "");
    if (beside && comparesPrompt) this.title(beside, id, is, "the other prompt");
    else if (beside && otherId !== null) this.title(beside, otherId, gone.has(otherId), "beside");
    const { contrast } = this.panes;
    if (contrast) {
      const than = comparesPrompt ? ["this prompt", "the other"] : [name, nameOf(shape, otherId!)];
      const title = h("span", {}, `Difference, ${than.join(" − ")}`);
      contrast.title.replaceChildren(title);
    }
    this.ablate.textContent = is ? `Restore head ${name}` : `Ablate head ${name}`;
    this.ablate.hidden = !view.spec.can_ablate || !view.spec.live;
    this.ablate.setAttribute("aria-pressed", String(is));
    this.ablate.title = is
      ? "Run the model with this head again"
      : `Set this head's output ${shape.site} to zero and run everything again`;
  }

  private title(pane: Pane, id: number, gone: boolean, which: string): void {
    const scores = pane.data.of === "own" && !this.hidden(id) ? this.thumbs.scores : {};
    pane.title.replaceChildren(...headline(this.shape, scores, id, gone, which));
  }

  private showPool(): void {
    const { shape } = this;
    const plain = this.pane.drawsLines || this.drawsPicture;
    const pool = plain ? 1 : this.pane.matrix.pool;
    const how = this.view.state.pool === "mean" ? "mean" : "max";
    this.poolNote.textContent = pooledText(shape, pool, how);
    this.poolNote.hidden = !this.poolNote.textContent;
  }

  private showProduct(): void {
    const { pair } = this.view.state;
    const shown = pair && this.shape.products && !this.hidden(this.id) && !this.drawsPicture;
    const { queries, keys } = this.shape;
    const inside = shown && pair[0] < queries && pair[1] < keys;
    const where = { ...headOf(this.shape, this.id), query: pair?.[0], key: pair?.[1] };
    this.product.show(inside ? where : null, this.shape);
  }

  private highlight(over: Pane = this.pane): void {
    const pin = this.pinned;
    const spot = this.hovered;
    const asPin: Spot = { row: pin, column: this.cross ? null : pin };
    const linked = this.view.state.compare === "head" || this.token !== null;
    for (const pane of this.panes.all)
      pane.mark(
        linked || pane === over ? spot : NOWHERE,
        pane.data.of === "against" ? NOWHERE : asPin,
      );
    if (this.drawsPicture) this.drawPicture(pin);
    this.colourPrompt(pin);
    this.readOut(spot, over);
  }

  private drawPicture(pin: number | null): void {
    const subject = pin ?? this.token ?? 0;
    const name = visible(this.shape.tokens[subject] ?? "");
    const extra = this.shape.patches?.extra ?? 0;
    this.picture.draw(subject, this.token, subject < extra ? name : `patch ${name}`);
  }

  private colourPrompt(pin: number | null): void {
    const { row, column } = this.hovered;
    const { axis } = this.prompt;
    const hidden = this.hidden(this.id);
    const token = this.token ?? (axis === "query" ? row : column) ?? pin;
    const values = token === null || hidden ? null : (this.pane.data.row(axis, token) ?? null);
    const name = [this.id, this.scaleName, this.revision, hidden].join();
    this.prompt.colour({ token, pin, values, name });
  }

  private readOut(spot: Spot, pane: Pane): void {
    if (this.token !== null || this.pane.drawsLines || this.drawsPicture) this.readout.clear();
    else this.readout.show(spot, pane, this.id, this.shape, this.pointer);
  }

  private thumbPixels(id: number): ImageData | null {
    const values = this.hidden(id) ? undefined : this.thumbs.get(id);
    if (!values) return null;
    const mask = this.shape.masks[Math.floor(id / this.shape.heads)]!;
    return this.colouring.pixels(values, mask, this.shape.thumb.pool, 0, 0);
  }

  private resize(width: number): void {
    this.width = width;
    const wide = width >= 640;
    this.view.body.classList.toggle("iw-att-wide", wide);
    const two = this.panes.beside !== null && !this.drawsPicture;
    const share = two ? 0.3 : this.shape.heads > 8 ? 0.48 : 0.42;
    const least = two ? 160 : 260;
    const left = wide ? Math.max(least, Math.min(width * share, this.gridWidth())) : width;
    this.view.body.style.setProperty("--iw-left", `${Math.round(left)}px`);
    const room = wide ? width - left - 24 : width;
    this.panes.resize(room, this.drawsPicture);
    this.picture.resize(room);
    this.product.resize(room);
    this.grid.resize(left);
    this.grid.reveal(this.id);
    this.highlight();
  }

  private gridWidth(): number {
    const { layers, heads } = this.shape;
    return 28 + heads * (largestSide(layers.length * heads) + 3) + 14;
  }
}
