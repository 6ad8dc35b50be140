import { expect, describe as group, it } from "vitest";
import {
  ablated,
  describe,
  headOf,
  idOf,
  nameOf,
  poolText,
  type Shape,
  sampledAt,
  spoken,
  tokenNames,
} from "../src/attention/shape.js";

// Layers 4 and 7 of a model, three heads each.
const shape: Shape = {
  layers: [4, 7],
  heads: 3,
  queries: 5,
  keys: 5,
  tokens: ["When", " Mary", "\n", " Mary", "<b>"],
  query_tokens: null,
  site: "z",
  against: null,
  masks: [],
  thumb: { cells: 5, pool: 1, lazy: false, sampled: false },
  sample_from: 16,
  quick_scores: true,
  given: null,
  by_value: false,
  products: true,
  patches: null,
};

group("naming heads and tokens", () => {
  it("counts layers as the model does, also when only some are held", () => {
    expect(idOf(shape, 7, 2)).toBe(5);
    expect(headOf(shape, 5)).toEqual({ layer: 7, head: 2 });
    expect(nameOf(shape, 5)).toBe("7.2");
    expect(idOf(shape, 5, 0)).toBe(-1);
    expect(idOf(shape, 7, 3)).toBe(-1);
  });

  it("marks repeated tokens and cuts long ones by characters, not bytes", () => {
    const names = tokenNames([" Mary", " Mary", "😀".repeat(20)], 5);
    expect(names.map((n) => n.twice)).toEqual([true, true, false]);
    expect(names[2]!.text).toBe("😀😀😀😀…");
  });

  it("reads a cell aloud: query, key, value", () => {
    expect(describe(shape, 3, 1, 0.53216, false)).toBe("“·Mary” (3) → “·Mary” (1): 0.532");
    expect(describe(shape, 4, 2, -0.2, true)).toBe("“<b>” (4) → “↵” (2): −0.200");
    expect(describe(shape, 0, 0, undefined, false)).toMatch(/: …$/);
  });

  it("names queries by their own text in cross-attention, and cuts what is very long", () => {
    const cross = { ...shape, query_tokens: ["<pad>", "Wenn"], queries: 2 };
    expect(describe(cross, 1, 0, 0.5, false)).toBe("“Wenn” (1) → “When” (0): 0.500");
    expect(spoken(["x".repeat(5000)], 0)).toHaveLength(66);
  });

  it("says how cells were pooled", () => {
    expect(sampledAt(shape, 8)).toBe(false);
    expect(poolText(4, "max", false)).toBe("the largest of 4 × 4");
    expect(sampledAt(shape, 16)).toBe(true);
    expect(poolText(16, "mean", true)).toBe("one query in 16, the mean of 16 keys");
  });
});

group("which heads are ablated", () => {
  const z = { kind: "ablate", site: "z" };

  it("follows the active interventions on z", () => {
    expect([...ablated(shape, [{ ...z, layer: 7, head: [1, 2] }])]).toEqual([4, 5]);
    expect([...ablated(shape, [{ ...z, layer: 4, head: 0 }])]).toEqual([0]);
    expect([...ablated(shape, [{ ...z, layer: 4 }])]).toEqual([0, 1, 2]);
  });

  it("does not cross out a head of which only a part is touched, or that is scaled", () => {
    expect(ablated(shape, [{ ...z, layer: 4, head: [0], position: [3] }]).size).toBe(0);
    expect(ablated(shape, [{ ...z, layer: 4, head: [0], unit: [1] }]).size).toBe(0);
    expect(ablated(shape, [{ ...z, layer: 4, head: [0], on: false }]).size).toBe(0);
    expect(ablated(shape, [{ kind: "scale", site: "z", layer: 4, head: [0] }]).size).toBe(0);
    expect(ablated(shape, [{ ...z, layer: 9, head: [0] }]).size).toBe(0);
  });
});
