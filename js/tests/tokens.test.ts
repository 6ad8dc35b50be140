import { afterEach, describe, expect, it } from "vitest";
import tokens from "../src/views/tokens.js";
import { FakeModel, SPEC, settle, view32 } from "./fake-model.js";

const CHANNELS: Record<string, number[]> = {
  "current:0": [0.5, -2, Number.NaN],
  "current:1": [10, 1, 4],
  "base:0": [1, -1, 0],
  "difference:0": [-0.5, -1, Number.NaN],
};

function spec(extra: Record<string, unknown> = {}) {
  return {
    ...SPEC,
    kind: "tokens",
    tokens: ["When", " <b>Mary</b>", "\n"],
    channels: ["answer", "foil"],
    n_channels: 2,
    targets: null,
    measures: [["max", "largest value"]],
    channel_name: "Channel",
    quantity: "attribution",
    signed: true,
    target: "logit of Mary",
    ...extra,
  };
}

async function show(extra: Record<string, unknown> = {}, state: Record<string, unknown> = {}) {
  const model = new FakeModel({
    spec: spec(extra),
    state: {
      channel: 0,
      layout: "text",
      normalise: "none",
      scale: "channel",
      sort: "position",
      ...state,
    },
    status: { phase: "live" },
  });
  model.handler = (name, { mode, channel }) =>
    name === "values"
      ? {
          values: { $buffer: 0, dtype: "float32", shape: [3] },
          global: [-2, 10],
          $buffers: [view32(...CHANNELS[`${mode}:${channel}`]!)],
        }
      : {};
  const el = document.createElement("div");
  document.body.append(el);
  const life = new AbortController();
  tokens.render({ model, el, signal: life.signal });
  await settle();
  const token = () => [...el.querySelectorAll<HTMLElement>(".iw-strip-token")];
  return { model, el, life, token };
}

afterEach(() => document.body.replaceChildren());

describe("the tokens view", () => {
  it("shows the warning that belongs to the numbers, as text", async () => {
    const { el } = await show({ note: "the sum misses <b>0.3</b>" });
    expect(el.querySelector(".iw-note-warning")?.textContent).toBe("the sum misses <b>0.3</b>");
  });

  it("shows tokens as text, their sign without colour, and what has no value", async () => {
    const { el, token } = await show();
    expect(token().map((t) => t.textContent)).toEqual(["When", "<b>Mary</b>", "↵"]);
    expect(el.querySelector("b")).toBeNull();
    expect(token().map((t) => t.classList.contains("iw-strip-negative"))).toEqual([
      false,
      true,
      false,
    ]);
    expect(token()[2]!.classList.contains("iw-strip-nan")).toBe(true);
    expect(token()[1]!.getAttribute("aria-label")).toContain("−2");
    expect(token()[1]!.style.getPropertyValue("--iw-share")).toBe("100%");
    expect(token()[0]!.style.getPropertyValue("--iw-share")).toBe("25%");
  });

  it("asks for a channel when it is chosen and spans the colours over all if asked to", async () => {
    const { el, model, token } = await show();
    model.set("state", { ...model.get("state"), channel: 1 });
    await settle();
    expect(token()[1]!.style.getPropertyValue("--iw-share")).toBe("10%");
    model.set("state", { ...model.get("state"), channel: 0, scale: "global" });
    await settle();
    expect(token()[1]!.style.getPropertyValue("--iw-share")).toBe("20%");
    expect(el.querySelector(".iw-legend")!.textContent).toContain("+10");
    const asked = model.sent.filter((m) => m.name === "values").map((m) => m.payload.channel);
    expect(asked).toEqual([0, 1]);
  });

  it("shows bars by size with the base marked after an intervention", async () => {
    const { el } = await show({ changed: true }, { layout: "bars", sort: "size" });
    const rows = [...el.querySelectorAll<HTMLElement>(".iw-tokens-row")];
    expect(rows.map((r) => r.dataset.i)).toEqual(["1", "0", "2"]);
    expect(el.querySelectorAll(".iw-tokens-was")).toHaveLength(3);
    expect(rows[0]!.getAttribute("aria-label")).toBe("·<b>Mary</b> (1), −2");
  });

  it("puts a bracket over the tokens of a phrase and tells its two parts", async () => {
    const units = [
      { at: [0, 1], score: 0.5, rest: 2 },
      { at: [2], score: -1, rest: 3.5 },
    ];
    const { el, token } = await show({ units });
    const brackets = token().map((t) => [...t.classList].filter((c) => c.startsWith("iw-unit")));
    expect(brackets).toEqual([["iw-unit", "iw-unit-first"], ["iw-unit", "iw-unit-last"], []]);
    token()[1]!.dispatchEvent(new Event("pointerover", { bubbles: true }));
    const tip = el.querySelector(".iw-tooltip")!.textContent!;
    expect(tip).toContain("When <b>Mary</b>");
    expect(tip).toContain("+0.5");
    expect(tip).toContain("+2.5");
    expect(el.textContent).not.toMatch(/sum [+−\d]/);
  });

  it("shows the difference as signed, also of amounts", async () => {
    const { el } = await show({ changed: true, signed: false }, { mode: "difference" });
    expect(el.querySelector(".iw-legend")!.textContent).toContain("attribution, current − base");
    expect(el.querySelector(".iw-legend")!.textContent).toContain("−1");
  });

  it("selects a token by keyboard, for every view", async () => {
    const { model, token } = await show();
    token()[0]!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    token()[1]!.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    await settle();
    expect(model.sent.find((m) => m.name === "select").payload).toEqual({ token: 1 });
    expect(token()[1]!.getAttribute("aria-selected")).toBe("true");
  });

  it("says what went wrong and offers to try again", async () => {
    const { el, model } = await show();
    model.handler = () => {
      throw new Error("the session is busy");
    };
    model.set("state", { ...model.get("state"), channel: 1 });
    await settle();
    const alert = el.querySelector("[role=alert]")!;
    expect(alert.textContent).toContain("the session is busy");
    expect(alert.querySelector("button")!.textContent).toBe("Try again");
  });
});
