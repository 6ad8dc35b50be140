// The dims that are not shown: which slice of them is, by stepper, key or another view's selection.
import type { View } from "../core/view.js";
import type { HeatmapState, Slice } from "./model.js";

export class Stepping {
  constructor(
    private readonly view: View,
    private readonly slice: () => Slice,
    private readonly set: (patch: HeatmapState) => void,
  ) {}

  step(dim: string, index: number): void {
    const slice = this.slice();
    this.set({ at: { ...slice.at, [dim]: index } });
    const field = slice.spec.selects[dim];
    if (field && dim !== "position") {
      this.view.selection.set({ [field]: slice.number(dim, index) });
    }
  }

  /** The next or the previous slice of the first dim; false where there is no such dim. */
  turn(by: number): boolean {
    const { free, at, spec } = this.slice();
    const [dim] = free;
    if (!dim) return false;
    const next = (at[dim] ?? 0) + by;
    if (next >= 0 && next < (spec.sizes[dim] ?? 1)) this.step(dim, next);
    return true;
  }

  /** Steps to the slice that another view selected. */
  follow(changed: Set<string>): void {
    const slice = this.slice();
    const at: Record<string, number> = {};
    for (const dim of slice.free) {
      const field = slice.spec.selects[dim];
      if (!field || !changed.has(field)) continue;
      const index = slice.selected(dim, this.view.selection.get());
      if (index !== null && index !== slice.at[dim]) at[dim] = index;
    }
    if (Object.keys(at).length) this.set({ at: { ...slice.at, ...at } });
  }
}
