import { describe, expect, it } from "vitest";
import view from "../src/views/mediation.js";
import { SPEC, settle } from "./fake-model.js";
import { sized } from "./heatmap-helpers.js";
import { press, type Shown, show } from "./view-harness.js";

const array = (data: number[], shape: number[]) => ({ data: Float32Array.from(data), shape });
const QUANTITIES = ["effect", "TE", "NIE", "NDE", "NIE_rev", "interaction"];
const NAMES = ["a0.h0", "a0.h1", "a1.h0", "<img src=x>"];
const MEAN = QUANTITIES.flatMap((_, q) => NAMES.map((_, i) => (q + 1) * (i - 1.5)));

function open(state: Record<string, unknown> = {}, spec: Record<string, unknown> = {}) {
  const tables = {
    mean: array(MEAN, [6, 4]),
    low: array(
      MEAN.map((x) => x - 0.5),
      [6, 4],
    ),
    high: array(
      MEAN.map((x) => x + 0.5),
      [6, 4],
    ),
    proportion: array([0.1, 0.2, Number.NaN, 0.4], [4]),
    accuracy: array([0, 0.5, 1, 1], [4]),
    faithfulness: array([0, 0.2, 0.4, 1], [4]),
  };
  const mediators = NAMES.map((name, i) => ({
    name,
    type: "head",
    layer: i >> 1,
    head: i % 2,
    position: null,
    unit: null,
    dims: i === 3 ? 64 : 8,
  }));
  const asked: any[] = [];
  let shown!: Shown;
  const render = (...given: Parameters<typeof show>) => sized(() => (shown = show(...given)));
  render(
    view,
    {
      spec: {
        ...SPEC,
        kind: "mediation",
        title: "Causal mediation",
        mediators,
        dims: ["layer", "head"],
        shape: [2, 2],
        labels: {},
        quantities: QUANTITIES.map((name) => [name, name]),
        headline: "NIE",
        quantity: "change of the logit difference",
        direction: "noising",
        put: "its value on the other prompt of the pair",
        metric: "logit difference",
        interchange: true,
        two_sided: true,
        pairs: 3,
        strength: 1,
        tunable: true,
        identity: 0,
        ends: [1, -1],
        first: { mode: "current", ...tables },
        buffers: [],
        ...spec,
      },
      state: { quantity: "effect", mediator: 2, show: "effects", slice: 0, ...state },
    },
    {
      pairs: (payload) => {
        asked.push(payload);
        return { total: array([-1, -2, -3], [3]), effect: array([0, -1, -2], [3]), texts: [] };
      },
      strength: (payload) => {
        asked.push(payload);
        return {
          strength: payload.strength,
          means: [7, 6, 5, 4, 3, 2],
          effect: array([1, 1, 1], [3]),
        };
      },
    },
  );
  return { ...shown, asked };
}

describe("a mediation", () => {
  it("prints the effects of the chosen mediator on the way x, M, Y", async () => {
    const { root, close } = open();
    await settle();
    const path = root.querySelector(".iw-mediation-path");
    expect(path?.getAttribute("aria-label")).toBe(
      "a1.h0: NIE +1.50 [1, 2], NDE +2 [1.50, 2.50], TE +1 [0.500, 1.50]",
    );
    expect(root.textContent).toContain("x → x′");
    expect(root.textContent).toContain("interaction +3");
    expect(root.textContent).toContain("no proportion");
    close();
  });

  it("asks for the pairs of what is chosen, by keyboard too, and selects its head", async () => {
    const { root, model, asked, close } = open();
    await settle();
    expect(asked).toEqual([{ mediator: 2, mode: "current" }]);
    const cell = root.querySelector(".iw-focus-cell") as HTMLElement;
    press(cell, "End", { ctrlKey: true });
    press(cell, "Enter");
    await settle();
    expect(model.get("state").mediator).toBe(3);
    expect(asked.at(-1)).toEqual({ mediator: 3, mode: "current" });
    expect(root.querySelector("img")).toBeNull();
    expect(root.textContent).toContain("<img src=x>");
    close();
  });

  it("runs another strength when the slider moves", async () => {
    const { root, asked, close } = open();
    await settle();
    const bar = root.querySelector("input[type=range]") as HTMLInputElement;
    bar.value = "0.5";
    bar.dispatchEvent(new Event("input"));
    await settle();
    expect(asked.at(-1)).toEqual({ mediator: 2, strength: 0.5, mode: "current" });
    expect(root.textContent).toContain("50 % of the way");
    expect(root.querySelector(".iw-mediation-path")?.getAttribute("aria-label")).toContain(
      "NIE +5",
    );
    close();
  });

  it("compares mediators by faithfulness and dimensions", async () => {
    const { root, close } = open({ show: "compare" });
    await settle();
    expect(root.querySelectorAll(".iw-mediation-compare circle")).toHaveLength(4);
    close();
  });

  it("hides what is to be predicted", async () => {
    const { root, close } = open({ predict: true, revealed: [] });
    await settle();
    expect(root.textContent).toContain("Hidden until revealed");
    expect(root.querySelector(".iw-mediation-path")?.getAttribute("aria-label")).toBe(
      "a1.h0, hidden",
    );
    close();
  });
});
