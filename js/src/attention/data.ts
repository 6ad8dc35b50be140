// What has arrived of the patterns, and the values and pixels the drawings ask it for.

import {
  type Scale as Colours,
  diverging,
  type Palette,
  type Rgb,
  sequential,
} from "../core/color.js";
import type { Mode } from "../core/controls.js";
import { Tiles } from "../core/tiles.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import type { HeadScores } from "./heads.js";
import { largest, paint, type Scale } from "./paint.js";
import { headOf, type Shape } from "./shape.js";
import { rowKey, TILE, type Tile, tileKey } from "./window.js";

/** Tiles and thumbnails of one view: asked for when needed, forgotten when the result changes. */
export class Patterns {
  scores: HeadScores = {};
  scale: Scale = { low: 0, high: 1, kind: "linear" };
  private colours: Colours;
  private table = new Uint8Array(1024);
  private bad: Rgb = [128, 128, 128];
  private readonly tiles: Tiles<NdArray>;
  private readonly rows: Tiles<NdArray>;
  private readonly thumbs: Tiles<NdArray>;
  private tileKeys: string[] = [];
  private exactKey: string | null = null;
  private readonly thumbOf = new Map<string, NdArray>();
  private open = { layer: 0, head: 0 };

  constructor(
    private readonly view: View,
    public shape: Shape,
    private readonly arrived: (what: "tile" | "row" | "thumbs" | "scores") => void,
  ) {
    const load = (name: string) => async (key: string, signal: AbortSignal) => {
      const answer = await view.request(name, JSON.parse(key), { signal });
      const values = answer.values as NdArray;
      return name === "overview" ? { ...values, data: squared(values.data) } : values;
    };
    const options = (what: "tile" | "row" | "thumbs", keep: number) => ({
      done: () => arrived(what),
      failed: (error: unknown) => this.failed(error),
      keep,
    });
    this.tiles = new Tiles(load("tile"), options("tile", 64));
    this.rows = new Tiles(load("row"), options("row", 200));
    this.thumbs = new Tiles(load("overview"), options("thumbs", 512));
    this.colours = sequential(view.palette, 0, 1);
  }

  /** A new result: everything is asked for again. */
  reset(shape: Shape, thumbs: NdArray | undefined): void {
    this.shape = shape;
    this.scores = {};
    for (const cache of [this.tiles, this.rows, this.thumbs]) cache.clear();
    this.tileKeys = [];
    this.exactKey = null;
    this.thumbOf.clear();
    if (!thumbs) return;
    const values = squared(thumbs.data);
    const [layers, ...rest] = thumbs.shape as [number, number, number, number];
    const size = rest.reduce((a, b) => a * b, 1);
    for (let i = 0; i < layers; i++) {
      const data = values.subarray(i * size, (i + 1) * size);
      this.thumbs.put(this.thumbKey("current", shape.layers[i]!), { data, shape: rest });
    }
  }

  setOpen(layer: number, head: number): void {
    if (layer === this.open.layer && head === this.open.head) return;
    this.open = { layer, head };
    this.tileKeys = [];
    this.exactKey = null;
  }

  /** An exported page holds the exact weights of some heads only; it says so once. */
  private failed(error: unknown): void {
    if (this.view.spec.live || this.view.model.get("status")?.phase !== "static") {
      this.view.report(error);
      return;
    }
    this.exactKey = null;
    const text =
      "This page does not hold the exact weights of this head: the picture is its overview.";
    this.view.note(text, "info", undefined, "exact");
  }

  get mode(): Mode {
    return this.view.mode;
  }

  get difference(): boolean {
    return this.mode === "difference";
  }

  async askScores(): Promise<void> {
    const { revision } = this.view.spec;
    const answer = await this.view.request("scores", { mode: this.mode });
    if (revision !== this.view.spec.revision) return;
    this.scores = Object.fromEntries(
      Object.entries(answer.scores as Record<string, NdArray>).map(([k, v]) => [k, v.data]),
    );
    this.arrived("scores");
  }

  // Colours.

  /** Sets the colour scale for the mode and palette; returns a name for what was set. */
  setScale(kind: Scale["kind"], palette: Palette): string {
    const top = this.difference ? this.largestChange() : 1;
    this.scale = { low: this.difference ? -top : 0, high: top, kind };
    this.colours = this.difference ? diverging(palette, 1) : sequential(palette, 0, 1);
    this.bad = palette.missing;
    for (let i = 0; i < 256; i++) {
      const at = this.difference ? (i / 255) * 2 - 1 : i / 255;
      this.table.set([...this.colours.rgb(at), 255], i * 4);
    }
    return `${this.mode}:${kind}:${top}:${palette.dark}`;
  }

  /** The colour map over the shares 0 to 1 of `place` (−1 to 1 when signed). */
  get map(): Colours {
    return this.colours;
  }

  pixels(values: NdArray, pool: number, row0: number, column0: number, layer = this.open.layer) {
    const [rows, columns] = values.shape as [number, number];
    const mask = this.shape.masks[this.shape.layers.indexOf(layer)] ?? {
      causal: false,
      window: null,
    };
    const { scale, table: colours, bad } = this;
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

  // Thumbnails.

  /** Asks for the thumbnails of the layers these heads are in. */
  wantThumbs(ids: readonly number[]): void {
    const layers = new Set(ids.map((id) => headOf(this.shape, id).layer));
    layers.add(this.open.layer);
    this.thumbs.show([...layers].map((layer) => this.thumbKey(this.mode, layer)));
  }

  thumb(id: number): NdArray | undefined {
    const name = `${this.mode}:${id}`;
    const known = this.thumbOf.get(name);
    if (known) return known;
    const { layer, head } = headOf(this.shape, id);
    const all = this.thumbs.get(this.thumbKey(this.mode, layer));
    if (!all) return undefined;
    const [, rows, columns] = all.shape as [number, number, number];
    const size = rows * columns;
    const found = { data: all.data.slice(head * size, (head + 1) * size), shape: [rows, columns] };
    this.thumbOf.set(name, found);
    return found;
  }

  private thumbKey(mode: string, layer: number): string {
    return JSON.stringify({ mode, layer });
  }

  private largestChange(): number {
    let most = 0;
    for (const layer of this.shape.layers) {
      const all = this.thumbs.get(this.thumbKey("difference", layer));
      if (all) most = Math.max(most, largest(all.data));
    }
    return most || 1;
  }

  // The open head.

  tile(tile: Tile): NdArray | undefined {
    return this.tiles.get(tileKey(this.mode, this.open.layer, this.open.head, tile));
  }

  wantTiles(tiles: readonly Tile[]): void {
    this.tileKeys = tiles.map((t) => tileKey(this.mode, this.open.layer, this.open.head, t));
    this.showTiles();
  }

  /** The exact weight, if it is there; asks for its tile otherwise. */
  value(query: number, key: number, ask = true): number | undefined {
    const mask = this.shape.masks[this.shape.layers.indexOf(this.open.layer)];
    if (mask?.causal && key > query) return 0;
    const tile: Tile = { pool: 1, row: Math.floor(query / TILE), column: Math.floor(key / TILE) };
    const found = this.tile(tile);
    if (found) return found.data[(query % TILE) * found.shape[1]! + (key % TILE)];
    if (!ask) return undefined;
    this.exactKey = tileKey(this.mode, this.open.layer, this.open.head, tile);
    this.showTiles();
    return undefined;
  }

  private showTiles(): void {
    this.tiles.show(this.exactKey ? [...this.tileKeys, this.exactKey] : this.tileKeys);
  }

  /** All weights of one query, or all that one key gets; undefined while they are under way. */
  row(axis: "query" | "key", position: number): ArrayLike<number> | undefined {
    const { queries, keys } = this.shape;
    const whole =
      queries <= TILE && keys <= TILE ? this.tile({ pool: 1, row: 0, column: 0 }) : undefined;
    if (whole) {
      if (axis === "query") return whole.data.subarray(position * keys, (position + 1) * keys);
      return Float32Array.from({ length: queries }, (_, q) => whole.data[q * keys + position]!);
    }
    const key = rowKey(this.mode, this.open.layer, this.open.head, axis, position);
    const found = this.rows.get(key);
    if (!found) this.rows.show([key]);
    return found?.data;
  }

  /** The whole pattern where it is small enough to be one tile. */
  get pattern(): ArrayLike<number> | undefined {
    const { queries, keys } = this.shape;
    if (queries > TILE || keys > TILE) return undefined;
    const found = this.tile({ pool: 1, row: 0, column: 0 });
    if (!found) this.wantTiles([{ pool: 1, row: 0, column: 0 }]);
    return found?.data;
  }
}

/** Overviews travel as signed roots: 8 bits then keep small weights apart. */
function squared(coded: ArrayLike<number>): Float32Array {
  return Float32Array.from(coded, (v) => v * Math.abs(v));
}
