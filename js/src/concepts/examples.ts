// The examples behind the chosen concept on one axis, and the inputs at both ends of it.

import { h, num, s, signed, visible } from "../core/dom.js";
import { ticks } from "../core/ticks.js";
import type { Tooltip } from "../core/tooltip.js";
import { type InputTable, ranked } from "./inputs.js";
import { ROLES } from "./matrix.js";
import type { Concepts } from "./model.js";

const LANE = 40;
const ENDS = 8;
const LANES = [
  { member: 1, name: "with" },
  { member: -1, name: "without" },
  { member: 0, name: "other inputs" },
] as const;

export class Examples {
  readonly el = h("div", { class: "iw-concept-examples" });
  private width = 640;

  constructor(
    private readonly concepts: Concepts,
    private readonly tip: Tooltip,
    private readonly open: (input: number) => void,
  ) {}

  resize(width: number): void {
    this.width = width;
  }

  draw(table: InputTable): void {
    const { chosen, names, view } = this.concepts;
    const name = names[chosen] ?? "";
    if (chosen < 0) {
      this.el.replaceChildren();
      return;
    }
    const pickers = h(
      "div",
      { class: "iw-concept-tabs", role: "group", "aria-label": "Concept" },
      ...this.concepts.choice.rows.map(({ concept }) => {
        const el = h("button", { type: "button", class: "iw-button" }, names[concept] as string);
        el.setAttribute("aria-pressed", String(concept === chosen));
        el.addEventListener("click", () => this.concepts.pick(concept));
        return el;
      }),
    );
    if (this.concepts.veiled(chosen)) {
      const reveal = h("button", { type: "button", class: "iw-button" }, `Reveal ${name}`);
      reveal.addEventListener("click", () => view.reveal(name));
      this.el.replaceChildren(pickers, h("p", { class: "iw-concept-note" }, "Hidden. "), reveal);
      return;
    }
    const order = ranked(table, chosen, Number.POSITIVE_INFINITY);
    const known = order.filter((i) => Number.isFinite(this.value(table, i)));
    const ends = Math.min(ENDS, Math.ceil(known.length / 2));
    this.el.replaceChildren(
      pickers,
      this.plot(table),
      h(
        "div",
        { class: "iw-concept-ends" },
        this.list("Highest", known.slice(0, ends), table),
        this.list("Lowest", known.slice(-ends).reverse(), table),
      ),
    );
  }

  private value(table: InputTable, i: number): number {
    return table.presence[this.concepts.chosen * table.inputs.length + i] as number;
  }

  private role(table: InputTable, i: number): number {
    return table.member[this.concepts.chosen * table.inputs.length + i] as number;
  }

  private plot(table: InputTable): HTMLElement {
    const { view } = this.concepts;
    const lanes = LANES.map((lane) => ({
      ...lane,
      inputs: table.inputs.map((_, i) => i).filter((i) => this.role(table, i) === lane.member),
    })).filter(({ inputs }) => inputs.length);
    const all = table.inputs.map((_, i) => this.value(table, i)).filter(Number.isFinite);
    const low = Math.min(-1.2, ...all);
    const high = Math.max(1.2, ...all);
    const left = 104;
    const inner = Math.max(80, this.width - left - 16);
    const x = (v: number) => left + ((v - low) / (high - low)) * inner;
    const height = lanes.length * LANE + 20;
    const picture = s("svg", {
      class: "iw-concept-plot",
      width: this.width,
      height,
      role: "img",
      "aria-label": this.summary(lanes, table),
    });
    for (const tick of ticks(low, high, Math.max(3, inner / 90))) {
      const cls = tick === 0 ? "iw-bar-zero" : "iw-bar-tick";
      picture.append(
        s("line", { class: cls, x1: x(tick), x2: x(tick), y1: 0, y2: height - 16 }),
        s("text", { x: x(tick), y: height - 3 }, num(tick).replace(/(\.\d*?)0+$/, "$1")),
      );
    }
    lanes.forEach(({ name, inputs, member }, lane) => {
      const y = lane * LANE + LANE / 2;
      picture.append(s("text", { class: "iw-lane", x: 4, y: y + 4 }, `${name} (${inputs.length})`));
      for (const [at, i] of inputs.entries()) {
        const value = this.value(table, i);
        if (!Number.isFinite(value)) continue;
        const shift = (((at * 7919) % 17) / 16 - 0.5) * (LANE - 16);
        const chosen = view.state.input === i ? " iw-chosen" : "";
        const dot = s("circle", {
          class: `iw-lane-dot iw-lane-${member}${chosen}`,
          cx: x(value),
          cy: y + shift,
          r: chosen ? 5 : 3.5,
        });
        dot.addEventListener("click", () => this.open(i));
        dot.addEventListener("pointermove", ({ clientX, clientY }) =>
          this.tip.show(clientX, clientY, visible(table.inputs[i] ?? "").slice(0, 160), [
            ["presence", signed(value)],
            ["", ROLES[member] ?? ""],
          ]),
        );
        dot.addEventListener("pointerleave", () => this.tip.leave());
        picture.append(dot);
      }
      if (!member) return;
      const mean = average(inputs.map((i) => this.value(table, i)));
      picture.append(
        s("line", {
          class: "iw-lane-mean",
          x1: x(mean),
          x2: x(mean),
          y1: y - LANE / 2 + 4,
          y2: y + LANE / 2 - 4,
        }),
      );
    });
    return h("div", { class: "iw-concept-plots" }, picture);
  }

  private summary(
    lanes: readonly { name: string; inputs: readonly number[] }[],
    table: InputTable,
  ): string {
    const parts = lanes.map(({ name, inputs }) => {
      const mean = average(inputs.map((i) => this.value(table, i)));
      return `${inputs.length} ${name}, mean ${signed(mean)}`;
    });
    return `Presence of ${this.concepts.names[this.concepts.chosen]}: ${parts.join("; ")}`;
  }

  private list(title: string, inputs: readonly number[], table: InputTable): HTMLElement {
    const rows = inputs.map((i) => {
      const value = this.value(table, i);
      const role = this.role(table, i);
      const text = visible(table.inputs[i] ?? "");
      const el = h(
        "button",
        { type: "button", class: "iw-concept-end", title: text },
        h("span", { class: "iw-num" }, signed(Number(value.toFixed(2)))),
        h("span", { class: "iw-flag", "aria-hidden": "true" }, role > 0 ? "●" : role ? "○" : ""),
        role ? h("span", { class: "iw-sr" }, `${ROLES[role]}, `) : "",
        h("bdi", { dir: "auto" }, text),
      );
      el.setAttribute("aria-pressed", String(this.concepts.view.state.input === i));
      el.addEventListener("click", () => this.open(i));
      return h("li", {}, el);
    });
    return h("section", {}, h("h3", {}, title), h("ol", {}, ...rows));
  }
}

function average(values: readonly number[]): number {
  const known = values.filter(Number.isFinite);
  return known.reduce((sum, v) => sum + v, 0) / Math.max(1, known.length);
}
