import { afterEach, describe, expect, it } from "vitest";
import view from "../src/views/circuit.js";
import { edgesByName, smallGraph } from "./circuit-helpers.js";
import { settle, words } from "./fake-model.js";
import { press, type Shown, show } from "./view-harness.js";

// input → 0.1 (query) → MLP 1 → logits, input → 1.0 (value) → logits; MLP 0 leads nowhere.
const graph = smallGraph(2, 3);
const edges = edgesByName(graph, [
  ["input", "a0.h1<q>", 5],
  ["a0.h1", "m1", -4],
  ["m1", "logits", 3],
  ["input", "m0", 2.5],
  ["input", "a1.h0<v>", 2],
  ["a1.h0", "logits", 1],
]);

const spec = (more: Record<string, unknown> = {}) => ({
  kind: "circuit",
  title: "Circuit <b>",
  alt: "six edges",
  recipe: "",
  interventions: [],
  revision: 0,
  changed: false,
  live: true,
  forward: graph.forward,
  backward: graph.backward,
  total: 6,
  unscored: 0,
  metric: "logit difference",
  values: { clean: 3.55, corrupted: -0.4 },
  base_values: { clean: 3.55 },
  faithfulness: { sizes: [3, 6], values: [0.5, 0.93] },
  can_cut: true,
  can_ablate: true,
  first: {
    flat: { $buffer: 0, dtype: "int32", shape: [6] },
    score: { $buffer: 1, dtype: "float32", shape: [6] },
  },
  buffers: [words(edges.flat, "int32"), words(edges.score, "float32")],
  ...more,
});

let shown: Shown | undefined;
afterEach(() => {
  shown?.close();
  shown = undefined;
  document.body.replaceChildren();
});

const open = (more: Record<string, unknown> = {}, state: Record<string, unknown> = {}) => {
  shown = show(
    view,
    { spec: spec(more), state: { size: 6, cut: [], ...state } },
    {
      cut: (p) => ({ value: 3.55 - 0.5 * p.edges.length }),
      intervene: () => ({}),
      select: () => ({}),
    },
  );
  return shown;
};
const node = (root: Element, id: string) => root.querySelector<SVGElement>(`[data-node="${id}"]`)!;
const ids = (root: Element) =>
  [...root.querySelectorAll<SVGElement>("[data-node]")].map((n) => n.dataset.node).sort();
const said = (root: Element) => root.querySelector('[role="status"].iw-sr')?.textContent;
const asked = (name: string) =>
  shown!.model.sent.filter((m) => m.name === name).map((m) => m.payload);

describe("components", () => {
  it("shows those of the connected circuit and names them for a screen reader", () => {
    const { root } = open();
    expect(ids(root)).toEqual(["a0.h1", "a1.h0", "input", "logits", "m1"]);
    expect(node(root, "a0.h1").getAttribute("aria-label")).toBe(
      "head 0.1, layer 0, 1 incoming edge, 1 outgoing edge, strongest from input into query +5",
    );
    expect(root.textContent).toContain("1 on no path left out");
  });

  it("shows dangling ones when asked to", async () => {
    const { root } = open({}, { connected: false });
    expect(ids(root)).toContain("m0");
  });

  it("takes titles as text", () => {
    expect(open().root.querySelector(".iw-title b")).toBeNull();
  });

  it("marks the ports that are read: a circle for q, a triangle for v", () => {
    const { root } = open();
    expect(node(root, "a0.h1").querySelectorAll(".iw-port").length).toBe(1);
    expect(node(root, "a0.h1").querySelector("circle.iw-port-q")).not.toBeNull();
    expect(node(root, "a1.h0").querySelector("path.iw-port-v")).not.toBeNull();
  });
});

describe("size", () => {
  it("has the faithfulness of the size beside it", () => {
    const { root } = open();
    expect(root.querySelector(".iw-size-words")?.textContent).toBe("100 % · faithfulness 0.93");
  });

  it("says at which size it was measured when it was another one", async () => {
    const { root, model } = open();
    model.set("state", { size: 4, cut: [] });
    expect(root.querySelector(".iw-size-words")?.textContent).toMatch(/faithfulness 0.50 \(at 3\)/);
    expect(ids(root)).toEqual(["a0.h1", "input", "logits", "m1"]);
  });

  it("offers a way on when the strongest edges form no path", async () => {
    const { root, model } = open({}, { size: 2 });
    expect(ids(root)).toEqual([]);
    const note = root.querySelector(".iw-note");
    expect(note?.textContent).toContain("no path");
    note?.querySelector("button")?.click();
    await settle();
    expect(model.get("state").connected).toBe(false);
    expect(ids(root)).toContain("a0.h1");
  });
});

describe("keyboard", () => {
  it("has one tab stop, and arrows walk the layers", () => {
    const { root } = open();
    const stops = [...root.querySelectorAll('[data-node][tabindex="0"]')];
    expect(stops.length).toBe(1);
    node(root, "logits").focus();
    press(document.activeElement!, "ArrowDown");
    expect((document.activeElement as HTMLElement).dataset.node).toBe("m1");
    press(document.activeElement!, "ArrowDown", { shiftKey: true });
    expect((document.activeElement as HTMLElement).dataset.node).toBe("a0.h1");
    press(document.activeElement!, "Home");
    expect((document.activeElement as HTMLElement).dataset.node).toBe("input");
  });

  it("names a component's edges one by one and cuts the named one", async () => {
    const { root } = open();
    node(root, "a0.h1").focus();
    press(node(root, "a0.h1"), "e");
    expect(said(root)).toContain("input → 0.1 query, score +5, rank 1");
    press(node(root, "a0.h1"), "e");
    expect(said(root)).toContain("0.1 → MLP 1, score −4");
    press(node(root, "a0.h1"), "Enter");
    await settle();
    expect(asked("cut")).toEqual([{ edges: [edges.flat[1]] }]);
    expect(said(root)).toBe("0.1 → MLP 1 cut, logit difference 3.55 to 3.05");
    expect(root.querySelector(".iw-cuts")?.textContent).toContain("becomes3.05(−0.500)");
  });

  it("ablates the component when no edge is picked", async () => {
    const { root } = open();
    node(root, "a1.h0").focus();
    press(node(root, "a1.h0"), "Enter");
    await settle();
    expect(asked("intervene")).toEqual([{ kind: "ablate", site: "z", layer: 1, head: 0 }]);
    expect(said(root)).toBe("head 1.0 ablated");
  });
});

describe("cutting", () => {
  it("restores edge by edge and all at once", async () => {
    const flats = [edges.flat[0], edges.flat[2]];
    const { root, model } = open({}, { cut: flats, cut_value: 2.55 });
    expect(root.querySelectorAll(".iw-chip").length).toBe(2);
    root.querySelector<HTMLButtonElement>(".iw-chip")?.click();
    await settle();
    expect(asked("cut")).toEqual([{ edges: [edges.flat[2]] }]);
    expect(model.get("state").cut).toEqual([edges.flat[2]]);
    [...root.querySelectorAll("button")].find((b) => b.textContent === "Restore all")?.click();
    await settle();
    expect(model.get("state").cut).toEqual([]);
    expect(root.querySelectorAll(".iw-chip").length).toBe(0);
  });

  it("keeps what was when the model cannot answer, and offers to try again", async () => {
    shown = show(
      view,
      { spec: spec(), state: { size: 6, cut: [] } },
      {
        select: () => ({}),
        cut: () => {
          throw new Error("out of memory");
        },
      },
    );
    const { root, model } = shown;
    node(root, "a0.h1").focus();
    press(node(root, "a0.h1"), "e");
    press(node(root, "a0.h1"), "Enter");
    await settle();
    expect(root.querySelector('[role="alert"]')?.textContent).toContain("out of memory");
    expect(model.get("state").cut).toEqual([]);
    expect(root.querySelectorAll(".iw-chip").length).toBe(0);
  });

  it("says in a page without a kernel that it cannot", async () => {
    const { root, model } = open({ can_cut: false, live: false });
    node(root, "a0.h1").focus();
    press(node(root, "a0.h1"), "e");
    press(node(root, "a0.h1"), "Enter");
    await settle();
    expect(asked("cut")).toEqual([]);
    expect(root.querySelector(".iw-note")?.textContent).toContain("not attached");
    expect(model.get("state").cut).toEqual([]);
  });
});

describe("following the session", () => {
  it("marks ablated components and shows base and current metric", () => {
    const { root, model } = open();
    const ablation = { kind: "ablate", site: "z", layer: 0, head: [1] };
    model.set(
      "spec",
      spec({ changed: true, revision: 1, interventions: [ablation], values: { clean: 2.1 } }),
    );
    expect(node(root, "a0.h1").getAttribute("aria-pressed")).toBe("true");
    expect(node(root, "a0.h1").getAttribute("aria-label")).toMatch(/, ablated$/);
    expect(node(root, "a1.h0").getAttribute("aria-pressed")).toBe("false");
    expect(root.querySelector(".iw-cuts")?.textContent).toContain("3.55→becomes2.1");
  });

  it("keeps an ablated head in sight although no edge reaches it any more", () => {
    const { root, model } = open({}, { size: 3 });
    const ablation = { kind: "ablate", site: "z", layer: 1, head: [2] };
    for (const layout of ["columns", "packed"]) {
      model.set("state", { size: 3, cut: [], layout });
      model.set("spec", spec({ changed: true, interventions: [ablation] }));
      expect(node(root, "a1.h2").getAttribute("aria-label")).toContain("0 incoming edges");
      expect(node(root, "a1.h2").getAttribute("aria-pressed")).toBe("true");
    }
  });

  it("leaves no listener behind", async () => {
    const { model, close } = open();
    close();
    await settle();
    const left = [...model.listeners].filter(([, calls]) => calls.size);
    expect(left.map(([event]) => event)).toEqual([]);
  });
});
