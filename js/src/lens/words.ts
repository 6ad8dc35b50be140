// The best tokens of the cells, in blocks that travel when somebody can read them.
import { Tiles } from "../core/tiles.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { axisLabel } from "../heatmap/labels.js";

/** As BLOCK in views/lens.py. */
export const BLOCK = 16;

export interface Block {
  ids: NdArray;
  probs: NdArray;
  strings: Record<string, string>;
}

export interface Ranked {
  id: number;
  token: string;
  p: number;
}

export class Words {
  private readonly blocks: Tiles<Block>;
  private readonly wanted = new Set<string>();
  private asking = false;

  constructor(
    private readonly view: View,
    changed: () => void,
  ) {
    this.blocks = new Tiles(
      (key, signal) => view.request<Block>("words", JSON.parse(key), { signal }),
      { done: changed, failed: (error) => view.report(error, changed), keep: 400 },
    );
  }

  /** Forgets everything, and takes what came with the new spec. */
  revise(): void {
    this.blocks.clear();
    for (const { payload, ...block } of this.view.first.words ?? []) {
      this.blocks.put(key(payload.mode, payload.row, payload.col), block);
    }
  }

  /** The best tokens of a cell; null while they are under way. */
  at(row: number, col: number): Ranked[] | null {
    if (this.view.spec.wordless) return null;
    const name = key(this.view.mode, Math.floor(row / BLOCK), Math.floor(col / BLOCK));
    const block = this.blocks.get(name);
    if (!block) this.ask(name);
    const found = block ?? this.blocks.stale(name);
    return found ? ranked(found, row % BLOCK, col % BLOCK) : null;
  }

  top(row: number, col: number): string | undefined {
    const best = this.at(row, col)?.[0];
    return best && axisLabel(best.token, 18);
  }

  /** One request for all that a frame misses; what left the screen is cancelled. */
  private ask(name: string): void {
    this.wanted.add(name);
    if (this.asking) return;
    this.asking = true;
    queueMicrotask(() => {
      this.asking = false;
      this.blocks.show([...this.wanted]);
      this.wanted.clear();
    });
  }
}

function key(mode: string, row: number, col: number): string {
  return JSON.stringify({ mode, row, col });
}

export function ranked(block: Block, row: number, col: number): Ranked[] {
  const [, cols = 1, k = 1] = block.ids.shape;
  const start = (row * cols + col) * k;
  return Array.from({ length: k }, (_, i): Ranked => {
    const id = block.ids.data[start + i] as number;
    const token = block.strings[String(id)] ?? `#${id}`;
    return { id, token, p: block.probs.data[start + i] as number };
  });
}

export function percent(p: number): string {
  if (!Number.isFinite(p)) return "NaN";
  if (p > 0 && p < 0.001) return "<0.1 %";
  return `${(100 * p).toFixed(1)} %`;
}
