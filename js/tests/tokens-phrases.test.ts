import { afterEach, describe, expect, it } from "vitest";
import { joined } from "../src/tokens/phrases.js";
import tokens from "../src/views/tokens.js";
import { SPEC, settle, view32 } from "./fake-model.js";
import { press, show } from "./view-harness.js";

const WORDS = ["When", " Mary", " and", " John", " <b>went</b>"];

function spec(units: number[][], asked: unknown, more: Record<string, unknown> = {}) {
  return {
    ...SPEC,
    kind: "tokens",
    tokens: WORDS,
    channels: ["relevant", "rest"],
    n_channels: 2,
    targets: null,
    measures: [],
    channel_name: "Part",
    quantity: "share",
    signed: true,
    target: "logit of Mary",
    units: units.map((at, i) => ({ at, score: i + 0.5, rest: 1 })),
    asked,
    ...more,
  };
}

const EACH = [[0], [1], [2], [3], [4]];

/** A view whose kernel splits as it is asked to. */
async function open(units = EACH, more: Record<string, unknown> = {}) {
  const asked: any[] = [];
  const shown = show(
    tokens,
    {
      spec: spec(units, { units: "word", head: null }, more),
      state: { channel: 0, layout: "text", normalise: "none", scale: "channel", sort: "position" },
    },
    {
      values: () => ({
        values: { $buffer: 0, dtype: "float32", shape: [5] },
        global: [-2, 10],
        $buffers: [view32(1, 2, 3, 4, 5)],
      }),
      select: () => ({}),
      explain: (payload) => {
        asked.push(payload);
        const split = typeof payload.units === "string" ? EACH : payload.units;
        shown.model.set("spec", spec(split, payload, { revision: asked.length }));
        return {};
      },
    },
  );
  await settle();
  const token = () => [...shown.root.querySelectorAll<HTMLElement>(".iw-strip-token")];
  const marked = () => token().map((t) => t.classList.contains("iw-strip-marked"));
  const point = (type: string, i: number, more: PointerEventInit = {}) =>
    token()[i]!.dispatchEvent(
      new PointerEvent(type, { bubbles: true, button: 0, pointerType: "mouse", ...more }),
    );
  const control = (name: string) =>
    [...shown.root.querySelectorAll<HTMLButtonElement>(".iw-toolbar button")].find(
      (b) => b.textContent === name && !b.hidden,
    );
  const live = () => shown.root.querySelector("[aria-live]")!.textContent;
  return { ...shown, asked, token, marked, point, control, live };
}

afterEach(() => document.body.replaceChildren());

describe("phrases of a tokens view", () => {
  it("leaves what remains of other units in connected pieces", () => {
    expect(joined(EACH, [1, 3])).toEqual([[0], [1, 2, 3], [4]]);
    expect(joined([[0, 1, 2, 3, 4]], [1, 2])).toEqual([[0], [1, 2], [3, 4]]);
    expect(
      joined(
        [
          [0, 4],
          [1, 2],
        ],
        [2, 3],
      ),
    ).toEqual([[0, 4], [1], [2, 3]]);
  });

  it("makes words one phrase by dragging, either way, and goes back", async () => {
    const { asked, marked, point, token, control, live, root } = await open();
    point("pointerdown", 3);
    point("pointerover", 2);
    point("pointerover", 1);
    expect(marked()).toEqual([false, true, true, true, false]);
    expect(live()).toContain("Mary and John");
    window.dispatchEvent(new PointerEvent("pointerup"));
    await settle();
    expect(asked).toEqual([{ units: [[0], [1, 2, 3], [4]], head: null }]);
    expect(marked()).not.toContain(true);
    expect(token()[2]!.classList.contains("iw-unit")).toBe(true);
    expect(live()).toBe("“Mary and John” is one phrase: +1.50");
    expect(root.querySelector<HTMLSelectElement>("select:has([value=chosen])")?.value).toBe(
      "chosen",
    );
    point("pointerdown", 1);
    point("pointerover", 3);
    window.dispatchEvent(new PointerEvent("pointerup"));
    await settle();
    expect(asked).toHaveLength(1); // it is that phrase already
    press(token()[2]!, "z", { ctrlKey: true });
    await settle();
    expect(asked[1]).toEqual({ units: "word", head: null });
    expect(control("Undo choice")).toBeUndefined();
    press(token()[2]!, "z", { ctrlKey: true });
    expect(asked).toHaveLength(2);
  });

  it("keeps a click, a right click, a finger and Escape out of it", async () => {
    const { asked, marked, point, token, model } = await open();
    for (const more of [{ button: 2 }, { pointerType: "touch" }]) {
      point("pointerdown", 0, more);
      point("pointerover", 2);
      expect(marked()).not.toContain(true);
      window.dispatchEvent(new PointerEvent("pointerup"));
    }
    point("pointerdown", 2);
    point("pointerover", 1);
    point("pointerover", 2);
    window.dispatchEvent(new PointerEvent("pointerup"));
    token()[2]!.click();
    point("pointerdown", 0);
    point("pointerover", 2);
    press(token()[2]!, "Escape");
    window.dispatchEvent(new PointerEvent("pointerup"));
    await settle();
    expect(asked).toEqual([]);
    expect(model.sent.find((m) => m.name === "select").payload).toEqual({ token: 2 });
  });

  it("makes words one phrase by keyboard, and Enter alone still selects", async () => {
    const { asked, marked, token, model, live } = await open();
    press(token()[1]!, "ArrowRight", { shiftKey: true });
    press(token()[2]!, "ArrowRight", { shiftKey: true });
    expect(marked()).toEqual([false, true, true, true, false]);
    expect(live()).toBe("“Mary and John” marked. Enter makes it one phrase.");
    press(token()[3]!, "Enter");
    await settle();
    expect(asked).toEqual([{ units: [[0], [1, 2, 3], [4]], head: null }]);
    press(token()[3]!, "Enter");
    press(token()[3]!, "ArrowLeft", { shiftKey: true });
    press(token()[2]!, "ArrowLeft");
    expect(marked()).not.toContain(true);
    await settle();
    expect(model.sent.find((m) => m.name === "select").payload).toEqual({ token: 3 });
    expect(asked).toHaveLength(1);
  });

  it("reads relevance at the selected head, and at the logits again", async () => {
    const { asked, control, model } = await open();
    expect(control("Relevance to the logits")).toBeUndefined();
    model.set("state", { ...model.get("state"), linked: false, own: { layer: 3, head: 2 } });
    await settle();
    control("Relevance to head 3.2")!.click();
    await settle();
    expect(asked).toEqual([{ units: "word", head: [3, 2] }]);
    expect(control("Relevance to head 3.2")).toBeUndefined();
    control("Relevance to the logits")!.click();
    await settle();
    expect(asked[1]).toEqual({ units: "word", head: null });
  });

  it("says what went wrong, and leaves what is shown", async () => {
    const { root, model, point, token } = await open();
    model.handler = () => {
      throw new Error("the session is closed");
    };
    point("pointerdown", 1);
    point("pointerover", 3);
    window.dispatchEvent(new PointerEvent("pointerup"));
    await settle();
    expect(root.querySelector("[role=alert]")!.textContent).toContain("the session is closed");
    expect(token()[2]!.classList.contains("iw-unit")).toBe(false);
  });

  it("offers nothing without a kernel, or where nothing can be chosen", async () => {
    for (const more of [{ live: false }, { asked: null }]) {
      const { root, asked, point, marked, token } = await open(EACH, more);
      expect(root.querySelector("option[value=chosen]")).toBeNull();
      expect(root.textContent).not.toContain("Drag over words");
      point("pointerdown", 1);
      point("pointerover", 3);
      press(token()[1]!, "ArrowRight", { shiftKey: true });
      expect(marked()).not.toContain(true);
      window.dispatchEvent(new PointerEvent("pointerup"));
      expect(asked).toEqual([]);
    }
  });
});
