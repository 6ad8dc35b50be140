// The chosen mediator: its path, how far it is patched, its pairs.
import { slider } from "../core/controls.js";
import { h, num, plural } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import { isAbort, type NdArray } from "../core/wire.js";
import type { Mediation, Mediator } from "./model.js";
import { drawPoints, pairName, value } from "./pairs.js";
import { drawPath } from "./path.js";

interface Pairs {
  total: NdArray;
  effect: NdArray;
  texts: string[][];
}

interface AtStrength {
  strength: number;
  means: (number | null)[];
  effect: NdArray;
}

export class Card {
  readonly el = h("div", {
    class: "iw-mediation-card",
    role: "group",
    "aria-label": "The chosen mediator",
  });
  private readonly heading = h("h3", { class: "iw-mediation-heading" });
  private readonly path = h("div", {});
  private readonly facts = h("p", { class: "iw-mediation-facts" });
  private readonly scatter = h("div", {});
  private readonly strength;
  private readonly tip: Tooltip;
  private width = 360;
  private shown = "";
  private pairs: Pairs | undefined;
  private moved: AtStrength | undefined;
  private asking: AbortController | undefined;

  constructor(private readonly data: Mediation) {
    const { view } = data;
    this.tip = new Tooltip(view.el, view.signal);
    this.strength = slider("Strength", 0, 1, view.spec.strength ?? 1, (x) => this.tune(x), {
      step: 0.05,
    });
    this.strength.el.classList.add("iw-mediation-strength");
    this.el.append(this.heading, this.path, this.strength.el, this.facts, this.scatter);
  }

  resize(width: number): void {
    this.width = width;
  }

  draw(): void {
    const { data } = this;
    const { view } = data;
    const i = data.chosen;
    const key = `${i} ${view.mode} ${view.spec.revision}`;
    if (key !== this.shown) {
      this.shown = key;
      this.pairs = undefined;
      this.moved = undefined;
      this.strength.set(view.spec.strength ?? 1);
      void this.load(i, key);
    }
    const own = data.mediators[i] as Mediator;
    const at = this.moved ? `, ${num(100 * this.moved.strength)} % of the way` : "";
    this.heading.textContent = `${own.name} (${own.type}${at})`;
    this.path.replaceChildren(drawPath(data, i, (name) => this.effect(i, name)));
    this.strength.el.hidden = !view.spec.tunable || view.mode !== "current";
    this.facts.textContent = data.hidden(i) ? "Hidden until revealed." : this.said(i);
    this.drawPairs(i);
  }

  private effect(i: number, name: string) {
    const { moved, data } = this;
    if (!moved || name === "TE") return data.effect(i, name);
    const mean = moved.means[data.names.indexOf(name)] ?? Number.NaN;
    return { mean, low: Number.NaN, high: Number.NaN };
  }

  private said(i: number): string {
    const { data } = this;
    const { spec } = data.view;
    const parts = [];
    if (spec.interchange) {
      parts.push(`reverse indirect ${data.text(this.effect(i, "NIE_rev"))}`);
      parts.push(`interaction ${data.text(this.effect(i, "interaction"))}`);
    }
    const share = data.number("proportion", i);
    const plain = !this.moved && data.view.mode !== "difference";
    if (spec.two_sided && plain) {
      parts.push(
        Number.isFinite(share)
          ? `proportion mediated ${num(100 * share)} %`
          : "no proportion: the interval of the total effect holds 0",
      );
    }
    const right = data.number("accuracy", i);
    if (Number.isFinite(right) && plain) parts.push(`interchange accuracy ${num(right)}`);
    return parts.join("; ");
  }

  private drawPairs(i: number): void {
    const { pairs, data } = this;
    const { view } = data;
    if (!pairs || view.spec.pairs < 2 || data.hidden(i) || view.mode === "difference") {
      this.scatter.replaceChildren();
      return;
    }
    const effect = this.moved?.effect ?? pairs.effect;
    const points = Array.from({ length: view.spec.pairs }, (_, p) => ({
      x: Number(pairs.total.data[p]),
      y: Number(effect.data[p]),
      name: pairName(pairs.texts[p], p),
      rows: [
        ["total effect", value(Number(pairs.total.data[p]))],
        [data.label("effect"), value(Number(effect.data[p]))],
      ] as const,
    }));
    const plot = {
      points,
      xLabel: `total effect of each of ${plural(view.spec.pairs, "pair")}`,
      yLabel: data.label("effect"),
      width: this.width,
      height: 200,
      identity: view.spec.two_sided,
    };
    this.scatter.replaceChildren(drawPoints(plot, this.tip));
  }

  private async load(i: number, key: string): Promise<void> {
    const { view } = this.data;
    try {
      const found = await view.request<Pairs>("pairs", { mediator: i, mode: view.mode });
      if (this.shown !== key) return;
      this.pairs = found;
      this.drawPairs(i);
    } catch (error) {
      if (this.shown === key && view.spec.live) view.report(error, () => this.load(i, key));
    }
  }

  private async tune(strength: number): Promise<void> {
    const { view } = this.data;
    this.asking?.abort();
    this.asking = new AbortController();
    const i = this.data.chosen;
    try {
      const found = await view.request<AtStrength>(
        "strength",
        { mediator: i, strength, mode: view.mode },
        { signal: this.asking.signal },
      );
      if (i !== this.data.chosen) return;
      this.moved = found.strength === (view.spec.strength ?? 1) ? undefined : found;
      this.draw();
    } catch (error) {
      if (!isAbort(error)) view.report(error);
    }
  }
}
