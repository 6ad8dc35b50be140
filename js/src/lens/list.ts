// The list of a cell's best tokens; each is a button that pins it.
import { h, visible } from "../core/dom.js";
import type { Pins } from "./pins.js";
import { percent, type Ranked } from "./words.js";

export function rankedList(
  title: string,
  items: readonly Ranked[],
  pins: Pins,
  actions: readonly HTMLElement[],
): HTMLElement {
  const list = h("ol", { class: "iw-ranked" });
  for (const { id, token, p } of items) {
    const bar = h("span", { class: "iw-ranked-bar" });
    bar.style.width = `${Math.max(0.5, Math.min(100, 100 * p))}%`;
    const group = pins.groupOf(id);
    const button = h(
      "button",
      {
        type: "button",
        class: "iw-ranked-row",
        "aria-pressed": String(group >= 0),
        title: group >= 0 ? "Unpin" : "Pin: follow it (Shift: add it to the last pin)",
        onclick: (event: MouseEvent) => pins.toggle([[id, token]], event.shiftKey),
      },
      h("span", { class: "iw-ranked-token", dir: "auto" }, visible(token)),
      h("span", { class: "iw-ranked-track", "aria-hidden": "true" }, bar),
      h("span", { class: "iw-ranked-p" }, percent(p)),
    );
    list.append(h("li", {}, button));
  }
  return h(
    "section",
    { class: "iw-ranked-pane", "aria-label": "Best tokens" },
    h("div", { class: "iw-lens-head" }, h("span", { class: "iw-label" }, title), ...actions),
    list,
  );
}
