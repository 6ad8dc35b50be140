// Score of the mechanism against being right; the quadrant "right for the wrong reason" is shaded.
// A dot opens its input; the stepper does the same by keyboard.

import { diverging } from "../core/color.js";
import { button, stepper } from "../core/controls.js";
import { h, s, visible } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { figure } from "./card.js";
import { type Card, type Numbers, round } from "./model.js";
import { frame, line, padded, text } from "./plot.js";

interface Input {
  tokens: string[];
  answer: string;
  foil: string;
}

export class Reasons {
  private readonly opened = h("div", { class: "iw-cl-input", role: "status" });
  private chosen = -1;
  private claim = -1;

  constructor(private readonly view: View) {}

  show(card: Card, numbers: Numbers, at: number, width: number, height: number): HTMLElement {
    const score = [...(numbers.score as NdArray).data];
    const margin = [...(numbers.margin as NdArray).data];
    const x: [number, number] = [Math.min(-0.05, ...score) - 0.03, 1.06];
    const plot = frame({
      width,
      height,
      x,
      y: padded([...margin, 0]),
      xLabel: "share of the decision through it",
      yLabel: "answer − foil (logits)",
      label: summary(card, score, margin),
    });
    const limit = plot.x(card.threshold);
    const [from, to] = card.cause ? [plot.left, limit] : [limit, plot.right];
    const zero = plot.y(0);
    plot.svg.append(
      s("rect", {
        x: from,
        y: plot.top,
        width: Math.max(0, to - from),
        height: Math.max(0, zero - plot.top),
        class: "iw-cl-wrong",
      }),
      line(plot.left, zero, plot.right, zero, "iw-cl-rule"),
      line(limit, plot.top, limit, plot.bottom, "iw-cl-rule"),
    );
    const dots = score.map((value, i) => {
      const right = (margin[i] ?? 0) > 0;
      const cx = plot.x(value);
      const cy = plot.y(margin[i] ?? 0);
      // Right ones are discs, wrong ones are crosses.
      const dot = right
        ? s("circle", { cx, cy, r: 3, class: "iw-cl-dot" })
        : s("path", { d: `M${cx - 3} ${cy - 3}l6 6m0 -6l-6 6`, class: "iw-cl-cross" });
      plot.svg.append(dot);
      return { cx, cy, dot };
    });
    const wide = to - from > 130;
    if (wide)
      plot.svg.append(
        text((from + to) / 2, plot.top + 14, "right for the wrong reason", "middle", "iw-cl-say"),
      );
    const pick = stepper("Input", score.length, 0, (i) => open(i));
    const mark = (i: number): void => {
      for (const { dot } of dots) dot.classList.remove("iw-cl-chosen");
      dots[i]?.dot.classList.add("iw-cl-chosen");
      pick.set(i);
    };
    const open = (i: number): void => {
      mark(i);
      this.chosen = i;
      this.view.guard(() => this.open(at, i, score[i] ?? 0, margin[i] ?? 0))();
    };
    plot.svg.addEventListener(
      "click",
      (event) => {
        const box = plot.svg.getBoundingClientRect();
        const px = event.clientX - box.left;
        const py = event.clientY - box.top;
        let best = -1;
        let least = 20 ** 2;
        for (const [i, d] of dots.entries()) {
          const far = (d.cx - px) ** 2 + (d.cy - py) ** 2;
          if (far < least) [best, least] = [i, far];
        }
        if (best >= 0) open(best);
      },
      { signal: this.view.signal },
    );
    const again = this.chosen;
    if (at === this.claim && again >= 0 && again < score.length) mark(again);
    else {
      this.opened.replaceChildren();
      this.chosen = -1;
    }
    this.claim = at;
    return figure("Right, and why: ● right, ✕ wrong", plot.svg, pick.el, this.opened);
  }

  private async open(claim: number, i: number, score: number, margin: number): Promise<void> {
    const input = await this.view.request<Input>("input", { claim, input: i });
    if (this.chosen !== i) return;
    const chips = input.tokens.map((token) => h("span", { class: "iw-cl-chip" }, visible(token)));
    const state = margin > 0 ? "right" : "wrong";
    const line_ = h(
      "p",
      {},
      `${state} by ${round(Math.abs(margin))} logits for ${visible(input.answer)}` +
        (input.foil ? ` over ${visible(input.foil)}` : "") +
        `; ${round(score)} of the decision goes through the mechanism`,
    );
    this.opened.replaceChildren(h("div", { class: "iw-cl-chips" }, ...chips), line_);
    if (!this.view.spec.can_colour) return;
    const explain = button("Colour tokens by attribution", () => {
      explain.disabled = true;
      this.view.guard(async () => {
        const { values } = await this.view.request<{ values: NdArray }>("tokens", {
          claim,
          input: i,
        });
        if (this.chosen !== i) return;
        const numbers = [...values.data];
        const scale = diverging(this.view.palette, Math.max(...numbers.map(Math.abs)));
        for (const [k, chip] of chips.entries()) {
          const value = numbers[k] ?? 0;
          chip.style.background = scale.css(value);
          chip.style.color = scale.ink(value);
          chip.title = `${input.tokens[k]}: ${round(value)}`;
          chip.textContent = `${visible(input.tokens[k] ?? "")} ${value < 0 ? "−" : "+"}`;
        }
      })();
    });
    this.opened.append(explain);
  }
}

function summary(card: Card, score: number[], margin: number[]): string {
  const right = margin.map((m) => m > 0);
  const wrong = score.filter(
    (v, i) => right[i] && (card.cause ? v < card.threshold : v >= card.threshold),
  ).length;
  const n = right.filter(Boolean).length;
  return `${n} of ${score.length} inputs are right, ${wrong} of these for the wrong reason`;
}
