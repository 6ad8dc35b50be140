// Lines under a view's head, one per slot, and the list of keys.
import { button } from "./controls.js";
import { h } from "./dom.js";

export interface NoteAction {
  label: string;
  call: () => void;
}
export type NoteKind = "info" | "warning" | "error";

export class Notes {
  readonly el = h("div", { class: "iw-notes" });

  /** Shows one line; an empty text takes the line of the slot away. */
  show(text: string, kind: NoteKind = "info", action?: NoteAction, slot = "view"): void {
    this.el.querySelector(`[data-slot="${slot}"]`)?.remove();
    if (!text) return;
    const line = h(
      "div",
      { class: `iw-note iw-note-${kind}`, role: kind === "error" ? "alert" : "status" },
      h("span", {}, text),
      action && button(action.label, action.call),
    );
    line.dataset.slot = slot;
    this.el.append(line);
  }

  /** A line that the reader puts away. */
  tell(text: string): void {
    this.show(text, "info", { label: "OK", call: () => this.show("") });
  }

  /** Text to copy by hand, selected, where the clipboard is closed to us. */
  copyByHand(text: string): void {
    this.el.querySelector(".iw-copy")?.remove();
    const area = h("textarea", { class: "iw-code", rows: 8, readonly: true }, text);
    const line = h(
      "div",
      { class: "iw-copy" },
      h("span", { class: "iw-label" }, "The clipboard is closed here: copy with Ctrl+C."),
      area,
      button("Close", () => line.remove()),
    );
    this.el.append(line);
    area.focus();
    area.select();
  }

  /** Shows the keys, or takes them away. */
  toggleKeys(keys: readonly (readonly [string, string])[]): void {
    const open = this.el.querySelector(".iw-keys");
    if (open) {
      open.remove();
      return;
    }
    const list = h("dl", { class: "iw-keys" });
    for (const [key, what] of keys) {
      list.append(h("dt", {}, h("kbd", {}, key)), h("dd", {}, what));
    }
    this.el.append(list);
  }
}
