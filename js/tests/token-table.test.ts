import { describe, expect, it } from "vitest";
import view from "../src/views/token_table.js";
import { SPEC, settle, words } from "./fake-model.js";
import { press, show } from "./view-harness.js";

const array = (i: number, dtype: string, shape: number[]) => ({ $buffer: i, dtype, shape });

/** Two neurons with one matrix; the first reads a token that would be a tag if it were no text. */
function opened(clamped: Record<string, number> = {}) {
  const asked: [string, any][] = [];
  const note = (name: string, answer: (payload: any) => any) => (payload: any) => {
    asked.push([name, payload]);
    return answer(payload);
  };
  const shown = show(
    view,
    {
      spec: {
        ...SPEC,
        kind: "token_table",
        columns: ["up"],
        roles: ["read"],
        signs: ["+", "−"],
        layers: [0],
        unit_name: "neuron",
        quantity: "probability",
        probable: true,
        count: 2,
        depth: 2,
        can_clamp: true,
        gated: false,
        note: "",
        clamped,
        turn: "0",
      },
      state: { row: 0, column: 0, sort: "confidence", layer: null, query: "", prompt: null },
    },
    {
      rows: note("rows", () => ({
        index: array(0, "int32", [2]),
        names: ["L0N0", "L0N1"],
        words: [[["<script>", " dog"]], [[" cat", " fish"]]],
        sign: array(1, "int32", [2, 1]),
        scores: array(2, "float32", [2, 1]),
        total: 2,
        page: 12,
        $buffers: [words([0, 1], "int32"), words([0, 0], "int32"), words([0.9, 0.4], "float32")],
      })),
      row: note("row", ({ row }) => ({
        row,
        name: `L0N${row}`,
        layer: 0,
        unit: row,
        tokens: [
          [
            ["<script>", " dog"],
            [" cat", " fish"],
          ],
        ],
        probability: array(0, "float32", [1, 2, 2]),
        logits: array(1, "float32", [1, 2, 2]),
        entropy: array(2, "float32", [1, 2]),
        $buffers: [
          words([0.9, 0.05, 0.4, 0.3], "float32"),
          words([4, 1, 2, 1], "float32"),
          words([0.3, 1.5], "float32"),
        ],
      })),
      points: note("points", () => ({
        index: array(0, "int32", [2]),
        layer: array(1, "int32", [2]),
        score: array(2, "float32", [2]),
        total: 2,
        $buffers: [words([0, 1], "int32"), words([0, 0], "int32"), words([0.9, 0.4], "float32")],
      })),
      live: note("live", () => ({
        prompt: "the animal is a",
        tokens: [" dog", " cat"],
        now: [0.7, 0.1],
        base: [0.2, 0.3],
        own: 0.5,
        sd: 2,
        gate: null,
        counts: [3, 1, 0, 1],
        range: [-1, 3],
        highest: [
          ["<b>", 3],
          [" is", 0.2],
        ],
      })),
      generate: note("generate", () => ({ prompt: "p", now: " dog dog", base: " cat <i>" })),
      clamp: note("clamp", () => ({})),
      table: () => ({ columns: [], rows: [] }),
    },
  );
  return { ...shown, asked };
}

const text = (root: Element, where: string) =>
  [...root.querySelectorAll(where)].map((el) => el.textContent);

describe("the token table", () => {
  it("shows rows, and tokens only as text", async () => {
    const { root, close } = opened();
    await settle();
    const rows = text(root, "[role=option]");
    expect(rows).toHaveLength(2);
    expect(rows[0]).toContain("<script>");
    expect(root.querySelector("script")).toBeNull();
    close();
  });

  it("opens the next row by key and selects its neuron", async () => {
    const { root, model, close } = opened();
    await settle();
    const first = root.querySelector("[role=option]") as HTMLElement;
    first.focus();
    press(first, "ArrowDown");
    press(document.activeElement as Element, "Enter");
    await settle();
    expect(model.get("state").row).toBe(1);
    close();
  });

  it("holds the neuron in units of its own spread, and lets it go", async () => {
    const { root, asked, close } = opened({ L0N0: 10 });
    await settle();
    const slide = root.querySelector(".iw-tt-clamp input[type=range]") as HTMLInputElement;
    expect(Number(slide.value)).toBe(5);
    slide.value = "-4";
    slide.dispatchEvent(new Event("input", { bubbles: true }));
    await settle(200);
    expect(asked.filter(([name]) => name === "clamp").at(-1)?.[1]).toEqual({ row: 0, value: -8 });
    const release = [...root.querySelectorAll("button")].find((b) => b.textContent === "Release");
    release?.click();
    await settle();
    expect(asked.filter(([name]) => name === "clamp").at(-1)?.[1]).toEqual({ row: 0, value: null });
    close();
  });

  it("draws how often the neuron takes which value, in words too", async () => {
    const { root, close } = opened({ L0N0: 1 });
    await settle();
    const bins = root.querySelector(".iw-tt-bins") as HTMLElement;
    const heights = [...bins.querySelectorAll("i")].map((el) => el.style.height);
    expect(heights).toEqual(["100%", `${100 / 3}%`, "0%", `${100 / 3}%`]);
    expect((bins.querySelector("u") as HTMLElement).style.left).toBe("50%");
    expect(bins.getAttribute("aria-label")).toContain("on 5 tokens from −1 to 3");
    expect(bins.getAttribute("aria-label")).toContain("<b> +3");
    close();
  });

  it("continues the prompt with and without the clamp, as text", async () => {
    const { root, close } = opened({ L0N0: 10 });
    await settle();
    const ask = [...root.querySelectorAll("button")].find((b) =>
      b.textContent?.startsWith("Continue"),
    );
    ask?.click();
    await settle();
    expect(text(root, ".iw-tt-made dd")).toEqual([" dog dog", " cat <i>"]);
    expect(text(root, ".iw-tt-made dt")).toEqual(["now", "before"]);
    close();
  });
});
