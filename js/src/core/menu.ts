// A view's menu: the few actions that are always there as icons, the rest behind "More".
//
//   menu.icon("Full screen", "full", () => …);
//   menu.more({ label: "Copy as code", call: () => … });
//   menu.more({ label: "Unlink selection", checked: () => !linked, call: … , hidden: () => … });
//
// "More" is a role=menu: arrows, Home, End and first letters move, Escape and Tab close.
import { button } from "./controls.js";
import { h } from "./dom.js";
import { Popup } from "./popup.js";

export interface MenuItem {
  label: string;
  call: () => void;
  /** Makes the item a checkbox. */
  checked?: () => boolean;
  hidden?: () => boolean;
}

export class Menu {
  readonly el = h("div", { class: "iw-menu", role: "toolbar", "aria-label": "View" });
  private readonly items: MenuItem[] = [];
  private readonly list = h("div", { class: "iw-more", role: "menu", "aria-label": "More" });
  private readonly popup: Popup;
  private readonly button: HTMLButtonElement;

  constructor(signal: AbortSignal) {
    this.button = button("More", () => this.toggle(), { icon: "more" });
    this.button.setAttribute("aria-haspopup", "menu");
    this.popup = new Popup(this.list, this.button, signal);
    this.list.addEventListener("keydown", (event) => this.onKey(event), { signal });
    this.button.addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "ArrowDown" || this.popup.open) return;
        event.preventDefault();
        this.toggle();
      },
      { signal },
    );
    this.el.append(h("div", { class: "iw-popup-place" }, this.button, this.list));
  }

  /** An action that is always in sight; returns its button. */
  icon(label: string, name: string, call: () => void, title = label): HTMLButtonElement {
    const made = button(label, call, { icon: name, title });
    this.el.lastElementChild?.before(made);
    return made;
  }

  /** Puts an element with a popup of its own before "More". */
  place(el: HTMLElement): void {
    this.el.lastElementChild?.before(el);
  }

  more(item: MenuItem): void {
    this.items.push(item);
  }

  private toggle(): void {
    if (this.popup.open) {
      this.popup.close();
      return;
    }
    const rows = this.items.filter((item) => !item.hidden?.()).map((item) => this.row(item));
    this.list.replaceChildren(...rows);
    this.popup.show();
    rows[0]?.focus();
  }

  private row({ label, call, checked }: MenuItem): HTMLElement {
    const run = () => {
      this.popup.close();
      call();
    };
    const role = checked ? "menuitemcheckbox" : "menuitem";
    const row = h("button", { type: "button", role, tabindex: -1, class: "iw-more-item" }, label);
    if (checked) row.setAttribute("aria-checked", String(checked()));
    row.addEventListener("click", run);
    return row;
  }

  private onKey(event: KeyboardEvent): void {
    const rows = [...this.list.children] as HTMLElement[];
    const at = rows.indexOf(event.target as HTMLElement);
    const to = (i: number) => rows[(i + rows.length) % rows.length]?.focus();
    if (event.key === "ArrowDown") to(at + 1);
    else if (event.key === "ArrowUp") to(at - 1);
    else if (event.key === "Home") to(0);
    else if (event.key === "End") to(-1);
    else if (event.key.length === 1 && event.key !== " ") {
      const letter = event.key.toLowerCase();
      const order = [...rows.slice(at + 1), ...rows.slice(0, at + 1)];
      order.find((row) => row.textContent?.toLowerCase().startsWith(letter))?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
