// The prompt continued by the model as it is now, beside the model without interventions.
import { button } from "../core/controls.js";
import { h } from "../core/dom.js";
import type { View } from "../core/view.js";

interface Made {
  prompt: string;
  now: string;
  base: string;
}

export class Continuation {
  readonly el: HTMLElement;
  private readonly ask: HTMLButtonElement;
  private readonly lines = h("dl", { class: "iw-tt-made", "aria-live": "polite" });
  private row = -1;

  constructor(private readonly view: View) {
    this.ask = button(
      "Continue the prompt",
      view.guard(() => this.run()),
      { title: "The likeliest next tokens, with and without the interventions" },
    );
    this.el = h("div", { class: "iw-tt-continue" }, this.ask, this.lines);
  }

  /** Another row, prompt or value: what was made no longer belongs to what is shown. */
  show(row: number): void {
    this.row = row;
    this.lines.replaceChildren();
  }

  private async run(): Promise<void> {
    const { view, row } = this;
    this.ask.disabled = true;
    try {
      const made = await view.request<Made>("generate", { row, prompt: view.state.prompt ?? null });
      if (row !== this.row) return;
      const same = made.now === made.base;
      this.lines.replaceChildren(
        ...line(same ? "now and before" : "now", made.now),
        ...(same ? [] : line("before", made.base)),
      );
    } catch (error) {
      view.report(error, () => this.run());
    } finally {
      this.ask.disabled = false;
    }
  }
}

function line(name: string, text: string): HTMLElement[] {
  return [h("dt", {}, name), h("dd", {}, text || "nothing: the prompt is as long as can be")];
}
