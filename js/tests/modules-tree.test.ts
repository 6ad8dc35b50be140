import { describe, expect, it } from "vitest";

import {
  countText,
  firstOpen,
  foldChildren,
  type ModuleNode,
  shapeText,
  treeRows,
} from "../src/modules/tree.js";

function leaf(path: string, cls: string, parameters: number, sites: string[] = []): ModuleNode {
  const name = path.split(".").pop()!;
  return { name, path, class: cls, parameters, shape: [5, 8], sites, children: [] };
}

function block(i: number, width = 96): ModuleNode {
  const path = `transformer.h.${i}`;
  return {
    name: String(i),
    path,
    class: "GPT2Block",
    parameters: width * 2,
    shape: [5, 8],
    sites: [`resid_pre ${i}`, `resid_post ${i}`],
    children: [
      leaf(`${path}.attn`, "GPT2Attention", width, [`attn_out ${i}`]),
      leaf(`${path}.mlp`, "GPT2MLP", width, [`mlp_out ${i}`]),
    ],
  };
}

function model(layers: number, odd = -1): ModuleNode {
  const blocks = Array.from({ length: layers }, (_, i) => block(i, i === odd ? 64 : 96));
  const h: ModuleNode = {
    name: "h",
    path: "transformer.h",
    class: "ModuleList",
    parameters: 9,
    shape: null,
    sites: [],
    children: blocks,
  };
  const inner: ModuleNode = {
    name: "transformer",
    path: "transformer",
    class: "GPT2Model",
    parameters: 9,
    shape: [5, 8],
    sites: [],
    children: [leaf("transformer.wte", "Embedding", 40, ["embed"]), h],
  };
  return {
    name: "GPT2LMHeadModel",
    path: "",
    class: "GPT2LMHeadModel",
    parameters: 12345678,
    shape: [5, 50],
    sites: [],
    children: [inner, leaf("lm_head", "Linear", 40, ["logits"])],
  };
}
const named = (root: ModuleNode, open: Set<string>, filter = ""): string[] =>
  treeRows(root, open, filter).map((r) => `${"  ".repeat(r.depth)}${r.name}`);

describe("folding equal blocks", () => {
  const list = (layers: number, odd = -1): string[] => {
    const h = model(layers, odd).children[0]!.children[1]!;
    return foldChildren(h).map((item) => item.name);
  };

  it("shows the first block and folds the rest although their sites name other layers", () => {
    expect(list(12)).toEqual(["0", "1 … 11"]);
  });

  it("keeps a block that differs apart, and does not fold two", () => {
    expect(list(9, 4)).toEqual(["0", "1 … 3", "4", "5", "6 … 8"]);
    expect(list(2)).toEqual(["0", "1"]);
  });
});

describe("rows", () => {
  const root = model(12);

  it("opens first down to one block", () => {
    expect(named(root, firstOpen(root))).toEqual([
      "GPT2LMHeadModel",
      "  transformer",
      "    wte",
      "    h",
      "      0",
      "        attn",
      "        mlp",
      "      1 … 11",
      "  lm_head",
    ]);
  });

  it("opens a folded run into its blocks", () => {
    const open = firstOpen(root);
    open.add("transformer.h.1…11");
    const rows = treeRows(root, open);
    const run = rows.find((r) => r.count > 1)!;
    expect(run).toMatchObject({ name: "1 … 11", like: "0", open: true, count: 11 });
    expect(rows.filter((r) => r.depth === 4 && r.node.class === "GPT2Block").length).toBe(11);
    expect(rows.find((r) => r.key === "transformer.h.7")).toMatchObject({
      position: 7,
      siblings: 11,
    });
  });

  it("closes what is not open", () => {
    expect(named(root, new Set())).toEqual(["GPT2LMHeadModel"]);
  });

  it("filters by name, class or site and keeps the way to it", () => {
    expect(named(root, new Set(), "embed")).toEqual([
      "GPT2LMHeadModel",
      "  transformer",
      "    wte",
    ]);
    const rows = treeRows(root, new Set(), "gpt2mlp");
    expect(rows.map((r) => r.name)).toEqual([
      "GPT2LMHeadModel",
      "transformer",
      "h",
      "0",
      "mlp",
      "1 … 11",
    ]);
    expect(rows.filter((r) => r.matches).map((r) => r.node.path)).toEqual(["transformer.h.0.mlp"]);
    expect(treeRows(root, new Set(), "no such module")).toEqual([]);
  });
});

describe("numbers", () => {
  it("shortens parameter counts and writes shapes", () => {
    expect(countText(312)).toBe("312");
    expect(countText(1_070_000)).toBe("1.07 M");
    expect(countText(134_500_000)).toBe("135 M");
    expect(shapeText([5, 8])).toBe("[5, 8]");
    expect(shapeText(null)).toBe("");
  });
});
