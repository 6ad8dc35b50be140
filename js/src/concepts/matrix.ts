// Concept × input: a heatmap with the inputs as readable lines, the chosen concept's order.
import { hidpi } from "../core/canvas.js";
import { diverging, type Scale } from "../core/color.js";
import { h, signed, visible } from "../core/dom.js";
import { Grid } from "../core/grid.js";
import type { Tooltip } from "../core/tooltip.js";
import { type InputTable, ranked, topOf } from "./inputs.js";
import type { Concepts } from "./model.js";

const ROW = 20;
const GAP = 1;

export const ROLES: Record<number, string> = {
  1: "example with the concept",
  [-1]: "example without it",
  0: "",
};

export class Matrix {
  readonly el = h("div", { class: "iw-concept-inputs" });
  scale: Scale | undefined;
  private readonly canvas = hidpi("iw-canvas iw-concept-cells");
  private readonly texts = h("div", { class: "iw-concept-texts", "aria-hidden": "true" });
  private readonly head = h("div", { class: "iw-concept-columns", "aria-hidden": "true" });
  private readonly stage = h("div", { class: "iw-concept-stage" });
  private readonly grid: Grid;
  private table: InputTable | undefined;
  private order: number[] = [];
  private columns: number[] = [];
  private cell = 0;
  private left = 0;
  private width = 640;
  private seen = -1;

  constructor(
    private readonly concepts: Concepts,
    private readonly tip: Tooltip,
    private readonly open: (input: number) => void,
  ) {
    const { view } = concepts;
    const { signal } = view;
    this.grid = new Grid(signal, {
      label: "Concepts in inputs",
      rows: 0,
      cols: 0,
      cell: (r, c) => this.spoken(r, c),
      place: (r, c) => ({
        x: this.left + c * this.cell,
        y: r * ROW,
        width: this.cell - GAP,
        height: ROW - GAP,
      }),
      move: (r, c) => this.point(r, c),
      open: (r, c) => this.act(r, c),
      leave: () => view.hover(null),
    });
    this.stage.append(this.texts, this.canvas.el, this.grid.el);
    this.el.append(this.head, h("div", { class: "iw-concept-scroll" }, this.stage));
    this.stage.addEventListener("pointermove", (e) => this.over(e), { signal });
    this.stage.addEventListener(
      "pointerleave",
      () => {
        this.tip.leave();
        view.hover(null);
      },
      { signal },
    );
    this.stage.addEventListener(
      "click",
      (e) => {
        const { row, col } = this.at(e);
        if (row < 0) return;
        this.grid.focus(row, Math.max(0, col));
        this.act(row, col);
      },
      { signal },
    );
    view.onHover((value) => {
      for (const el of this.head.children) {
        const name = (el as HTMLElement).dataset.name;
        el.classList.toggle("iw-linked", Boolean(value?.node) && name === value?.node);
      }
    });
  }

  resize(width: number): void {
    this.width = width;
  }

  draw(table: InputTable): void {
    const { concepts } = this;
    const { view } = concepts;
    this.table = table;
    this.columns = concepts.choice.rows.map((r) => r.concept);
    this.order = ranked(table, concepts.veiled(concepts.chosen) ? -1 : concepts.chosen);
    const count = this.columns.length;
    const longest = Math.max(...table.inputs.map((text) => Math.min(120, text.length)), 12);
    const room = Math.max(120, this.width - count * 72 - 24, this.width * 0.3);
    this.left = Math.round(Math.min(this.width * 0.6, room, longest * 7 + 24));
    this.cell = Math.max(14, Math.min(72, Math.floor((this.width - this.left - 16) / count)));
    this.scale = diverging(view.palette, topOf(table.presence));
    this.heads();
    this.texts.style.width = `${this.left}px`;
    const selected = view.state.input;
    this.texts.replaceChildren(
      ...this.order.map((i) => {
        const text = visible(table.inputs[i] ?? "");
        return h(
          "div",
          {
            class: `iw-concept-text${i === selected ? " iw-chosen" : ""}`,
            title: text,
            dir: "auto",
          },
          h("bdi", {}, text),
        );
      }),
    );
    this.paint();
    const label = `Concepts in inputs, layer ${concepts.layers[concepts.layer]}`;
    this.grid.resize(this.order.length, count, label);
    if (typeof selected === "number" && selected !== this.seen) {
      this.scrollTo(Math.max(0, this.order.indexOf(selected)));
    }
    this.seen = selected ?? -1;
  }

  private scrollTo(row: number): void {
    const scroll = this.stage.parentElement;
    if (!scroll) return;
    const y = row * ROW;
    if (y < scroll.scrollTop) scroll.scrollTop = y;
    else if (y + ROW > scroll.scrollTop + scroll.clientHeight)
      scroll.scrollTop = y + ROW - scroll.clientHeight;
  }

  private heads(): void {
    const { names, chosen } = this.concepts;
    const flat = this.cell >= 56;
    this.head.classList.toggle("iw-concept-slanted", !flat);
    this.head.style.paddingLeft = `${this.left}px`;
    this.head.replaceChildren(
      ...this.columns.map((c) => {
        const name = names[c] as string;
        const el = h(
          "span",
          {
            class: c === chosen ? "iw-chosen" : "",
            title: name,
            style: { width: `${this.cell}px` },
          },
          h("span", {}, name),
        );
        el.dataset.name = name;
        el.addEventListener("click", () => this.concepts.pick(c));
        return el;
      }),
    );
  }

  private paint(): void {
    const { table, scale, order, columns, cell, left } = this;
    if (!table || !scale) return;
    const { palette } = this.concepts.view;
    const ctx = this.canvas.resize(left + columns.length * cell, order.length * ROW);
    if (!ctx) return;
    ctx.clearRect(0, 0, left + columns.length * cell, order.length * ROW);
    ctx.font = "11px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    const count = table.inputs.length;
    columns.forEach((c, x) => {
      const hidden = this.concepts.veiled(c);
      order.forEach((i, y) => {
        const value = table.presence[c * count + i] as number;
        const box = [left + x * cell, y * ROW, cell - GAP, ROW - GAP] as const;
        ctx.fillStyle = hidden ? palette.line : scale.css(value);
        ctx.fillRect(...box);
        const ink = hidden ? palette.muted : scale.ink(value);
        ctx.fillStyle = ctx.strokeStyle = ink;
        const middle = y * ROW + (ROW - GAP) / 2;
        if (hidden) {
          ctx.textAlign = "center";
          ctx.fillText("?", box[0] + box[2] / 2, middle);
          return;
        }
        mark(ctx, table.member[c * count + i] as number, box[0] + 7, middle, cell);
        ctx.textAlign = "right";
        const short = tenth(value);
        if (cell >= 48) ctx.fillText(short, box[0] + box[2] - 5, middle);
        else if (value < 0) ctx.fillText("−", box[0] + box[2] - 3, middle);
      });
    });
  }

  private at(event: MouseEvent): { row: number; col: number } {
    const { left, top } = this.stage.getBoundingClientRect();
    const row = Math.floor((event.clientY - top) / ROW);
    const x = event.clientX - left - this.left;
    const col = x < 0 ? -1 : Math.floor(x / this.cell);
    const inside = row >= 0 && row < this.order.length && col < this.columns.length;
    return inside ? { row, col } : { row: -1, col: -1 };
  }

  private over(event: PointerEvent): void {
    const { row, col } = this.at(event);
    const { view, names } = this.concepts;
    if (row < 0 || col < 0) {
      this.tip.leave();
      view.hover(null);
      return;
    }
    view.hover({ node: names[this.columns[col] as number] ?? null });
    this.tip.show(event.clientX, event.clientY, names[this.columns[col] as number] ?? "", [
      ["presence", this.value(row, col)],
      ["", this.role(row, col)],
      ["input", visible(this.table?.inputs[this.order[row] as number] ?? "").slice(0, 160)],
    ]);
  }

  private point(row: number, col: number): void {
    const { view, names } = this.concepts;
    view.hover({ node: names[this.columns[col] as number] ?? null });
    this.scrollTo(row);
  }

  private act(row: number, col: number): void {
    const concept = this.columns[Math.max(0, col)] as number;
    if (col >= 0 && this.concepts.veiled(concept)) {
      this.concepts.view.reveal(this.concepts.names[concept] as string);
      return;
    }
    if (col >= 0 && concept !== this.concepts.chosen) this.concepts.pick(concept);
    this.open(this.order[row] as number);
  }

  private value(row: number, col: number): string {
    const concept = this.columns[col] as number;
    if (this.concepts.veiled(concept)) return "hidden";
    const { table } = this;
    return signed(table?.presence[concept * table.inputs.length + (this.order[row] ?? 0)] ?? NaN);
  }

  private role(row: number, col: number): string {
    const { table } = this;
    const at = (this.columns[col] as number) * (table?.inputs.length ?? 0) + (this.order[row] ?? 0);
    return ROLES[table?.member[at] ?? 0] ?? "";
  }

  private spoken(row: number, col: number): string {
    const text = visible(this.table?.inputs[this.order[row] ?? 0] ?? "");
    const name = this.concepts.names[this.columns[col] ?? 0] ?? "";
    return [`${text}: ${name} ${this.value(row, col)}`, this.role(row, col)]
      .filter(Boolean)
      .join(", ");
  }
}

/** `+1.2`, one decimal always, so that a column can be compared at a glance. */
export function tenth(x: number): string {
  if (!Number.isFinite(x)) return "NaN";
  const text = Math.abs(x).toFixed(1);
  return text === "0.0" ? text : `${x < 0 ? "−" : "+"}${text}`;
}

/** A dot for an example with the concept, a ring for one without. */
function mark(
  ctx: CanvasRenderingContext2D,
  member: number,
  x: number,
  y: number,
  cell: number,
): void {
  if (!member || cell < 22) return;
  ctx.beginPath();
  ctx.arc(x, y, 3, 0, 2 * Math.PI);
  if (member > 0) ctx.fill();
  else ctx.stroke();
}
