// Bars of memory and progress, with their numbers beside them.
import { h } from "../core/dom.js";
import { bytesText, share } from "./format.js";

/** A bar with its words; `role=meter` says how full it is. */
export function meter(label: string, used: number, limit: number): HTMLElement {
  const part = share(used, limit);
  const words = limit > 0 ? `${bytesText(used)} of ${bytesText(limit)}` : bytesText(used);
  const bar = h(
    "span",
    {
      class: "iw-meter",
      role: "meter",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": Math.round(part * 100),
      "aria-valuetext": words,
    },
    h("span", { class: "iw-meter-fill", style: { width: `${(part * 100).toFixed(1)}%` } }),
  );
  return h("span", { class: "iw-meter-row" }, bar, h("span", {}, words));
}

/** Progress of a job; without a total it only says that something runs. */
export function progress(label: string, done: number, total: number): HTMLElement {
  const el = h("progress", { class: "iw-progress", "aria-label": label });
  if (total > 0) {
    el.max = total;
    el.value = done;
  }
  return el;
}
