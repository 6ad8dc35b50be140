import { describe, expect, it } from "vitest";
import { isSpecial, rightToLeft } from "../src/tokens/script.js";
import {
  bar,
  byMagnitude,
  divisor,
  normalised,
  rangeOf,
  share,
  total,
} from "../src/tokens/values.js";

describe("the range of the colours", () => {
  it("is symmetric about zero for signed values", () => {
    expect(rangeOf([-3, 1, 2], true)).toEqual({ low: -3, high: 3 });
  });

  it("starts at zero for amounts and survives NaN, infinity and constants", () => {
    expect(rangeOf([Number.NaN, 2, Infinity, 5], false)).toEqual({ low: 0, high: 5 });
    expect(rangeOf([], true)).toEqual({ low: -1, high: 1 });
    expect(rangeOf([0, 0], false)).toEqual({ low: 0, high: 1 });
  });
});

describe("normalised values", () => {
  it("are divided by their largest magnitude or by the sum of magnitudes, and the legend says so", () => {
    const values = [1, -3, Number.NaN, Infinity];
    expect(divisor(values, "none")).toBe(1);
    expect(divisor(values, "max")).toBe(3);
    expect(divisor(values, "sum")).toBe(4);
    expect(divisor([0, 0], "sum")).toBe(1);
    expect(normalised("sum", 4)).toBe("divided by the sum of magnitudes, 4");
    expect(normalised("none", 1)).toBe("");
  });
});

describe("bars", () => {
  it("grow from zero to either side", () => {
    const range = { low: -4, high: 4 };
    expect(bar(2, range)).toEqual({ start: 0.5, end: 0.75, zero: 0.5 });
    expect(bar(-4, range)).toEqual({ start: 0, end: 0.5, zero: 0.5 });
  });

  it("have no length where there is no value, and stop at the edge", () => {
    expect(bar(Number.NaN, { low: 0, high: 1 })).toEqual({ start: 0, end: 0, zero: 0 });
    expect(bar(9, { low: 0, high: 3 }).end).toBe(1);
  });
});

describe("scripts", () => {
  it("knows which way a text runs by most of its letters", () => {
    expect(rightToLeft(["<bos>", "שלום", " עולם", " ok"])).toBe(true);
    expect(rightToLeft(["Hello", " שלום"])).toBe(false);
    expect(rightToLeft(["👨‍👩‍👧", "1"])).toBe(false);
  });

  it("tells tokens that are no text from text that looks like them", () => {
    const special = ["<|endoftext|>", "<bos>", "[CLS]", "<", "<b>Mary</b>", "[1]", "<script>"];
    expect(special.map(isSpecial)).toEqual([true, true, true, false, false, false, true]);
  });
});

describe("what is largest", () => {
  it("sorts by magnitude with NaN last and ties in reading order", () => {
    expect([...byMagnitude([1, -5, Number.NaN, 5, 0])]).toEqual([1, 3, 0, 4, 2]);
    expect(share(-2, { low: -4, high: 4 })).toBe(0.5);
    expect(total([1, 2, Number.NaN])).toEqual({ sum: 3, missing: 1 });
  });
});
