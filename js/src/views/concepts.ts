// Concepts: how large their effect is, in which inputs they are, and sliders that steer along them.
import { flagMark } from "../concepts/chart.js";
import { Effects } from "../concepts/effects.js";
import { Examples } from "../concepts/examples.js";
import { Inputs, type InputTable, MOST, tokensOf, topOf } from "../concepts/inputs.js";
import { Matrix } from "../concepts/matrix.js";
import { Concepts, type Show } from "../concepts/model.js";
import { FLAGS, type Sort } from "../concepts/rows.js";
import { Steering } from "../concepts/steer.js";
import { diverging, legend } from "../core/color.js";
import { segmented, select, stepper } from "../core/controls.js";
import { h, signed, visible } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";
import { TokenStrip } from "../tokens/strip.js";

const KEYS = [
  ["↑ ↓", "next concept; in the heatmap next input"],
  ["← →", "next layer; in the heatmap next concept"],
  ["Home, End", "first, last concept"],
  ["Enter", "the concept's examples; in the heatmap the input's tokens"],
] as const;

class ConceptsView {
  private readonly concepts: Concepts;
  private readonly inputs: Inputs;
  private readonly tip: Tooltip;
  private readonly effects: Effects;
  private readonly matrix: Matrix;
  private readonly examples: Examples;
  private readonly steering: Steering;
  private readonly strip: TokenStrip;
  private readonly tokens = h("div", { class: "iw-concept-tokens" });
  private readonly tokensOf = h("p", { class: "iw-concept-note" });
  private readonly waiting = h("p", { class: "iw-concept-note" }, "Reading the inputs …");
  private readonly cut = h("p", { class: "iw-concept-note" });
  private readonly legend = h("span", { class: "iw-legend" });
  private revision = -1;

  constructor(private readonly view: View) {
    this.tip = new Tooltip(view.el, view.signal);
    this.concepts = new Concepts(view, () => this.draw());
    this.inputs = new Inputs(view, () => this.draw());
    this.effects = new Effects(this.concepts, this.tip);
    const open = (input: number) => this.open(input);
    this.matrix = new Matrix(this.concepts, this.tip, open);
    this.examples = new Examples(this.concepts, this.tip, open);
    this.steering = new Steering(this.concepts);
    this.strip = new TokenStrip(
      {
        hover: (token, x, y) => this.hoverToken(token, x, y),
        pin: (token) => view.selection.toggle({ token }),
      },
      view.signal,
      true,
    );
    this.tokens.append(this.tokensOf, this.strip.pager, this.strip.el);
    this.controls();
    view.body.append(
      this.effects.el,
      this.waiting,
      this.matrix.el,
      this.examples.el,
      this.cut,
      this.tokens,
      this.steering.el,
    );
    view.foot.append(this.legend, this.facts());
    view.onResize((width) => this.resize(width));
    view.onState(() => {
      void this.concepts.loadBase();
      this.draw();
    });
    view.onSpec(() => {
      this.concepts.read();
      this.draw();
    });
    view.onTheme(() => this.draw());
    view.onVeil(() => this.draw());
    view.onSelection(({ node, layer }, changed) => this.follow(node, layer, changed));
    this.resize(view.body.clientWidth || 640);
    void this.concepts.loadBase();
  }

  private width = 0;

  private resize(width: number): void {
    if (Math.abs(width - this.width) < 1) return;
    this.width = width;
    for (const part of [this.effects, this.matrix, this.examples]) part.resize(width);
    this.draw();
  }

  private controls(): void {
    const { view, concepts } = this;
    const { spec } = view;
    const shows: [Show, string][] = [["effects", "Effects"]];
    if (spec.has_inputs) shows.push(["inputs", "Inputs"], ["examples", "Examples"]);
    if (spec.can_steer) shows.push(["steer", "Steer"]);
    const show = segmented<Show>("Show", shows, concepts.show, (key) => view.update({ show: key }));
    show.el.hidden = shows.length < 2;
    const layer = stepper(
      "Layer",
      concepts.layers.length,
      concepts.layer,
      (i) => concepts.goLayer(i),
      { labels: concepts.layers },
    );
    layer.el.hidden = concepts.layers.length < 2;
    const targets = select<string>(
      "Target",
      [["all", "all"], ...(spec.targets as string[]).map((t, i) => [String(i), t] as const)],
      String(view.state.target ?? "all"),
      (key) => view.update({ target: key === "all" ? null : Number(key) }),
    );
    const sort = select<Sort>(
      "Sort",
      [
        ["effect", "by effect"],
        ["p", "by p"],
        ["name", "by name"],
      ],
      view.state.sort ?? "effect",
      (key) => view.update({ sort: key }),
    );
    const filter = h("input", {
      type: "search",
      class: "iw-number iw-filter",
      placeholder: "Filter",
      "aria-label": "Filter concepts",
      value: view.state.filter ?? "",
    });
    filter.addEventListener("input", () => view.update({ filter: filter.value }));
    filter.hidden = concepts.names.length < 8;
    const follow = () => {
      show.set(concepts.show);
      layer.set(concepts.layer);
      sort.set(view.state.sort ?? "effect");
      targets.set(String(view.state.target ?? "all"));
      targets.el.hidden = spec.targets.length < 2 || concepts.show !== "effects";
      sort.el.hidden = concepts.names.length < 2;
      if (!filter.matches(":focus")) filter.value = view.state.filter ?? "";
    };
    view.onState(follow);
    follow();
    view.toolbar.append(show.el, layer.el, targets.el, sort.el, filter);
  }

  private draw(): void {
    const { view, concepts } = this;
    if (view.spec.revision !== this.revision) {
      this.revision = view.spec.revision;
      this.inputs.clear();
    }
    concepts.choose();
    const { show } = concepts;
    const wants = show === "inputs" || show === "examples";
    const table = wants ? this.inputs.at(concepts.layer) : undefined;
    this.effects.el.hidden = show !== "effects";
    this.matrix.el.hidden = show !== "inputs" || !table;
    this.examples.el.hidden = show !== "examples" || !table;
    this.steering.el.hidden = show !== "steer";
    this.waiting.hidden = !wants || Boolean(table);
    if (show === "effects") this.effects.draw();
    else if (show === "steer") this.steering.draw();
    else if (table && show === "inputs") this.matrix.draw(table);
    else if (table) this.examples.draw(table);
    const cut = show === "inputs" && table !== undefined && table.inputs.length > MOST;
    this.cut.textContent = cut
      ? `The ${MOST / 2} highest and ${MOST / 2} lowest of ${table.inputs.length.toLocaleString("en")} inputs.`
      : "";
    this.cut.hidden = !cut;
    this.drawTokens(table);
    this.drawLegend(table);
  }

  // One input's tokens.

  private open(input: number): void {
    const { view } = this;
    view.update({ input: view.state.input === input ? null : input });
  }

  private values: ArrayLike<number> = [];

  private drawTokens(table: InputTable | undefined): void {
    const { view, concepts } = this;
    const { input } = view.state;
    const found =
      table && typeof input === "number" ? tokensOf(table, concepts.chosen, input) : undefined;
    this.tokens.hidden = !found;
    if (!found || !table) return;
    const name = concepts.names[concepts.chosen] ?? "";
    const hidden = concepts.veiled(concepts.chosen);
    const fitted = view.spec.position === "mean" ? "the mean over tokens" : "one position";
    this.tokensOf.replaceChildren(
      h("strong", {}, name),
      hidden
        ? " in the tokens of this input: hidden until revealed"
        : ` in the tokens of this input (the vector was fitted on ${fitted} of each example)`,
    );
    this.values = hidden ? [] : found.values;
    this.strip.setTokens(found.tokens);
    const scale = diverging(view.palette, topOf(table.presence));
    const share = (v: number) =>
      Math.min(1, Math.max(0, (v - scale.low) / (scale.high - scale.low)));
    this.strip.colour(hidden ? null : found.values, scale, share, null, null);
  }

  private hoverToken(token: number | null, x: number, y: number): void {
    const value = token === null ? undefined : this.values[token];
    if (token === null || value === undefined) {
      this.tip.leave();
      return;
    }
    const name = this.concepts.names[this.concepts.chosen] ?? "";
    this.tip.show(x, y, `${name} ${signed(value)}`, [["token", String(token)]]);
  }

  // What other views say.

  private follow(node: string | null, layer: number | null, changed: Set<string>): void {
    const { view, concepts } = this;
    const patch: Record<string, unknown> = {};
    const concept = node === null ? -1 : concepts.names.indexOf(node);
    if (changed.has("node") && concept >= 0 && concept !== concepts.chosen) patch.concept = concept;
    const at = concepts.layers.findIndex((name) => Number(/\d+$/.exec(name)?.[0]) === layer);
    if (changed.has("layer") && layer !== null && at >= 0 && at !== concepts.layer)
      patch.layer = at;
    if (Object.keys(patch).length) view.update(patch);
  }

  private drawLegend(table: InputTable | undefined): void {
    const { show } = this.concepts;
    if (show === "effects") {
      const flags = [3, 2, 1].map((flag) =>
        h("span", { class: "iw-key" }, flagMark(flag), FLAGS[flag]?.name ?? ""),
      );
      this.legend.replaceChildren(...flags, h("span", {}, "whisker: 95 % interval"));
    } else if (table) {
      const marks = ["● example with", "○ example without", "+1, −1: their means"];
      const scale = diverging(this.view.palette, topOf(table.presence));
      const what = this.view.mode === "difference" ? "presence, current − base" : "presence";
      if (show === "inputs" || !this.tokens.hidden)
        this.legend.replaceChildren(legend(scale, what, marks));
      else this.legend.replaceChildren(h("span", {}, `${what}; bar: mean; ${marks[2]}`));
    } else this.legend.replaceChildren();
    this.legend.hidden = this.legend.childElementCount === 0;
  }

  private facts(): HTMLElement {
    const { spec } = this.view;
    const parts = [spec.quantity];
    if (spec.target && !spec.quantity.includes(spec.target))
      parts.push(`target ${visible(String(spec.target))}`);
    if (spec.site) parts.push(`at ${spec.site}`);
    if (spec.probe?.name) parts.push(`probe set ${spec.probe.name}`);
    if (spec.correction) parts.push(`p corrected: ${spec.correction}, α ${spec.alpha}`);
    return h("span", {}, parts.join(" · "));
  }
}

export default defineView("concepts", (view) => void new ConceptsView(view), {
  keys: KEYS,
  modes: true,
});
