// The questions as rows of chips; each row is one stop of the Tab key, arrows go along it.
import { h } from "../core/dom.js";
import type { Answers, Facets } from "./choose.js";

const WORDS: Record<string, string> = { causal_nature: "causal nature", units: "unit" };

export class Chips {
  readonly el = h("div", { class: "iw-facets" });
  private readonly chips: { facet: string; answer: string; el: HTMLButtonElement }[] = [];

  constructor(
    facets: Facets,
    private readonly toggle: (facet: string, answer: string) => void,
  ) {
    for (const [facet, answers] of Object.entries(facets)) {
      const name = WORDS[facet] ?? facet;
      const row = h("div", { class: "iw-facet", role: "group", "aria-label": name });
      row.append(h("span", { class: "iw-label", "aria-hidden": "true" }, name));
      for (const answer of answers) row.append(this.chip(facet, answer));
      row.addEventListener("keydown", (event) => this.key(event, row));
      this.el.append(row);
    }
  }

  private chip(facet: string, answer: string): HTMLElement {
    const el = h("button", {
      type: "button",
      class: "iw-button iw-chip",
      onclick: () => this.toggle(facet, answer),
    });
    this.chips.push({ facet, answer, el });
    return el;
  }

  show(answers: Answers, counts: Record<string, Record<string, number>>): void {
    for (const { facet, answer, el } of this.chips) {
      const on = answers[facet]?.includes(answer) ?? false;
      const count = counts[facet]?.[answer] ?? 0;
      el.setAttribute("aria-pressed", String(on));
      el.disabled = count === 0 && !on;
      el.replaceChildren(answer, h("small", {}, String(count)));
    }
    for (const row of this.el.children) this.rove(row);
  }

  /** One chip of a row takes the focus: the one that has it, else the first that can. */
  private rove(row: Element, to?: HTMLButtonElement): void {
    const all = [...row.querySelectorAll<HTMLButtonElement>(".iw-chip")];
    const able = all.filter((el) => !el.disabled);
    const stop = to ?? able.find((el) => el.tabIndex === 0 && el.matches(":focus")) ?? able[0];
    for (const el of all) el.tabIndex = el === stop ? 0 : -1;
  }

  private key(event: KeyboardEvent, row: HTMLElement): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const able = [...row.querySelectorAll<HTMLButtonElement>(".iw-chip:not(:disabled)")];
    const at = able.indexOf(event.target as HTMLButtonElement);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step === undefined ? undefined : able[at + step];
    if (at < 0 || !next) return;
    this.rove(row, next);
    next.focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
