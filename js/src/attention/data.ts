// What has arrived of the patterns, and the values and pixels the drawings ask it for.

import {
  type Scale as Colours,
  diverging,
  type Palette,
  type Rgb,
  sequential,
} from "../core/color.js";
import { Tiles } from "../core/tiles.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { largest, paint, type Scale } from "./paint.js";
import type { How, Lengths } from "./shape.js";
import { TILE, type Tile } from "./window.js";

/** Requests on their way at once; the others wait here, where they can still be dropped. */
const AT_ONCE = 2;

/** Milliseconds without another move after which a window is at rest. */
const REST = 80;

/** A tile in the first paint, with what would have been asked for it. */
export interface CameAlong {
  payload: Record<string, unknown>;
  values: NdArray;
}

export type Arrival = "tile" | "row";

export type Of = "own" | "against" | "contrast";

/** A head; of a difference also what is taken away: a head, or the other prompt (null). */
export interface Open {
  readonly layer: number;
  readonly head: number;
  readonly versus?: readonly [number, number] | null;
}

/** What a request says about how cells come about. */
export function wayOf(view: View): { mode: string; how: How; weigh: string } {
  const { pool, weigh } = view.state;
  return {
    mode: view.mode,
    how: pool === "mean" ? "mean" : "max",
    weigh: weigh === "value" ? "value" : "attention",
  };
}

/** Reports a failed request; an exported page, which cannot work anything out, says so once. */
export function missed(view: View, error: unknown): void {
  if (view.spec.live || view.model.get("status")?.phase !== "static") {
    view.report(error);
    return;
  }
  const text = "This page does not hold the exact weights of this: the picture is its overview.";
  view.note(text, "info", undefined, "exact");
}

/** How values become colours: one scale for all that a view shows. */
export class Colouring {
  scale: Scale = { low: 0, high: 1, kind: "linear" };
  bad: Rgb = [128, 128, 128];
  map: Colours;

  constructor(palette: Palette) {
    this.map = sequential(palette, 0, 1);
  }

  /** Sets scale and colours; returns a name for what was set. */
  set(kind: Scale["kind"], palette: Palette, top: number, signed: boolean): string {
    this.scale = { low: signed ? -top : 0, high: top, kind };
    this.map = signed ? diverging(palette, 1) : sequential(palette, 0, 1);
    this.bad = palette.missing;
    return `${signed}:${kind}:${top}:${palette.dark}`;
  }

  pixels(
    values: NdArray,
    mask: Lengths["masks"][number],
    pool: number,
    row0: number,
    column0: number,
  ) {
    const [rows, columns] = values.shape as [number, number];
    const { scale, bad } = this;
    const colours = this.map.table;
    const data = paint({
      values: values.data,
      rows,
      columns,
      scale,
      colours,
      mask,
      pool,
      row0,
      column0,
      bad,
    });
    return new ImageData(data, columns, rows);
  }
}

/** The weights of one open head: asked for when needed, forgotten when the result changes. */
export class Patterns {
  private readonly tiles: Tiles<NdArray>;
  private readonly rows: Tiles<NdArray>;
  private tileKeys: string[] = [];
  private exactKey: string | null = null;
  private open: Open = { layer: 0, head: 0 };
  private asked = "";
  private movedAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly view: View,
    public lengths: Lengths,
    private layers: readonly number[],
    /** Which prompt of the result, or the difference of what is compared. */
    readonly of: Of,
    private readonly colouring: Colouring,
    arrived: (what: Arrival) => void,
  ) {
    const load = (name: string) => async (key: string, signal: AbortSignal) => {
      const answer = await view.request(name, JSON.parse(key), { signal });
      return answer.values as NdArray;
    };
    const options = (what: Arrival, keep: number) => ({
      done: () => arrived(what),
      failed: (error: unknown) => {
        this.exactKey = null;
        missed(view, error);
      },
      keep,
      atOnce: AT_ONCE,
    });
    this.tiles = new Tiles(load("tile"), options("tile", 64));
    this.rows = new Tiles(load("row"), options("row", 200));
    view.signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  /** A new result: everything is asked for again. */
  reset(lengths: Lengths, layers: readonly number[]): void {
    this.lengths = lengths;
    this.layers = layers;
    this.tiles.clear();
    this.rows.clear();
    this.tileKeys = [];
    this.exactKey = null;
    this.forget();
  }

  setOpen(open: Open): void {
    if (JSON.stringify(open) === JSON.stringify(this.open)) return;
    this.open = open;
    this.tileKeys = [];
    this.exactKey = null;
    this.forget();
  }

  put({ payload, values }: CameAlong): void {
    const { mode, how, weigh, of, layer, head, pool, row, column } = payload;
    const key = JSON.stringify({ mode, how, weigh, of, layer, head, pool, row, column });
    this.tiles.put(key, values);
  }

  private forget(): void {
    this.asked = "";
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  get signed(): boolean {
    return this.of === "contrast" || this.view.mode === "difference";
  }

  /** The mask of the open head's layer. */
  get mask(): Lengths["masks"][number] {
    const none = { causal: false, window: null };
    return this.lengths.masks[this.layers.indexOf(this.open.layer)] ?? none;
  }

  pixels(values: NdArray, pool: number, row0: number, column0: number): ImageData {
    return this.colouring.pixels(values, this.mask, pool, row0, column0);
  }

  /** Largest magnitude among the tiles in sight. */
  get top(): number {
    return Math.max(0, ...this.tileKeys.map((key) => largest(this.tiles.get(key)?.data ?? [])));
  }

  private tileKey(tile: Tile): string {
    return JSON.stringify({ ...wayOf(this.view), of: this.of, ...this.open, ...tile });
  }

  tile(tile: Tile): NdArray | undefined {
    return this.tiles.get(this.tileKey(tile));
  }

  wantTiles(tiles: readonly Tile[]): void {
    this.tileKeys = tiles.map((t) => this.tileKey(t));
    this.showTiles();
  }

  /** The exact weight, if it is there; asks for its tile otherwise. */
  value(query: number, key: number, ask = true): number | undefined {
    if (this.mask.causal && key > query) return 0;
    const tile: Tile = { pool: 1, row: Math.floor(query / TILE), column: Math.floor(key / TILE) };
    const found = this.tile(tile);
    if (found) return found.data[(query % TILE) * found.shape[1]! + (key % TILE)];
    if (!ask) return undefined;
    this.exactKey = this.tileKey(tile);
    this.showTiles();
    return undefined;
  }

  /** Asks at once, but while the window keeps moving only where it comes to rest. */
  private showTiles(): void {
    const keys = this.exactKey ? [...this.tileKeys, this.exactKey] : this.tileKeys;
    const name = keys.join();
    const now = performance.now();
    const moving = this.asked !== "" && name !== this.asked && now - this.movedAt < REST;
    if (name !== this.asked) this.movedAt = now;
    this.asked = name;
    if (!moving && this.timer !== undefined && now - this.movedAt < REST) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    if (moving) this.timer = setTimeout(() => this.rest(keys), REST);
    else this.tiles.show(keys);
  }

  private rest(keys: readonly string[]): void {
    this.timer = undefined;
    this.tiles.show(keys);
  }

  /** All weights of one query, or all that one key gets; undefined while they are under way. */
  row(axis: "query" | "key", position: number): ArrayLike<number> | undefined {
    const { queries, keys } = this.lengths;
    if (position >= (axis === "query" ? queries : keys)) return undefined;
    const one: Tile = { pool: 1, row: 0, column: 0 };
    const small = queries <= TILE && keys <= TILE;
    const whole = small ? this.tile(one) : undefined;
    if (small && !whole) {
      this.exactKey = this.tileKey(one);
      this.showTiles();
      return undefined;
    }
    if (whole) {
      if (axis === "query") return whole.data.subarray(position * keys, (position + 1) * keys);
      return Float32Array.from({ length: queries }, (_, q) => whole.data[q * keys + position]!);
    }
    const { mode, weigh } = wayOf(this.view);
    const where = { mode, weigh, of: this.of, ...this.open, axis, position };
    const key = JSON.stringify(where);
    const found = this.rows.get(key);
    if (!found) this.rows.show([key]);
    return found?.data;
  }

  /** The whole pattern where it is small enough to be one tile. */
  get pattern(): ArrayLike<number> | undefined {
    const { queries, keys } = this.lengths;
    if (queries > TILE || keys > TILE) return undefined;
    const found = this.tile({ pool: 1, row: 0, column: 0 });
    if (!found) this.wantTiles([{ pool: 1, row: 0, column: 0 }]);
    return found?.data;
  }
}
