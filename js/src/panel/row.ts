// One intervention of the list: grip, switch, words, strength, tools. Updated in place, so that the
// focus, a pointer on the slider and a half-typed number survive news from the session.
import { button, takeOnEnter } from "../core/controls.js";
import { h } from "../core/dom.js";
import { glyph } from "./glyphs.js";

export interface Item {
  id: number;
  kind: string;
  where: string;
  how: string;
  text: string;
  label: string;
  on: boolean;
  strength: number | null;
}

export type Act = (name: string, payload: Record<string, unknown>) => void;

export interface RowActions {
  act: Act;
  /** Moves the row by one place up or down. */
  move(id: number, by: -1 | 1): void;
  /** The pointer took the row by its grip. */
  grip(id: number, event: PointerEvent): void;
}

/** Milliseconds between two strengths that a drag of the slider sends. */
const PACE = 120;

export class ItemRow {
  readonly el = h("li", { class: "iw-item" });
  private item: Item;
  private readonly box = h("input", { type: "checkbox", role: "switch", class: "iw-switch" });
  private readonly kind = h("span", { class: "iw-item-kind" });
  private readonly where = h("strong", {});
  private readonly how = h("span", { class: "iw-item-how" });
  private readonly name = h("span", { class: "iw-item-label" });
  private readonly naming = h("input", {
    type: "text",
    class: "iw-number iw-item-naming",
    maxlength: 80,
    "aria-label": "Name",
    placeholder: "name",
  });
  private readonly bar = h("input", { type: "range", class: "iw-slider" });
  private readonly number = h("input", { type: "number", class: "iw-number", step: "any" });
  private readonly buttons: Record<string, HTMLButtonElement> = {};
  private reach = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    item: Item,
    private readonly actions: RowActions,
    live: boolean,
    signal: AbortSignal,
  ) {
    this.item = item;
    this.el.dataset.id = String(item.id);
    this.naming.hidden = true;
    const words = h(
      "span",
      { class: "iw-item-text" },
      this.kind,
      " ",
      this.where,
      " ",
      this.how,
      " ",
      this.name,
      this.naming,
    );
    this.box.disabled = !live;
    this.box.addEventListener("change", () => this.act("switch", { on: this.box.checked }));
    signal.addEventListener("abort", () => clearTimeout(this.timer));
    if (!live) {
      this.el.append(this.box, words);
      return;
    }
    const grip = h("span", { class: "iw-grip", title: "Drag to another place" }, glyph("grip"));
    grip.addEventListener("pointerdown", (event) => actions.grip(this.item.id, event));
    this.el.append(grip, this.box, words);
    if (item.strength !== null) this.el.append(this.strength());
    this.el.append(
      h(
        "span",
        { class: "iw-item-tools" },
        this.tool("up", "Move up", () => actions.move(this.item.id, -1)),
        this.tool("down", "Move down", () => actions.move(this.item.id, 1)),
        this.tool("rename", "Name", () => this.startNaming()),
        this.tool("copy", "Duplicate", () => this.act("duplicate")),
        this.tool("remove", "Remove", () => this.act("remove")),
      ),
    );
    this.listenNaming();
    this.el.addEventListener("keydown", (event) => this.key(event));
  }

  update(item: Item, index: number, count: number): void {
    this.item = item;
    this.el.classList.toggle("iw-off", !item.on);
    this.box.checked = item.on;
    this.box.setAttribute("aria-label", `${item.text}, applied`);
    this.kind.textContent = item.kind;
    this.where.textContent = item.where;
    this.how.textContent = item.how;
    this.name.textContent = item.label;
    this.name.hidden = !item.label || !this.naming.hidden;
    for (const [name, el] of Object.entries(this.buttons)) {
      el.setAttribute("aria-label", `${el.title}: ${item.text}`);
      el.disabled = (name === "up" && index === 0) || (name === "down" && index === count - 1);
    }
    this.showStrength();
  }

  private act(name: string, payload: Record<string, unknown> = {}): void {
    this.actions.act(name, { id: this.item.id, ...payload });
  }

  private tool(name: string, label: string, call: () => void): HTMLButtonElement {
    const el = button(label, call, { title: label, class: "iw-icon" });
    el.replaceChildren(glyph(name as "up"));
    el.dataset.control = name;
    this.buttons[name] = el;
    return el;
  }

  private key(event: KeyboardEvent): void {
    const by = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
    if (event.altKey && by) this.actions.move(this.item.id, by as -1 | 1);
    else if (event.key === "Delete" && event.target === this.box) this.act("remove");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The name.

  private startNaming(): void {
    this.naming.value = this.item.label;
    this.naming.hidden = false;
    this.name.hidden = true;
    this.naming.focus();
    this.naming.select();
  }

  private listenNaming(): void {
    const end = (keep: boolean) => {
      if (this.naming.hidden) return;
      this.naming.hidden = true;
      const label = this.naming.value.trim();
      this.name.hidden = !this.item.label;
      if (keep && label !== this.item.label) this.act("rename", { label });
    };
    this.naming.addEventListener("blur", () => end(true));
    this.naming.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      end(event.key === "Enter");
      this.buttons.rename?.focus();
    });
  }

  // The strength.

  private strength(): HTMLElement {
    this.bar.dataset.control = "bar";
    this.number.dataset.control = "number";
    this.bar.addEventListener("input", () => {
      this.number.value = this.bar.value;
      this.timer ??= setTimeout(() => {
        this.timer = undefined;
        this.send(this.bar.value);
      }, PACE);
    });
    this.bar.addEventListener("change", () => {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.send(this.bar.value);
    });
    this.number.addEventListener("change", () => this.send(this.number.value));
    takeOnEnter(this.number);
    return h("span", { class: "iw-item-strength" }, this.bar, this.number);
  }

  private send(raw: string): void {
    const value = Number(raw);
    if (raw.trim() === "" || !Number.isFinite(value)) this.showStrength();
    else if (value !== this.item.strength) this.act("strength", { value });
  }

  private showStrength(): void {
    const { strength, text } = this.item;
    if (strength === null) return;
    this.bar.setAttribute("aria-label", `Strength of ${text}`);
    this.number.setAttribute("aria-label", `Strength of ${text}, number`);
    if (this.timer || this.bar.matches(":active")) return;
    if (Math.abs(strength) > this.reach || !this.reach) {
      this.reach = niceReach(Math.abs(strength));
      this.bar.min = String(-this.reach);
      this.bar.max = String(this.reach);
      this.bar.step = String(this.reach / 200);
    }
    const shown = String(Number(strength.toPrecision(4)));
    this.bar.value = shown;
    this.bar.setAttribute("aria-valuetext", shown);
    if (!this.number.matches(":focus")) this.number.value = shown;
  }
}

/** How far the slider goes: twice the value, to the next of 2, 5, 10, 20, 50 … */
export function niceReach(value: number): number {
  const wanted = Math.max(2, value * 2);
  const unit = 10 ** Math.floor(Math.log10(wanted));
  return unit * ([1, 2, 5, 10].find((m) => m * unit >= wanted * 0.999) ?? 10);
}
