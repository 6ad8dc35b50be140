// All heads as thumbnails: an ARIA grid with one tab stop, arrows to move, Enter to open, Space to ablate.

import { h, num } from "../core/dom.js";
import type { Tooltip } from "../core/tooltip.js";
import { gridShape, type HeadScores, orderHeads, SCORE_NAMES } from "./heads.js";
import { nameOf, type Shape } from "./shape.js";

export interface GridActions {
  open(id: number): void;
  /** Opens a head beside the open one. */
  compare(id: number): void;
  hover(id: number | null): void;
  ablate(id: number): void;
  /** The pixels of a head's thumbnail, or null while they are not there. */
  pixels(id: number): ImageData | null;
  /** Called with the heads in sight after scrolling or a new layout. */
  inSight(ids: readonly number[]): void;
}

export interface GridState {
  readonly order: string;
  readonly scores: HeadScores;
  readonly open: number;
  /** The head beside the open one, or null. */
  readonly other: number | null;
  readonly veiled: (id: number) => boolean;
  readonly ablated: ReadonlySet<number>;
  readonly changed: boolean;
}

interface Cell {
  readonly el: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly caption: HTMLElement | null;
}

/** Height in pixels of the names of the heads, which stay in sight. */
const NAMES = 24;

export class HeadGrid {
  readonly el = h("div", { class: "iw-att-heads" });
  private readonly grid = h("div", { role: "grid", "aria-label": "Attention heads" });
  private readonly cells = new Map<number, Cell>();
  private shown: number[] = [];
  private columns = 1;
  private focused = 0;
  private width = 0;
  private layout = "";
  private state: GridState = {
    order: "layer",
    scores: {},
    open: 0,
    other: null,
    veiled: () => false,
    ablated: new Set(),
    changed: false,
  };

  constructor(
    private shape: Shape,
    private readonly actions: GridActions,
    private readonly tip: Tooltip,
    signal: AbortSignal,
  ) {
    this.el.append(this.grid);
    this.grid.addEventListener("keydown", (e) => this.key(e), { signal });
    this.grid.addEventListener("click", (e) => this.click(e), { signal });
    this.grid.addEventListener("pointerover", (e) => this.hover(e), { signal });
    const leave = () => {
      this.tip.leave();
      actions.hover(null);
    };
    this.grid.addEventListener("pointerleave", leave, { signal });
    this.grid.addEventListener("focusin", (e) => this.hover(e), { signal });
    this.grid.addEventListener("focusout", leave, { signal });
    this.el.addEventListener("scroll", () => this.actions.inSight(this.inSight()), {
      signal,
      passive: true,
    });
  }

  /** Brings the grid to a new state; what stays as it was is not touched. */
  show(shape: Shape, state: GridState): void {
    this.shape = shape;
    this.state = state;
    this.lay();
    for (const id of this.shown) this.mark(id);
  }

  resize(width: number): void {
    if (Math.abs(width - this.width) < 1) return;
    this.width = width;
    this.lay();
    for (const id of this.shown) this.mark(id);
  }

  /** Outlines a head that the pointer is over in another view; null takes the outline away. */
  point(id: number | null): void {
    for (const [other, { el }] of this.cells) el.classList.toggle("iw-att-pointed", other === id);
  }

  /** Puts the pixels that there are on the canvases. */
  paint(ids: Iterable<number> = this.shown): void {
    for (const id of ids) {
      const cell = this.cells.get(id);
      const pixels = cell && this.actions.pixels(id);
      if (!cell || !pixels) continue;
      cell.el.classList.remove("iw-att-waiting");
      if (cell.canvas.width !== pixels.width) cell.canvas.width = pixels.width;
      if (cell.canvas.height !== pixels.height) cell.canvas.height = pixels.height;
      cell.canvas.getContext("2d")?.putImageData(pixels, 0, 0);
    }
  }

  /** Scrolls the box (never the page) so that a head can be seen. */
  reveal(id: number): void {
    const el = this.cells.get(id)?.el;
    if (!el) return;
    const top = el.offsetTop - NAMES;
    const bottom = el.offsetTop + el.offsetHeight + 8;
    if (top < this.el.scrollTop) this.el.scrollTop = top;
    else if (bottom > this.el.scrollTop + this.el.clientHeight)
      this.el.scrollTop = bottom - this.el.clientHeight;
  }

  /** The heads whose thumbnails can be seen now, with a margin. */
  inSight(): number[] {
    const top = this.el.scrollTop - 160;
    const bottom = this.el.scrollTop + (this.el.clientHeight || 600) + 80;
    return this.shown.filter((id) => {
      const at = this.cells.get(id)?.el.offsetTop ?? 0;
      return at >= top && at <= bottom;
    });
  }

  private lay(): void {
    const { layers, heads } = this.shape;
    const byLayer = this.state.order === "layer" || !(this.state.order in this.state.scores);
    const gutter = byLayer ? 28 : 0;
    const room = Math.max(0, (this.width || 480) - gutter - 12);
    const { columns, side } = gridShape(layers.length, heads, byLayer, room);
    const ids = [...orderHeads(layers.length * heads, this.state.order, this.state.scores)];
    const layout = `${byLayer}:${columns}:${side}:${layers.join(",")}:${byLayer ? "" : ids.join(",")}`;
    if (layout === this.layout) return;
    this.layout = layout;
    this.columns = columns;
    this.shown = ids;
    this.cells.clear();
    this.grid.style.setProperty("--iw-side", `${side}px`);
    this.grid.setAttribute("aria-colcount", String(columns));
    const rows: HTMLElement[] = [];
    if (byLayer) {
      const names = Array.from({ length: heads }, (_, i) =>
        h(
          "span",
          { role: "columnheader", class: "iw-att-col", "aria-label": `head ${i}` },
          `H${i}`,
        ),
      );
      rows.push(
        h(
          "div",
          { role: "row", class: "iw-att-names" },
          h(
            "span",
            { role: "columnheader", class: "iw-att-corner" },
            h("span", { class: "iw-sr" }, "layer"),
          ),
          ...names,
        ),
      );
    }
    for (let i = 0; i < ids.length; i += columns) {
      const row = h("div", { role: "row" });
      if (byLayer) row.append(rowHeader(layers[i / columns]!));
      for (const id of ids.slice(i, i + columns)) row.append(this.make(id, !byLayer));
      rows.push(row);
    }
    this.grid.replaceChildren(...rows);
    const dense = this.shape.thumb.cells > side * (globalThis.devicePixelRatio || 1);
    this.grid.classList.toggle("iw-att-smooth", dense);
    if (!ids.includes(this.focused)) this.focused = ids[0] ?? 0;
    this.paint();
    this.actions.inSight(this.inSight());
  }

  private make(id: number, captioned: boolean): HTMLElement {
    const canvas = h("canvas", { width: 1, height: 1, "aria-hidden": "true" });
    const caption = captioned
      ? h("span", { class: "iw-att-caption", "aria-hidden": "true" }, nameOf(this.shape, id))
      : null;
    const el = h(
      "div",
      { role: "gridcell", class: "iw-att-head iw-att-waiting", tabindex: -1 },
      h("span", { class: "iw-att-thumb" }, canvas),
      caption,
    );
    el.dataset.id = String(id);
    this.cells.set(id, { el, canvas, caption });
    return el;
  }

  private mark(id: number): void {
    const cell = this.cells.get(id);
    if (!cell) return;
    const gone = this.state.ablated.has(id);
    cell.el.setAttribute("aria-selected", String(id === this.state.open));
    cell.el.classList.toggle("iw-att-ablated", gone);
    cell.el.tabIndex = id === this.focused ? 0 : -1;
    const hidden = this.state.veiled(id);
    cell.el.classList.toggle("iw-att-other", id === this.state.other);
    cell.el.classList.toggle("iw-att-veiled", hidden);
    const { order, scores } = this.state;
    const score = hidden ? undefined : scores[order]?.[id];
    if (cell.caption) {
      const value = score === undefined || Number.isNaN(score) ? "" : num(score, 2);
      cell.caption.textContent = `${nameOf(this.shape, id)} ${value}`;
    }
    const measured = score === undefined ? "" : `, ${this.scoreName(order)} ${num(score)}`;
    const words = [
      `head ${nameOf(this.shape, id)}${measured}`,
      hidden && "hidden",
      gone && "ablated",
      id === this.state.other && "beside the open head",
    ];
    cell.el.setAttribute("aria-label", words.filter(Boolean).join(", "));
  }

  private scoreName(name: string): string {
    return name === "given" ? (this.shape.given?.name ?? name) : (SCORE_NAMES[name] ?? name);
  }

  private idAt(event: Event): number | null {
    const el = (event.target as Element | null)?.closest<HTMLElement>("[data-id]");
    return el ? Number(el.dataset.id) : null;
  }

  private click(event: MouseEvent): void {
    const id = this.idAt(event);
    if (id === null) return;
    this.focus(id);
    if (event.shiftKey) this.actions.compare(id);
    else this.actions.open(id);
  }

  private hover(event: Event): void {
    const id = this.idAt(event);
    if (id === null) return;
    const box = this.cells.get(id)!.el.getBoundingClientRect();
    this.actions.hover(id);
    const hidden = this.state.veiled(id);
    const rows = hidden
      ? [["value", "hidden"] as const]
      : Object.entries(this.state.scores)
          .filter(([name]) => name !== "effect" || this.state.changed)
          .map(([name, values]) => [this.scoreName(name), scoreText(name, values[id]!)] as const);
    const title = `Head ${nameOf(this.shape, id)}${this.state.ablated.has(id) ? " (ablated)" : ""}`;
    this.tip.show(box.right - 8, box.bottom - 8, title, rows);
  }

  private focus(id: number): void {
    const before = this.focused;
    this.focused = id;
    this.mark(before);
    this.mark(id);
    this.cells.get(id)?.el.focus({ preventScroll: false });
  }

  private key(event: KeyboardEvent): void {
    const id = this.idAt(event);
    if (id === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.shown.indexOf(id);
    const last = this.shown.length - 1;
    const column = at % this.columns;
    const moves: Record<string, number> = {
      ArrowRight: Math.min(last, at + 1),
      ArrowLeft: Math.max(0, at - 1),
      ArrowDown: at + this.columns <= last ? at + this.columns : at,
      ArrowUp: at - this.columns >= 0 ? at - this.columns : at,
      Home: at - column,
      End: Math.min(last, at - column + this.columns - 1),
      PageDown: Math.min(last, at + this.columns * 5),
      PageUp: Math.max(0, at - this.columns * 5),
    };
    const to = moves[event.key];
    if (to !== undefined) this.focus(this.shown[to]!);
    else if (event.key === "Enter" && event.shiftKey) this.actions.compare(id);
    else if (event.key === "Enter") this.actions.open(id);
    else if (event.key === " ") this.actions.ablate(id);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function rowHeader(layer: number): HTMLElement {
  const name = { role: "rowheader", class: "iw-att-row", "aria-label": `layer ${layer}` };
  return h("span", name, `L${layer}`);
}

function scoreText(name: string, value: number): string {
  if (Number.isNaN(value)) return "no such tokens";
  return name === "entropy" ? `${num(value)} nats` : num(value);
}
