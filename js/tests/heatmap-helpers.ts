// The heatmap view in a page of 600 pixels, on a fake model.
import type { HeatmapSpec } from "../src/heatmap/model.js";
import view from "../src/views/heatmap.js";
import { FakeModel, SPEC, view32 } from "./fake-model.js";

export const Z: HeatmapSpec = {
  ...SPEC,
  cells: "number",
  dims: ["layer", "head", "position"],
  sizes: { layer: 3, head: 2, position: 5 },
  labels: { layer: ["4", "5", "6"], position: [" a", " b", " c", " d", "<script>"] },
  numbers: { layer: [4, 5, 6] },
  quantity: "effect",
  selects: { layer: "layer", head: "head", position: "token" },
  targets: [{ label: "head", fixed: { site: "z" }, fields: { layer: "layer", head: "head" } }],
  flip: false,
};

const RANGE = { low: -2, high: 1, trim_low: -1, trim_high: 1, nan: 2, inf: 0, signed: true };
const STATE = { rows: "head", cols: "position", at: { layer: 0 }, scale: "slice", pool: "max" };

type Answer = (name: string, payload: any) => any;

/** Two heads by five positions: 0 1 2 3 4, −5 NaN 7 8 9. */
export const small: Answer = (name) => {
  if (name === "brush") throw new Error("no answer for brush");
  const values = { $buffer: 0, dtype: "float32", shape: [2, 5] };
  const buffer = view32(0, 1, 2, 3, 4, -5, Number.NaN, 7, 8, 9);
  return name === "tile" ? { values, range: RANGE, $buffers: [buffer] } : {};
};

/** Makes elements that are observed 600 × 300 pixels large at once. */
export function sized(call: () => void): void {
  const before = globalThis.ResizeObserver;
  globalThis.ResizeObserver = class {
    constructor(private call: ResizeObserverCallback) {}
    observe() {
      const contentRect = { width: 600, height: 300 } as DOMRectReadOnly;
      this.call([{ contentRect } as ResizeObserverEntry], this as unknown as ResizeObserver);
    }
    unobserve() {}
    disconnect() {}
  } as unknown as typeof ResizeObserver;
  call();
  globalThis.ResizeObserver = before;
}

export function show(options: { spec?: object; state?: object; answer?: Answer | null } = {}) {
  const { spec = {}, state = {}, answer = small } = options;
  const model = new FakeModel({
    spec: { ...Z, live: true, ...spec },
    state: { ...STATE, ...state },
    status: { phase: "live" },
  });
  if (answer) model.handler = answer;
  const el = document.createElement("div");
  document.body.replaceChildren(el);
  const life = new AbortController();
  sized(() => view.render({ model, el, signal: life.signal }));
  const cell = () => el.querySelector<HTMLElement>("[role=gridcell]")!;
  const press = (key: string, more: KeyboardEventInit = {}) => {
    const init = { key, bubbles: true, cancelable: true, ...more };
    return cell().dispatchEvent(new KeyboardEvent("keydown", init));
  };
  const tiles = () => model.sent.filter((m) => m.name === "tile").map((m) => m.payload);
  return { model, el, life, cell, press, tiles };
}
