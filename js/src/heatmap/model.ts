// What the heatmap knows of its data: axes, the payload of a tile, what a cell selects and changes.
import type { SelectionValue } from "../core/selection.js";
import type { CommonSpec } from "../core/view.js";
import type { TileRef } from "./camera.js";
import { entry } from "./labels.js";

export interface Target {
  label: string;
  fixed: Record<string, unknown>;
  /** Field of the intervention → dim that gives its value. */
  fields: Record<string, string>;
}

export interface HeatmapSpec extends CommonSpec {
  cells: "number" | "token";
  dims: string[];
  sizes: Record<string, number>;
  labels: Record<string, string[]>;
  /** The model's own numbers of a dim's entries, where they are not their indices. */
  numbers: Record<string, number[]>;
  quantity: string;
  selects: Record<string, keyof SelectionValue>;
  targets: Target[];
  note?: string;
  /** Exported pages: the reductions that they hold. */
  reductions?: string[];
  /** How the result wants to be drawn, and its dims whose entries are a few names. */
  draw?: "" | Draw;
  names?: string[];
  flip: boolean;
  channels?: [string, string][];
  sites?: string[];
  /** Exported pages: their finest tiles, and whether they hold one slice only. */
  finest?: { row_step: number; col_step: number };
  frozen?: boolean;
}

export type Draw = "cells" | "lines" | "bars";
/** More lines or bars in a group cannot be told apart. */
export const MOST_DRAWN = 15;

export interface HeatmapState {
  rows?: string;
  cols?: string;
  at?: Record<string, number>;
  scale?: "slice" | "trim" | "all";
  pool?: "max" | "mean";
  channel?: string;
  bars?: string;
  draw?: "" | Draw;
  /** What a drag does. */
  drag?: "move" | "brush" | "outline";
}

export type Place = Record<string, number>;
/** Another slice of the array than the one that is shown. */
export interface Other {
  at?: Place;
  mode?: string;
}

/** Spec and state together, as one moment of the view. */
export class Slice {
  readonly rows: string;
  readonly cols: string;
  readonly free: string[];

  constructor(
    readonly spec: HeatmapSpec,
    readonly state: HeatmapState,
    readonly mode: string,
  ) {
    this.rows = spec.cells === "token" ? "layer" : (state.rows ?? "");
    this.cols = spec.cells === "token" ? "position" : (state.cols ?? "");
    this.free = spec.dims.filter((d) => d !== this.rows && d !== this.cols);
  }

  get nRows(): number {
    return this.rows ? (this.spec.sizes[this.rows] ?? 1) : 1;
  }

  get nCols(): number {
    return this.cols ? (this.spec.sizes[this.cols] ?? 1) : 1;
  }

  get at(): Place {
    const at = this.state.at ?? {};
    return Object.fromEntries(this.free.map((d) => [d, at[d] ?? 0]));
  }

  /** How it is drawn: as the reader chose, else as the result says, else as suits one row. */
  get drawn(): Draw {
    const { cells, draw, names } = this.spec;
    if (cells === "token" || !this.cols || this.nRows > MOST_DRAWN) return "cells";
    const suits = this.rows ? "cells" : names?.includes(this.cols) ? "bars" : "lines";
    return this.state.draw || draw || suits;
  }

  /** Where the ends of the intervals are: the entry shown is followed by "…, low" and "…, high". */
  get ends(): [low: Other, high: Other] | null {
    if (this.mode === "difference" || this.spec.frozen) return null;
    for (const [dim, i] of Object.entries(this.at)) {
      const labels = this.spec.labels[dim] ?? [];
      const [low, high] = ["low", "high"].map((end) => labels.indexOf(`${labels[i]}, ${end}`));
      if (low === undefined || high === undefined || low < 0 || high < 0) continue;
      return [{ at: { ...this.at, [dim]: low } }, { at: { ...this.at, [dim]: high } }];
    }
    return null;
  }

  get quantity(): string {
    const name = this.spec.channels?.find(([key]) => key === this.state.channel)?.[1];
    const text = name ?? this.spec.quantity;
    return this.mode === "difference" ? `change of ${text}` : text;
  }

  /** The same keys as PlaneView._payload in Python: exported pages find answers by them. */
  payload(ref: TileRef, other: Other = {}): Record<string, unknown> {
    const scale = this.state.scale === "all" ? "all" : "slice";
    const what =
      this.spec.cells === "token"
        ? { channel: this.state.channel ?? "probability", scale: "slice", pool: "max" }
        : { rows: this.rows, cols: this.cols, at: this.at, scale, pool: this.state.pool ?? "max" };
    const { row, col, row_step, col_step } = ref;
    return { ...what, mode: this.mode, ...other, row, col, row_step, col_step };
  }

  /** Indices of all dims at a data cell. */
  place(row: number, col: number): Place {
    const place = { ...this.at };
    if (this.rows) place[this.rows] = row;
    if (this.cols) place[this.cols] = col;
    return place;
  }

  /** The model's own number of a dim's entry; null where it has none (the embedding's row). */
  number(dim: string, index: number): number | null {
    const n = this.spec.numbers[dim]?.[index] ?? index;
    return n < 0 ? null : n;
  }

  indexOf(dim: string, number: number | null): number | null {
    if (number === null || number === undefined) return null;
    const numbers = this.spec.numbers[dim];
    const index = numbers ? numbers.indexOf(number) : number;
    return index >= 0 && index < (this.spec.sizes[dim] ?? 0) ? index : null;
  }

  /** What the shared selection becomes when a cell is clicked. */
  selection(row: number, col: number): Partial<SelectionValue> {
    const found: Record<string, number | null> = {};
    for (const [dim, index] of Object.entries(this.place(row, col))) {
      const field = this.spec.selects[dim];
      if (field) found[field] = this.number(dim, index);
    }
    return found as Partial<SelectionValue>;
  }

  /** The entry of a dim that the shared selection names. */
  selected(dim: string, value: SelectionValue): number | null {
    const field = this.spec.selects[dim];
    return field ? this.indexOf(dim, value[field] as number | null) : null;
  }

  describe(row: number, col: number): string {
    const { labels } = this.spec;
    const shown = [
      [this.rows, row],
      [this.cols, col],
    ] as const;
    const parts = shown.filter(([dim]) => dim).map(([dim, i]) => entry(dim, i, labels[dim]));
    return parts.join(", ") || this.spec.title;
  }

  /** The cells of this slice among revealed keys. */
  revealed(keys: readonly string[]): [row: number, col: number][] {
    return keys
      .map((key) => key.split("@")[0]?.split(",").map(Number) as [number, number])
      .filter(([row, col], i) => this.key(row, col) === keys[i]);
  }

  /** What "predict, then reveal" calls a cell. */
  key(row: number, col: number): string {
    const slice = this.free.map((dim) => `${dim}=${this.at[dim]}`).join("&");
    return `${row},${col}${slice && `@${slice}`}`;
  }

  get targets(): Target[] {
    if (this.spec.sites?.length) {
      return [{ label: "position", fixed: {}, fields: { position: "position" } }];
    }
    return this.spec.targets;
  }

  /** The plain intervention that a target means at a data cell; null where it means none. */
  intervention(target: Target, row: number, col: number): Record<string, unknown> | null {
    const place = this.place(row, col);
    const found: Record<string, unknown> = { kind: "ablate", ...target.fixed };
    const site = this.spec.sites?.[row];
    if (site !== undefined) {
      const [name, layer] = site.split(".");
      Object.assign(found, { site: name, layer: Number(layer) });
    }
    for (const [field, dim] of Object.entries(target.fields)) {
      const n = this.number(dim, place[dim] ?? 0);
      if (n === null) return null;
      found[field] = field === "layer" ? n : [n];
    }
    return found;
  }

  /** Whether an active intervention is about this cell in particular, not about the whole slice. */
  changed(row: number, col: number): boolean {
    return this.targets.some((target) => {
      const axes = Object.values(target.fields);
      if (!axes.includes(this.rows) && !axes.includes(this.cols)) return false;
      const here = this.intervention(target, row, col);
      return here !== null && this.spec.interventions.some((i) => covers(i, here));
    });
  }
}

const INDICES = ["head", "unit", "position"];

function covers(active: Record<string, unknown>, here: Record<string, unknown>): boolean {
  if (active.site !== here.site || (active.layer ?? null) !== (here.layer ?? null)) return false;
  return INDICES.every((field) => {
    const wanted = list(here[field]);
    const has = list(active[field]);
    if (!wanted) return !has;
    return !!has && wanted.every((i) => has.includes(i));
  });
}

function list(value: unknown): number[] | null {
  if (value === null || value === undefined) return null;
  return Array.isArray(value) ? value : [value as number];
}

export function interventionText(i: Record<string, unknown>): string {
  const parts = [String(i.site)];
  if (i.layer !== undefined && i.layer !== null) parts.push(`layer ${i.layer}`);
  for (const field of INDICES) {
    const values = list(i[field]);
    if (values) parts.push(`${field} ${values.join(", ")}`);
  }
  return parts.join(" ");
}
