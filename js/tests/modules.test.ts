import { afterEach, describe, expect, it, vi } from "vitest";
import view from "../src/views/modules.js";
import { settle } from "./fake-model.js";
import { press, type Shown, show } from "./view-harness.js";

const leaf = (path: string, sites: string[] = []) => ({
  name: path.split(".").pop(),
  path,
  class: "Linear",
  parameters: 20,
  shape: [5, 8],
  sites,
  children: [],
});
const block = (i: number) => ({
  ...leaf(`h.${i}`, [`resid_post.${i}`]),
  class: "Block",
  children: [leaf(`h.${i}.attn`, [`z.${i}`]), leaf(`h.${i}.mlp`)],
});
const tree = {
  ...leaf("net"),
  path: "",
  class: "Net",
  children: [
    leaf("wte", ["embed"]),
    { ...leaf("h"), class: "ModuleList", shape: null, children: [0, 1, 2, 3].map(block) },
  ],
};
const spec = {
  kind: "modules",
  title: "Modules",
  alt: "",
  count: 15,
  summary: { layers: 4 },
  first: { tree },
  buffers: [],
};

let shown: Shown;
const open = () => (shown = show(view, { spec, state: { filter: "" } }));
const rows = () => [...shown.root.querySelectorAll<HTMLElement>('[role="treeitem"]')];
const names = () => rows().map((r) => r.querySelector("strong")?.textContent);
afterEach(() => {
  shown.close();
  document.body.replaceChildren();
});

describe("module tree", () => {
  it("speaks name, class, shape, parameters and activations with its level", () => {
    open();
    expect(names()).toEqual(["net", "wte", "h", "0", "attn", "mlp", "1 … 3"]);
    const [, wte, h] = rows();
    expect(wte?.querySelector(".iw-sr")?.textContent).toBe(
      "wte, Linear, output [5, 8], 20 parameters, activations embed",
    );
    expect([wte?.getAttribute("aria-level"), h?.getAttribute("aria-expanded")]).toEqual([
      "2",
      "true",
    ]);
    expect(rows()[6]?.querySelector(".iw-sr")?.textContent).toContain("3 modules like 0");
    expect(rows().filter((r) => r.tabIndex === 0).length).toBe(1);
  });

  it("opens, closes and walks by keyboard", () => {
    open();
    rows()[0]?.focus();
    press(document.activeElement!, "End");
    expect(document.activeElement?.querySelector("strong")?.textContent).toBe("1 … 3");
    press(document.activeElement!, "ArrowRight");
    expect(names().slice(-3)).toEqual(["1", "2", "3"]);
    press(document.activeElement!, "ArrowRight");
    expect(document.activeElement?.querySelector("strong")?.textContent).toBe("1");
    press(document.activeElement!, "ArrowLeft");
    press(document.activeElement!, "ArrowLeft");
    expect(names().slice(-1)).toEqual(["1 … 3"]);
    press(document.activeElement!, "ArrowLeft");
    expect(document.activeElement?.querySelector("strong")?.textContent).toBe("h");
  });

  it("filters while typing and says when nothing matches", async () => {
    open();
    const input = shown.root.querySelector<HTMLInputElement>("input[type=search]")!;
    input.value = "z.0";
    input.dispatchEvent(new Event("input"));
    expect(names()).toEqual(["net", "h", "0", "attn"]);
    input.value = "<img src=x>";
    input.dispatchEvent(new Event("input"));
    await settle();
    expect(rows()).toEqual([]);
    expect(shown.root.textContent).toContain("No module matches");
    expect(shown.root.querySelector("img")).toBeNull();
  });

  it("copies a path by key and by button, and counts what a filter finds", async () => {
    const write = vi.fn(async () => undefined);
    vi.stubGlobal("navigator", { ...navigator, clipboard: { writeText: write } });
    open();
    rows()[4]?.focus();
    rows()[4]?.click();
    press(document.activeElement!, "c");
    rows()[1]?.querySelector("button")?.click();
    await settle();
    expect(write.mock.calls).toEqual([["h.0.attn"], ["wte"]]);
    expect(rows()[0]?.querySelector("button")).toBeNull();
    vi.unstubAllGlobals();
    shown.model.set("state", { filter: "attn" });
    expect(shown.root.textContent).toContain("4 modules found");
  });
});
