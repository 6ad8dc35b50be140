// What is said of a cell: under the grid, to a screen reader, in the tooltip.
import { num, signed, visible } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { Bars } from "./bars.js";
import type { TileRef } from "./camera.js";
import type { CellKind } from "./cells.js";
import type { Chart } from "./chart.js";
import type { Data, RangeInfo } from "./data.js";
import type { Marked } from "./marked.js";
import type { Slice } from "./model.js";
import { poolWord } from "./scaling.js";

/** What the words are about, as the board has it. */
export interface Subject {
  readonly view: View;
  readonly slice: Slice;
  readonly data: Data;
  readonly marked: Marked;
  readonly bars: Bars;
  readonly chart: Chart | undefined;
  readonly kind: CellKind;
  /** Range of what is in sight, once it is known. */
  readonly range: RangeInfo | undefined;
  veiled(row: number, col: number): boolean;
  /** Tiles in sight. */
  readonly refs: readonly TileRef[];
}

export class Words {
  constructor(private readonly of: Subject) {}

  veiled(row: number, col: number): boolean {
    return this.of.veiled(row, col);
  }

  /** The quantity and the cell's number, a row of the tooltip. */
  value(row: number, col: number): readonly [string, string] {
    return [this.of.slice.quantity, this.text(row, col)];
  }

  /** What a screen reader and the line under the grid say of a cell. */
  describe(row: number, col: number): string {
    const { slice, kind, marked, bars, chart } = this.of;
    const name = slice.describe(row, col);
    if (this.veiled(row, col)) return `${name}, hidden`;
    const word = kind.said?.(row, col) ?? "";
    const cut = slice.changed(row, col) ? ", changed" : "";
    const framed = marked.outlined(row, col) ? ", outlined" : "";
    const interval = chart?.interval(row, col);
    const ends = interval ? `, 95 % interval ${interval}` : "";
    return `${name}${word}, ${this.text(row, col)}${ends}${cut}${framed}${bars.said(row, col)}`;
  }

  /** The rows of the tooltip. */
  rows(row: number, col: number): (readonly [string, string])[] {
    const { kind, data, slice, range, refs, chart } = this.of;
    if (this.veiled(row, col)) return [["hidden", "Enter or click reveals it"]];
    const rows = [...(kind.hover?.(row, col) ?? [this.value(row, col)])];
    rows.push(...(chart?.more(row, col) ?? []));
    const first = refs[0];
    const dot = data.pooled(row, col, refs);
    if (first && dot !== undefined && first.row_step * first.col_step > 1) {
      const how = poolWord(slice, range?.signed === true);
      rows.push([`${how} of ${first.row_step} × ${first.col_step} cells`, this.number(dot)]);
      for (const [dim, label] of Object.entries(data.exact(row, col)?.names ?? {})) {
        if (!slice.spec.labels[dim]) rows.push([dim, visible(label)]);
      }
    }
    return rows;
  }

  private text(row: number, col: number): string {
    const { data } = this.of;
    if (this.veiled(row, col)) return "hidden";
    if (data.masked(row, col)) return "masked";
    const value = data.value(row, col) ?? data.exact(row, col)?.value;
    return value === undefined ? "…" : this.number(value);
  }

  private number(value: number): string {
    return this.of.range?.signed ? signed(value, 4) : num(value, 4);
  }
}
