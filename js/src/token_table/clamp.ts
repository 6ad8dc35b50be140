// The test of a reading: hold the neuron at a value and watch the next token.
import { button, type Control, slider } from "../core/controls.js";
import { h, num, signed, visible } from "../core/dom.js";
import type { View } from "../core/view.js";
import { Continuation } from "./continuation.js";
import { histogram } from "./histogram.js";
import { type Live, type Row, share } from "./model.js";

const REACH = 20;
/** Milliseconds between two values that a drag sends. */
const PACE = 120;
/** A gate below this lets so little through that the clamp says nothing. */
const SHUT = 0.02;

export class ClampPanel {
  readonly el: HTMLElement;
  private readonly control: Control<number>;
  private readonly stop: HTMLButtonElement;
  private readonly how = h("p", { class: "iw-tt-how", "aria-live": "polite" });
  private readonly bars = h("ol", { class: "iw-tt-next" });
  private readonly spread = h("div", {});
  private readonly continuation: Continuation;
  private readonly prompt: HTMLInputElement;
  private row: Row | undefined;
  private live: Live | undefined;
  private turn = "";
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly view: View) {
    const { signal } = view;
    this.control = slider(
      "Clamp, in sd",
      -REACH,
      REACH,
      0,
      (strength) => {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => {
          this.timer = undefined;
          this.send(strength * (this.live?.sd ?? 1));
        }, PACE);
      },
      { step: 0.5 },
    );
    this.stop = button("Release", () => this.send(null));
    this.prompt = h("input", {
      type: "text",
      class: "iw-tt-prompt",
      "aria-label": "Prompt whose next token is watched",
      placeholder: "a prompt",
      spellcheck: "false",
    });
    this.prompt.addEventListener("keydown", (event) => event.stopPropagation(), { signal });
    this.prompt.addEventListener(
      "change",
      view.guard(() => {
        view.update({ prompt: this.prompt.value });
        this.ask();
      }),
      { signal },
    );
    this.prompt.addEventListener(
      "keydown",
      (event) => {
        if (event.key === "Enter") this.prompt.dispatchEvent(new Event("change"));
      },
      { signal },
    );
    this.continuation = new Continuation(view);
    this.el = h(
      "section",
      { class: "iw-tt-clamp", "aria-label": "Clamp the neuron" },
      h("h4", {}, "Clamp it ", h("span", { class: "iw-quiet" }, "and watch the next token")),
      this.prompt,
      h("div", { class: "iw-tt-slide" }, this.control.el, this.stop),
      this.how,
      this.bars,
      this.spread,
      this.continuation.el,
    );
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  show(row: Row): void {
    this.row = row;
    this.ask();
  }

  /** Asks again when the interventions changed. */
  follow(): void {
    if (this.row && this.view.spec.turn !== this.turn) this.ask();
  }

  private async send(value: number | null): Promise<void> {
    if (!this.row) return;
    await this.view.act("clamp", { row: this.row.row, value });
  }

  private async ask(): Promise<void> {
    const { row, view } = this;
    if (!row) return;
    this.turn = String(view.spec.turn);
    this.continuation.show(row.row);
    try {
      const prompt = view.state.prompt ?? null;
      const live = await view.request<Live>("live", { row: row.row, prompt });
      if (row !== this.row) return;
      this.live = live;
      this.draw();
    } catch (error) {
      view.report(error, () => this.ask());
    }
  }

  private draw(): void {
    const { live, row, view } = this;
    if (!live || !row) return;
    if (!this.prompt.matches(":focus")) this.prompt.value = live.prompt;
    if (!live.tokens.length) {
      this.how.textContent = "Type a prompt to see what the neuron does to its next token.";
      this.bars.replaceChildren();
      this.spread.replaceChildren();
      this.continuation.el.hidden = true;
      return;
    }
    const held = view.spec.clamped?.[row.name] as number | undefined;
    this.stop.disabled = held === undefined;
    if (!this.timer && !this.control.el.querySelector("input:active")) {
      this.control.set(Number(((held ?? 0) / live.sd).toFixed(2)));
    }
    this.words(live, held);
    this.spread.replaceChildren(histogram(live, held));
    this.continuation.el.hidden = false;
    const top = Math.max(1e-9, ...live.now, ...live.base);
    const own = new Set(row.tokens.flatMap((signs) => (signs[0] ?? []).slice(0, 3)));
    this.bars.replaceChildren(
      ...live.tokens.map((token, i) => {
        const [now, base] = [live.now[i] as number, live.base[i] as number];
        const spoken = `${visible(token)}, ${share(now)}, before ${share(base)}`;
        return h(
          "li",
          { "aria-label": spoken, class: own.has(token) ? "iw-own" : "" },
          h("span", { class: "iw-tt-token" }, visible(token)),
          h(
            "span",
            { class: "iw-tt-bar", "aria-hidden": "true" },
            h("i", { class: "iw-now", style: { width: `${(100 * now) / top}%` } }),
            h("u", { style: { left: `${(100 * base) / top}%` } }),
          ),
          h("span", { class: "iw-num" }, share(now)),
          h("span", { class: "iw-num iw-quiet" }, share(base)),
        );
      }),
    );
  }

  private words(live: Live, held: number | undefined): void {
    const parts: (string | HTMLElement)[] = [];
    const at = held === undefined ? `is ${signed(live.own)} by itself` : `held at ${signed(held)}`;
    parts.push(`${at} (sd ${num(live.sd)}).`);
    if (live.gate !== null) {
      const shut = Math.abs(live.gate) < SHUT;
      const what = shut
        ? "nearly shut: the clamp does little here"
        : live.gate < 0
          ? "negative: the clamp does the opposite"
          : "open";
      parts.push(" Gate at the last position ", h("strong", {}, signed(live.gate)), `, ${what}.`);
    }
    this.how.replaceChildren(...parts);
  }
}
