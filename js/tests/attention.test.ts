import { afterEach, describe, expect, it, vi } from "vitest";
import attention from "../src/views/attention.js";
import { FakeModel, SPEC, settle } from "./fake-model.js";

// One layer of two heads over three tokens; patterns as Python's on_tile gives them.
const TOKENS = ["The", " cat", " sat"];
const PATTERNS = [
  [1, 0, 0, 0.25, 0.75, 0, 0.5, 0.25, 0.25],
  [1, 0, 0, 0.5, 0.5, 0, 0, 1, 0],
];

function float32(values: readonly number[]): DataView {
  return new DataView(Float32Array.from(values).buffer);
}

function spec(extra: Record<string, unknown> = {}) {
  return {
    ...SPEC,
    kind: "attention",
    layers: [0],
    heads: 2,
    queries: 3,
    keys: 3,
    tokens: TOKENS,
    masks: [{ causal: true, window: null }],
    thumb: { cells: 3, pool: 1, lazy: false, sampled: false },
    query_tokens: null,
    site: "z",
    against: null,
    given: null,
    by_value: true,
    products: true,
    patches: null,
    sample_from: null,
    quick_scores: true,
    source: "recomputed from q and k",
    scores: { induction: "", entropy: "" },
    can_ablate: true,
    interventions: [],
    changed: false,
    first: {},
    buffers: [],
    ...extra,
  };
}

async function show(extra: Record<string, unknown> = {}, state: Record<string, unknown> = {}) {
  const model = new FakeModel({
    spec: spec(extra),
    state: { layer: 0, head: 0, sort: "layer", drawing: "matrix", side: "query", ...state },
    status: { phase: "live" },
  });
  const el = document.createElement("div");
  document.body.append(el);
  const life = new AbortController();
  attention.render({ model, el, signal: life.signal });
  await answer(model);
  return { model, el, life };
}

/** Plays Python: answers every open request until there is none. */
async function answer(model: FakeModel) {
  for (let round = 0; round < 6; round++) {
    await settle();
    for (const message of model.sent.splice(0) as any[]) {
      seen.push(message);
      if (message.kind !== "request") continue;
      const { name, payload } = message;
      const values = (data: readonly number[], shape: number[]) => ({
        payload: { values: { $buffer: 0, dtype: "float32", shape } },
        buffers: [float32(data)],
      });
      const found =
        name === "tile" && payload.of === "contrast"
          ? values(
              PATTERNS[0]!.map((v, i) => v - PATTERNS[1]![i]!),
              [3, 3],
            )
          : name === "tile"
            ? values(PATTERNS[payload.head]!, [3, 3])
            : name === "overview"
              ? values(PATTERNS.flat().map(Math.sqrt), [2, 3, 3])
              : name === "scores"
                ? {
                    payload: { scores: { entropy: { $buffer: 0, dtype: "float32", shape: [2] } } },
                    buffers: [float32([0.9, 0.1])],
                  }
                : { payload: {}, buffers: [] };
      model.emit(
        "msg:custom",
        { kind: "response", id: message.id, ok: true, payload: found.payload },
        found.buffers,
      );
    }
  }
}
let seen: any[] = [];

afterEach(() => {
  seen = [];
  document.body.replaceChildren();
});

const press = (el: Element, key: string) =>
  el.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));

describe("the attention view", () => {
  it("shows every head, names the open one and says where the weights come from", async () => {
    const { el } = await show();
    expect(el.querySelectorAll(".iw-att-head")).toHaveLength(2);
    expect(el.querySelector(".iw-att-title")!.textContent).toContain("Head 0.0");
    expect(el.textContent).toContain("recomputed from q and k");
    expect(el.querySelector('[role="gridcell"][data-id="0"]')!.getAttribute("aria-selected")).toBe(
      "true",
    );
  });

  it("opens a head by keyboard and asks for its weights only", async () => {
    const { el, model } = await show();
    const head = el.querySelector<HTMLElement>('[data-id="0"]')!;
    press(head, "ArrowRight");
    press(el.querySelector('[data-id="1"]')!, "Enter");
    await answer(model);
    expect(model.get("state")).toMatchObject({ layer: 0, head: 1 });
    expect(el.querySelector(".iw-att-title")!.textContent).toContain("Head 0.1");
    const tiles = seen.filter((m) => m.name === "tile").map((m) => m.payload.head);
    expect(tiles).toEqual([0, 1]);
  });

  it("ablates by Space: the head is crossed out, in words too, when the model says it is", async () => {
    const { el, model } = await show();
    press(el.querySelector('[data-id="1"]')!, " ");
    await answer(model);
    const asked = seen.find((m) => m.name === "intervene");
    expect(asked.payload).toEqual({
      kind: "ablate",
      site: "z",
      layer: 0,
      head: 1,
      method: "zero",
    });
    const ablation = { kind: "ablate", site: "z", layer: 0, head: [1], on: true };
    model.set("spec", spec({ revision: 2, changed: true, interventions: [ablation] }));
    await answer(model);
    const head = el.querySelector('[data-id="1"]')!;
    expect(head.classList.contains("iw-att-ablated")).toBe(true);
    expect(head.getAttribute("aria-label")).toContain("ablated");
  });

  it("colours the prompt by what a focused token attends to", async () => {
    const { el, model } = await show();
    const tokens = [...el.querySelectorAll<HTMLElement>(".iw-strip-token")];
    tokens[2]!.dispatchEvent(new Event("focusin", { bubbles: true }));
    await answer(model);
    expect(tokens.map((t) => t.getAttribute("aria-label"))).toEqual([
      "The (0), 0.500",
      "·cat (1), 0.250",
      "·sat (2), 0.250",
    ]);
  });

  it("sorts by a score and offers the effect only when something is changed", async () => {
    const { el, model } = await show({}, { sort: "entropy" });
    const ids = () =>
      [...el.querySelectorAll<HTMLElement>(".iw-att-head")].map((c) => c.dataset.id);
    expect(ids()).toEqual(["1", "0"]);
    const effect = el.querySelector<HTMLOptionElement>('option[value="effect"]')!;
    expect(effect.disabled).toBe(true);
    model.set("spec", spec({ revision: 2, changed: true }));
    await answer(model);
    expect(effect.disabled).toBe(false);
  });

  it("asks again for everything when the result has changed", async () => {
    const { model } = await show();
    seen = [];
    model.set("spec", spec({ revision: 2 }));
    await answer(model);
    expect(new Set(seen.filter((m) => m.kind === "request").map((m) => m.name))).toEqual(
      new Set(["tile", "overview", "scores"]),
    );
  });

  it("does not ask for the tile that came along", async () => {
    const { model } = await show();
    seen = [];
    const values = { $buffer: 0, dtype: "float32", shape: [3, 3] };
    const payload = {
      mode: "current",
      how: "max",
      weigh: "attention",
      layer: 0,
      head: 0,
      of: "own",
      pool: 1,
      row: 0,
      column: 0,
    };
    const first = { tiles: [{ payload, values }] };
    model.set("spec", spec({ revision: 2, first, buffers: [float32(PATTERNS[0]!)] }));
    await answer(model);
    expect(seen.map((m) => m.name)).not.toContain("tile");
  });

  it("shows what one head attends to more than another, with both weights", async () => {
    const { el, model } = await show({}, { compare: "head", other: [0, 1], contrast: true });
    const asked = seen.filter((m) => m.payload?.of === "contrast").map((m) => m.payload);
    expect(asked).toEqual([
      expect.objectContaining({ layer: 0, head: 0, versus: [0, 1], pool: 1, row: 0, column: 0 }),
    ]);
    const titles = [...el.querySelectorAll(".iw-att-title")].map((t) => t.textContent);
    expect(titles.map((t) => t!.split("entropy")[0])).toEqual([
      "Head 0.0",
      "Head 0.1, beside",
      "Difference, 0.0 − 0.1",
    ]);
    expect(el.querySelector(".iw-att-legend")!.textContent).toContain("difference of attention");
    expect(el.querySelector('[role="img"][aria-label*="symmetric about zero"]')).not.toBeNull();
    const plot = el.querySelectorAll<HTMLElement>(".iw-att-plot")[2]!;
    const grid = plot.querySelector<HTMLElement>('[role="gridcell"]')!;
    grid.dispatchEvent(new FocusEvent("focus", { bubbles: true }));
    for (const key of ["End", "ArrowDown", "ArrowDown", "Home", "ArrowRight"]) press(grid, key);
    await answer(model);
    const tip = document.querySelector(".iw-tooltip")!.textContent!;
    for (const word of ["head 0.0", "0.250", "head 0.11", "difference", "−0.750"])
      expect(tip).toContain(word);
  });

  it("offers the difference only of two prompts of one length", async () => {
    const other = { queries: 2, keys: 2, tokens: ["a", "b"], query_tokens: null, masks: [] };
    const { el } = await show({ against: other }, { compare: "prompt", contrast: true });
    const button = [...el.querySelectorAll("button")].find((b) => b.textContent === "Subtract")!;
    expect([button.disabled, button.title]).toEqual([
      true,
      "The prompts have 3 and 2 tokens; a difference needs one length",
    ]);
    expect(seen.some((m) => m.payload?.of === "contrast")).toBe(false);
  });

  it("leaves nothing behind", async () => {
    const { el, model, life } = await show();
    const warn = vi.spyOn(console, "error");
    life.abort();
    expect(el.childElementCount).toBe(0);
    model.set("spec", spec({ revision: 3 }));
    await settle();
    expect(seen.some((m) => m.kind === "js-error")).toBe(false);
    expect(warn).not.toHaveBeenCalled();
  });
});
