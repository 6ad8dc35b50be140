// The controls above the attention view.

import { segmented, select, toggle } from "../core/controls.js";
import type { View } from "../core/view.js";
import { ORDERS } from "./heads.js";
import type { Shape } from "./shape.js";

export const KEYS = [
  ["← → ↑ ↓", "move between heads, cells, patches or tokens"],
  ["Enter", "open the head; pin the token and show q · k of the cell"],
  ["Shift + Enter", "show the head beside the open one (also Shift + click)"],
  ["Space", "ablate the head, or restore it"],
  ["+ − 0", "zoom the matrix in, out, to all"],
  ["Shift + ← → ↑ ↓", "move the zoomed matrix"],
  ["Ctrl + wheel", "zoom at the pointer; drag to pan"],
] as const;

/** Fills the toolbar; what a result cannot do is not offered. */
export function addControls(view: View, shape: Shape, compare: (what: string) => void): void {
  const names: Record<string, string> = { ...ORDERS, given: shape.given?.name ?? "" };
  const known = (key: string): boolean =>
    key === "layer" ||
    key === "effect" ||
    (key === "given" ? !!shape.given : key in view.spec.scores);
  const orders = Object.entries(names).filter(([key]) => known(key));
  const sort = select("Sort", orders, view.state.sort ?? "layer", (v) => {
    view.update({ sort: v });
    view.say(`Heads sorted by ${names[v]}`);
  });
  const drawings: [string, string][] = [
    ["matrix", "Matrix"],
    ["lines", "Lines"],
    ["picture", "Image"],
  ];
  const drawing = segmented(
    "Draw as",
    drawings.filter(([key]) => key !== "picture" || shape.patches),
    view.state.drawing ?? "matrix",
    (v) => view.update({ drawing: v }),
  );
  const scale = select(
    "Scale",
    [
      ["linear", "linear"],
      ["sqrt", "square root"],
      ["log", "logarithmic"],
    ],
    view.state.scale ?? "linear",
    (v) => view.update({ scale: v }),
  );
  const weigh = select(
    "Weight",
    [
      ["attention", "attention"],
      ["value", "attention × ‖v W_O‖"],
    ],
    view.state.weigh ?? "attention",
    (v) => view.update({ weigh: v }),
  );
  const beside = select(
    "Compare",
    [
      ["none", "nothing"],
      ["head", "another head"],
      ...(shape.against ? ([["prompt", "other prompt"]] as const) : []),
    ],
    view.state.compare ?? "none",
    compare,
  );
  const pool = select(
    "Pool",
    [
      ["max", "largest"],
      ["mean", "mean"],
    ],
    view.state.pool ?? "max",
    (v) => view.update({ pool: v }),
  );
  view.toolbar.append(sort.el, drawing.el, scale.el);
  if (shape.by_value) view.toolbar.append(weigh.el);
  const contrast = toggle("Subtract", !!view.state.contrast, (on) => view.update({ contrast: on }));
  const offer = (): void => {
    const { compare, drawing: drawn } = view.state;
    const { against, queries, keys } = view.spec as unknown as Shape;
    const alike = !against || (against.queries === queries && against.keys === keys);
    const el = contrast.el as HTMLButtonElement;
    el.hidden = (compare ?? "none") === "none" || drawn === "picture";
    el.disabled = compare === "prompt" && !alike;
    el.title = el.disabled
      ? `The prompts have ${keys} and ${against?.keys} tokens; a difference needs one length`
      : "Show the first minus the second too";
  };
  view.toolbar.append(beside.el, contrast.el);
  if (shape.thumb.pool > 1) view.toolbar.append(pool.el);
  view.onState(() => {
    const { state } = view;
    sort.set(state.sort);
    drawing.set(state.drawing);
    scale.set(state.scale);
    weigh.set(state.weigh);
    beside.set(state.compare);
    contrast.set(!!state.contrast);
    offer();
    pool.set(state.pool);
  });
  const effect = sort.el.querySelector<HTMLOptionElement>('option[value="effect"]');
  const allow = (): void => {
    if (effect) effect.disabled = !view.spec.changed;
  };
  view.onSpec(allow);
  view.onSpec(offer);
  allow();
  offer();
}
