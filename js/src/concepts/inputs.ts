// How much of each concept is in each input: asked for layer by layer, kept until something changes.
import { Tiles } from "../core/tiles.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";

export interface InputTable {
  inputs: readonly string[];
  /** `[concept, input]` */
  presence: Float32Array;
  /** 1 an example with the concept, −1 without, 0 neither: `[concept, input]`. */
  member: Int32Array;
  tokens: readonly (readonly string[])[] | undefined;
  /** `[concept, token]`, the tokens of all inputs one after another. */
  tokenPresence: Float32Array | undefined;
}

interface Answer {
  inputs: string[];
  presence: NdArray;
  member: NdArray;
  tokens?: string[][];
  token_presence?: NdArray;
}

/** Inputs drawn at once; of more, the highest and the lowest. */
export const MOST = 300;

export class Inputs {
  private readonly tiles: Tiles<InputTable>;

  constructor(
    private readonly view: View,
    arrived: () => void,
  ) {
    this.tiles = new Tiles(
      async (key, signal) =>
        read(await view.request<Answer>("inputs", JSON.parse(key), { signal })),
      { done: arrived, failed: (error) => view.report(error, arrived), keep: 64 },
    );
  }

  clear(): void {
    this.tiles.clear();
  }

  /** What is known of a layer; asks for it where it is not there yet. */
  at(layer: number): InputTable | undefined {
    const key = JSON.stringify({ layer, mode: this.view.mode });
    this.tiles.show([key]);
    return this.tiles.get(key);
  }
}

function read(answer: Answer): InputTable {
  return {
    inputs: answer.inputs,
    presence: answer.presence.data as Float32Array,
    member: answer.member.data as Int32Array,
    tokens: answer.tokens,
    tokenPresence: answer.token_presence?.data as Float32Array | undefined,
  };
}

/** Inputs by the presence of a concept, highest first; of many only the ends. */
export function ranked(table: InputTable, concept: number, most = MOST): number[] {
  const count = table.inputs.length;
  const at = (i: number) => {
    const value = table.presence[concept * count + i] as number;
    return Number.isFinite(value) ? value : Number.NEGATIVE_INFINITY;
  };
  const order = table.inputs.map((_, i) => i).sort((a, b) => at(b) - at(a) || a - b);
  if (order.length <= most) return order;
  return [...order.slice(0, most / 2), ...order.slice(-most / 2)];
}

/** The presence of a concept in every token of an input. */
export function tokensOf(
  table: InputTable,
  concept: number,
  input: number,
): { tokens: readonly string[]; values: Float32Array } | undefined {
  if (!table.tokens || !table.tokenPresence) return undefined;
  const all = table.tokens.reduce((n, t) => n + t.length, 0);
  const before = table.tokens.slice(0, input).reduce((n, t) => n + t.length, 0);
  const tokens = table.tokens[input] ?? [];
  const start = concept * all + before;
  return { tokens, values: table.tokenPresence.slice(start, start + tokens.length) };
}

/** The range of the colours: at least what "with" and "without" mean. */
export function topOf(values: ArrayLike<number>): number {
  let top = 1;
  for (let i = 0; i < values.length; i++) {
    const v = Math.abs(values[i] as number);
    if (Number.isFinite(v) && v > top) top = v;
  }
  return Math.min(top, 3);
}
