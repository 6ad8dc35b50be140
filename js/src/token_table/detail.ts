// One row in full: of each matrix the tokens along it and against it, with their probabilities.
import { h, num, visible } from "../core/dom.js";
import type { View } from "../core/view.js";
import { type Row, share } from "./model.js";

/** Tokens along and against. */
const SHOWN = { "+": 8, "−": 4 } as const;

export class Detail {
  readonly el = h("div", { class: "iw-tt-detail" });

  constructor(
    private readonly view: View,
    private readonly search: (token: string) => void,
  ) {}

  show(row: Row): void {
    const { columns, roles, signs, gated } = this.view.spec as unknown as {
      columns: string[];
      roles: string[];
      signs: string[];
      gated: boolean;
    };
    const matrices = columns.map((column, c) => {
      const lists = signs.map((sign, s) => this.list(row, c, s, sign));
      const does = gated && column === "gate" ? "opens on" : `${roles[c]}s`;
      return h(
        "section",
        { "aria-label": `${column}, ${roles[c]}s` },
        h("h4", {}, column, h("span", { class: "iw-quiet" }, ` ${does}`)),
        ...lists,
      );
    });
    this.el.replaceChildren(
      h("h3", { class: "iw-tt-title" }, row.name),
      h("div", { class: "iw-tt-matrices" }, ...matrices),
    );
  }

  private list(row: Row, c: number, s: number, sign: string): HTMLElement {
    const [, count, k] = row.probability.shape as [number, number, number];
    const from = (c * count + s) * k;
    const probable = this.view.spec.probable as boolean;
    const values = (probable ? row.probability : row.logits).data.slice(from, from + k);
    const top = probable ? 1 : Math.max(1e-9, Math.abs(values[0] as number));
    const entropy = row.entropy.data[c * count + s] as number;
    const lines = (row.tokens[c]?.[s] ?? []).slice(0, SHOWN[sign as "+" | "−"]).map((token, i) => {
      const value = values[i] as number;
      const part = Math.min(1, Math.max(0, value / top));
      return h(
        "li",
        {},
        h(
          "span",
          { class: "iw-tt-cell" },
          h("i", {
            class: sign === "+" ? "iw-plus" : "iw-minus",
            style: { width: `${(part * 100).toFixed(1)}%` },
            "aria-hidden": "true",
          }),
          h(
            "button",
            {
              type: "button",
              class: "iw-tt-token",
              title: `Find every ${this.view.spec.unit_name} with “${visible(token)}”`,
              disabled: !this.view.spec.live,
              onclick: () => this.search(token),
            },
            visible(token),
          ),
        ),
        h("span", { class: "iw-num" }, probable ? share(value) : num(value)),
      );
    });
    const words = sign === "+" ? "along" : "against";
    const spread = Number.isFinite(entropy) ? `${num(entropy)} nats` : "";
    return h(
      "div",
      { class: "iw-tt-side" },
      h(
        "div",
        { class: "iw-tt-sign" },
        h("b", { class: sign === "+" ? "iw-plus" : "iw-minus" }, sign),
        ` ${words}`,
        h("span", { class: "iw-quiet", title: "entropy of the distribution" }, spread),
      ),
      h("ol", {}, ...lines),
    );
  }
}
