import { afterEach, describe, expect, it, vi } from "vitest";
import { h } from "../src/core/dom.js";
import { NOTHING } from "../src/core/selection.js";
import { defineView, type View } from "../src/core/view.js";
import { FakeModel, SPEC, settle } from "./fake-model.js";
import { press } from "./view-harness.js";

const TABLE = { columns: ["token", "value"], rows: [["a\tb", 0.123456789]], total: 9 };

function show(
  traits: Record<string, unknown> = {},
  answers: Record<string, (payload: any) => any> = {},
  host?: any,
) {
  const model = new FakeModel({ spec: SPEC, state: {}, status: { phase: "live" }, ...traits });
  model.handler = (name, payload) => {
    const answer = answers[name];
    if (!answer) throw new Error(`no answer for ${name}`);
    return answer(payload);
  };
  const el = document.createElement("div");
  document.body.append(el);
  const life = new AbortController();
  let view!: View;
  defineView("probe", (v) => void (view = v).body.append(h("p", { tabindex: 0 }, "picture")), {
    keys: [["Enter", "open"]],
  }).render({ model, el, signal: life.signal, host });
  const more = el.querySelector<HTMLButtonElement>("[aria-haspopup=menu]")!;
  const item = (label: string) =>
    [...el.querySelectorAll<HTMLButtonElement>(".iw-more-item")].find(
      (row) => row.textContent === label,
    );
  const choose = async (label: string) => {
    more.click();
    item(label)!.click();
    await settle();
  };
  return { model, el, view, life, more, item, choose };
}

function clipboard() {
  const written: string[] = [];
  vi.stubGlobal("navigator", {
    ...navigator,
    clipboard: { writeText: async (text: string) => void written.push(text) },
  });
  return written;
}

afterEach(() => {
  vi.unstubAllGlobals();
  document.body.replaceChildren();
});

describe("the menu", () => {
  it("shows few icons and keeps the rest behind More, for the keyboard too", () => {
    const { el, more, item } = show();
    expect(el.querySelectorAll(".iw-menu .iw-icon").length).toBeLessThanOrEqual(7);
    more.focus();
    press(more, "ArrowDown");
    expect(more.getAttribute("aria-expanded")).toBe("true");
    const list = el.querySelector("[role=menu]")!;
    expect(document.activeElement).toBe(item("Copy numbers"));
    press(document.activeElement!, "ArrowDown");
    expect(document.activeElement).toBe(item("Copy as code"));
    press(document.activeElement!, "End");
    expect(document.activeElement!.textContent).toBe("Predict, then reveal");
    press(document.activeElement!, "u");
    expect(document.activeElement).toBe(item("Unlink selection"));
    press(document.activeElement!, "Escape");
    expect((list as HTMLElement).hidden).toBe(true);
    expect(document.activeElement).toBe(more);
    more.click();
    window.dispatchEvent(new Event("pointerdown"));
    expect((list as HTMLElement).hidden).toBe(true);
  });

  it("copies the table's numbers in full, and by hand where the clipboard is closed", async () => {
    const written = clipboard();
    const { el, choose, model } = show({}, { table: () => TABLE });
    await choose("Copy numbers");
    expect(written).toEqual(["token\tvalue\na b\t0.123456789"]);
    expect(model.sent.at(-1).payload).toEqual({ mode: "current", limit: 5000 });
    expect(el.querySelector(".iw-note")!.textContent).toContain("first 1 row of 9 copied");
    vi.stubGlobal("navigator", {});
    await choose("Copy numbers");
    expect(el.querySelector("textarea")!.value).toContain("0.123456789");
  });

  it("asks a page without a kernel for the rows it carries", async () => {
    const written = clipboard();
    const { choose } = show(
      {},
      {
        table: ({ limit }) => {
          if (limit) throw new Error("saved without the model");
          return TABLE;
        },
      },
    );
    await choose("Copy numbers");
    expect(written[0]).toContain("0.123456789");
  });

  it("saves a figure in the format and for the venue that were chosen", async () => {
    const saved: { name: string; type: string }[] = [];
    vi.stubGlobal("URL", { createObjectURL: (b: Blob) => b.type, revokeObjectURL: () => {} });
    vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (
      this: HTMLAnchorElement,
    ) {
      saved.push({ name: this.download, type: this.href });
    });
    const bytes = new DataView(new Uint8Array([37, 80, 68, 70]).buffer);
    const { el, model } = show(
      {},
      {
        figure_choices: () => ({ formats: ["pdf", "svg", "latex"], venues: ["icml", "slides"] }),
        figure: () => ({
          name: "heads.svg",
          mime: "image/svg+xml",
          data: { $buffer: 0, dtype: "bytes" },
          $buffers: [bytes],
        }),
      },
    );
    el.querySelector<HTMLButtonElement>("[aria-label='Save figure']")!.click();
    await settle();
    const [format, venue] = el.querySelectorAll<HTMLSelectElement>(".iw-save select");
    expect([...venue!.options].map((o) => o.text)).toEqual(["screen", "ICML", "slides"]);
    format!.value = "svg";
    format!.dispatchEvent(new Event("change"));
    venue!.value = "icml";
    venue!.dispatchEvent(new Event("change"));
    el.querySelector<HTMLButtonElement>(".iw-save .iw-button")!.click();
    await settle();
    expect(model.sent.at(-1).payload).toEqual({ format: "svg", venue: "icml", width: "column" });
    expect(saved[0]!.name).toBe("heads.svg");
    vi.restoreAllMocks();
  });

  it("shows the keys on a question mark, but not while somebody types", () => {
    const { el, view } = show();
    press(el.querySelector("p")!, "?");
    expect(el.querySelector(".iw-keys")!.textContent).toContain("open");
    press(el.querySelector("p")!, "?");
    expect(el.querySelector(".iw-keys")).toBeNull();
    view.body.append(h("input", {}));
    press(el.querySelector("input")!, "?");
    expect(el.querySelector(".iw-keys")).toBeNull();
  });
});

describe("predict, then reveal", () => {
  it("hides every value until it is revealed, and the numbers beside them", async () => {
    const { view, choose, item, more, el, model } = show({}, { table: () => TABLE });
    const seen = vi.fn();
    view.onVeil(seen);
    expect(view.veiled("0,1")).toBe(false);
    await choose("Predict, then reveal");
    expect(view.veiled("0,1")).toBe(true);
    expect(seen).toHaveBeenCalledTimes(1);
    expect(el.querySelector(".iw-root")!.getAttribute("aria-label")).toContain("hidden");
    el.querySelector<HTMLButtonElement>("[data-iw=table]")!.click();
    await settle();
    expect(el.querySelector("table")).toBeNull();
    expect(el.querySelector(".iw-note")!.textContent).toContain("Reveal all");
    el.querySelector<HTMLButtonElement>("[aria-label='Save figure']")!.click();
    await settle();
    expect(model.sent.some((m) => m.name === "figure_choices")).toBe(false);
    view.reveal("0,1");
    await settle();
    expect([view.veiled("0,1"), view.veiled("0,2")]).toEqual([false, true]);
    expect(view.state.revealed).toEqual(["0,1"]);
    await choose("Reveal all");
    expect(view.veiled("0,2")).toBe(false);
    more.click();
    expect(item("Reveal all")).toBeUndefined();
    item("Predict, then reveal")!.click();
    await settle();
    expect(view.state).toMatchObject({ predict: false, revealed: [] });
  });
});

describe("hover and selection", () => {
  const shared = () => new FakeModel({ value: { ...NOTHING } });
  const hostOf = (selection: FakeModel) => ({ getModel: async () => selection });

  it("are told to the session's other views only, and not from or to an unlinked one", async () => {
    const one = show({ selection: "anywidget:s" });
    const two = show({ selection: "anywidget:s" });
    const stranger = show({ selection: "anywidget:t" });
    const heard = [one, two, stranger].map((v) => {
      const call = vi.fn();
      v.view.onHover(call);
      return call;
    });
    for (const token of [1, 2, 3]) one.view.hover({ token });
    expect(heard[1]).not.toHaveBeenCalled();
    await settle();
    expect(heard.map((call) => call.mock.calls.length)).toEqual([0, 1, 0]);
    expect(heard[1]).toHaveBeenCalledWith({ token: 3 });
    expect(one.model.sent).toEqual([]);
    await two.choose("Unlink selection");
    one.view.hover(null);
    two.view.hover({ head: 1 });
    await settle();
    expect(heard.map((call) => call.mock.calls.length)).toEqual([0, 1, 0]);
    one.view.hover({ layer: 2 });
    one.life.abort();
    await settle();
    await two.choose("Unlink selection");
    stranger.view.hover({ token: 1 });
    await settle();
    expect(heard[1]).toHaveBeenCalledTimes(1);
  });

  it("are the view's own while it is unlinked, and come back with the link", async () => {
    const selection = shared();
    const { view, choose, model } = show({ selection: "s" }, {}, hostOf(selection));
    await settle();
    selection.set("value", { ...NOTHING, layer: 1 });
    await choose("Unlink selection");
    view.selection.set({ layer: 2 });
    await settle();
    expect(selection.get("value").layer).toBe(1);
    expect(model.get("state").own.layer).toBe(2);
    selection.set("value", { ...NOTHING, layer: 5 });
    expect(view.selection.get().layer).toBe(2);
    await choose("Unlink selection");
    expect(view.selection.get().layer).toBe(5);
  });
});

describe("Python hears", () => {
  it("that a copy of the view is on the page, and that it is gone", () => {
    const { model, life } = show();
    expect(model.copies).toBe(1);
    life.abort();
    expect(model.copies).toBe(0);
  });
});

describe("what a click did", () => {
  it("is spoken when the run is over", () => {
    const { model, el } = show();
    model.set("status", { phase: "live", said: "head 1.0 ablated, logit difference 3.55 to 2.99" });
    const live = el.querySelector("[aria-live=polite].iw-sr")!;
    expect(live.textContent).toBe("head 1.0 ablated, logit difference 3.55 to 2.99");
  });
});
