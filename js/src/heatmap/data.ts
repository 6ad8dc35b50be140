// The numbers behind the grid: tiles by request, exact values by cell.
import { canonical } from "../core/canonical.js";
import { Tiles } from "../core/tiles.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { TILE, type TileRef } from "./camera.js";
import type { Other, Slice } from "./model.js";

export interface RangeInfo {
  low: number;
  high: number;
  trim_low: number;
  trim_high: number;
  nan: number;
  inf: number;
  minus_inf: number;
  masked: number;
  signed: boolean;
}

export interface Answer {
  values: NdArray;
  range: RangeInfo;
  /** Cells that hold nothing that counts. */
  mask?: NdArray;
  [name: string]: unknown;
}

interface Exact {
  value: number;
  names?: Record<string, string>;
}

export interface Found {
  tile: Answer;
  /** Row and column inside the tile. */
  r: number;
  c: number;
}

export class Data {
  private readonly tiles: Tiles<Answer>;
  private readonly exacts = new Map<string, Exact>();
  private asked = "";
  private waiting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly view: View,
    private readonly slice: () => Slice,
    private readonly changed: () => void,
  ) {
    view.signal.addEventListener("abort", () => clearTimeout(this.waiting));
    this.tiles = new Tiles(
      (key, abort) => view.request<Answer>("tile", JSON.parse(key), { signal: abort }),
      { done: changed, failed: (error) => view.report(error, changed) },
    );
  }

  /** Forgets everything, and takes the tiles that came with the new spec. */
  revise(): void {
    this.tiles.clear();
    this.exacts.clear();
    for (const { payload, ...answer } of this.view.first.tiles ?? []) {
      const { row, col, row_step, col_step } = payload;
      const key = this.key({ row, col, row_step, col_step });
      if (canonical(JSON.parse(key)) === canonical(payload)) this.tiles.put(key, answer);
    }
  }

  /** Asks for what is on the screen; requests for what left it are cancelled. */
  show(refs: readonly TileRef[], others: readonly Other[] = []): void {
    this.tiles.show([{}, ...others].flatMap((other) => refs.map((ref) => this.key(ref, other))));
  }

  tile(ref: TileRef, other?: Other): Answer | undefined {
    const key = this.key(ref, other);
    return this.tiles.get(key) ?? this.tiles.stale(key);
  }

  /** The tile of full resolution that holds a cell. */
  answer(row: number, col: number, other?: Other): Found | null {
    const [tr, tc] = [Math.floor(row / TILE), Math.floor(col / TILE)];
    const tile = this.tile({ row: tr, col: tc, row_step: 1, col_step: 1 }, other);
    return tile ? { tile, r: row % TILE, c: col % TILE } : null;
  }

  /** The exact value of a cell; undefined while it is under way or only known pooled. */
  value(row: number, col: number, other?: Other): number | undefined {
    const at = this.answer(row, col, other);
    return at?.tile.values.data[at.r * (at.tile.values.shape[1] ?? 1) + at.c];
  }

  masked(row: number, col: number): boolean {
    const at = this.answer(row, col);
    return !!at?.tile.mask?.data[at.r * (at.tile.values.shape[1] ?? 1) + at.c];
  }

  /** The value of the dot that an overview shows for a cell. */
  pooled(row: number, col: number, refs: readonly TileRef[], other?: Other): number | undefined {
    const first = refs[0];
    if (!first) return undefined;
    const { row_step, col_step } = first;
    const [r, c] = [Math.floor(row / row_step), Math.floor(col / col_step)];
    const ref = { row: Math.floor(r / TILE), col: Math.floor(c / TILE), row_step, col_step };
    const tile = this.tile(ref, other)?.values;
    return tile?.data[(r % TILE) * (tile.shape[1] ?? 1) + (c % TILE)];
  }

  /** The exact value of a cell that is only known pooled: asked for once the pointer rests on it. */
  exact(row: number, col: number): Exact | undefined {
    const slice = this.slice();
    const { row_step, col_step, ...what } = slice.payload({ row, col, row_step: 1, col_step: 1 });
    const key = JSON.stringify(what);
    const known = this.exacts.get(key);
    if (known || slice.spec.finest || key === this.asked) return known;
    this.asked = key;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.view.request<Exact>("cell", what).then(
        (found) => {
          if (this.exacts.size > 500) this.exacts.clear();
          this.exacts.set(key, { ...found, value: Number(found.value) });
          this.asked = "";
          this.changed();
        },
        (error) => this.view.report(error),
      );
    }, 80);
    return undefined;
  }

  private key(ref: TileRef, other?: Other): string {
    return JSON.stringify(this.slice().payload(ref, other));
  }
}
