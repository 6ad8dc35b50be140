// Cards of claims and a judged circuit, on a fake model.
import { beforeEach, describe, expect, it } from "vitest";
import { round, stateOf, valueText } from "../src/claims/model.js";
import { histogram, padded } from "../src/claims/plot.js";
import claims from "../src/views/claims.js";
import { show } from "./view-harness.js";

const TAG = "<script>alert(1)</script>";
const card = (more = {}) => ({
  statement: TAG,
  kind: "predict",
  model: "S1",
  mechanism: "token 7",
  prediction: "Blocking attention changes the accuracy by less than 0.05.",
  metric: "accuracy",
  effect: "stays",
  minimum: 0.05,
  threshold: 0.5,
  cause: false,
  registered: "2026-01-01T00:00:00+00:00",
  hash: "0123456789abcdef",
  lamps: { F: false, R: true, P: null },
  status: "refuted",
  value: 0.43,
  snapshot: { accuracy: 1, low: 1, high: 1, confidence: 0.9 },
  rows: [
    {
      lamp: "F",
      name: "intervention",
      wanted: "below 0.05",
      value: 0.43,
      low: 0.35,
      high: 0.51,
      p: 1,
      passed: false,
      reading: "random ones 0",
    },
  ],
  timeline: [{ at: "2026-01-01T00:00:00+00:00", what: "registered", words: "…", hash: "01234567" }],
  runs: 92,
  can_test: false,
  can_change: false,
  ...more,
});
const array = (...data: number[]) => ({ data, shape: [data.length] });
const numbers = {
  null: array(0, 0.01, 0.02),
  score: array(0.7, 0.6, 0.1),
  margin: array(5, -4, 3),
  calibration: [[0.5, 0.4, 100]],
};
const LAMP_NAMES = { F: "falsifiable", R: "reproducible", P: "predictive" };

function open(cards: unknown[], answers = {}, state = {}) {
  const first = { numbers: cards.map(() => numbers) };
  const spec = {
    kind: "claims",
    title: "Report",
    cards,
    lamp_names: LAMP_NAMES,
    can_colour: true,
    first,
  };
  const common = {
    alt: "",
    recipe: "",
    interventions: [],
    revision: 0,
    changed: false,
    live: true,
  };
  return show(claims, { spec: { ...common, ...spec, buffers: [] }, state }, answers);
}

const settle = () => new Promise((done) => setTimeout(done, 20));

describe("a card", () => {
  beforeEach(() => document.body.replaceChildren());

  it("says lamps, tests and history in words", async () => {
    const { root } = open([card()]);
    await settle();
    const lamps = [...root.querySelectorAll(".iw-cl-lamp")].map((el) => el.textContent);
    expect(lamps).toEqual(["✕falsifiable failed", "✓reproducible passed", "○predictive untested"]);
    expect(root.querySelector(".iw-cl-statement")?.textContent).toBe(`“${TAG}”`);
    expect(root.querySelector("script")).toBeNull();
    expect(root.textContent).toContain("0.43 (0.35 to 0.51)");
    expect(root.textContent).toContain("Most change 0.05, locked by the test");
    expect(root.querySelector("time")?.textContent).toContain("UTC");
    const label = root.querySelectorAll(".iw-cl-plot")[1]?.getAttribute("aria-label");
    expect(label).toBe("2 of 3 inputs are right, 1 of these for the wrong reason");
  });

  it("opens an input by keyboard, and colours its tokens when asked", async () => {
    const asked: unknown[] = [];
    const { root } = open([card()], {
      input: (payload: unknown) => {
        asked.push(payload);
        return { tokens: [" a", TAG], answer: " yes", foil: " no" };
      },
      tokens: () => ({ values: array(0.5, -1) }),
    });
    await settle();
    (root.querySelector('[aria-label="Next Input"]') as HTMLButtonElement).click();
    await settle();
    expect(asked).toEqual([{ claim: 0, input: 1 }]);
    expect(root.querySelector(".iw-cl-input")?.textContent).toContain("wrong by 4.00 logits");
    expect(root.querySelectorAll(".iw-cl-chip")[1]?.textContent).toBe(TAG);
    const colour = [...root.querySelectorAll("button")].find((b) =>
      b.textContent?.startsWith("Col"),
    );
    (colour as HTMLButtonElement).click();
    await settle();
    expect(root.querySelectorAll(".iw-cl-chip")[1]?.textContent).toBe(`${TAG} −`);
  });

  it("has a slider and a button before the test, and sends what they say", async () => {
    const asked: unknown[] = [];
    const before = card({ rows: [], can_test: true, can_change: true, status: "registered" });
    const { root } = open([before], {
      minimum: (payload: unknown) => asked.push(payload) && {},
      test: (payload: unknown) => asked.push(payload) && {},
    });
    await settle();
    const bar = root.querySelector("input[type=range]") as HTMLInputElement;
    bar.value = "0.2";
    bar.dispatchEvent(new Event("input"));
    await new Promise((done) => setTimeout(done, 300));
    const run = [...root.querySelectorAll("button")].find((b) => b.textContent?.startsWith("Open"));
    (run as HTMLButtonElement).click();
    await settle();
    expect(asked).toEqual([{ claim: 0, value: 0.2 }, { claim: 0 }]);
    expect(root.textContent).toContain("Not tested");
  });
});

describe("a report card", () => {
  it("shows every claim, failed ones too, and the card of the chosen one", async () => {
    const other = card({ model: "S2", statement: "second", status: "stands" });
    const { root, model } = open([card(), other]);
    await settle();
    const rows = [...root.querySelectorAll(".iw-cl-report tbody tr")];
    expect(rows.map((r) => r.querySelector("th")?.textContent)).toEqual(["S1", "S2"]);
    expect(rows[0]?.textContent).toContain("refuted");
    rows[1]?.querySelector("button")?.click();
    await settle();
    expect(root.querySelector(".iw-cl-statement")?.textContent).toBe("“second”");
    expect(model.get("state")).toMatchObject({ claim: 1 });
  });
});

describe("a judged circuit", () => {
  it("is drawn beside random ones, with its findings", async () => {
    const first = {
      random: array(0, 0.1, 0.2),
      network: array(1, 0.5),
      circuit: array(0.9, 0.8),
      largest: array(0.5, 0),
      limits: array(0.4, 0.6, -0.01, 0.01),
    };
    const findings = [
      {
        finding: "faithfulness of the circuit",
        value: 0.9,
        low: 0.8,
        high: 1,
        p: null,
        reading: "",
      },
      { finding: "test of sufficiency", value: 1, low: null, high: null, p: 0.0004, reading: TAG },
    ];
    const spec = {
      ...{ kind: "judgement", title: "Tests of a circuit", alt: "", recipe: "", interventions: [] },
      ...{ revision: 0, changed: false, live: true, buffers: [], first, findings },
      ...{ nulls: { sufficiency: "no better than random" }, size: 4, total: 20, level: "edge" },
      ...{ n_pairs: 8, metric: "logit difference", ablation: "zero", note: "a note" },
      ...{ nodes: ["a0.h1", "m0"], sets: ["nothing", "K1"], kinds: ["nothing", "greedy"] },
      ...{ superfluous: ["m0"], faithfulness: 0.9 },
    };
    const { root, model } = show(claims, { spec, state: { part: "all" } });
    await settle();
    expect(root.querySelectorAll(".iw-cl-plot").length).toBe(3);
    expect(root.textContent).toContain("m0 (idle)");
    expect(root.textContent).toContain("< 0.001");
    expect(root.textContent).toContain("null: no better than random");
    expect(root.querySelector("script")).toBeNull();
    model.set("state", { part: "minimality" });
    await settle();
    expect(root.querySelectorAll(".iw-cl-plot").length).toBe(1);
  });
});

describe("numbers and plots", () => {
  it("are written for readers", () => {
    expect([0.4267, -12.34, 123.4, -0.001].map(round)).toEqual(["0.43", "−12.3", "123", "0.00"]);
    expect(valueText({ value: null, low: null, high: null }, round)).toBe("");
    expect(stateOf(null).word).toBe("untested");
    expect(padded([2, 2])[0]).toBeCloseTo(1.44);
    const svg = histogram([0, 0, 1], [{ at: 0.5, words: "this", cls: "iw-cl-own" }], {
      width: 200,
      height: 100,
      xLabel: "x",
      yLabel: "n",
      label: "three",
    });
    expect(svg.querySelectorAll(".iw-cl-bar").length).toBe(2);
    expect(svg.getAttribute("aria-label")).toBe("three");
  });
});
