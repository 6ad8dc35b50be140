import { afterEach, describe, expect, it } from "vitest";
import { fold } from "../src/circuit/fold.js";
import { circuitOf } from "../src/circuit/graph.js";
import { chips, layoutClasses } from "../src/circuit/layout-classes.js";
import { inLoop } from "../src/circuit/pointer.js";
import { Reference } from "../src/circuit/reference.js";
import view from "../src/views/circuit.js";
import { edgesByName, smallGraph } from "./circuit-helpers.js";
import { settle, words } from "./fake-model.js";
import { press, type Shown, show } from "./view-harness.js";

const graph = smallGraph(2, 3);
const edges = edgesByName(graph, [
  ["input", "a0.h1<q>", 5],
  ["input", "a0.h2<q>", -4],
  ["a0.h1", "m1", 3],
  ["a0.h2", "m1", 2],
  ["m1", "logits", 1],
]);
const circuit = circuitOf(edges, 5);
const pair = { name: "early", members: ["a0.h1", "a0.h2"], collapsed: true };

describe("folding", () => {
  it("adds up the edges of members and keeps which they are", () => {
    const folded = fold(edges, circuit, [pair]);
    const { links } = folded;
    const rows = [...folded.circuit.edges].map((e) => [links.label(e), links.score[e]]);
    expect(rows).toEqual([
      ["early → MLP 1", 5],
      ["input → early query", 1],
      ["MLP 1 → logits", 1],
    ]);
    expect(links.flats(0)).toEqual([edges.flat[2], edges.flat[3]]);
    expect(links.position(edges.flat[3]!)).toBe(0);
    expect(folded.graph.nodes.at(-1)?.members).toEqual([graph.find("a0.h1"), graph.find("a0.h2")]);
  });

  it("leaves the graph alone without groups, and links inside a group out", () => {
    expect(fold(edges, circuit, []).links).toBe(edges);
    const all = { ...pair, members: ["input", "a0.h1", "a0.h2", "m1"] };
    expect(fold(edges, circuit, [all]).circuit.edges.length).toBe(1);
  });
});

describe("boxes of classes", () => {
  it("stand above what they read, without touching", () => {
    const folded = fold(edges, circuit, [pair]);
    const shown = folded.circuit.nodes;
    const inside = (n: (typeof folded.graph.nodes)[number]) =>
      n.members ? chips(folded.graph, n) : [];
    const placed = layoutClasses(
      folded.graph,
      folded.circuit,
      folded.links,
      shown,
      inside,
      500,
      400,
    );
    const at = (id: string) => placed.y[folded.graph.find(id)]!;
    expect(at("input")).toBeGreaterThan(at("group:early"));
    expect(at("group:early")).toBeGreaterThan(at("m1"));
    expect(at("m1")).toBeGreaterThan(at("logits"));
    expect(inside(folded.graph.nodes.at(-1)!)).toEqual(["0.1,\u00a00.2"]);
  });
});

describe("a reference", () => {
  it("counts what both have, what is missed and what is extra", () => {
    const flat = [edges.flat[0]!, edges.flat[4]!, 3];
    const { precision, recall, missed } = new Reference({ level: "edge", flat }).compare(
      circuit,
      edges,
    );
    expect([precision, recall, missed]).toEqual([0.4, 2 / 3, 1]);
    const nodes = new Reference({ level: "node", nodes: ["a0.h1", "a1.h2"] });
    expect(nodes.compare(circuit, edges)).toMatchObject({
      hits: 1,
      extra: 2,
      missed: 1,
      recall: 0.5,
    });
    expect(nodes.ofNode(graph.nodes[graph.find("a1.h2")]!, false)).toBe("miss");
    expect(nodes.ofNode(graph.nodes[graph.find("input")]!, true)).toBe("");
  });
});

it("a loop holds what is inside of it, also where it is dented", () => {
  const loop = [
    [0, 0],
    [10, 0],
    [10, 10],
    [5, 2],
    [0, 10],
  ] as const;
  expect(inLoop(loop, 1, 5)).toBe(true);
  expect(inLoop(loop, 5, 5)).toBe(false);
  expect(inLoop(loop, 11, 5)).toBe(false);
});

describe("arranging by keyboard", () => {
  let shown: Shown | undefined;
  afterEach(() => {
    shown?.close();
    document.body.replaceChildren();
  });
  const spec = {
    kind: "circuit",
    title: "Circuit",
    alt: "",
    recipe: "",
    interventions: [],
    revision: 0,
    changed: false,
    live: true,
    forward: graph.forward,
    backward: graph.backward,
    total: 5,
    metric: "logit difference",
    values: { clean: 3 },
    can_cut: true,
    can_ablate: true,
    first: {
      flat: { $buffer: 0, dtype: "int32", shape: [5] },
      score: { $buffer: 1, dtype: "float32", shape: [5] },
    },
    buffers: [words(edges.flat, "int32"), words(edges.score, "float32")],
  };
  const open = (state: Record<string, unknown> = {}) => {
    const answers = { cut: (p: any) => ({ value: 3 - p.edges.length }), select: () => ({}) };
    shown = show(view, { spec, state: { size: 5, cut: [], layout: "packed", ...state } }, answers);
    return shown;
  };
  const node = (root: Element, id: string) =>
    root.querySelector<SVGElement>(`[data-node="${id}"]`)!;
  const answer = async (root: Element, text: string) => {
    const input = root.querySelector<HTMLInputElement>(".iw-arrange input")!;
    input.value = text;
    input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    await settle();
  };

  it("chooses with space, groups with g, folds with f, renames, takes apart, goes back", async () => {
    const { root, model } = open();
    for (const id of ["a0.h1", "a0.h2"]) {
      node(root, id).focus();
      press(node(root, id), " ");
    }
    expect(root.querySelector(".iw-arrange")?.textContent).toContain(
      "2 chosen: head 0.1, head 0.2",
    );
    press(node(root, "a0.h2"), "g");
    await answer(root, "<b>early</b>");
    expect(model.get("state").groups).toEqual([
      { name: "<b>early</b>", members: ["a0.h1", "a0.h2"], collapsed: false },
    ]);
    expect(root.querySelector(".iw-hull text")?.textContent).toBe("<b>early</b>");
    expect(root.querySelector("b")).toBeNull();
    node(root, "a0.h1").focus();
    press(node(root, "a0.h1"), "f");
    await settle();
    expect(node(root, "a0.h1")).toBeNull();
    const group = node(root, "group:<b>early</b>");
    expect(group.getAttribute("aria-label")).toContain(
      "group of 2, 1 incoming edge, 1 outgoing edge",
    );
    group.focus();
    press(group, "r");
    await answer(root, "early");
    expect(model.get("state").groups[0].name).toBe("early");
    node(root, "group:early").focus();
    press(node(root, "group:early"), "Enter");
    await settle();
    expect(model.get("state").groups[0].collapsed).toBe(false);
    node(root, "a0.h1").focus();
    press(node(root, "a0.h1"), "x");
    await settle();
    expect(model.get("state").groups).toEqual([]);
    press(node(root, "a0.h1"), "u");
    await settle();
    expect(model.get("state").groups.length).toBe(1);
  });

  it("pins, notes and moves a node without a mouse", async () => {
    const { root, model } = open();
    node(root, "m1").focus();
    press(node(root, "m1"), "p");
    press(node(root, "m1"), "n");
    await answer(root, "writes the answer");
    node(root, "m1").focus();
    press(node(root, "m1"), "m");
    press(node(root, "m1"), "ArrowLeft");
    await settle();
    const { pins, notes, positions } = model.get("state");
    expect(pins).toEqual(["m1"]);
    expect(notes).toEqual({ m1: "writes the answer" });
    expect(positions.m1[0]).toBeGreaterThan(0);
    expect(node(root, "m1").getAttribute("aria-label")).toContain(
      "pinned, note: writes the answer",
    );
    const before = positions.m1[0];
    press(document.activeElement!, "ArrowRight");
    await settle();
    expect(model.get("state").positions.m1[0]).toBeCloseTo(before + 0.02, 3);
    press(document.activeElement!, "Escape");
    press(document.activeElement!, "ArrowUp");
    expect((document.activeElement as HTMLElement).dataset.node).toBe("logits");
  });

  it("cuts every edge of a folded group at once and restores them", async () => {
    const { root, model } = open({ groups: [pair] });
    const group = node(root, "group:early");
    group.focus();
    press(group, "e");
    press(group, "Enter");
    await settle();
    expect(model.get("state").cut).toEqual([edges.flat[0], edges.flat[1]]);
    press(node(root, "group:early"), "Enter"); // the edge is still picked
    await settle();
    expect(model.get("state").cut).toEqual([]);
  });

  it("walks through the members of a class and switches one off", async () => {
    const asked: unknown[] = [];
    const answers = { select: () => ({}), intervene: (p: unknown) => asked.push(p) };
    const state = { size: 5, cut: [], layout: "classes", groups: [{ ...pair, collapsed: false }] };
    const off = [{ kind: "ablate", site: "z", layer: 0, head: [2] }];
    shown = show(view, { spec: { ...spec, interventions: off }, state }, answers);
    const { root } = shown;
    const group = node(root, "group:early");
    const on = () => [...root.querySelectorAll(".iw-member-on")].map((el) => el.textContent);
    expect(root.querySelector(".iw-member.iw-ablated")?.textContent).toBe("0.2");
    group.focus();
    press(group, "o");
    expect(on()).toEqual(["0.1"]);
    press(group, "O", { shiftKey: true });
    expect(on()).toEqual(["0.2"]);
    expect(root.querySelector("[aria-live]")?.textContent).toContain("head 0.2, 1 edge in");
    press(group, "o");
    press(group, "Enter");
    await settle();
    expect(asked).toEqual([{ kind: "ablate", site: "z", layer: 0, head: 1 }]);
    press(group, "Escape");
    expect(on()).toEqual([]);
    node(root, "group:early")
      .querySelector<SVGElement>("[data-member]")!
      .dispatchEvent(new MouseEvent("click", { bubbles: true }));
    await settle();
    expect(asked.length).toBe(2);
  });

  it("folds the box of an open group, and Ctrl Z takes it back", async () => {
    const { root, model } = open({ groups: [{ ...pair, collapsed: false }] });
    const box = root.querySelector<SVGElement>(".iw-hull")!;
    expect(box.getAttribute("tabindex")).toBe("0");
    box.focus();
    expect(root.querySelector(".iw-arrange")?.textContent).toContain("Group early, 2 members");
    press(box, "Enter");
    await settle();
    expect(model.get("state").groups[0].collapsed).toBe(true);
    expect((document.activeElement as HTMLElement).dataset.node).toBe("group:early");
    expect(root.querySelector(".iw-arrange")?.textContent).toContain("Undo arranging");
    press(document.activeElement!, "z", { ctrlKey: true });
    await settle();
    expect(model.get("state").groups[0].collapsed).toBe(false);
    expect(press(root.querySelector(".iw-hull")!, "z", { ctrlKey: true })).toBe(true); // nothing left
    press(root.querySelector(".iw-hull")!, "x");
    await settle();
    expect(model.get("state").groups).toEqual([]);
  });

  it("hides names and scores until they are revealed", async () => {
    const { root, model } = open({ predict: true, revealed: [], groups: [pair] });
    const group = node(root, "group:early");
    expect(group.textContent).toBe("?");
    expect(group.getAttribute("aria-label")).toBe("group, hidden");
    group.focus();
    press(group, "Enter");
    await settle();
    expect(model.get("state").revealed).toEqual(["early"]);
    expect(model.get("state").groups[0].collapsed).toBe(true);
    expect(node(root, "group:early").textContent).toContain("early");
    press(node(root, "group:early"), "e");
    expect(root.querySelector(".iw-tooltip")?.textContent).toContain("input → early");
    press(node(root, "group:early"), "e"); // to MLP 1, which is not revealed
    expect(root.querySelector(".iw-tooltip")?.textContent).toContain("hidden");
  });

  it("states precision and recall beside a reference and shows what is missed", () => {
    const with_ = { ...spec, reference: { level: "node", nodes: ["a0.h1", "a1.h0"] } };
    shown = show(view, { spec: with_, state: { size: 5, cut: [], layout: "packed" } }, {});
    const { root } = shown;
    expect(root.querySelector(".iw-foot")?.textContent).toContain("precision 0.33, recall 0.50");
    expect(node(root, "a1.h0").classList.contains("iw-reference-miss")).toBe(true);
    expect(node(root, "a0.h2").getAttribute("aria-label")).toContain("not in the reference");
  });
});
