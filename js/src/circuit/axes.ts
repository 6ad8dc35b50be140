// Names of rows and columns; they stay at the border while the drawing moves.
import { s, visible } from "../core/dom.js";
import type { Size } from "./camera.js";
import type { Viewport } from "./draw.js";
import type { Layout } from "./layout.js";

export class Axes {
  readonly el = s("svg", { class: "iw-circuit-axes", "aria-hidden": "true" });
  private layout: Layout | undefined;
  private names = "";
  private rows: SVGTextElement[] = [];
  private columns: SVGTextElement[] = [];

  show(layout: Layout): void {
    const names = JSON.stringify([layout.rows, layout.columns, layout.columnsBelow]);
    this.layout = layout;
    if (names === this.names) return;
    this.names = names;
    this.rows = layout.rows.map((row) => s("text", { class: "iw-axis-row", x: 4 }, row.label));
    this.columns = layout.columns.map((column) => {
      const full = layout.columnsBelow ? visible(column.label.replace(/^ /, "")) : column.label;
      const room = Math.max(2, Math.floor((column.width ?? 999) / 6.5));
      const text = full.length > room ? `${full.slice(0, Math.max(1, room - 2))}…` : full;
      return s("text", { class: "iw-axis-column" }, text);
    });
    const heads = layout.columns.length > 0 && !layout.columnsBelow;
    const word = heads ? [s("text", { x: 4, y: 14 }, "head")] : [];
    this.el.replaceChildren(...this.rows, ...this.columns, ...word);
  }

  place(view: Viewport, screen: Size): void {
    const { layout } = this;
    if (!layout) return;
    layout.rows.forEach((row, i) => {
      this.rows[i]?.setAttribute("y", (row.y * view.scale + view.y + 4).toFixed(1));
    });
    const y = layout.columnsBelow ? screen.height - 5 : Math.min(14, screen.height);
    let free = Number.NEGATIVE_INFINITY; // a name that would lie on its neighbour is left out
    layout.columns.forEach((column, i) => {
      const el = this.columns[i] as SVGTextElement;
      const x = column.x * view.scale + view.x;
      const half = ((el.textContent ?? "").length * 6.3) / 2;
      const fits = x - half >= free;
      el.style.display = fits ? "" : "none";
      if (fits) free = x + half + 3;
      el.setAttribute("x", x.toFixed(1));
      el.setAttribute("y", String(y));
    });
  }
}
