// What all parts of the view share: the tables of the mode shown, the chosen concept and layer.
import type { View } from "../core/view.js";
import { type Choice, type ConceptTable, chooseRows, type Sort, strongest } from "./rows.js";
import { minus, readTables, type Tables } from "./tables.js";

export type Show = "effects" | "inputs" | "examples" | "steer";

export class Concepts {
  private now: Tables;
  private base: Tables | undefined;
  choice!: Choice;
  chosen = -1;

  constructor(
    readonly view: View,
    private readonly changed: () => void,
  ) {
    this.now = readTables(view, view.first);
    this.choose();
  }

  /** Reads what the session has now, and asks for what was before. */
  read(): void {
    this.now = readTables(this.view, this.view.first);
    void this.loadBase();
  }

  async loadBase(): Promise<void> {
    const { view } = this;
    if (!view.spec.changed || this.base) return;
    try {
      this.base = readTables(view, await view.request("tables", { mode: "base" }));
      this.changed();
    } catch (error) {
      view.report(error, () => void this.loadBase());
    }
  }

  get names(): readonly string[] {
    return this.view.spec.concepts;
  }

  get layers(): readonly string[] {
    return this.view.spec.layers;
  }

  get show(): Show {
    return this.view.state.show ?? "effects";
  }

  get layer(): number {
    return Math.min(this.layers.length - 1, Math.max(0, this.view.state.layer ?? 0));
  }

  /** The targets shown, by index: all, or the one that was picked. */
  get targets(): number[] {
    const { target } = this.view.state;
    return typeof target === "number" ? [target] : this.now.map((_, t) => t);
  }

  /** The tables of the shown targets in the shown mode, and where they were before. */
  get tables(): { table: ConceptTable; before: ConceptTable | undefined; target: number }[] {
    const { mode } = this.view;
    return this.targets.map((target) => {
      const now = this.now[target] as ConceptTable;
      const base = this.base?.[target];
      if (!base || mode === "current") return { table: now, before: base, target };
      const table = mode === "base" ? base : minus(now, base);
      return { table, before: undefined, target };
    });
  }

  get current(): Tables {
    return this.now;
  }

  veiled(concept: number): boolean {
    return this.view.veiled(this.names[concept] ?? "");
  }

  /** Rows in order, and which of them is chosen. An order by size would tell what is veiled. */
  choose(): void {
    const { view } = this;
    const hidden = this.names.some((_, c) => this.veiled(c));
    const sort: Sort = hidden ? "given" : (view.state.sort ?? "effect");
    const table = strongest(this.tables.map((t) => t.table));
    this.choice = chooseRows(table, this.layer, sort, view.state.filter ?? "");
    const { rows } = this.choice;
    const { concept } = view.state;
    const wanted = typeof concept === "number" ? concept : rows[0]?.concept;
    this.chosen = rows.some((r) => r.concept === wanted)
      ? (wanted as number)
      : (rows[0]?.concept ?? -1);
  }

  /** Chooses a concept here, and as the node of the session's selection. */
  pick(concept: number): void {
    this.view.update({ concept });
    this.view.selection.set({ node: this.names[concept] ?? null });
  }

  goLayer(layer: number): void {
    if (layer < 0 || layer >= this.layers.length) return;
    this.view.update({ layer });
    const number = Number(/\d+$/.exec(this.layers[layer] ?? "")?.[0]);
    if (Number.isInteger(number)) this.view.selection.set({ layer: number });
    this.view.say(`Layer ${this.layers[layer]}`);
  }
}
