import { afterEach, describe, expect, it } from "vitest";
import view from "../src/views/concepts.js";
import { settle, words } from "./fake-model.js";
import { press, type Shown, show } from "./view-harness.js";

const tables: Record<string, number[]> = {
  effect: [0.5, 2, -3, 1, 0.1, Number.NaN],
  low: [0.2, 1.5, -3.4, 0.8, -0.1, Number.NaN],
  high: [0.8, 2.5, -2.6, 1.2, 0.3, Number.NaN],
  score: [0.7, 0.9, 0.1, 0.8, 0.5, Number.NaN],
  score_null: [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
  p_corrected: [0.04, 0.0001, 0.001, 0.02, 0.6, Number.NaN],
};
const names = Object.keys(tables);
const first = Object.fromEntries(
  names.map((n, i) => [n, { $buffer: i, dtype: "float32", shape: [3, 2] }]),
);
const spec = (more: Record<string, unknown> = {}) => ({
  kind: "concepts",
  title: "Concepts",
  alt: "",
  changed: false,
  live: true,
  concepts: ["stripes", "dots", "<script>alert(1)</script>"],
  layers: ["4", "5"],
  quantity: "logit difference lost",
  score_name: "TCAV",
  site: "resid_post",
  alpha: 0.05,
  can_steer: true,
  has_gap: true,
  first: { ...first, flag: { $buffer: names.length, dtype: "int32", shape: [3, 2] } },
  buffers: [...names.map((n) => words(tables[n]!, "float32")), words([2, 3, 3, 3, 1, 0], "int32")],
  ...more,
});

let shown: Shown;
const open = (state: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
  (shown = show(
    view,
    { spec: spec(more), state: { layer: 0, sort: "effect", filter: "", ...state } },
    {
      steer: () => ({}),
      select: () => ({}),
    },
  ));
const rows = () => [...shown.root.querySelectorAll<HTMLElement>('[role="option"]')];
const order = () => rows().map((r) => r.querySelector(".iw-concept-name")?.textContent);
afterEach(() => {
  shown.close();
  document.body.replaceChildren();
});

describe("bars", () => {
  it("speak effect, interval, flag, p and the score against random counterparts", () => {
    open();
    expect(rows()[0]?.querySelector(".iw-sr")?.textContent).toBe(
      "dots, effect −3, interval −3.40 to −2.60, relevant, p = 0.001, TCAV 0.10 (random 0.50)",
    );
    expect(rows()[1]?.querySelector(".iw-sr")?.textContent).toContain("significant but negligible");
  });

  it("take names as text", () => {
    open();
    expect(shown.root.querySelector("script")).toBeNull();
    expect(order()).toContain("<script>alert(1)</script>");
  });

  it("draw nothing for what is not defined", () => {
    open({ layer: 1 });
    const undefinedRow = rows().find((r) =>
      r.querySelector(".iw-sr")?.textContent?.includes("undefined"),
    )!;
    expect(undefinedRow.querySelector(".iw-bar rect")).toBeNull();
    expect(rows()[0]?.querySelector(".iw-bar rect")).not.toBeNull();
  });
});

describe("choosing", () => {
  it("sorts and filters", () => {
    open({ sort: "name" });
    expect(order()).toEqual(["<script>alert(1)</script>", "dots", "stripes"]);
    shown.model.set("state", { layer: 0, sort: "name", filter: "str" });
    expect(order()).toEqual(["stripes"]);
    shown.model.set("state", { layer: 0, sort: "name", filter: "nothing like it" });
    expect(shown.root.textContent).toContain("No concept matches");
  });

  it("walks concepts and layers by keyboard", async () => {
    open();
    rows()[0]?.focus();
    press(document.activeElement!, "ArrowDown");
    expect(document.activeElement?.getAttribute("aria-selected")).toBe("true");
    expect((document.activeElement as HTMLElement).dataset.concept).toBe("0");
    press(document.activeElement!, "ArrowRight");
    await settle();
    expect(shown.model.get("state")).toMatchObject({ layer: 1, concept: 0 });
    expect(shown.model.sent.find((m) => m.name === "select")?.payload).toEqual({ layer: 5 });
  });
});

describe("steering", () => {
  it("sends one request for a slide, and zero to stop", async () => {
    open();
    const bar = shown.root.querySelector<HTMLInputElement>(
      '.iw-concept-steer input[type="range"]',
    )!;
    for (const value of ["0.5", "1", "1.5"]) {
      bar.value = value;
      bar.dispatchEvent(new Event("input"));
    }
    await settle(300);
    const sent = () => shown.model.sent.filter((m) => m.name === "steer").map((m) => m.payload);
    expect(sent()).toEqual([{ concept: 1, layer: 0, strength: 1.5 }]);
    shown.root.querySelector<HTMLButtonElement>(".iw-concept-steer button")?.click();
    await settle();
    expect(sent()[1]).toEqual({ concept: 1, layer: 0, strength: 0 });
  });

  it("is not offered without a session", () => {
    open({}, { can_steer: false });
    expect(shown.root.querySelector(".iw-concept-steer")).toBeNull();
  });
});
