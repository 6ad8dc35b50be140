import { afterEach, describe, expect, it, vi } from "vitest";
import { chosen, counts, links, type Method, toggled } from "../src/methods/choose.js";
import view from "../src/views/methods.js";
import { settle } from "./fake-model.js";
import { press, type Shown, show } from "./view-harness.js";

const facets = {
  paradigm: ["behavioural", "mechanistic"],
  causal_nature: ["observational", "interventional"],
  units: ["head", "layer", "motif"],
};
const method = (name: string, paradigm: string, nature: string, units: string[]): Method => ({
  name,
  title: name[0]?.toUpperCase() + name.slice(1),
  summary: `What ${name} does.`,
  family: "patching",
  unit: units.join(" or "),
  cost: "1 forward pass",
  result: "array",
  paper: name === "patching" ? "Wang et al. 2022, arXiv:2211.00593; others" : "",
  template: `# ${name}\niw.${name}(prompt)\n`,
  tags: { paradigm: [paradigm], causal_nature: [nature], units },
});
const methods = [
  method("lens", "mechanistic", "observational", ["layer"]),
  method("patching", "mechanistic", "interventional", ["head", "layer"]),
  method("<script>", "behavioural", "observational", ["head"]),
];
const names = (found: Method[]) => found.map((m) => m.name);

describe("choosing", () => {
  it("takes one answer of each question and all words", () => {
    expect(names(chosen(methods, { units: ["head"] }, ""))).toEqual(["patching", "<script>"]);
    const both = { units: ["head"], paradigm: ["mechanistic"] };
    expect(names(chosen(methods, both, ""))).toEqual(["patching"]);
    expect(names(chosen(methods, { paradigm: ["behavioural", "mechanistic"] }, ""))).toHaveLength(
      3,
    );
    expect(names(chosen(methods, {}, "WANG 2022"))).toEqual(["patching"]);
    expect(chosen(methods, {}, "wang lens")).toEqual([]);
  });

  it("counts what each answer would show, whatever else its own question has", () => {
    const found = counts(methods, facets, { paradigm: ["mechanistic"] }, "");
    expect(found.paradigm).toEqual({ behavioural: 1, mechanistic: 2 });
    expect(found.units).toEqual({ head: 1, layer: 2, motif: 0 });
  });

  it("adds an answer, takes it away again, and leaves no empty question", () => {
    const one = toggled({}, "units", "head");
    expect(toggled(one, "units", "layer")).toEqual({ units: ["head", "layer"] });
    expect(toggled(one, "units", "head")).toEqual({});
  });

  it("finds the numbers of arXiv in a paper's words", () => {
    expect(links("A, arXiv:2211.00593; B")).toEqual([
      { text: "A, " },
      { text: "arXiv:2211.00593", arxiv: "2211.00593" },
      { text: "; B" },
    ]);
    expect(links("")).toEqual([]);
  });
});

let shown: Shown;
const spec = {
  kind: "methods",
  title: "Map of methods",
  alt: "",
  facets,
  first: { methods },
  buffers: [],
};
const open = (state = {}) => (shown = show(view, { spec, state }));
const heads = () => [...shown.root.querySelectorAll<HTMLButtonElement>(".iw-method-head")];
const titles = () => heads().map((e) => e.querySelector("strong")?.textContent);
const chip = (name: string) =>
  [...shown.root.querySelectorAll<HTMLButtonElement>(".iw-chip")].find((e) =>
    e.textContent?.startsWith(name),
  ) as HTMLButtonElement;
const said = () => shown.root.querySelector(".iw-quiet")?.textContent;
afterEach(() => {
  shown?.close();
  vi.restoreAllMocks();
  document.body.replaceChildren();
});

describe("the browser of methods", () => {
  it("shows fewer methods with every chip, and says how many", async () => {
    open();
    expect(said()).toBe("3 methods");
    expect(chip("motif").disabled).toBe(true);
    chip("head").click();
    chip("mechanistic").click();
    expect(titles()).toEqual(["Patching"]);
    expect(said()).toBe("1 of 3 methods");
    expect(chip("head").getAttribute("aria-pressed")).toBe("true");
    await settle();
    expect(shown.model.get("state").answers).toEqual({
      units: ["head"],
      paradigm: ["mechanistic"],
    });
    const clear = [...shown.root.querySelectorAll("button")].find((e) => e.textContent === "Clear");
    clear?.click();
    expect(titles()).toHaveLength(3);
  });

  it("finds words, and shows what Python chose", () => {
    open({ find: "wang" });
    expect(titles()).toEqual(["Patching"]);
    shown.model.set("state", { find: "", answers: { paradigm: ["behavioural"] } });
    expect(titles()).toEqual(["<script>"]);
    expect(shown.root.querySelector("script")).toBeNull();
    shown.model.set("state", { find: "nothing like it" });
    expect(shown.root.querySelector<HTMLElement>(".iw-hint")?.hidden).toBe(false);
  });

  it("opens a method by keyboard and copies its cell", async () => {
    const write = vi.fn().mockResolvedValue(undefined);
    vi.stubGlobal("navigator", { ...navigator, clipboard: { writeText: write } });
    open();
    heads()[0]?.focus();
    press(heads()[0] as Element, "ArrowDown");
    expect(document.activeElement).toBe(heads()[1]);
    heads()[1]?.click();
    expect(heads()[1]?.getAttribute("aria-expanded")).toBe("true");
    expect(document.activeElement).toBe(heads()[1]);
    expect(shown.root.querySelector("pre")?.textContent).toBe("# patching\niw.patching(prompt)");
    expect(shown.root.querySelector("a")?.href).toBe("https://arxiv.org/abs/2211.00593");
    press(heads()[1] as Element, "c");
    await settle();
    expect(write).toHaveBeenCalledWith("# patching\niw.patching(prompt)\n");
    expect(shown.root.textContent).toContain("is copied");
    vi.unstubAllGlobals();
  });

  it("opens the cell to be copied by hand where the clipboard is closed", async () => {
    vi.stubGlobal("navigator", { clipboard: undefined });
    open();
    press(heads()[2] as Element, "c");
    await settle();
    expect(shown.root.querySelector("pre")?.textContent).toContain("iw.<script>(prompt)");
    expect(shown.root.textContent).toContain("press Ctrl+C");
    vi.unstubAllGlobals();
  });

  it("goes along a row of chips with the arrows, past those that would show nothing", () => {
    open();
    chip("head").focus();
    press(chip("head"), "ArrowRight");
    expect(document.activeElement).toBe(chip("layer"));
    press(chip("layer"), "ArrowRight");
    expect(document.activeElement).toBe(chip("layer"));
    expect([chip("head").tabIndex, chip("layer").tabIndex]).toEqual([-1, 0]);
  });
});
