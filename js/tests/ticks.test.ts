import { expect, it } from "vitest";
import { ticks } from "../src/core/ticks.js";

it("ticks are round, lie between the ends and hold zero where it does", () => {
  expect(ticks(-1.1, 2.3, 4)).toEqual([-1, 0, 1, 2]);
  expect(ticks(0, 1, 4)).toEqual([0, 0.5, 1]);
  expect(ticks(-0.13, 0.42, 300 / 70)).toEqual([0, 0.2, 0.4]);
  expect(ticks(-3.6, 1)).toEqual([-3, -2, -1, 0, 1]);
  expect(ticks(0, 0.23)).toEqual([0, 0.05, 0.1, 0.15, 0.2]);
});

it("an axis without width has none", () => {
  expect(ticks(0, 0)).toEqual([]);
  expect(ticks(Number.NaN, 1)).toEqual([]);
});
