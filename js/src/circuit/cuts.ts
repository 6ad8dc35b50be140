// Edges that the reader cut, and what the metric is without them.
import { button } from "../core/controls.js";
import { h, num, signed } from "../core/dom.js";
import type { View } from "../core/view.js";
import { isAbort } from "../core/wire.js";
import type { Links } from "./graph.js";

const CHIPS = 8;

export class Cuts {
  readonly el = h("div", { class: "iw-cuts" });
  private flats: number[];
  private value: number | null;
  private waiting: AbortController | undefined;

  constructor(
    private readonly view: View,
    private readonly edges: () => Links,
    private readonly changed: () => void,
  ) {
    this.flats = [...(view.state.cut ?? [])];
    this.value = view.state.cut_value ?? null;
    this.show();
  }

  has(flat: number): boolean {
    return this.flats.includes(flat);
  }

  /** Positions of the cut edges in the order of strength. */
  positions(): Set<number> {
    const edges = this.edges();
    return new Set(this.flats.map((flat) => edges.position(flat)).filter((e) => e >= 0));
  }

  /** Takes what another copy of the view, or Python, put into the state. */
  follow(): void {
    const now: number[] = this.view.state.cut ?? [];
    if (this.waiting || JSON.stringify(now) === JSON.stringify(this.flats)) return;
    this.flats = [...now];
    this.value = this.view.state.cut_value ?? null;
    this.show();
    this.changed();
  }

  /** Cuts these edges, or restores them when all are cut. */
  async toggle(flats: readonly number[]): Promise<void> {
    const all = flats.every((flat) => this.has(flat));
    const rest = this.flats.filter((flat) => !flats.includes(flat));
    await this.measure(all ? rest : [...rest, ...flats], flats[0]);
  }

  async restoreAll(): Promise<void> {
    await this.measure([]);
  }

  /** Measures again, for example after the session's interventions changed. */
  async again(): Promise<void> {
    if (this.flats.length && this.view.spec.can_cut) await this.measure(this.flats);
  }

  private async measure(next: number[], one?: number): Promise<void> {
    const { view } = this;
    if (next.length && !view.spec.can_cut) {
      view.note(
        "Cutting an edge runs the model, and this circuit is not attached to one: load it with a session, or run the notebook.",
        "info",
        { label: "OK", call: () => view.note("") },
      );
      return;
    }
    const before = this.now();
    const held = this.flats;
    this.waiting?.abort();
    const mine = new AbortController();
    this.waiting = mine;
    this.flats = next;
    this.show(true);
    this.changed();
    try {
      const clean: number | null = view.spec.values?.clean ?? null;
      const value =
        next.length || clean === null
          ? (await view.request<{ value: number }>("cut", { edges: next }, { signal: mine.signal }))
              .value
          : clean;
      this.value = next.length ? value : null;
      view.update({ cut: next, cut_value: this.value });
      view.note("");
      const what = one === undefined ? "" : this.sentence(one);
      view.say(`${what}${view.spec.metric} ${num(before)} to ${num(value)}`);
    } catch (error) {
      if (isAbort(error)) return;
      this.flats = held;
      view.report(error, () => void this.measure(next, one));
    } finally {
      if (this.waiting === mine) this.waiting = undefined;
    }
    this.show();
    this.changed();
  }

  private sentence(flat: number): string {
    const edges = this.edges();
    const at = edges.position(flat);
    const name = at < 0 ? "edge" : edges.label(at);
    return `${name} ${this.has(flat) ? "cut" : "restored"}, `;
  }

  private now(): number | null {
    return this.value ?? this.view.spec.values?.clean ?? null;
  }

  show(busy = false): void {
    const { spec } = this.view;
    const clean: number | null = spec.values?.clean ?? null;
    const before: number | null = spec.changed ? (spec.base_values?.clean ?? null) : null;
    const parts: Node[] = [h("span", { class: "iw-cuts-name" }, spec.metric)];
    const figure = (x: number | null, strong = false): Node =>
      h(strong ? "strong" : "span", {}, x === null ? "–" : num(x));
    if (before !== null && before !== clean)
      parts.push(figure(before), arrow(), figure(clean, true));
    else if (clean !== null) parts.push(figure(clean, !this.flats.length));
    if (this.flats.length) {
      parts.push(arrow(), busy ? h("strong", { class: "iw-busy" }, "…") : figure(this.value, true));
      if (!busy && this.value !== null && clean !== null) {
        parts.push(h("span", { class: "iw-cuts-change" }, `(${signed(this.value - clean)})`));
      }
      const edges = this.edges();
      for (const flat of this.flats.slice(0, CHIPS)) {
        const at = edges.position(flat);
        const name = at < 0 ? `edge ${flat}` : edges.label(at);
        const chip = button(
          `${name} ×`,
          this.view.guard(() => this.toggle([flat])),
          {
            title: `Restore ${name}`,
            class: "iw-chip",
          },
        );
        chip.setAttribute("aria-label", `Restore ${name}`);
        parts.push(chip);
      }
      if (this.flats.length > CHIPS)
        parts.push(h("span", {}, `and ${this.flats.length - CHIPS} more`));
      parts.push(
        button(
          "Restore all",
          this.view.guard(() => this.restoreAll()),
        ),
      );
    } else if (spec.values?.corrupted !== undefined) {
      parts.push(
        h("span", { class: "iw-cuts-change" }, `(corrupted ${num(spec.values.corrupted)})`),
      );
    }
    this.el.hidden = clean === null && !this.flats.length;
    this.el.replaceChildren(...parts);
  }
}

const arrow = (): Node =>
  h(
    "span",
    {},
    h("span", { "aria-hidden": "true" }, "→"),
    h("span", { class: "iw-sr" }, "becomes"),
  );
