// Axis labels: what a cell is called, and which labels there is room for.
import { visible } from "../core/dom.js";

/** A token for an axis: the space that begins a word is dropped, other white space is drawn. */
export function axisLabel(text: string, most = 14): string {
  const bare = /^ [^ ]/.test(text) ? text.slice(1) : text;
  const shown = visible(bare);
  const chars = [...shown];
  return chars.length > most ? `${chars.slice(0, most - 1).join("")}…` : shown;
}

/** Evenly spaced indices between `from` and `to` with at least `gap` pixels between two. */
export function thin(from: number, to: number, pixels: number, gap: number): number[] {
  let step = 1;
  for (const candidate of [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000]) {
    step = candidate;
    if (candidate * pixels >= gap) break;
  }
  const found: number[] = [];
  for (let i = Math.ceil(from / step) * step; i < to; i += step) found.push(i);
  return found;
}

/** Whether the labels say more than their index. */
export function wordy(labels: readonly string[] | undefined): boolean {
  return !!labels?.some((name, i) => name !== String(i));
}

/** What a reader or a screen reader is told of an entry: "position 5 “ store”", "layer 3". */
export function entry(dim: string, index: number, labels: readonly string[] | undefined): string {
  const name = labels?.[index];
  if (name === undefined || name === String(index)) return `${dim} ${index}`;
  if (dim === "layer") return `layer ${name}`;
  return `${dim} ${index} “${visible(name)}”`;
}
