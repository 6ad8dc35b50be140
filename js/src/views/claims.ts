// Claims as cards with a report card of several; the tests of a circuit are drawn by the same parts.

import { CardView, table } from "../claims/card.js";
import { Judgement } from "../claims/judgement.js";
import { type Card, LAMPS, type Numbers, round, stateOf } from "../claims/model.js";
import { h } from "../core/dom.js";
import { defineView, type View } from "../core/view.js";

export default defineView(
  "claims",
  (view) => void (view.spec.kind === "judgement" ? new Judgement(view) : new Claims(view)),
  {
    predict: false,
    keys: [
      ["Tab, Enter", "the claims of the report card; Enter shows the card of one"],
      ["↑ ↓ in “Input”", "previous and next input of the picture"],
      ["click on a dot", "open that input, or tell that set of nodes"],
    ],
  },
);

class Claims {
  private readonly report = h("div", { class: "iw-cl-report" });
  private readonly card: CardView;
  private width = 640;

  constructor(private readonly view: View) {
    this.card = new CardView(view);
    view.body.append(this.report, this.card.el);
    view.onSpec(() => this.draw());
    view.onState(() => this.draw());
    view.onTheme(() => this.draw());
    view.onResize((width) => {
      if (Math.abs(width - this.width) < 2) return;
      this.width = width;
      this.draw();
    });
    this.draw();
  }

  private draw(): void {
    const cards = this.view.spec.cards as Card[];
    const at = Math.min(cards.length - 1, Math.max(0, Number(this.view.state.claim ?? 0)));
    const numbers = (this.view.first.numbers as Numbers[])[at];
    const card = cards[at];
    if (!card || !numbers) return;
    this.report.hidden = cards.length < 2;
    if (cards.length > 1) this.report.replaceChildren(this.table(cards, at));
    this.card.show(card, numbers, at, this.width);
  }

  private table(cards: Card[], at: number): HTMLElement {
    const names = this.view.spec.lamp_names as Record<string, string>;
    const body = h(
      "tbody",
      {},
      ...cards.map((card, i) => {
        const open = h(
          "button",
          {
            type: "button",
            class: "iw-cl-open-card",
            "aria-pressed": String(i === at),
            onclick: () => this.view.update({ claim: i }),
          },
          card.statement,
        );
        const shot = card.snapshot;
        return h(
          "tr",
          { class: i === at ? "iw-cl-shown" : "" },
          h("th", { scope: "row" }, card.model),
          h(
            "td",
            { class: "iw-cl-behaviour" },
            shot ? meter(shot.accuracy) : null,
            shot
              ? `${round(shot.accuracy)} (${round(shot.low)} to ${round(shot.high)})`
              : "untested",
          ),
          h("td", {}, open),
          h(
            "td",
            { class: "iw-num" },
            card.value === undefined ? "" : round(card.value),
            h(
              "small",
              {},
              `${card.effect === "stays" ? "below" : "at least"} ${round(card.minimum)}`,
            ),
          ),
          ...LAMPS.map((lamp) => {
            const { word, sign, cls } = stateOf(card.lamps[lamp]);
            return h("td", { class: cls }, h("span", { "aria-hidden": "true" }, `${sign} `), word);
          }),
          h("td", {}, h("strong", {}, card.status)),
        );
      }),
    );
    const heads = ["model", "what it does: accuracy", "how it does it: claim", "effect"];
    return table(
      "Report card",
      [...heads, ...LAMPS.map((lamp) => names[lamp] ?? lamp), "verdict"],
      body,
    );
  }
}

function meter(share: number): HTMLElement {
  return h(
    "span",
    { class: "iw-cl-meter", "aria-hidden": "true" },
    h("i", { style: { width: `${(100 * share).toFixed(1)}%` } }),
  );
}
