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
  gap: [2, 2, 2, 2, 2, 2],
};
const names = Object.keys(tables);
const first = Object.fromEntries(
  names.map((n, i) => [n, { $buffer: i, dtype: "float32", shape: [1, 3, 2] }]),
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
  targets: [""],
  can_steer: true,
  has_inputs: true,
  unit: "× typical norm",
  norms: [10, 20],
  steering: {},
  metric: null,
  first: { ...first, flag: { $buffer: names.length, dtype: "int32", shape: [1, 3, 2] } },
  buffers: [...names.map((n) => words(tables[n]!, "float32")), words([2, 3, 3, 3, 1, 0], "int32")],
  ...more,
});

let shown: Shown;
const open = (state: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
  (shown = show(
    view,
    { spec: spec(more), state: { layer: 0, sort: "effect", filter: "", input: null, ...state } },
    {
      steer: () => ({}),
      select: () => ({}),
      inputs: ({ layer }) => ({
        inputs: ["Mary went", "John <went>", "Anna sat"],
        member: { $buffer: 0, dtype: "int32", shape: [3, 3] },
        presence: { $buffer: 1, dtype: "float32", shape: [3, 3] },
        tokens: [
          ["Mary", " went"],
          ["John", " <went>"],
          ["Anna", " sat"],
        ],
        token_presence: { $buffer: 2, dtype: "float32", shape: [3, 6] },
        $buffers: [
          words([1, -1, 0, -1, 1, 0, 0, 0, 0], "int32"),
          words([0.9, -1.1, 2 + layer, -0.5, 1, 0, 0, Number.NaN, -3], "float32"),
          words(
            [...Array(18).keys()].map((i) => i / 10),
            "float32",
          ),
        ],
      }),
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
    const selected = shown.model.sent.filter((m) => m.name === "select").map((m) => m.payload);
    expect(selected).toEqual([{ node: "stripes", layer: 5 }]);
  });
});

describe("several targets", () => {
  const two = {
    targets: ["she", "he"],
    first: Object.fromEntries(
      ["effect", "flag"].map((n, i) => [
        n,
        { $buffer: i, dtype: n === "flag" ? "int32" : "float32", shape: [2, 3, 2] },
      ]),
    ),
    buffers: [
      words([0.5, 0, 1, 0, 2, 0, -4, 0, 1, 0, 1, 0], "float32"),
      words([3, 3, 3, 3, 3, 3, 1, 3, 3, 3, 3, 3], "int32"),
    ],
  };

  it("give each concept one bar for each, ordered by the largest", () => {
    open({}, two);
    expect(rows()[0]?.querySelector(".iw-sr")?.textContent).toBe(
      "stripes: she, effect +0.500, relevant, p not known; he, effect −4, not significant, p not known",
    );
    expect(rows().map((r) => r.querySelectorAll("rect").length)).toEqual([2, 2, 2]);
    expect(rows()[0]?.textContent).toContain("stripes");
  });

  it("can be looked at one by one", () => {
    open({ target: 0 }, two);
    expect(order()).toEqual(["<script>alert(1)</script>", "dots", "stripes"]);
  });
});

describe("predict, then reveal", () => {
  it("hides numbers and their order until a row is opened", async () => {
    open({ predict: true, revealed: [] });
    expect(order()).toEqual(["stripes", "dots", "<script>alert(1)</script>"]);
    expect(rows()[0]?.querySelector(".iw-sr")?.textContent).toBe("stripes, hidden");
    expect(shown.root.querySelector(".iw-bar rect")).toBeNull();
    expect(shown.root.querySelector(".iw-concept-lines")?.textContent).toContain("hidden");
    rows()[1]?.click();
    await settle();
    expect(shown.model.get("state").revealed).toEqual(["dots"]);
    expect(rows()[1]?.querySelector(".iw-bar rect")).not.toBeNull();
    expect(rows()[0]?.querySelector(".iw-bar rect")).toBeNull();
  });
});

describe("inputs", () => {
  const cell = () => shown.root.querySelector<HTMLElement>('[role="gridcell"]')!;

  it("are a grid of concepts, spoken with their role, highest first", async () => {
    open({ show: "inputs", concept: 0 });
    await settle();
    expect(cell().getAttribute("aria-label")).toBe("Anna sat: dots 0");
    cell().focus();
    press(cell(), "ArrowRight");
    expect(cell().getAttribute("aria-label")).toBe("Anna sat: stripes +2");
    press(cell(), "ArrowDown");
    expect(cell().getAttribute("aria-label")).toBe(
      "Mary went: stripes +0.900, example with the concept",
    );
  });

  it("open their tokens, coloured by the concept, as text", async () => {
    open({ show: "inputs", concept: 1 });
    await settle();
    cell().focus();
    press(cell(), "Enter");
    await settle();
    expect(shown.model.get("state").input).toBe(1);
    const tokens = [...shown.root.querySelectorAll(".iw-strip-token")];
    expect(tokens.map((t) => t.textContent)).toEqual(["John", "<went>"]);
    expect(tokens[1]?.getAttribute("aria-label")).toContain("+0.900");
  });

  it("of another layer are asked for", async () => {
    open({ show: "examples", concept: 0, layer: 1 });
    await settle();
    const lists = [...shown.root.querySelectorAll("section")].map((el) => el.textContent);
    expect(lists[0]).toMatch(/^Highest\+3Anna/);
    expect(lists[1]).toContain("−1.10○example without it, John <went>");
    expect(shown.root.querySelectorAll(".iw-lane-dot").length).toBe(3);
    const plot = shown.root.querySelector(".iw-concept-plot")!;
    expect(plot.getAttribute("aria-label")).toBe(
      "Presence of stripes: 1 with, mean +0.900; 1 without, mean −1.10; 1 other inputs, mean +3",
    );
    shown.root.querySelector<HTMLButtonElement>(".iw-concept-end")?.click();
    await settle();
    expect(shown.model.get("state").input).toBe(2);
  });

  it("of a veiled concept say nothing", async () => {
    open({ show: "inputs", concept: 0, predict: true, revealed: [] });
    await settle();
    expect(cell().getAttribute("aria-label")).toContain("stripes hidden");
    cell().focus();
    press(cell(), "Enter");
    await settle();
    expect(shown.model.get("state")).toMatchObject({ revealed: ["stripes"], input: null });
  });
});

describe("steering", () => {
  const bars = () => [
    ...shown.root.querySelectorAll<HTMLInputElement>('.iw-concept-steer input[type="range"]'),
  ];
  const sent = () => shown.model.sent.filter((m) => m.name === "steer").map((m) => m.payload);

  it("has a slider for each concept; a slide is one request, and Stop is zero", async () => {
    open({ show: "steer" });
    expect(bars().length).toBe(3);
    for (const value of ["0.5", "1", "1.2"]) {
      bars()[0]!.value = value;
      bars()[0]!.dispatchEvent(new Event("input"));
    }
    await settle(200);
    expect(sent()).toEqual([{ concept: 1, layer: 0, strength: 1.2 }]);
    expect(shown.root.querySelector(".iw-steer-how")?.textContent).toBe(
      "× typical norm = 6 × its own gap",
    );
    shown.root.querySelector<HTMLButtonElement>(".iw-concept-steer button")?.click();
    await settle();
    expect(sent()[1]).toEqual({ concept: 1, layer: 0, strength: 0 });
  });

  it("follows what other cells do to the model, and shows the metric move", async () => {
    open({ show: "steer" });
    const metric = { name: "logit difference", prompt: "Tom", answer: " she", foil: " he" };
    const steering = { "1-0": -0.75 };
    shown.model.set("spec", spec({ steering, metric: { ...metric, base: -7.6, now: 0.23 } }));
    expect(bars().map((b) => Number(b.value))).toEqual([-0.75, 0, 0]);
    expect(shown.root.querySelector(".iw-concept-metric")?.textContent).toContain("−7.60 → 0.23");
  });

  it("takes a typed number on Enter", async () => {
    open({ show: "steer" });
    const input = shown.root.querySelector<HTMLInputElement>(".iw-concept-steer .iw-number")!;
    input.value = "0.4";
    press(input, "Enter");
    await settle(200);
    expect(sent()).toEqual([{ concept: 1, layer: 0, strength: 0.4 }]);
  });

  it("is not offered without a session", () => {
    open({}, { can_steer: false });
    expect(shown.root.querySelector('input[value="steer"]')).toBeNull();
  });
});
