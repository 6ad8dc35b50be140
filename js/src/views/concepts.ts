// Concepts as bars with intervals, over layers as lines, with a slider that steers the model.
import { axis, bar, flagMark, lines, nullText, spoken } from "../concepts/chart.js";
import {
  budgetNote,
  type ConceptTable,
  chooseRows,
  domainOf,
  FLAGS,
  pText,
  type Row,
  rowOf,
  type Sort,
  steady,
} from "../concepts/rows.js";
import { button, select, slider, stepper } from "../core/controls.js";
import { h, num, signed } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";

const KEYS = [
  ["↑ ↓", "next concept"],
  ["← →", "next layer"],
  ["Home, End", "first, last concept"],
  ["Enter", "to the steering slider"],
] as const;

class ConceptsView {
  private table: ConceptTable;
  private base: ConceptTable | undefined;
  private readonly tip: Tooltip;
  private width = 640;
  private sent = new Map<string, number>();
  private readonly list = h("div", { class: "iw-concept-list", role: "listbox", tabindex: -1 });
  private readonly header = h("div", {
    class: "iw-concept-row iw-concept-head",
    "aria-hidden": "true",
  });
  private readonly note = h("p", { class: "iw-concept-note" });
  private readonly detail = h("div", { class: "iw-concept-detail" });

  constructor(private readonly view: View) {
    this.table = this.read(view.first);
    this.tip = new Tooltip(view.el, view.signal);
    this.controls();
    view.body.append(this.header, this.list, this.note, this.detail);
    view.foot.append(this.legend(), ...this.facts());
    this.list.addEventListener("keydown", (event) => this.key(event), { signal: view.signal });
    view.onResize((width) => {
      if (Math.abs(width - this.width) < 1) return;
      this.width = width;
      this.draw();
    });
    view.onState(() => {
      void this.loadBase();
      this.draw();
    });
    view.onSpec(() => {
      this.table = this.read(view.first);
      void this.loadBase();
      this.draw();
    });
    this.width = view.body.clientWidth || 640;
    this.draw();
    void this.loadBase();
  }

  private read(tables: Record<string, unknown>): ConceptTable {
    const { spec } = this.view;
    const floats = (name: string) => (tables[name] as NdArray | undefined)?.data as Float32Array;
    return {
      concepts: spec.concepts,
      layers: spec.layers,
      effect: floats("effect"),
      low: floats("low"),
      high: floats("high"),
      score: floats("score"),
      scoreNull: floats("score_null"),
      p: floats("p"),
      pCorrected: floats("p_corrected"),
      flag: Uint8Array.from((tables.flag as NdArray).data),
    };
  }

  private async loadBase(): Promise<void> {
    if (!this.view.spec.changed || this.base) return;
    try {
      this.base = this.read(await this.view.request("tables", { mode: "base" }));
      this.draw();
    } catch (error) {
      this.view.report(error, () => void this.loadBase());
    }
  }

  private get layer(): number {
    return Math.min(this.table.layers.length - 1, Math.max(0, this.view.state.layer ?? 0));
  }

  private get shownTable(): ConceptTable {
    const { table, base } = this;
    if (!base || this.view.mode === "current") return table;
    if (this.view.mode === "base") return base;
    const minus = (a?: Float32Array, b?: Float32Array) =>
      a?.map((v, i) => v - (b?.[i] ?? Number.NaN));
    const { low: _low, high: _high, ...rest } = table;
    return { ...rest, effect: minus(table.effect, base.effect) as Float32Array };
  }

  private controls(): void {
    const { view } = this;
    const layer = stepper("Layer", this.table.layers.length, this.layer, (i) => this.goLayer(i), {
      labels: this.table.layers,
    });
    layer.el.hidden = this.table.layers.length < 2;
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
    filter.addEventListener("input", () => {
      view.update({ filter: filter.value });
    });
    view.onState(() => {
      layer.set(this.layer);
      sort.set(view.state.sort ?? "effect");
      if (document.activeElement !== filter) filter.value = view.state.filter ?? "";
    });
    view.toolbar.append(layer.el, sort.el, filter);
  }

  private goLayer(layer: number): void {
    const { layers } = this.table;
    this.view.update({ layer });
    const number = Number(/\d+$/.exec(layers[layer] ?? "")?.[0]);
    if (Number.isInteger(number)) this.view.selection.set({ layer: number });
    this.view.say(`Layer ${layers[layer]}`);
  }

  // The list.

  private chosen = -1;

  private draw(): void {
    const { view, list, layer } = this;
    const table = this.shownTable;
    const choice = chooseRows(table, layer, view.state.sort ?? "effect", view.state.filter ?? "");
    const wanted =
      typeof view.state.concept === "number" ? view.state.concept : choice.rows[0]?.concept;
    this.chosen = choice.rows.some((r) => r.concept === wanted)
      ? (wanted as number)
      : (choice.rows[0]?.concept ?? -1);
    const domain = domainOf(choice.rows);
    const narrow = this.width < 520;
    view.el.classList.toggle("iw-narrow", narrow);
    const name = Math.min(200, Math.max(72, this.width * (narrow ? 0.3 : 0.22)));
    const right = narrow ? 64 : 296;
    const room = Math.max(60, this.width - 20 - name - right - (narrow ? 16 : 32));
    view.el.style.setProperty("--iw-name", `${name}px`);
    view.el.style.setProperty("--iw-bars", `${room}px`);
    const hadFocus = list.contains(document.activeElement);
    const mode = view.mode === "difference" ? "change of " : "";
    list.setAttribute("aria-label", `${mode}${view.spec.quantity}, layer ${table.layers[layer]}`);
    this.header.replaceChildren(
      h("span", {}),
      h("span", {}, "concept"),
      axis(domain, room),
      h("span", { class: "iw-num" }, "effect"),
      ...(narrow
        ? []
        : [
            h("span", { class: "iw-num" }, "interval"),
            h("span", { class: "iw-num" }, view.spec.score_name),
            h("span", { class: "iw-num" }, "p"),
          ]),
    );
    list.replaceChildren(...choice.rows.map((row) => this.row(row, domain, room, narrow)));
    if (!choice.rows.length)
      list.append(h("p", { class: "iw-concept-note" }, "No concept matches the filter."));
    if (hadFocus) this.rowOf(this.chosen)?.focus({ preventScroll: true });
    this.note.textContent = budgetNote(choice);
    this.note.hidden = !this.note.textContent;
    this.drawDetail(choice.rows.slice(0, 12).map((r) => r.concept));
  }

  private row(
    row: Row,
    domain: readonly [number, number],
    room: number,
    narrow: boolean,
  ): HTMLElement {
    const { view, base, layer } = this;
    const before =
      base && view.mode === "current" ? rowOf(base, row.concept, layer).effect : Number.NaN;
    const text = steady(domain);
    const interval = Number.isFinite(row.low) ? `${text(row.low)} … ${text(row.high)}` : "";
    const cells: Node[] = [
      flagMark(row.flag),
      h("span", { class: "iw-concept-name", title: row.name }, row.name),
      bar(row, domain, room, before),
      h("span", { class: "iw-num" }, Number.isFinite(row.effect) ? text(row.effect, true) : "–"),
    ];
    if (!narrow) {
      const score = Number.isFinite(row.score) ? row.score.toFixed(2) : "–";
      const random = Number.isFinite(row.scoreNull)
        ? h("small", {}, ` / ${row.scoreNull.toFixed(2)}`)
        : null;
      cells.push(
        h("span", { class: "iw-num" }, interval),
        h("span", { class: "iw-num" }, score, random),
        h(
          "span",
          { class: "iw-num" },
          Number.isFinite(row.p) ? pText(row.p).replace(/^p (= )?/, "") : "–",
        ),
      );
    }
    const on = row.concept === this.chosen;
    const el = h(
      "div",
      {
        class: "iw-concept-row",
        role: "option",
        "aria-selected": String(on),
        tabindex: on ? 0 : -1,
      },
      ...cells,
    );
    // A spoken sentence is the row's name; the cells are for the eye.
    for (const cell of el.children) cell.setAttribute("aria-hidden", "true");
    el.prepend(h("span", { class: "iw-sr" }, spoken(row, view.spec.score_name)));
    el.dataset.concept = String(row.concept);
    el.addEventListener("click", () => this.choose(row.concept, true));
    el.addEventListener("pointermove", (event) =>
      this.tip.show(event.clientX, event.clientY, row.name, this.tipRows(row, before)),
    );
    el.addEventListener("pointerleave", () => this.tip.leave());
    return el;
  }

  private tipRows(row: Row, before: number): [string, string][] {
    const rows: [string, string][] = [["effect", signed(row.effect)]];
    if (Number.isFinite(before)) rows.push(["before", signed(before)]);
    if (Number.isFinite(row.low)) rows.push(["interval", `${num(row.low)} … ${num(row.high)}`]);
    if (Number.isFinite(row.score)) {
      rows.push([this.view.spec.score_name, row.score.toFixed(2) + nullText(row)]);
    }
    if (Number.isFinite(row.p)) rows.push(["corrected", pText(row.p)]);
    rows.push(["", FLAGS[row.flag]?.name ?? ""]);
    return rows;
  }

  private rowOf(concept: number): HTMLElement | null {
    return this.list.querySelector(`[data-concept="${concept}"]`);
  }

  private choose(concept: number, focus: boolean): void {
    this.view.update({ concept });
    const old = this.rowOf(this.chosen);
    old?.setAttribute("aria-selected", "false");
    old?.setAttribute("tabindex", "-1");
    this.chosen = concept;
    const el = this.rowOf(concept);
    el?.setAttribute("aria-selected", "true");
    el?.setAttribute("tabindex", "0");
    if (focus) el?.focus({ preventScroll: false });
  }

  private key(event: KeyboardEvent): void {
    const rows = [...this.list.querySelectorAll<HTMLElement>("[data-concept]")];
    const at = rows.findIndex((r) => r.dataset.concept === String(this.chosen));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) {
      const row = rows[Math.min(rows.length - 1, Math.max(0, to))];
      if (row) this.choose(Number(row.dataset.concept), true);
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const next = this.layer + (event.key === "ArrowRight" ? 1 : -1);
      if (next >= 0 && next < this.table.layers.length) this.goLayer(next);
    } else if (event.key === "Enter") {
      this.detail.querySelector<HTMLElement>("input")?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The chosen concept: over the layers, and steering.

  private drawDetail(shown: number[]): void {
    const { view, chosen, layer } = this;
    const table = this.shownTable;
    if (
      this.detail.contains(document.activeElement) &&
      this.detail.dataset.for === `${chosen}-${layer}`
    )
      return;
    this.detail.dataset.for = `${chosen}-${layer}`;
    this.detail.replaceChildren();
    this.detail.hidden = chosen < 0;
    if (chosen < 0) return;
    const name = table.concepts[chosen] as string;
    if (table.layers.length > 1) {
      this.detail.append(
        h(
          "figure",
          { class: "iw-concept-lines" },
          h("figcaption", {}, h("strong", {}, name), " over the layers, the others grey"),
          lines(table, shown, chosen, layer, this.width),
        ),
      );
    }
    if (view.spec.can_steer) this.detail.append(this.steering(chosen, layer, name));
  }

  private steering(concept: number, layer: number, name: string): HTMLElement {
    const { view } = this;
    const at = `${concept}-${layer}`;
    const unit = view.spec.has_gap ? "× the concept" : "× unit vector";
    const send = view.guard(async (strength: number) => {
      this.sent.set(at, strength);
      await view.request("steer", { concept, layer, strength });
      const where = `layer ${this.table.layers[layer]}`;
      view.say(
        strength
          ? `Steering ${strength} times along ${name} at ${where}`
          : `${name} is no longer steered`,
      );
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    view.signal.addEventListener("abort", () => clearTimeout(timer));
    const control = slider(
      "Steer",
      -5,
      5,
      this.sent.get(at) ?? 0,
      (strength) => {
        clearTimeout(timer);
        timer = setTimeout(() => send(strength), 250);
      },
      { step: 0.25 },
    );
    return h(
      "div",
      { class: "iw-concept-steer", role: "group", "aria-label": `Steer along ${name}` },
      control.el,
      h("span", { class: "iw-label" }, unit),
      button("Stop", () => {
        clearTimeout(timer);
        control.set(0);
        send(0);
      }),
    );
  }

  private legend(): HTMLElement {
    return h(
      "span",
      { class: "iw-legend" },
      ...[3, 2, 1].map((flag) =>
        h("span", { class: "iw-key" }, flagMark(flag), FLAGS[flag]?.name ?? ""),
      ),
      h("span", {}, "whisker: 95 % interval"),
    );
  }

  private facts(): Node[] {
    const { spec } = this.view;
    const parts = [spec.quantity];
    if (spec.target) parts.push(`target ${JSON.stringify(spec.target)}`);
    if (spec.site) parts.push(`at ${spec.site}`);
    if (spec.probe?.name) parts.push(`probe set ${spec.probe.name}`);
    if (spec.correction) parts.push(`p corrected: ${spec.correction}, α ${spec.alpha}`);
    return [h("span", {}, parts.join(" · "))];
  }
}

export default defineView("concepts", (view) => void new ConceptsView(view), {
  keys: KEYS,
  modes: true,
});
