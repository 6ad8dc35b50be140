import { describe, expect, it } from "vitest";

import {
  budgetNote,
  type ConceptTable,
  chooseRows,
  domainOf,
  pText,
  rowOf,
  steady,
} from "../src/concepts/rows.js";

// Three concepts at two layers, one of them not measured at the second.
const table: ConceptTable = {
  concepts: ["stripes", "Dots", "noise 10"],
  layers: ["1", "2"],
  effect: Float32Array.from([0.5, 2, -3, 1, 0.1, NaN]),
  low: Float32Array.from([0.2, 1.5, -3.4, 0.8, -0.1, NaN]),
  high: Float32Array.from([0.8, 2.5, -2.6, 1.2, 0.3, NaN]),
  score: Float32Array.from([0.7, 0.9, 0.1, 0.8, 0.5, NaN]),
  pCorrected: Float32Array.from([0.04, 0.0001, 0.001, 0.02, 0.6, NaN]),
  flag: Uint8Array.from([2, 3, 3, 3, 1, 0]),
};
const names = (layer: number, sort: "effect" | "p" | "name", filter = ""): string[] =>
  chooseRows(table, layer, sort, filter).rows.map((r) => r.name);

describe("rows", () => {
  it("reads a concept at a layer, with NaN for what was not measured", () => {
    expect(rowOf(table, 1, 0)).toMatchObject({ name: "Dots", effect: -3, flag: 3 });
    expect(rowOf(table, 1, 0).p).toBeCloseTo(0.001, 6);
    expect(rowOf(table, 0, 0).scoreNull).toBeNaN();
  });

  it("sorts by size of effect, p or name, undefined last", () => {
    expect(names(0, "effect")).toEqual(["Dots", "stripes", "noise 10"]);
    expect(names(1, "effect")).toEqual(["stripes", "Dots", "noise 10"]);
    expect(names(1, "p")).toEqual(["stripes", "Dots", "noise 10"]);
    expect(names(0, "name")).toEqual(["Dots", "noise 10", "stripes"]);
  });

  it("filters without regard to case and to spaces around", () => {
    expect(names(0, "effect", "  DOT ")).toEqual(["Dots"]);
    expect(names(0, "effect", "<script>")).toEqual([]);
  });
});

describe("more concepts than people read", () => {
  const many: ConceptTable = {
    concepts: Array.from({ length: 100 }, (_, i) => `c${i}`),
    layers: ["0"],
    effect: Float32Array.from({ length: 100 }, (_, i) => (i % 2 ? -i : i)),
    flag: new Uint8Array(100),
  };

  it("shows the 32 largest whatever the order, and says how many more there are", () => {
    const choice = chooseRows(many, 0, "name", "");
    expect(choice.rows.length).toBe(32);
    expect(choice.rows[0]!.name).toBe("c68");
    expect(budgetNote(choice)).toBe(
      "Showing the 32 largest of 100 concepts; filter to reach the other 68.",
    );
  });

  it("reaches the others by the filter", () => {
    const choice = chooseRows(many, 0, "effect", "c1");
    expect(choice.rows.map((r) => r.name)).toContain("c1");
    expect(budgetNote(choice)).toBe("");
  });
});

describe("scale", () => {
  it("holds zero and every interval", () => {
    const [low, high] = domainOf(chooseRows(table, 0, "effect", "").rows);
    expect(low).toBeLessThan(-3.4);
    expect(high).toBeGreaterThan(0.8);
    expect(domainOf([])).toEqual([-1, 1]);
    const positive = domainOf([rowOf(table, 0, 1)]);
    expect(positive[0]).toBe(0);
  });
});

describe("numbers of a column", () => {
  it("have the same decimals, as many as the range deserves", () => {
    const text = steady([-4, 6.5]);
    expect([text(6.1612, true), text(-0.00865), text(0.001, true)]).toEqual([
      "+6.16",
      "−0.01",
      "0.00",
    ]);
    expect(steady([0, 0.02])(0.01234)).toBe("0.0123");
    expect(steady([0, 40000])(1234.5)).toBe("1235");
  });
});

describe("p in words", () => {
  it("does not print noughts without end", () => {
    expect(pText(3e-9)).toBe("p < 0.001");
    expect(pText(0.034)).toBe("p = 0.03");
    expect(pText(0.5)).toBe("p = 0.50");
    expect(pText(NaN)).toBe("p not known");
  });
});
