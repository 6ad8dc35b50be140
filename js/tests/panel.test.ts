import { afterEach, describe, expect, it } from "vitest";
import { plural } from "../src/core/dom.js";
import { bytesText, moved, share } from "../src/panel/format.js";
import { niceReach } from "../src/panel/row.js";
import view from "../src/views/panel.js";
import { settle } from "./fake-model.js";
import { press, type Shown, show } from "./view-harness.js";

const items = [
  {
    id: 1,
    kind: "ablate",
    where: "z 9.6",
    how: "zero",
    text: "ablate z 9.6 (zero)",
    label: "",
    on: true,
    strength: null,
  },
  {
    id: 2,
    kind: "steer",
    where: "resid_post 3",
    how: "+ 2",
    text: "steer resid_post 3 (+ 2)",
    label: "woman",
    on: false,
    strength: 2,
  },
];
const job = {
  id: 7,
  label: "circuit, <EAP-IG>",
  state: "running",
  done: 3,
  total: 20,
  cancelling: false,
};
const spec = (more: Record<string, unknown> = {}) => ({
  kind: "session",
  title: "gpt2",
  alt: "",
  recipe: "",
  revision: 0,
  changed: false,
  live: true,
  closed: false,
  model: { name: "gpt2", class: "GPT2LMHeadModel", parameters: 124_439_808, layers: 12 },
  device: "cuda:0",
  dtype: "float32",
  memory: { model: 497_759_232, cache: 500, cache_capacity: 2000, free: 6e9, total: 8e9 },
  cache_entries: 4,
  forward_passes: 1,
  jobs: [],
  interventions: items,
  can_undo: true,
  can_redo: false,
  ...more,
});

let shown: Shown | undefined;
afterEach(() => {
  shown?.close();
  document.body.replaceChildren();
});
const names = [
  "switch",
  "move",
  "remove",
  "duplicate",
  "strength",
  "rename",
  "reset",
  "clear_cache",
  "cancel",
];
const open = (more: Record<string, unknown> = {}) => {
  const answers = Object.fromEntries(names.map((n) => [n, () => ({})]));
  shown = show(view, { spec: spec(more) }, answers);
  return shown;
};
const requests = () =>
  shown!.model.sent.filter((m) => m.kind === "request").map((m) => [m.name, m.payload]);
const named = (root: Element, label: string) =>
  root.querySelector<HTMLButtonElement>(`[aria-label="${label}"]`)!;

describe("what the session holds", () => {
  it("is said in words people use", () => {
    const { root } = open();
    expect(root.textContent).toContain("12 layers · 124 M parameters");
    expect(root.textContent).toContain("cuda:0 · float32 · 498 MB of weights");
    expect(root.textContent).toContain("1 forward pass");
    const cache = root.querySelector('[role="meter"]')!;
    expect(cache.getAttribute("aria-valuenow")).toBe("25");
    expect(cache.getAttribute("aria-valuetext")).toBe("500 B of 2.00 kB");
  });

  it("comes with a note where sites are not as they should be, put there once", () => {
    const { root, model } = open({ notes: ["resid_post.1: it is <scaled>"] });
    const note = root.querySelector(".iw-note")!;
    expect(note.textContent).toContain("resid_post.1: it is <scaled>");
    model.set("spec", { ...spec({ notes: ["resid_post.1: it is <scaled>"] }), revision: 1 });
    expect(root.querySelector(".iw-note")).toBe(note);
    model.set("spec", { ...spec({ notes: [] }), revision: 2 });
    expect(root.querySelector(".iw-note")).toBeNull();
  });

  it("shows what runs, as text, with a way to stop it", async () => {
    const { root } = open({ jobs: [job] });
    expect(root.querySelector(".iw-job")?.textContent).toContain("circuit, <EAP-IG>");
    expect(root.querySelector("progress")?.value).toBe(3);
    named(root, "Cancel circuit, <EAP-IG>").click();
    await settle();
    expect(requests()).toEqual([["cancel", { job: 7 }]]);
  });
});

describe("interventions", () => {
  it("are an ordered list with switches", async () => {
    const { root } = open();
    const switches = [...root.querySelectorAll<HTMLInputElement>('[role="switch"]')];
    expect(switches.map((s) => s.checked)).toEqual([true, false]);
    switches[0]!.click();
    await settle();
    expect(requests()).toEqual([["switch", { id: 1, on: false }]]);
  });

  it("move by buttons and by Alt and arrows, not beyond the ends", async () => {
    const { root } = open();
    expect(named(root, "Move up: ablate z 9.6 (zero)").disabled).toBe(true);
    named(root, "Move down: ablate z 9.6 (zero)").click();
    const row = root.querySelector('[data-id="2"]')!;
    press(row.querySelector("input")!, "ArrowUp", { altKey: true });
    press(row.querySelector("input")!, "ArrowDown", { altKey: true });
    await settle();
    expect(requests()).toEqual([
      ["move", { id: 1, to: 1 }],
      ["move", { id: 2, to: 0 }],
    ]);
  });

  it("take a strength that is typed, and ignore what is none", async () => {
    const { root } = open();
    const input = named(
      root,
      "Strength of steer resid_post 3 (+ 2), number",
    ) as never as HTMLInputElement;
    input.value = "-1.5";
    input.dispatchEvent(new Event("change"));
    input.value = "";
    input.dispatchEvent(new Event("change"));
    await settle();
    expect(requests()).toEqual([["strength", { id: 2, value: -1.5 }]]);
  });

  it("send a drag of the slider at a pace, and keep its reach", async () => {
    const { root, model } = open();
    const bar = named(root, "Strength of steer resid_post 3 (+ 2)") as never as HTMLInputElement;
    for (const value of ["1", "0.5", "0.2"]) {
      bar.value = value;
      bar.dispatchEvent(new Event("input"));
    }
    await settle(200);
    expect(requests()).toEqual([["strength", { id: 2, value: 0.2 }]]);
    expect(bar.max).toBe("5");
    model.set("spec", spec({ interventions: [items[0], { ...items[1], strength: 0.2 }] }));
    expect(bar.isConnected).toBe(true);
    expect([bar.max, bar.value]).toEqual(["5", "0.2"]);
    expect([0, 1, 1.2, 3, 14, 60].map(niceReach)).toEqual([2, 2, 5, 10, 50, 200]);
  });

  it("take a name, given by keyboard, as text", async () => {
    const { root, model } = open();
    const row = root.querySelector<HTMLElement>('[data-id="2"]')!;
    expect(row.querySelector(".iw-item-label")?.textContent).toBe("woman");
    named(root, "Name: steer resid_post 3 (+ 2)").click();
    const input = row.querySelector<HTMLInputElement>(".iw-item-naming")!;
    input.value = " <b>man</b> ";
    press(input, "Enter");
    await settle();
    expect(requests()).toEqual([["rename", { id: 2, label: "<b>man</b>" }]]);
    model.set("spec", spec({ interventions: [items[0], { ...items[1], label: "<b>man</b>" }] }));
    expect(row.querySelector(".iw-item-label")?.textContent).toBe("<b>man</b>");
    expect(row.querySelector("b")).toBeNull();
    named(root, "Name: steer resid_post 3 (+ 2)").click();
    input.value = "never";
    press(input, "Escape");
    await settle();
    expect(requests()).toHaveLength(1);
  });

  it("are dragged by the grip to another place", async () => {
    const { root } = open();
    const rows = [...root.querySelectorAll<HTMLElement>(".iw-item")];
    rows.forEach((row, i) => {
      row.getBoundingClientRect = () => ({ top: i * 32, height: 32 }) as DOMRect;
    });
    const grip = rows[0]!.querySelector<HTMLElement>(".iw-grip")!;
    grip.setPointerCapture = () => undefined;
    const at = (type: string, clientY: number) =>
      grip.dispatchEvent(new PointerEvent(type, { clientY, pointerId: 1, bubbles: true }));
    at("pointerdown", 16);
    at("pointermove", 60);
    expect(rows[1]!.className).toContain("iw-drop-after");
    at("pointerup", 60);
    await settle();
    expect(requests()).toEqual([["move", { id: 1, to: 1 }]]);
    at("pointerdown", 16);
    at("pointermove", 60);
    window.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    at("pointerup", 60);
    await settle();
    expect(requests()).toHaveLength(1);
  });

  it("show what they do to the logit difference", () => {
    const { root, model } = open();
    expect(root.querySelector<HTMLElement>(".iw-metric")?.hidden).toBe(true);
    const metric = {
      name: "logit difference",
      prompt: "When Mary and John",
      answer: " Mary",
      foil: " <John>",
      base: 3.551,
      before: 3.551,
      now: -2.99,
    };
    model.set("spec", spec({ metric }));
    const text = root.querySelector(".iw-metric")?.textContent;
    expect(text).toContain("Logit difference3.55 → −2.99 (−6.54)");
    expect(text).toContain("“·Mary” against “·<John>” after “When Mary and John”");
    model.set("spec", spec({ metric: { ...metric, now: 3.5512 } }));
    expect(root.querySelector(".iw-metric-value")?.textContent).toBe("3.55");
  });

  it("keep the focus where it was when the list is drawn anew", () => {
    const { root, model } = open();
    named(root, "Move down: ablate z 9.6 (zero)").focus();
    model.set("spec", spec({ interventions: [items[1], items[0], { ...items[0], id: 3 }] }));
    const held = document.activeElement as HTMLElement;
    expect(held.closest<HTMLElement>("[data-id]")?.dataset.id).toBe("1");
    expect(held.dataset.control).toBe("down");
  });

  it("are a plain listing without a kernel", () => {
    const { root } = open({ live: false });
    expect(root.querySelectorAll(".iw-item").length).toBe(2);
    expect(root.querySelector<HTMLInputElement>('[role="switch"]')?.disabled).toBe(true);
    expect(root.querySelector(".iw-item button")).toBeNull();
  });

  it("show why the session refused", async () => {
    shown = show(
      view,
      { spec: spec() },
      {
        switch: () => {
          throw new Error("this intervention is no longer in the list");
        },
      },
    );
    shown.root.querySelector<HTMLInputElement>('[role="switch"]')?.click();
    await settle();
    expect(shown.root.querySelector('[role="alert"]')?.textContent).toContain("no longer");
    expect(shown.root.querySelector<HTMLInputElement>('[role="switch"]')?.checked).toBe(true);
  });
});

describe("numbers", () => {
  it("are short and true", () => {
    expect([bytesText(0), bytesText(999), bytesText(25_300_000_000)]).toEqual([
      "0 B",
      "999 B",
      "25.3 GB",
    ]);
    expect([share(5, 10), share(50, 10), share(5, 0)]).toEqual([0.5, 1, 0]);
    expect([plural(1, "tensor"), plural(1200, "tensor")]).toEqual(["1 tensor", "1,200 tensors"]);
    expect([plural(1, "pass"), plural(0, "pass")]).toEqual(["1 pass", "0 passes"]);
    expect([moved(0, -1, 3), moved(2, 1, 3), moved(1, 1, 3)]).toEqual([-1, -1, 2]);
  });
});
