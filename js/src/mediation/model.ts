// What the view of a mediation knows: effects of every mediator, which is chosen, where cells are.
import { num, signed, visible } from "../core/dom.js";
import type { SelectionValue } from "../core/selection.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";

export interface Mediator {
  name: string;
  type: string;
  layer: number | null;
  head: number | null;
  position: number | null;
  unit: number | null;
  dims: number;
}

interface Tables {
  mode: string;
  mean: NdArray;
  low: NdArray;
  high: NdArray;
  proportion: NdArray;
  accuracy: NdArray;
  faithfulness: NdArray;
}

export interface Effect {
  mean: number;
  low: number;
  high: number;
}

const FIELDS = { layer: "layer", head: "head", position: "token", unit: "unit" } as const;

export class Mediation {
  private tables: Tables | undefined;

  constructor(readonly view: View) {}

  get mediators(): Mediator[] {
    return this.view.spec.mediators;
  }

  get names(): string[] {
    return this.view.spec.quantities.map(([name]: [string, string]) => name);
  }

  get quantity(): string {
    const wanted = this.view.state.quantity ?? "effect";
    return this.names.includes(wanted) ? wanted : "effect";
  }

  get chosen(): number {
    return Math.min(Number(this.view.state.mediator ?? 0), this.mediators.length - 1);
  }

  choose(mediator: number): void {
    this.view.update({ mediator });
    this.view.selection.set(this.fields(mediator));
  }

  /** What the shared selection becomes. */
  fields(i: number): Partial<SelectionValue> {
    const own = this.mediators[i] as Mediator;
    const found: Record<string, number | string | null> = {};
    for (const [key, field] of Object.entries(FIELDS)) {
      const value = own[key as keyof typeof FIELDS];
      if (value !== null && value !== undefined && value >= 0) found[field] = value;
    }
    return found as Partial<SelectionValue>;
  }

  /** The mediator that every field of a selection fits; undefined without one. */
  fitting(value: SelectionValue): number | undefined {
    const given = value as unknown as Record<string, unknown>;
    const at = this.mediators.findIndex((_, i) => {
      const own = Object.entries(this.fields(i));
      return own.length > 0 && own.every(([field, x]) => given[field] === x);
    });
    return at < 0 ? undefined : at;
  }

  async load(): Promise<void> {
    const { view } = this;
    const first = view.first as unknown as Tables;
    this.tables =
      first.mode === view.mode
        ? first
        : { ...(await view.request<Tables>("tables", { mode: view.mode })), mode: view.mode };
  }

  effect(i: number, quantity = this.quantity): Effect {
    const at = this.names.indexOf(quantity) * this.mediators.length + i;
    const of = (array: NdArray | undefined) => Number(array?.data[at] ?? Number.NaN);
    return { mean: of(this.tables?.mean), low: of(this.tables?.low), high: of(this.tables?.high) };
  }

  number(name: "proportion" | "accuracy" | "faithfulness", i: number): number {
    return Number(this.tables?.[name].data[i] ?? Number.NaN);
  }

  /** Largest |value| of a quantity over all mediators, for the colours. */
  top(quantity = this.quantity): number {
    let most = 0;
    for (let i = 0; i < this.mediators.length; i++) {
      const { mean } = this.effect(i, quantity);
      if (Number.isFinite(mean)) most = Math.max(most, Math.abs(mean));
    }
    return most || 1;
  }

  hidden(i: number): boolean {
    return this.view.veiled((this.mediators[i] as Mediator).name);
  }

  label(quantity: string): string {
    const { spec } = this.view;
    if (quantity === "effect") return `effect (${spec.headline})`;
    return quantity.replace("_rev", " reverse");
  }

  /** `−1.24 [−1.31, −1.18]` */
  text({ mean, low, high }: Effect): string {
    const range = Number.isFinite(low) ? ` [${num(low)}, ${num(high)}]` : "";
    return `${signed(mean)}${range}`;
  }

  /** Rows of a tooltip. */
  facts(i: number): [string, string][] {
    const rows: [string, string][] = this.names
      .filter((name) => name !== "effect")
      .map((name) => [this.label(name), this.text(this.effect(i, name))]);
    const share = this.number("proportion", i);
    if (Number.isFinite(share)) rows.push(["proportion mediated", `${num(100 * share)} %`]);
    const right = this.number("accuracy", i);
    if (Number.isFinite(right)) rows.push(["interchange accuracy", num(right)]);
    return rows;
  }

  spoken(i: number): string {
    const name = (this.mediators[i] as Mediator).name;
    if (this.hidden(i)) return `${name}, hidden`;
    const mark = i === this.chosen ? ", chosen" : "";
    return `${name}, ${this.label(this.quantity)} ${this.text(this.effect(i))}${mark}`;
  }

  // The grid.

  get isGrid(): boolean {
    return this.view.spec.shape.length > 1;
  }

  get rows(): number {
    return this.view.spec.shape[0];
  }

  get cols(): number {
    return this.isGrid ? this.view.spec.shape[1] : 1;
  }

  get depth(): number {
    return this.view.spec.shape[2] ?? 1;
  }

  get slice(): number {
    return Math.min(Number(this.view.state.slice ?? 0), this.depth - 1);
  }

  index(row: number, col: number): number {
    return this.isGrid ? (row * this.cols + col) * this.depth + this.slice : row;
  }

  /** Row and column of a mediator; null where it is in another slice. */
  cell(i: number): [number, number] | null {
    if (!this.isGrid) return [i, 0];
    if (i % this.depth !== this.slice) return null;
    const at = Math.floor(i / this.depth);
    return [Math.floor(at / this.cols), at % this.cols];
  }

  labels(axis: number): string[] {
    const { dims, labels, shape } = this.view.spec;
    const found = labels[dims[axis]] as string[] | undefined;
    return found ? found.map(visible) : Array.from({ length: shape[axis] }, (_, i) => String(i));
  }
}
