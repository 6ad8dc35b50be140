import { afterEach, describe, expect, it, vi } from "vitest";
import { h } from "../src/core/dom.js";
import { themeOf } from "../src/core/theme.js";
import { defineView, type View } from "../src/core/view.js";
import { FakeModel, SPEC, settle } from "./fake-model.js";

type Options = Parameters<typeof defineView>[2];

function show(mount: (view: View) => void | Promise<void>, traits = {}, options: Options = {}) {
  const model = new FakeModel({ spec: SPEC, state: {}, status: { phase: "live" }, ...traits });
  const el = document.createElement("div");
  document.body.append(el);
  const life = new AbortController();
  let shown: View | undefined;
  const define = defineView("probe", (view) => mount((shown = view)), options);
  define.render({ model, el, signal: life.signal });
  return { model, el, life, view: shown as unknown as View };
}

afterEach(() => {
  document.body.replaceChildren();
  document.body.removeAttribute("data-jp-theme-light");
});

describe("a view that fails", () => {
  it("says so in its place, tells Python, and can be shown again", () => {
    let broken = true;
    const { el, model } = show((view) => {
      if (broken) throw new Error("no <b>such</b> layer");
      view.body.append(h("p", {}, "fine"));
    });
    const alert = el.querySelector("[role=alert]")!;
    expect(alert.textContent).toContain("no <b>such</b> layer");
    expect(alert.querySelector("b")).toBeNull();
    expect(model.sent[0]).toMatchObject({ kind: "js-error", message: "no <b>such</b> layer" });
    broken = false;
    alert.querySelector("button")!.click();
    expect(el.querySelector("[role=alert]")).toBeNull();
    expect(el.textContent).toContain("fine");
  });

  it("later, in a promise or a handler, is caught too", async () => {
    const { el, model } = show((view) => {
      view.onState(async () => {
        throw new Error("late");
      });
    });
    model.set("state", { layer: 1 });
    await settle();
    expect(el.querySelector("[role=alert]")!.textContent).toContain("late");
  });

  it("because Python refused a request keeps its picture", async () => {
    const { el, model } = show(async (view) => {
      view.body.append(h("p", {}, "old picture"));
      await view.request("tile");
    });
    model.respond({ id: model.sent[0].id, ok: false, error: { message: "busy", hint: "wait" } });
    await settle();
    expect(el.querySelector(".iw-note-error")!.textContent).toBe("busy wait");
    expect(el.textContent).toContain("old picture");
  });
});

describe("text from a model", () => {
  it("reaches the page as text only", () => {
    const token = "<script>alert(1)</script><img src=x onerror=alert(2)>";
    const { el } = show((view) => view.body.append(h("span", { title: token }, token)), {
      spec: { ...SPEC, title: token, alt: token },
    });
    expect(el.querySelector("script, img")).toBeNull();
    expect(el.querySelector(".iw-title")!.textContent).toBe(token);
  });
});

describe("a view's end", () => {
  it("leaves neither listeners nor elements", async () => {
    const { el, model, life } = show(
      (view) => {
        view.onSpec(() => undefined);
        view.onState(() => undefined);
        view.onResize(() => undefined);
      },
      {},
      { modes: true },
    );
    expect(model.listening).toBeGreaterThan(4);
    life.abort();
    await settle();
    expect(model.listening).toBe(0);
    expect(el.childElementCount).toBe(0);
  });
});

describe("state", () => {
  it("is sent at most once a frame, with everything that was set", async () => {
    const { view, model } = show(() => undefined);
    view.update({ layer: 1 });
    view.update({ layer: 2, head: 0 });
    expect(view.state).toEqual({ layer: 2, head: 0 });
    await settle();
    expect(model.get("state")).toEqual({ layer: 2, head: 0 });
    expect(model.save_changes).toHaveBeenCalledTimes(1);
  });

  it("says that the kernel is gone instead of failing", async () => {
    const { view, model, el } = show(() => undefined);
    model.save_changes.mockImplementation(() => {
      throw new Error("Cannot send");
    });
    view.update({ layer: 1 });
    await settle();
    expect(el.querySelector(".iw-note-warning")!.textContent).toContain("kernel is gone");
  });
});

describe("a kernel that goes", () => {
  it("is noticed at once where the host knows it, and no longer listened to at the end", () => {
    const model = new FakeModel({ spec: SPEC, state: {}, status: { phase: "live" } });
    const heard = new Set<(kernel: unknown, status: string) => void>();
    const statusChanged = {
      connect: (call: any) => heard.add(call),
      disconnect: (call: any) => heard.delete(call),
    };
    Object.assign(model, { widget_manager: { kernel: { statusChanged } } });
    const el = document.body.appendChild(document.createElement("div"));
    const life = new AbortController();
    defineView("probe", () => undefined).render({ model, el, signal: life.signal });
    const say = (status: string) => {
      for (const call of heard) call({}, status);
    };
    say("busy");
    expect(el.querySelector(".iw-note-warning")).toBeNull();
    say("restarting");
    expect(el.querySelector(".iw-note-warning")!.textContent).toContain("kernel is gone");
    life.abort();
    expect(heard.size).toBe(0);
  });
});

describe("what Python says", () => {
  it("about progress and errors is shown, and an error can be tried again", async () => {
    const { el, model } = show(() => undefined);
    model.set("status", { phase: "running", message: "running again" });
    expect(el.firstElementChild!.getAttribute("aria-busy")).toBe("true");
    model.set("status", { phase: "error", message: "out of memory" });
    const alert = el.querySelector("[role=alert]")!;
    expect(alert.textContent).toContain("out of memory");
    alert.querySelector("button")!.click();
    await settle();
    expect(model.sent.at(-1)).toMatchObject({ kind: "request", name: "retry" });
    model.set("status", { phase: "live" });
    expect(el.querySelector("[role=alert]")).toBeNull();
  });

  it("about a changed result brings Base, Current and Difference", async () => {
    const { el, model, view } = show(() => undefined, {}, { modes: true });
    const modes = el.querySelector<HTMLElement>("[role=radiogroup]")!;
    expect(modes.hidden).toBe(true);
    expect(view.mode).toBe("current");
    model.set("spec", { ...SPEC, changed: true, revision: 1 });
    expect(modes.hidden).toBe(false);
    modes.querySelector<HTMLInputElement>("input[value=difference]")!.click();
    await settle();
    expect(view.mode).toBe("difference");
    model.set("spec", { ...SPEC, changed: false, revision: 2 });
    expect(view.mode).toBe("current");
  });
});

describe("the table twin", () => {
  it("takes the picture's place and gives it back", async () => {
    const { el, model } = show((view) => view.body.append("picture"));
    model.handler = (name) =>
      name === "table" ? { columns: ["token", "value"], rows: [["<i>", 0.5]], total: 9 } : {};
    const button = el.querySelector<HTMLButtonElement>("[data-iw=table]")!;
    button.click();
    await settle();
    expect(el.querySelector<HTMLElement>(".iw-body")!.hidden).toBe(true);
    expect(el.querySelector("td")!.textContent).toBe("<i>");
    expect(el.querySelector("caption")!.textContent).toContain("first 1 of 9 rows");
    expect(button.getAttribute("aria-pressed")).toBe("true");
    button.click();
    await settle();
    expect(el.querySelector<HTMLElement>(".iw-body")!.hidden).toBe(false);
  });
});

describe("the theme", () => {
  it("follows the notebook, not the system, and the reader's wish before both", async () => {
    const { view } = show(() => undefined);
    const seen = vi.fn();
    view.onTheme(seen);
    document.body.setAttribute("data-jp-theme-light", "false");
    await settle();
    expect(view.theme).toBe("dark");
    expect(seen).toHaveBeenCalledWith("dark");
    expect(themeOf(view.el, "light")).toBe("light");
  });
});

describe("keys", () => {
  it("are the view's while plain, and the notebook's when they are chords", () => {
    const { el } = show((view) => view.body.append(h("button", {}, "x")));
    const root = el.querySelector<HTMLElement>(".iw-root")!;
    const press = (init: KeyboardEventInit) => {
      const target = el.querySelector("button")!;
      target.dispatchEvent(
        new KeyboardEvent("keydown", { bubbles: true, composed: true, ...init }),
      );
      return root.hasAttribute("data-lm-suppress-shortcuts");
    };
    expect(press({ key: "ArrowDown" })).toBe(true);
    expect(press({ key: "Enter", shiftKey: true })).toBe(false);
    expect(press({ key: "s", ctrlKey: true })).toBe(false);
  });
});
