// What stands above a large head: its name, whether it is ablated, its scores.

import { h, num, signed } from "../core/dom.js";
import { type HeadScores, SCORE_NAMES } from "./heads.js";
import { nameOf, type Shape } from "./shape.js";

/** Kinds of heads that are named when the score says that the head is one. */
const KINDS = ["induction", "previous_token", "duplicate_token", "first_token"];
const NOTABLE = 0.3;

export function headline(
  shape: Shape,
  scores: HeadScores,
  id: number,
  gone: boolean,
  which: string,
): HTMLElement[] {
  const words = KINDS.filter((key) => (scores[key]?.[id] ?? 0) >= NOTABLE).map(
    (key) => `${SCORE_NAMES[key]} ${num(scores[key]![id]!)}`,
  );
  const entropy = scores.entropy?.[id];
  if (entropy !== undefined) words.push(`entropy ${num(entropy)} nats`);
  const given = scores.given?.[id];
  if (given !== undefined) words.push(`${shape.given?.name} ${signed(given)}`);
  return [
    h(
      "span",
      {},
      `${shape.query_tokens ? "Cross-attention head" : "Head"} ${nameOf(shape, id)}${which && `, ${which}`}`,
    ),
    ...(gone ? [h("span", { class: "iw-att-tag" }, "ablated")] : []),
    h("span", { class: "iw-att-note" }, words.join(" · ")),
  ];
}
