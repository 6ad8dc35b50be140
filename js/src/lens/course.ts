// The panel of trajectories: pins with their values, which way to follow them, and the lines.
import { button, segmented, toggle } from "../core/controls.js";
import { h, num, signed, visible } from "../core/dom.js";
import type { Board } from "../heatmap/board.js";
import {
  drawLines,
  emptyLines,
  HEIGHT,
  type Plot,
  pointerRule,
  stepAt,
  swatch,
  xOf,
} from "./lines.js";
import type { Group, Pins } from "./pins.js";

export class Course {
  readonly el: HTMLElement;
  private readonly chips = h("div", { class: "iw-lens-chips" });
  private readonly stage = h("div", { class: "iw-lens-stage" });
  private readonly where = h("span", { class: "iw-label" });
  private readonly input = h("input", {
    type: "text",
    class: "iw-lens-pin-input",
    placeholder: "token to pin",
    "aria-label": "Token to pin",
    spellcheck: "false",
  });
  private readonly over;
  private readonly log;
  private plot: Plot | undefined;
  private width = 0;
  private step: number | null = null;

  constructor(
    private readonly board: Board,
    private readonly pins: Pins,
    private readonly cell: () => [number, number],
    private readonly choose: (row: number, col: number) => void,
  ) {
    const { view } = board;
    this.over = segmented(
      "Follow pins through",
      [
        ["layers", "Layers"],
        ["positions", "Positions"],
      ],
      view.state.over ?? "layers",
      (over) => view.update({ over }),
    );
    this.log = toggle("Log axis", view.state.axis === "log", (on) =>
      view.update({ axis: on ? "log" : "linear" }),
    );
    const pin = view.guard(async () => {
      const text = this.input.value;
      if (!text) return;
      await this.pins.find(text);
      this.input.value = "";
    });
    this.input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") pin();
    });
    this.el = h(
      "section",
      { class: "iw-lens-course", "aria-label": "Course of pinned tokens" },
      h(
        "div",
        { class: "iw-lens-head" },
        h("span", { class: "iw-label" }, "Follow pins through"),
        this.over.el,
        this.log.el,
        h("span", { class: "iw-field" }, this.input, button("Pin", pin)),
        this.where,
      ),
      this.chips,
      this.stage,
    );
    view.onResize((width) => {
      if (width <= 0 || Math.abs(width - this.width) < 1) return;
      this.width = width;
      this.draw();
    }, this.stage);
    this.listen();
  }

  draw(): void {
    const { view, slice } = this.board;
    this.over.set(view.state.over ?? "layers");
    this.log.set(view.state.axis === "log");
    this.log.el.hidden = view.mode === "difference";
    this.pins.load();
    const [row, col] = this.cell();
    const layers = view.state.over !== "positions";
    const steps = slice.spec.labels[layers ? "layer" : "position"] ?? [];
    const at = (i: number) => (layers ? i * slice.nCols + col : row * slice.nCols + i);
    const plot: Plot = {
      lines: this.pins.groups.map((group) => ({
        name: this.pins.name(group),
        values: steps.map((_, i) => this.value(group, at(i))),
      })),
      steps,
      chosen: layers ? row : col,
      log: view.state.axis === "log",
      signed: view.mode === "difference",
      width: this.width,
      palette: view.palette,
      title: this.place(row, col, layers),
    };
    this.plot = plot;
    this.where.textContent = plot.title;
    this.legend(plot);
    if (this.width <= 0) return;
    this.stage.replaceChildren(plot.lines.length ? drawLines(plot) : emptyLines());
  }

  /** A veiled cell's number leaves a gap in the lines too. */
  private value(group: Group, at: number): number {
    const { nCols } = this.board.slice;
    const key = this.board.slice.key(Math.floor(at / nCols), at % nCols);
    return this.board.view.veiled(key) ? Number.NaN : (this.pins.value(group, at) ?? Number.NaN);
  }

  private place(row: number, col: number, layers: boolean): string {
    const { labels } = this.board.slice.spec;
    const what = this.board.view.mode === "difference" ? "Change of probability" : "Probability";
    const fixed = layers
      ? `at position ${this.board.slice.number("position", col)} “${visible(labels.position?.[col] ?? "")}”`
      : `in layer ${labels.layer?.[row]}`;
    return `${what} ${fixed}`;
  }

  private legend(plot: Plot): void {
    const text = plot.signed ? signed : num;
    this.chips.replaceChildren(
      ...this.pins.groups.map((group, i) => {
        const value = plot.lines[i]?.values[plot.chosen];
        const missing = group.some(([id]) => !this.pins.has(id));
        const shown = missing ? "not in this page" : Number.isFinite(value) ? text(value!) : "…";
        return h(
          "span",
          { class: "iw-lens-chip" },
          swatch(i, plot.palette),
          h("span", { class: "iw-lens-chip-name", dir: "auto" }, this.pins.name(group)),
          h("span", { class: "iw-lens-chip-value" }, shown),
          button(`Unpin ${this.pins.name(group)}`, () => this.pins.remove(i), { icon: "×" }),
        );
      }),
    );
  }

  private listen(): void {
    const { view } = this.board;
    const { signal } = view;
    const leave = () => {
      this.step = null;
      this.board.tip.leave();
      this.mark();
    };
    const point = (event: PointerEvent | MouseEvent) => {
      if (!this.plot?.lines.length) return;
      const frame = this.stage.getBoundingClientRect();
      this.show(stepAt(event.clientX - frame.left, this.plot), event.clientX, event.clientY);
    };
    this.stage.addEventListener("pointermove", view.guard(point), { signal });
    this.stage.addEventListener("pointerleave", leave, { signal });
    this.stage.addEventListener("focusout", leave, { signal });
    this.stage.addEventListener(
      "click",
      view.guard(() => this.take()),
      { signal },
    );
    this.stage.addEventListener(
      "keydown",
      view.guard((event: KeyboardEvent) => this.key(event)),
      {
        signal,
      },
    );
  }

  private key(event: KeyboardEvent): void {
    const { plot } = this;
    if (!plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = plot.steps.length - 1;
    const from = this.step ?? plot.chosen;
    const moves: Record<string, number> = {
      ArrowRight: from + 1,
      ArrowLeft: from - 1,
      Home: 0,
      End: last,
    };
    const to = moves[event.key];
    if (to !== undefined) {
      const step = Math.max(0, Math.min(last, to));
      const frame = this.stage.getBoundingClientRect();
      this.show(step, frame.left + xOf(step, plot), frame.top + HEIGHT / 2);
    } else if (event.key === "Enter" || event.key === " ") this.take();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private show(step: number, x: number, y: number): void {
    const { plot } = this;
    if (!plot) return;
    this.step = step;
    const text = plot.signed ? signed : num;
    const rows = plot.lines.map(({ name, values }) => [name, text(values[step] ?? NaN)] as const);
    const layers = this.board.view.state.over !== "positions";
    const name = visible(plot.steps[step] ?? "");
    const title = layers ? `layer ${name}` : `position ${step} “${name}”`;
    this.board.tip.show(x, y, title, rows);
    this.board.view.say(`${title}: ${rows.map((r) => r.join(" ")).join(", ")}`);
    this.mark();
  }

  private mark(): void {
    const svg = this.stage.querySelector("svg");
    if (svg && this.plot) pointerRule(svg, this.plot, this.step);
  }

  /** Chooses the cell that the pointer's step stands for. */
  private take(): void {
    if (this.step === null) return;
    const [row, col] = this.cell();
    if (this.board.view.state.over !== "positions") this.choose(this.step, col);
    else this.choose(row, this.step);
  }
}
