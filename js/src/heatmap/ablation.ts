// The button that ablates what the focused cell stands for, or restores it.
import { button, select } from "../core/controls.js";
import type { View } from "../core/view.js";
import { interventionText, type Slice, type Target } from "./model.js";

export class Ablation {
  readonly button: HTMLButtonElement;
  private target: Target | undefined;

  constructor(
    private readonly view: View,
    private readonly slice: () => Slice,
    act: () => void,
    private readonly changed: () => void,
  ) {
    this.button = button("Ablate", act);
  }

  /** The button, behind a choice of what to ablate where a cell stands for several things. */
  controls(): HTMLElement[] {
    const { targets } = this.slice();
    this.target = targets[0];
    this.button.hidden = !targets.length;
    if (targets.length < 2) return targets.length ? [this.button] : [];
    const options = targets.map((t, i) => [String(i), t.label] as const);
    const choice = select("Ablate by", options, "0", (i) => {
      this.target = targets[Number(i)];
      this.changed();
    });
    return [choice.el, this.button];
  }

  describe(row: number, col: number): void {
    const here = this.target && this.slice().intervention(this.target, row, col);
    this.button.hidden = !this.target;
    this.button.disabled = !here;
    const cut =
      !!here &&
      this.slice().spec.interventions.some(
        (i) => interventionText(i) === interventionText(here) && i.kind === "ablate",
      );
    const what = here ? ` ${interventionText(here)}` : "";
    this.button.textContent = `${cut ? "Restore" : "Ablate"}${what}`;
  }

  toggle(row: number, col: number): void {
    const here = this.target && this.slice().intervention(this.target, row, col);
    if (!here) {
      this.view.say("This cell names nothing that can be ablated");
      return;
    }
    void this.view.intervene(here, `${this.button.textContent}: done`);
  }
}
