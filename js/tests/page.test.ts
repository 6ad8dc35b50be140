import { describe, expect, it, vi } from "vitest";
import { Wire } from "../src/core/wire.js";
import { StubModel } from "../src/page/page.js";

const ANSWERS = [
  {
    name: "tile",
    payload: { row: 0, at: { head: 1, layer: 0 } },
    answer: { values: { $buffer: 0, dtype: "uint8", shape: [2, 1] } },
    buffers: [{ $bytes: btoa("\x03\xff") }],
  },
  { name: "table", payload: {}, error: { message: "too large", hint: "" } },
];

describe("a page without a kernel", () => {
  const model = new StubModel({ state: {} }, ANSWERS);
  const wire = new Wire(model, new AbortController().signal);

  it("answers what was recorded, whatever the order of the keys", async () => {
    const { values } = await wire.request("tile", { at: { layer: 0, head: 1 }, row: 0 });
    expect([...values.data]).toEqual([3, 255]);
  });

  it("says what it cannot do", async () => {
    await expect(wire.request("tile", { row: 1 })).rejects.toThrow("without the model");
    await expect(wire.request("table")).rejects.toThrow("too large");
  });

  it("keeps state and tells listeners about it", () => {
    const heard = vi.fn();
    model.on("change:state", heard);
    model.set("state", { layer: 2 });
    model.off("change:state", heard);
    model.set("state", { layer: 3 });
    expect(heard).toHaveBeenCalledTimes(1);
    expect(model.get("state")).toEqual({ layer: 3 });
  });
});
