// The interventions as an ordered list: switch, strength, order, duplicate, remove.
import { button } from "../core/controls.js";
import { h } from "../core/dom.js";
import { moved } from "./format.js";

export interface Item {
  id: number;
  kind: string;
  where: string;
  how: string;
  text: string;
  on: boolean;
  strength: number | null;
}

export type Act = (name: string, payload: Record<string, unknown>, said: string) => void;

/** Where the focus was before the list was drawn anew: the item and its control. */
interface Held {
  id: number;
  control: string;
}

export class InterventionList {
  readonly el = h("ol", { class: "iw-items", "aria-label": "Interventions, in order" });
  private items: readonly Item[] = [];

  constructor(
    private readonly act: Act,
    private readonly live: () => boolean,
  ) {}

  show(items: readonly Item[]): void {
    const held = this.held();
    const typing = this.el.querySelector("input[type=number]:focus, input[type=range]:active");
    if (typing && sameShape(items, this.items)) return;
    this.items = items;
    this.el.replaceChildren(...items.map((item, i) => this.row(item, i)));
    this.el.hidden = items.length === 0;
    if (held) {
      const row = this.el.querySelector(`[data-id="${held.id}"]`) ?? this.el.lastElementChild;
      const control = row?.querySelector<HTMLElement>(`[data-control="${held.control}"]`);
      (control?.matches(":disabled") ? row?.querySelector<HTMLElement>("input") : control)?.focus();
    }
  }

  private held(): Held | undefined {
    const at = document.activeElement as HTMLElement | null;
    const row = at && this.el.contains(at) ? at.closest<HTMLElement>("[data-id]") : null;
    if (!row) return undefined;
    return { id: Number(row.dataset.id), control: at?.dataset.control ?? "" };
  }

  private row(item: Item, index: number): HTMLElement {
    const live = this.live();
    const { id, text } = item;
    const box = h("input", {
      type: "checkbox",
      role: "switch",
      class: "iw-switch",
      "aria-label": `${text}, applied`,
    });
    box.checked = item.on;
    box.disabled = !live;
    box.dataset.control = "switch";
    box.addEventListener("change", () =>
      this.act("switch", { id, on: box.checked }, `${text} ${box.checked ? "on" : "off"}`),
    );
    const row = h(
      "li",
      { class: `iw-item${item.on ? "" : " iw-off"}` },
      box,
      h(
        "span",
        { class: "iw-item-text" },
        h("span", { class: "iw-item-kind" }, item.kind),
        " ",
        h("strong", {}, item.where),
        " ",
        h("span", { class: "iw-item-how" }, item.how),
      ),
    );
    row.dataset.id = String(id);
    if (!live) return row;
    if (item.strength !== null) row.append(this.strength(item));
    const tool = (
      label: string,
      icon: string,
      name: string,
      disabled: boolean,
      call: () => void,
    ) => {
      const el = button(`${label}: ${text}`, call, { icon, title: label });
      el.disabled = disabled;
      el.dataset.control = name;
      return el;
    };
    const move = (by: -1 | 1) => {
      const to = moved(index, by, this.items.length);
      if (to >= 0) this.act("move", { id, to }, `${text} moved to place ${to + 1}`);
    };
    row.append(
      h(
        "span",
        { class: "iw-item-tools" },
        tool("Move up", "↑", "up", index === 0, () => move(-1)),
        tool("Move down", "↓", "down", index === this.items.length - 1, () => move(1)),
        tool("Duplicate", "+", "copy", false, () =>
          this.act("duplicate", { id }, `${text} duplicated`),
        ),
        tool("Remove", "×", "remove", false, () => this.act("remove", { id }, `${text} removed`)),
      ),
    );
    row.addEventListener("keydown", (event) => {
      if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
      event.preventDefault();
      event.stopPropagation();
      move(event.key === "ArrowUp" ? -1 : 1);
    });
    return row;
  }

  private strength(item: Item): HTMLElement {
    const value = item.strength ?? 0;
    const reach = Math.max(2, Math.ceil(Math.abs(value) * 2));
    const bar = h("input", {
      type: "range",
      class: "iw-slider",
      min: -reach,
      max: reach,
      step: reach / 100,
      "aria-label": `Strength of ${item.text}`,
    });
    const input = h("input", {
      type: "number",
      class: "iw-number",
      step: "any",
      "aria-label": `Strength of ${item.text}, number`,
    });
    bar.value = input.value = String(Number(value.toPrecision(6)));
    bar.dataset.control = "bar";
    input.dataset.control = "number";
    bar.addEventListener("input", () => (input.value = bar.value));
    const send = (raw: string) => {
      const next = Number(raw);
      if (raw.trim() !== "" && Number.isFinite(next)) {
        this.act("strength", { id: item.id, value: next }, `${item.kind} ${item.where} ${next}`);
      } else input.value = String(value);
    };
    bar.addEventListener("change", () => send(bar.value));
    input.addEventListener("change", () => send(input.value));
    return h("span", { class: "iw-item-strength" }, bar, input);
  }
}

const sameShape = (a: readonly Item[], b: readonly Item[]): boolean =>
  a.length === b.length && a.every((item, i) => item.id === b[i]?.id);
