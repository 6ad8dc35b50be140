// Labelled controls, all native inputs, 24 px high at least. Each takes its handler last and
// returns { el, set(value) }; set() moves the control without calling the handler.
//
//   select("Colour", [["p", "probability"], ["h", "entropy"]], "p", (key) => …)
//   stepper("Layer", 12, 3, (i) => …, { labels })      slider("Edges", 1, 500, 20, (n) => …)
//   segmented("Show", [["current", "Now"], …], "current", (key) => …)
//   button("Undo", () => …, { icon: "undo" })  (icons.ts)                  toggle("Values", true, (on) => …)
import { h, uid } from "./dom.js";
import { icon, isIcon } from "./icons.js";

export interface Control<T> {
  el: HTMLElement;
  set(value: T): void;
}

export function button(
  label: string,
  call: () => void,
  options: { title?: string; primary?: boolean; icon?: string; class?: string } = {},
): HTMLButtonElement {
  return h(
    "button",
    {
      type: "button",
      class: `iw-button${options.icon ? " iw-icon" : ""} ${options.class ?? ""}`.trim(),
      title: options.title ?? (options.icon ? label : undefined),
      "aria-label": options.icon ? label : undefined,
      onclick: call,
    },
    options.icon ? (isIcon(options.icon) ? icon(options.icon) : options.icon) : label,
  );
}

export function toggle(label: string, on: boolean, call: (on: boolean) => void): Control<boolean> {
  let state = on;
  const el = button(label, () => {
    set(!state);
    call(state);
  });
  const set = (value: boolean) => {
    state = value;
    el.setAttribute("aria-pressed", String(value));
  };
  set(on);
  return { el, set };
}

export function select<K extends string>(
  label: string,
  options: readonly (readonly [K, string])[],
  value: K,
  call: (value: K) => void,
): Control<K> {
  const input = h("select", { class: "iw-select" });
  for (const [key, text] of options) input.append(h("option", { value: key }, text));
  input.value = value;
  input.addEventListener("change", () => call(input.value as K));
  return { el: field(label, input), set: (v) => (input.value = v) };
}

export function segmented<K extends string>(
  label: string,
  options: readonly (readonly [K, string])[],
  value: K,
  call: (value: K) => void,
): Control<K> {
  const name = uid("iw-seg");
  const inputs = new Map<K, HTMLInputElement>();
  const el = h("div", { class: "iw-segmented", role: "radiogroup", "aria-label": label });
  for (const [key, text] of options) {
    const input = h("input", { type: "radio", name, value: key, class: "iw-sr" });
    input.checked = key === value;
    input.addEventListener("change", () => call(key));
    inputs.set(key, input);
    el.append(h("label", {}, input, h("span", {}, text)));
  }
  return {
    el,
    set: (v) => {
      const input = inputs.get(v);
      if (input) input.checked = true;
    },
  };
}

/** The three ways to look at a changed result; hidden by the caller while nothing is changed. */
export function modes(value: Mode, call: (mode: Mode) => void): Control<Mode> {
  return segmented<Mode>(
    "Show",
    [
      ["base", "Base"],
      ["current", "Current"],
      ["difference", "Difference"],
    ],
    value,
    call,
  );
}
export type Mode = "base" | "current" | "difference";

export function stepper(
  label: string,
  size: number,
  value: number,
  call: (index: number) => void,
  options: { labels?: readonly string[] | undefined } = {},
): Control<number> & { resize(size: number, labels?: readonly string[]): void } {
  let at = value;
  let count = size;
  let labels = options.labels;
  const input = h("input", {
    type: "number",
    class: "iw-number",
    min: 0,
    max: size - 1,
    value,
    "aria-label": label,
  });
  const text = h("span", { class: "iw-stepper-label" });
  const go = (to: number) => {
    const next = Math.min(count - 1, Math.max(0, Math.round(to)));
    const moved = next !== at;
    set(next);
    if (moved) call(next);
  };
  const down = button(`Previous ${label}`, () => go(at - 1), { icon: "previous" });
  const up = button(`Next ${label}`, () => go(at + 1), { icon: "next" });
  const set = (to: number) => {
    at = to;
    input.value = String(to);
    text.textContent = labels && labels[to] !== String(to) ? (labels[to] ?? "") : `of ${count}`;
    down.disabled = at <= 0;
    up.disabled = at >= count - 1;
  };
  input.addEventListener("change", () => go(Number(input.value) || 0));
  takeOnEnter(input);
  set(value);
  return {
    el: h(
      "div",
      { class: "iw-field iw-stepper", role: "group", "aria-label": label },
      h("span", { class: "iw-label", "aria-hidden": "true" }, label),
      down,
      input,
      up,
      text,
    ),
    set,
    resize: (to, names) => {
      count = to;
      labels = names;
      input.max = String(to - 1);
      set(Math.min(at, to - 1));
    },
  };
}

/** Enter takes what was typed; JupyterLab keeps the browser from doing so by itself. */
export function takeOnEnter(input: HTMLInputElement): void {
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    input.dispatchEvent(new Event("change"));
  });
}

/** A slider with the number beside it, to type where dragging is hard. */
export function slider(
  label: string,
  min: number,
  max: number,
  value: number,
  call: (value: number) => void,
  options: { step?: number; log?: boolean } = {},
): Control<number> {
  const step = options.step ?? 1;
  const toBar = (v: number) => (options.log ? Math.log(Math.max(v, step)) : v);
  const bar = h("input", {
    type: "range",
    class: "iw-slider",
    min: toBar(min),
    max: toBar(max),
    step: options.log ? "any" : step,
    "aria-label": label,
  });
  const input = h("input", {
    type: "number",
    class: "iw-number",
    min,
    max,
    step,
    "aria-label": `${label}, number`,
  });
  const set = (v: number) => {
    bar.value = String(toBar(v));
    bar.setAttribute("aria-valuetext", String(v));
    input.value = String(v);
  };
  const take = (raw: number) => {
    const v = Math.min(max, Math.max(min, Math.round(raw / step) * step));
    const exact = Number(v.toPrecision(12));
    set(exact);
    call(exact);
  };
  bar.addEventListener("input", () =>
    take(options.log ? Math.exp(Number(bar.value)) : Number(bar.value)),
  );
  input.addEventListener("change", () => take(Number(input.value)));
  takeOnEnter(input);
  set(value);
  return {
    el: h("div", { class: "iw-field" }, h("span", { class: "iw-label" }, label), bar, input),
    set,
  };
}

function field(label: string, input: HTMLElement): HTMLElement {
  return h("label", { class: "iw-field" }, h("span", { class: "iw-label" }, label), input);
}
