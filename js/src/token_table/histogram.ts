// How often the neuron takes which value on the prompt, and where it is held.
import { h, num, signed, visible } from "../core/dom.js";
import type { Live } from "./model.js";

/** Bars over the neuron's activations, a line at the value it is held at, and its best tokens. */
export function histogram(live: Live, held: number | undefined): HTMLElement {
  const { counts, highest } = live;
  const [low, high] = live.range;
  const most = Math.max(1, ...counts);
  const total = counts.reduce((a, b) => a + b, 0);
  const inside = held !== undefined && held >= low && held <= high && high > low;
  const words = highest.map(([token, value]) => `${visible(token)} ${signed(value)}`).join(", ");
  return h(
    "div",
    { class: "iw-tt-hist" },
    h(
      "div",
      {
        class: "iw-tt-bins",
        role: "img",
        "aria-label": `Activation on ${total} tokens from ${num(low)} to ${num(high)}; highest: ${words}`,
      },
      ...counts.map((count) => h("i", { style: { height: `${(100 * count) / most}%` } })),
      inside ? h("u", { style: { left: `${(100 * (held - low)) / (high - low)}%` } }) : "",
    ),
    h(
      "div",
      { class: "iw-tt-ends iw-quiet", "aria-hidden": "true" },
      h("span", {}, signed(low)),
      h("span", {}, `activation on ${total} tokens`),
      h("span", {}, signed(high)),
    ),
    h(
      "p",
      { class: "iw-tt-how" },
      "Highest on ",
      ...highest.flatMap(([token, value], i) => [
        i ? ", " : "",
        h("span", { class: "iw-tt-word" }, visible(token)),
        ` ${signed(value)}`,
      ]),
    ),
  );
}
