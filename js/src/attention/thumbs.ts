// The thumbnails of all heads, layer by layer, and the scores that they are sorted by.

import { Tiles } from "../core/tiles.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { missed, wayOf } from "./data.js";
import type { HeadScores } from "./heads.js";
import { largest } from "./paint.js";
import { headOf, type Shape } from "./shape.js";

export class Thumbs {
  scores: HeadScores = {};
  private readonly layers: Tiles<NdArray>;
  private readonly single = new Map<string, NdArray>();
  private wanted: number[] = [];
  private waiting = false;

  constructor(
    private readonly view: View,
    private shape: Shape,
    private readonly arrived: () => void,
  ) {
    const load = async (key: string, signal: AbortSignal) => {
      const { values } = await view.request("overview", JSON.parse(key), { signal });
      return { ...values, data: squared(values.data) } as NdArray;
    };
    const failed = (error: unknown) => missed(view, error);
    this.layers = new Tiles(load, { done: () => arrived(), failed, keep: 256, atOnce: 1 });
  }

  /** A new result: everything is asked for again, but what came with it. */
  reset(shape: Shape, first: NdArray | undefined, scores: Record<string, NdArray> = {}): void {
    this.shape = shape;
    this.setScores(scores);
    this.layers.clear();
    this.single.clear();
    if (!first) return;
    const values = squared(first.data);
    const [count, ...rest] = first.shape as [number, number, number, number];
    const size = rest.reduce((a, b) => a * b, 1);
    for (let i = 0; i < count; i++) {
      const data = values.subarray(i * size, (i + 1) * size);
      const where = { mode: "current", how: "max", weigh: "attention", layer: shape.layers[i] };
      this.layers.put(JSON.stringify(where), { data, shape: rest });
    }
  }

  async askScores(): Promise<void> {
    const { revision } = this.view.spec;
    const answer = await this.view.request("scores", { mode: this.view.mode });
    if (revision !== this.view.spec.revision) return;
    this.setScores(answer.scores);
    this.arrived();
  }

  private setScores(scores: Record<string, NdArray>): void {
    const { given } = this.shape;
    this.scores = {
      ...Object.fromEntries(Object.entries(scores).map(([k, v]) => [k, v.data])),
      ...(given ? { given: given.values } : {}),
    };
  }

  /** Asks for the layers of these heads, after the open head's tiles. */
  want(ids: readonly number[], open: number): void {
    const layers = new Set([open, ...ids].map((id) => headOf(this.shape, id).layer));
    this.wanted = [...layers];
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(() => {
      this.waiting = false;
      if (!this.view.signal.aborted) this.layers.show(this.wanted.map((n) => this.key(n)));
    });
  }

  /** The thumbnail of a head `[row, column]`, if it is there. */
  get(id: number): NdArray | undefined {
    const { layer, head } = headOf(this.shape, id);
    const key = this.key(layer);
    const name = `${key}:${head}`;
    const known = this.single.get(name);
    if (known) return known;
    const all = this.layers.get(key);
    if (!all) return undefined;
    const [, rows, columns] = all.shape as [number, number, number];
    const size = rows * columns;
    const found = { data: all.data.slice(head * size, (head + 1) * size), shape: [rows, columns] };
    this.single.set(name, found);
    return found;
  }

  /** Largest magnitude of all that is there. */
  get top(): number {
    const all = this.shape.layers.map((layer) => this.layers.get(this.key(layer))?.data);
    return Math.max(0, ...all.map((data) => (data ? largest(data) : 0)));
  }

  private key(layer: number): string {
    return JSON.stringify({ ...wayOf(this.view), layer });
  }
}

/** Overviews travel as signed roots: 8 bits then keep small weights apart. */
function squared(coded: ArrayLike<number>): Float32Array {
  return new Float32Array(coded).map((v) => v * Math.abs(v));
}
