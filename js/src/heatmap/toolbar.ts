// The controls above the grid: steppers of the other dims, rows, columns, scale, zoom.
import { button, type Control, select, stepper } from "../core/controls.js";
import { h } from "../core/dom.js";
import type { View } from "../core/view.js";
import { REDUCTIONS } from "./bars.js";
import { type HeatmapState, MOST_DRAWN, type Slice } from "./model.js";

export interface ToolbarActs {
  set(patch: HeatmapState): void;
  step(dim: string, index: number): void;
  zoom(factor: number): void;
  fit(): void;
  /** Controls of the kind of cells, in the place of rows, columns and scale. */
  kind(): HTMLElement[] | undefined;
  /** What comes after the zoom. */
  more(): HTMLElement[];
}

const DEFAULTS: HeatmapState = { scale: "slice", pool: "max", bars: "", drag: "move" };

export class Toolbar {
  private readonly steppers = new Map<string, Control<number>>();
  private readonly zoomIn: HTMLButtonElement;
  private readonly zoomOut: HTMLButtonElement;
  private readonly fitButton: HTMLButtonElement;
  private readonly choices = new Map<keyof HeatmapState, Control<any>>();
  private key = "";

  constructor(
    private readonly view: View,
    private readonly acts: ToolbarActs,
  ) {
    this.zoomIn = button("Zoom in", () => acts.zoom(1.5), { icon: "plus" });
    this.zoomOut = button("Zoom out", () => acts.zoom(1 / 1.5), { icon: "minus" });
    this.fitButton = button("Fit", () => acts.fit());
  }

  zoomed(on: boolean, further: boolean): void {
    this.zoomIn.disabled = !further;
    this.zoomOut.disabled = !on;
    this.fitButton.disabled = !on;
  }

  /** Builds the controls where they are others than before, and moves them to the state. */
  show(slice: Slice): void {
    const { spec, rows, cols, drawn } = slice;
    const cells = drawn === "cells";
    const what = [spec.dims, spec.sizes, rows, cols, cells, spec.channels, spec.targets];
    const key = JSON.stringify(what);
    if (key !== this.key) {
      this.key = key;
      this.build(slice);
    }
    for (const [dim, control] of this.steppers) control.set(slice.at[dim] ?? 0);
    const state: HeatmapState = { ...DEFAULTS, ...slice.state, draw: drawn };
    for (const [name, control] of this.choices) control.set(state[name]);
  }

  private build(slice: Slice): void {
    const { spec } = slice;
    this.steppers.clear();
    this.choices.clear();
    for (const dim of spec.frozen ? [] : slice.free) {
      const labels = spec.labels[dim];
      const go = (i: number) => this.acts.step(dim, i);
      this.steppers.set(
        dim,
        stepper(dim, spec.sizes[dim] ?? 1, slice.at[dim] ?? 0, go, { labels }),
      );
    }
    const zoom = h(
      "span",
      { class: "iw-field", role: "group", "aria-label": "Zoom" },
      this.zoomOut,
      this.zoomIn,
      this.fitButton,
    );
    const parts = [
      ...[...this.steppers.values()].map((control) => control.el),
      ...(this.acts.kind() ?? this.axes(slice)),
      zoom,
      ...this.acts.more(),
    ];
    const { toolbar } = this.view;
    for (const old of [...toolbar.querySelectorAll(":scope > [data-own]")]) old.remove();
    for (const part of parts) part.dataset.own = "";
    toolbar.prepend(...parts);
    toolbar.hidden = false;
  }

  private axes(slice: Slice): HTMLElement[] {
    const { spec, rows, cols } = slice;
    const { set } = this.acts;
    const parts: HTMLElement[] = [];
    if (spec.dims.length > 1 && !spec.finest) {
      const dims = spec.dims.map((d) => [d, d] as const);
      parts.push(
        select("Rows", dims, rows, (to) => set(swapped(slice, to, to === cols ? rows : cols))).el,
        select("Columns", dims, cols, (to) => set(swapped(slice, to === rows ? cols : rows, to)))
          .el,
      );
    }
    const choose = <K extends string>(
      name: keyof HeatmapState,
      label: string,
      options: readonly (readonly [K, string])[],
      now = (slice.state[name] ?? DEFAULTS[name]) as K,
    ) => {
      const control = select(label, options, now, (value) => set({ [name]: value }));
      this.choices.set(name, control);
      parts.push(control.el);
      return control.el;
    };
    if (cols) {
      const kinds = ["cells", "lines", "bars"] as const;
      const drawn = choose(
        "draw",
        "Draw",
        kinds.map((kind) => [kind, kind] as const),
        slice.drawn,
      );
      const many = slice.nRows > MOST_DRAWN;
      for (const input of drawn.querySelectorAll("select")) input.disabled = many;
      if (many) {
        drawn.title = `Lines and bars are for at most ${MOST_DRAWN} rows; there are ${slice.nRows}`;
      }
    }
    const scales = [
      ["slice", "this slice"],
      ["trim", "middle 99 %"],
      ["all", "all slices"],
    ] as const;
    const usable = slice.free.length && !spec.finest ? scales : scales.slice(0, 2);
    choose("scale", slice.drawn === "cells" ? "Scale" : "Axis", usable);
    if (slice.nRows * slice.nCols > 100_000 && !spec.finest) {
      choose("pool", "Dots", [
        ["max", "largest"],
        ["mean", "mean"],
      ]);
    }
    const kept = spec.reductions;
    const bars = REDUCTIONS.filter(([how]) => !how || !kept || kept.includes(how));
    if (bars.length > 1 && cols && slice.drawn === "cells") choose("bars", "Edges", bars);
    if (spec.dims.length) {
      choose("drag", "Mouse", [
        ["move", "moves"],
        ["brush", "brushes"],
        ["outline", "outlines"],
      ]);
    }
    return parts;
  }
}

function swapped(slice: Slice, rows: string, cols: string): HeatmapState {
  const free = slice.spec.dims.filter((d) => d !== rows && d !== cols);
  return { rows, cols, at: Object.fromEntries(free.map((d) => [d, slice.at[d] ?? 0])) };
}
