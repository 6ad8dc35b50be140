// The lens: the best tokens of each cell, and their list.
import { h, visible } from "../core/dom.js";
import type { NdArray } from "../core/wire.js";
import { axisLabel } from "../heatmap/labels.js";

export interface LensTile {
  ids: NdArray;
  probs: NdArray;
  strings: Record<string, string>;
}

export type Ranked = [token: string, probability: number];

export function ranked(tile: LensTile, row: number, col: number): Ranked[] {
  const [, cols = 1, k = 1] = tile.ids.shape;
  const start = (row * cols + col) * k;
  return Array.from({ length: k }, (_, i): Ranked => {
    const id = tile.ids.data[start + i] as number;
    return [tile.strings[String(id)] ?? `#${id}`, tile.probs.data[start + i] as number];
  });
}

export function topWord(tile: LensTile, row: number, col: number): string {
  return axisLabel(ranked(tile, row, col)[0]?.[0] ?? "", 18);
}

/** The list of the best tokens with a bar for each probability. */
export function rankedList(title: string, items: readonly Ranked[]): HTMLElement {
  const list = h("ol", { class: "iw-ranked" });
  for (const [token, p] of items) {
    const bar = h("span", { class: "iw-ranked-bar" });
    bar.style.width = `${Math.max(0.5, Math.min(100, 100 * p))}%`;
    list.append(
      h(
        "li",
        {},
        h("span", { class: "iw-ranked-token" }, visible(token)),
        h("span", { class: "iw-ranked-track", "aria-hidden": "true" }, bar),
        h("span", { class: "iw-ranked-p" }, percent(p)),
      ),
    );
  }
  return h("div", { class: "iw-ranked-pane" }, h("div", { class: "iw-label" }, title), list);
}

export function percent(p: number): string {
  if (!Number.isFinite(p)) return "NaN";
  if (p > 0 && p < 0.001) return "<0.1 %";
  return `${(100 * p).toFixed(1)} %`;
}
