import { afterEach, describe, expect, it } from "vitest";
import { palettes } from "../src/core/color.js";
import { limits, type Plot, stepAt, strokeOf, summary, xOf } from "../src/lens/lines.js";
import { percent, ranked } from "../src/lens/words.js";
import view from "../src/views/lens.js";
import { SPEC, settle, words } from "./fake-model.js";
import { press, type Shown, show } from "./view-harness.js";

const LENS = {
  ...SPEC,
  kind: "lens",
  cells: "token",
  dims: ["layer", "position"],
  sizes: { layer: 3, position: 2 },
  labels: { layer: ["embed", "0", "1"], position: [" a", "<b>"] },
  numbers: { layer: [-1, 0, 1], position: [4, 6] },
  channels: [["probability", "probability of the top token"]],
  quantity: "probability of the top token",
  selects: { layer: "layer", position: "token" },
  sites: ["resid_pre.0", "resid_post.0", "resid_post.1"],
  source: { text: "a b", ids: [1, 2] },
  targets: [],
  flip: true,
};

const RANGE = { low: 0, high: 1, trim_low: 0, trim_high: 1, nan: 0, inf: 0, signed: false };
const IDS = [5, 6, 6, 5, 5, 6, 6, 5, 5, 6, 7, 5];

const answers = {
  tile: () => ({
    values: { $buffer: 0, dtype: "float32", shape: [3, 2] },
    range: RANGE,
    $buffers: [words([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "float32")],
  }),
  words: () => ({
    ids: { $buffer: 0, dtype: "int32", shape: [3, 2, 2] },
    probs: { $buffer: 1, dtype: "float32", shape: [3, 2, 2] },
    strings: { "5": " Mary", "6": " John", "7": "<script>" },
    $buffers: [words(IDS, "int32"), words(new Float32Array(12).fill(0.25), "float32")],
  }),
  track: ({ ids }: { ids: number[] }) => ({
    probs: { $buffer: 0, dtype: "float32", shape: [ids.length, 3, 2] },
    $buffers: [
      words(
        ids.flatMap((id) => [0, 1, 2, 3, 4, 5].map((i) => (id * 10 + i) / 1000)),
        "float32",
      ),
    ],
  }),
  find: ({ text }: { text: string }) => ({ found: [[8, text]] }),
  intervene: () => ({}),
  select: () => ({}),
  look: () => ({}),
};

let shown: Shown | undefined;
async function open(spec: object = {}, state: object = {}): Promise<Shown> {
  const start = { channel: "probability", pins: [[[5, " Mary"]]], over: "layers", cell: null };
  shown = show(view, { spec: { ...LENS, ...spec }, state: { ...start, ...state } }, answers);
  await settle();
  return shown;
}

afterEach(() => {
  shown?.close();
  document.body.replaceChildren();
});

const asked = (s: Shown, name: string) =>
  s.model.sent.filter((m) => m.name === name).map((m) => m.payload);
const rows = (s: Shown) => [...s.root.querySelectorAll<HTMLElement>(".iw-ranked-row")];
const chips = (s: Shown) =>
  [...s.root.querySelectorAll(".iw-lens-chip")].map((el) => el.textContent);

describe("the words of a lens", () => {
  it("are ranked in a block that is not square", () => {
    const ids = { data: Int32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3]), shape: [2, 3, 2] };
    const probs = { data: new Float32Array(12).fill(0.25), shape: [2, 3, 2] };
    const strings = { "2": " Mary", "3": " John" };
    expect(ranked({ ids, probs, strings }, 1, 2)).toEqual([
      { id: 2, token: " Mary", p: 0.25 },
      { id: 3, token: " John", p: 0.25 },
    ]);
    expect(ranked({ ids, probs, strings }, 0, 0)[0]!.token).toBe("#1");
  });

  it("do not round a small probability to nothing", () => {
    expect([0, 0.0002, 0.1234].map(percent)).toEqual(["0.0 %", "<0.1 %", "12.3 %"]);
  });

  it("list the chosen cell, first the last one, as text", async () => {
    const s = await open();
    expect(s.root.querySelector(".iw-ranked-pane")!.textContent).toContain("layer 1");
    expect(rows(s)[0]!.textContent).toContain("<script>");
    expect(s.root.querySelector(".iw-body script")).toBeNull();
  });
});

describe("pins", () => {
  it("are followed with one request for all that are missing, and pinned groups add up", async () => {
    const s = await open(
      {},
      {
        pins: [
          [
            [5, " Mary"],
            [6, "Mary"],
          ],
          [[7, " x"]],
        ],
      },
    );
    expect(asked(s, "track")).toEqual([{ mode: "current", ids: [5, 6, 7] }]);
    expect(chips(s)[0]).toContain("·Mary + Mary");
    expect(chips(s)[0]).toContain("0.12"); // (55 + 65) / 1000 in the last cell
  });

  it("come and go by a press on the list, and Shift adds to the last group", async () => {
    const s = await open();
    rows(s)[0]!.click();
    await settle();
    expect(s.model.get("state").pins).toEqual([[[5, " Mary"]], [[7, "<script>"]]]);
    rows(s)[0]!.click();
    await settle();
    rows(s)[0]!.dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
    await settle();
    expect(s.model.get("state").pins).toEqual([
      [
        [5, " Mary"],
        [7, "<script>"],
      ],
    ]);
  });

  it("can be typed", async () => {
    const s = await open();
    const input = s.root.querySelector<HTMLInputElement>(".iw-lens-pin-input")!;
    input.value = "Sue";
    press(input, "Enter");
    await settle();
    expect(s.model.get("state").pins[1]).toEqual([[8, "Sue"]]);
    expect(input.value).toBe("");
  });

  it("that an exported page does not hold say so and ask for nothing", async () => {
    const s = await open({ live: false, trackable: [5], source: null }, { pins: [[[9, " z"]]] });
    expect(asked(s, "track")).toEqual([]);
    expect(chips(s)[0]).toContain("not in this page");
  });
});

describe("a cell carried into another", () => {
  const focus = (s: Shown) => s.root.querySelector<HTMLElement>(".iw-focus-cell")!;

  it("is copied and patched by keyboard, with the prompt's own positions, and shown as code", async () => {
    const s = await open();
    press(focus(s), "c"); // the first row on the screen is the last layer
    press(focus(s), "ArrowRight");
    press(focus(s), "v");
    await settle();
    expect(asked(s, "intervene")).toEqual([
      {
        kind: "patch",
        site: "resid_post",
        layer: 1,
        position: [6],
        source: { text: "a b", ids: [1, 2] },
        source_position: [4],
      },
    ]);
    const note = s.root.querySelector(".iw-notes")!.textContent!;
    expect(note).toContain('session.patch("resid_post", layer=1, position=6');
    expect(note).toContain("Undo");
  });

  it("is spoken of until the interventions change", async () => {
    const s = await open();
    const note = () => s.root.querySelector('[data-slot="carry"]')?.textContent ?? "";
    const revise = async (interventions: Record<string, unknown>[]) => {
      s.model.set("spec", { ...s.model.get("spec"), interventions });
      await settle();
    };
    press(focus(s), "c");
    expect(note()).toContain("Copied");
    await revise([{ kind: "ablate", site: "z", layer: 0 }]);
    expect(note()).toBe("");
    press(focus(s), "ArrowRight");
    press(focus(s), "v");
    await settle();
    const patch = { kind: "patch", site: "resid_post", layer: 1, position: [6], source: {} };
    await revise([patch]); // what the note speaks of arrives
    expect(note()).toContain("Patched");
    await revise([]); // session.reset()
    expect(note()).toBe("");
  });

  it("reaches every lens of the page", async () => {
    const one = await open();
    const other = show(view, { spec: { ...LENS, source: { text: "other" } }, state: {} }, answers);
    await settle();
    press(focus(one), "c");
    press(focus(other), "v");
    await settle();
    expect(asked(other, "intervene")[0].source).toEqual({ text: "a b", ids: [1, 2] });
    other.close();
  });

  it("changes nothing when it is put where it came from, or without the model", async () => {
    const s = await open();
    press(focus(s), "c");
    press(focus(s), "v");
    await settle();
    expect(asked(s, "intervene")).toEqual([]);
    s.close();
    const dead = await open({ source: null, sites: [], live: false });
    expect(focus(dead).draggable).toBeFalsy();
    press(focus(dead), "v");
    expect(asked(dead, "intervene")).toEqual([]);
  });
});

describe("lines", () => {
  const plot: Plot = {
    lines: [{ name: "Mary", values: [0.1, Number.NaN, 0.72] }],
    steps: ["embed", "0", "1"],
    chosen: 2,
    log: false,
    signed: false,
    width: 400,
    palette: palettes.light,
    title: "Probability at position 2",
  };

  it("end at a round number, symmetric for a difference, and decades on a log axis", () => {
    expect(limits(plot)).toEqual([0, 1]);
    expect(limits({ ...plot, signed: true })).toEqual([-1, 1]);
    expect(limits({ ...plot, log: true })[1]).toBe(1);
    expect(limits({ ...plot, lines: [] })).toEqual([0, 1]);
  });

  it("are told apart without colour, and steps are found from pixels", () => {
    const dashes = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => strokeOf(i, palettes.light).dash);
    expect(new Set(dashes).size).toBe(8);
    expect([0, 1, 2].map((i) => stepAt(xOf(i, plot), plot))).toEqual([0, 1, 2]);
  });

  it("are told to a screen reader", () => {
    expect(summary(plot)).toContain("Mary: from 0.100 to 0.720, highest 0.720 at 1");
  });
});
