import { afterEach, describe, expect, it } from "vitest";
import { Graph, type GraphNode, Links, tagWidth } from "../src/circuit/graph.js";
import { layoutPositions } from "../src/circuit/layout-positions.js";
import { hitMark } from "../src/circuit/marks.js";
import { MOST_ELEMENTS } from "../src/circuit/nodes.js";
import { prune } from "../src/circuit/prune.js";
import view from "../src/views/circuit.js";
import { settle, words } from "./fake-model.js";
import { press, type Shown, show } from "./view-harness.js";

const kinds = ["embedding", "embedding", "feature", "feature", "error", "logit"] as const;
const nodes = kinds.map(
  (kind, i): GraphNode => ({
    id: `n${i}`,
    kind,
    layer: [0, 0, 1, 2, 2, 3][i]!,
    head: -1,
    position: [0, 1, 0, 1, 1, 1][i]!,
    writes: kind !== "logit",
    reads: kind === "feature" || kind === "logit",
  }),
);
const graph = Graph.of(nodes);
// 0 → 2 → 3 → 5, 1 → 3, 4 → 5
const source = [3, 2, 0, 4, 1];
const target = [5, 3, 2, 5, 3];
const links = new Links(
  graph,
  Int32Array.from(source),
  Int32Array.from(target),
  new Uint8Array(5),
  Float32Array.from([4, 3, 2, -1, 0.5]),
);
const influence = Float32Array.from([0.9, 0.95, 0.6, 0.3, 0.85, Number.NaN]);
const share = Float32Array.from([0.4, 0.6, 0.75, 0.9, 1]);

describe("thresholds", () => {
  const kept = (n: number, e: number, always: number[] = []) => [
    ...prune(links, influence, share, n, e, new Set(always)),
  ];
  it("keep what has the influence, tokens and outputs, and nothing that leads nowhere", () => {
    expect(kept(1, 1)).toEqual([0, 1, 2, 3, 4]);
    expect(kept(0.8, 1)).toEqual([0, 1, 2, 3, 4]); // the error at 0.85 crosses 0.8
    expect(kept(0.85, 1)).toEqual([0, 1, 2, 3, 4]);
    expect(kept(0.5, 1)).toEqual([0, 1, 2, 4]); // the feature at 0.6 crosses 0.5
    expect(kept(0.3, 1)).toEqual([0, 4]);
    expect(kept(1, 0.7)).toEqual([0, 1, 2]); // the link at 0.75 crosses 0.7
    expect(kept(1, 0.4)).toEqual([]); // 3 is fed by nothing that is kept
    expect(kept(0.3, 1, [2])).toEqual([0, 1, 2, 4]);
  });
});

it("columns are tokens, rows layers, and nodes of a cell stand apart", () => {
  const many = Graph.of(
    Array.from({ length: 60 }, (_, i) => ({ ...nodes[2]!, id: `m${i}`, position: i % 2 })),
  );
  const all = many.nodes.map((_, i) => i);
  const placed = layoutPositions(many, all, ["a", "b"], ["E", "1"], 300, 200);
  const seen = new Set(all.map((i) => `${placed.x[i]!.toFixed(2)},${placed.y[i]!.toFixed(2)}`));
  expect(seen.size).toBe(60);
  for (const i of all) {
    expect(placed.x[i]! < placed.columns[1]!.x - placed.columns[1]!.width! / 2).toBe(i % 2 === 0);
    expect(placed.y[i]! > 0 && placed.y[i]! < placed.height).toBe(true);
  }
  expect(hitMark(placed, all, placed.x[7]! + 1, placed.y[7]!, 2)).toBe(7);
  expect(hitMark(placed, all, -50, -50, 2)).toBe(-1);
});

it("outputs stand side by side with room for their words, in as many lines as they need", () => {
  const label = '" Houston" (p=0.090)';
  const many = Graph.of(
    Array.from({ length: 5 }, (_, i) => ({ ...nodes[5]!, id: `o${i}`, position: 1, label })),
  );
  const all = many.nodes.map((_, i) => i);
  const placed = layoutPositions(many, all, ["a", "b"], ["E", "1"], 360, 200);
  const lines = [...new Set(all.map((i) => placed.y[i]!))];
  expect(lines.length).toBe(3); // two words of 136 px fit beside one another
  const half = tagWidth(many.nodes[0]!) / 2;
  for (const y of lines) {
    const line = all.filter((i) => placed.y[i] === y).map((i) => placed.x[i]!);
    for (let i = 1; i < line.length; i++) expect(line[i]! - line[i - 1]!).toBeGreaterThan(2 * half);
    expect(Math.min(...line) - half).toBeGreaterThan(0);
    expect(Math.max(...line) + half).toBeLessThan(placed.width);
  }
  expect(Math.min(...lines) - 16).toBeGreaterThan(0);
});

describe("the view", () => {
  let shown: Shown | undefined;
  afterEach(() => {
    shown?.close();
    document.body.replaceChildren();
  });
  const spec = (n = 0) => {
    const extra = Array.from({ length: n }, (_, i) => i);
    const kind = [2, 2, 0, 0, 1, 3, ...extra.map(() => 0)];
    const from = [...source, ...extra.map(() => 0), ...extra.map((i) => 6 + i)];
    const to = [...target, ...extra.map((i) => 6 + i), ...extra.map(() => 5)];
    const size = from.length;
    const reach = Float32Array.from({ length: size }, (_, i) => share[i] ?? 0.9);
    const inf = Float32Array.from([...influence, ...extra.map(() => 0.7)]);
    return {
      kind: "attribution_graph",
      title: "Graph",
      alt: "",
      recipe: "",
      interventions: [],
      revision: 0,
      changed: false,
      live: false,
      tokens: ["The", " <i>"],
      layers: ["E", "4", "9", "20"],
      ids: [...nodes.map((m) => m.id), ...extra.map((i) => `x_${i}_0`)],
      clerps: ["", "", "first <b>", "second", "", 'Output " x" (p=0.6)', ...extra.map(() => "")],
      row: [0, 0, 1, 2, 2, 3, ...extra.map(() => 1)],
      position: [0, 1, 0, 1, 1, 1, ...extra.map(() => 0)],
      total: size,
      note: "",
      first: {
        kind: { $buffer: 0, dtype: "int32", shape: [kind.length] },
        influence: { $buffer: 1, dtype: "float32", shape: [kind.length] },
        activation: { $buffer: 1, dtype: "float32", shape: [kind.length] },
        source: { $buffer: 2, dtype: "int32", shape: [size] },
        target: { $buffer: 3, dtype: "int32", shape: [size] },
        weight: { $buffer: 4, dtype: "float32", shape: [size] },
        share: { $buffer: 5, dtype: "float32", shape: [size] },
      },
      buffers: [
        words(Int32Array.from(kind), "int32"),
        words(inf, "float32"),
        words(Int32Array.from(from), "int32"),
        words(Int32Array.from(to), "int32"),
        words(
          Float32Array.from({ length: size }, (_, i) => links.score[i] ?? 0.25),
          "float32",
        ),
        words(reach, "float32"),
      ],
    };
  };
  const card = {
    type: "cross layer transcoder",
    top: [" x"],
    bottom: [],
    examples: [{ tokens: ["a", " <u>"], activations: [0, 2] }],
  };
  const open = (state: Record<string, unknown> = {}, n = 0) => {
    const first = { nodes: 1, edges: 1, clicked: "", ...state };
    shown = show(view, { spec: spec(n), state: first }, { card: () => card, select: () => ({}) });
    return shown;
  };
  const node = (root: Element, id: string) =>
    root.querySelector<SVGElement>(`[data-node="${id}"]`)!;

  it("lists inputs and outputs of the selected node with its card, as text", async () => {
    const { root, model } = open();
    node(root, "n3").focus();
    press(node(root, "n3"), "Enter");
    await settle();
    expect(model.get("state").clicked).toBe("n3");
    const text = root.querySelector(".iw-card")?.textContent ?? "";
    expect(text).toContain("second");
    expect(text).toContain("Inputs (2)first <b>+3");
    expect(text).toContain('Outputs (1)Output " x" (p=0.6)+4');
    expect(text).toContain("raises·x");
    expect(root.querySelector(".iw-card b, .iw-card u")).toBeNull();
    root.querySelector<HTMLButtonElement>(".iw-link-row")?.click();
    await settle();
    expect(model.get("state").clicked).toBe("n2");
  });

  it("prunes with its sliders and says what is left", async () => {
    const { root, model } = open();
    expect(root.querySelector(".iw-foot")?.textContent).toContain("6 of 6 nodes; 5 of 5 links");
    model.set("state", { ...model.get("state"), nodes: 0.6 });
    expect(root.querySelector(".iw-foot")?.textContent).toContain("5 of 6 nodes; 4 of 5 links");
    expect(node(root, "n4")).toBeNull();
  });

  it("shows the pinned subgraph with supernodes as boxes", async () => {
    const group = { name: "both", members: ["n2", "n3"], collapsed: true };
    const { root } = open({ layout: "classes", pins: ["n5"], groups: [group] });
    const ids = [...root.querySelectorAll<SVGElement>("[data-node]")].map((n) => n.dataset.node);
    expect(ids.sort()).toEqual(["group:both", "n5"]);
    expect(node(root, "group:both").getAttribute("aria-label")).toContain("1 outgoing edge");
  });

  it("keeps thousands of nodes off the page, and any of them within reach of the keyboard", async () => {
    const { root } = open({ pins: ["n2"] }, 3000);
    const drawn = root.querySelectorAll("[data-node]").length;
    expect(drawn).toBeLessThan(MOST_ELEMENTS);
    expect(node(root, "n2")).not.toBeNull();
    expect(root.querySelector(".iw-foot")?.textContent).toContain("3,006 of 3,006 nodes");
    const start = root.querySelector<SVGElement>('[data-node][tabindex="0"]')!;
    start.focus();
    press(document.activeElement!, "Home");
    press(document.activeElement!, "ArrowUp");
    expect((document.activeElement as HTMLElement).dataset.node).toMatch(/^x_|^n2/);
  });
});
