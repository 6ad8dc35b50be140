// What has arrived of the patterns: overviews of all heads, tiles and single rows of the head in sight.

import { isAbort, type NdArray } from "../core/wire";
import type { Tile } from "./window";

export type Mode = "current" | "base" | "difference";

export interface HeadRef {
  readonly layer: number;
  readonly head: number;
  readonly mode: Mode;
}

type Ask = (
  name: string,
  payload: Record<string, unknown>,
  options: { signal: AbortSignal },
) => Promise<{ values: NdArray }>;

interface Entry {
  values?: NdArray;
  asked?: AbortController;
}

/** Arrays kept at once; a tile of 256 × 256 is 262 kB. */
const MOST = 96;

/**
 * Arrays by what they show, the latest used kept. `want` asks for those that are missing and takes
 * back what an earlier `want` of the same group asked for and nobody needs any more.
 */
export class PatternStore {
  private readonly entries = new Map<string, Entry>();
  private readonly groups = new Map<string, Set<string>>();

  constructor(
    private readonly ask: Ask,
    private readonly arrived: () => void,
    private readonly failed: (error: unknown) => void,
  ) {}

  get(name: string, payload: Record<string, unknown>): NdArray | undefined {
    const key = keyOf(name, payload);
    const entry = this.entries.get(key);
    if (!entry?.values) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.values;
  }

  put(name: string, payload: Record<string, unknown>, values: NdArray): void {
    this.entries.set(keyOf(name, payload), { values });
  }

  want(group: string, name: string, payloads: readonly Record<string, unknown>[]): void {
    const left = this.groups.get(group) ?? new Set();
    this.groups.set(group, new Set(payloads.map((p) => keyOf(name, p))));
    const needed = new Set([...this.groups.values()].flatMap((keys) => [...keys]));
    for (const key of left) {
      const asked = needed.has(key) ? undefined : this.entries.get(key)?.asked;
      if (!asked) continue;
      this.entries.delete(key);
      asked.abort();
    }
    for (const payload of payloads) this.request(name, payload);
  }

  /** Forget everything: the numbers have changed. */
  clear(): void {
    for (const entry of this.entries.values()) entry.asked?.abort();
    this.entries.clear();
    this.groups.clear();
  }

  private request(name: string, payload: Record<string, unknown>): void {
    const key = keyOf(name, payload);
    if (this.entries.has(key)) return;
    const entry: Entry = { asked: new AbortController() };
    this.entries.set(key, entry);
    this.ask(name, payload, { signal: entry.asked!.signal }).then(
      ({ values }) => {
        if (this.entries.get(key) !== entry) return;
        entry.values = values;
        delete entry.asked;
        this.trim();
        this.arrived();
      },
      (error: unknown) => {
        if (this.entries.get(key) === entry) this.entries.delete(key);
        if (!isAbort(error)) this.failed(error);
      },
    );
  }

  private trim(): void {
    const used = new Set([...this.groups.values()].flatMap((g) => [...g]));
    for (const [key, entry] of this.entries) {
      if (this.entries.size <= MOST) return;
      if (!entry.asked && !used.has(key)) this.entries.delete(key);
    }
  }
}

export function keyOf(name: string, payload: Record<string, unknown>): string {
  return name + JSON.stringify(payload);
}

/** The request that brings a tile. */
export function tilePayload(head: HeadRef, tile: Tile): Record<string, unknown> {
  return {
    mode: head.mode,
    layer: head.layer,
    head: head.head,
    pool: tile.pool,
    row: tile.row,
    column: tile.column,
  };
}

/** The request that brings one query's or one key's values. */
export function rowPayload(
  head: HeadRef,
  axis: "query" | "key",
  position: number,
): Record<string, unknown> {
  return { mode: head.mode, layer: head.layer, head: head.head, axis, position };
}
