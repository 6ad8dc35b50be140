import { describe, expect, it } from "vitest";
import { decode, isAbort, Wire } from "../src/core/wire.js";
import { FakeModel, view32 } from "./fake-model.js";

const halves = (...codes: number[]) => new DataView(Uint16Array.from(codes).buffer);

describe("decoding arrays", () => {
  it("copies from a view that starts at an odd byte", () => {
    const bytes = new Uint8Array(1 + 8);
    new DataView(bytes.buffer).setFloat32(1, 1.5, true);
    new DataView(bytes.buffer).setFloat32(5, -2, true);
    const { data } = decode({ $buffer: 0, dtype: "float32", shape: [2, 1] }, [
      new DataView(bytes.buffer, 1, 8),
    ]);
    expect([...data]).toEqual([1.5, -2]);
    bytes.fill(0);
    expect(data[0]).toBe(1.5);
  });

  it("reads half floats: normal, subnormal, negative zero, infinite, not a number", () => {
    const { data } = decode({ a: { $buffer: 0, dtype: "float16", shape: [6] } }, [
      halves(0x3c00, 0xc580, 0x0001, 0x8000, 0xfc00, 0x7e01),
    ]).a;
    expect([...data.slice(0, 3)]).toEqual([1, -5.5, 2 ** -24]);
    expect(Object.is(data[3], -0)).toBe(true);
    expect(data[4]).toBe(Number.NEGATIVE_INFINITY);
    expect(data[5]).toBeNaN();
  });

  it("applies scale and offset of uint8 and keeps its code for NaN", () => {
    const described = { $buffer: 0, dtype: "uint8", shape: [3], scale: 0.5, offset: -1, nan: 255 };
    const { data } = decode(described, [new DataView(Uint8Array.from([0, 4, 255]).buffer)]);
    expect([...data]).toEqual([-1, 1, Number.NaN]);
  });

  it("finds arrays at any depth and leaves the rest alone", () => {
    const out = decode(
      { tiles: [{ values: { $buffer: 1, dtype: "float32", shape: [1, 1] } }], text: "<b>" },
      [view32(0), view32(7)],
    );
    expect(out.tiles[0].values.data[0]).toBe(7);
    expect(out.text).toBe("<b>");
  });

  it("refuses a buffer that does not fit its shape, or is not there", () => {
    const described = { $buffer: 0, dtype: "float32", shape: [3, 2] };
    expect(() => decode(described, [view32(1)])).toThrow(/1 numbers .* \[3, 2\]/);
    expect(() => decode(described, [])).toThrow(/lacks buffer 0/);
  });
});

describe("requests", () => {
  it("resolve with the decoded payload, each with its own answer", async () => {
    const model = new FakeModel();
    const wire = new Wire(model, new AbortController().signal);
    const first = wire.request("tile", { row: 0 });
    const second = wire.request("tile", { row: 1 });
    const [a, b] = model.sent;
    model.respond({ id: b.id, ok: true, payload: { row: 1 } });
    const payload = { values: { $buffer: 0, dtype: "float32", shape: [1] } };
    model.respond({ id: a.id, ok: true, payload }, [view32(4)]);
    expect((await second).row).toBe(1);
    expect((await first).values.data[0]).toBe(4);
  });

  it("reject with the message and the hint", async () => {
    const model = new FakeModel();
    const wire = new Wire(model, new AbortController().signal);
    const asked = wire.request("tile");
    const error = { message: "layer 9 is out of range", hint: "there are 3" };
    model.respond({ id: model.sent[0].id, ok: false, error });
    await expect(asked).rejects.toMatchObject(error);
  });

  it("are dropped without an error when a newer one of their name took their place", async () => {
    const model = new FakeModel();
    const wire = new Wire(model, new AbortController().signal);
    const asked = wire.request("scores");
    const error = { message: "scores was replaced by a newer request", type: "Cancelled" };
    model.respond({ id: model.sent[0].id, ok: false, error });
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
  });

  it("ignore answers to ids they do not know and messages that are none", () => {
    const model = new FakeModel();
    new Wire(model, new AbortController().signal);
    model.respond({ id: "someone else's", ok: true, payload: {} });
    model.emit("msg:custom", null, []);
    expect(model.sent).toEqual([]);
  });

  it("tell Python when nobody waits any more", async () => {
    const model = new FakeModel();
    const wire = new Wire(model, new AbortController().signal);
    const one = new AbortController();
    const asked = wire.request("tile", {}, { signal: one.signal });
    one.abort();
    await expect(asked).rejects.toSatisfy(isAbort);
    expect(model.sent[1]).toEqual({ kind: "cancel", id: model.sent[0].id });
  });

  it("are cancelled with the view, which leaves no listener", async () => {
    const model = new FakeModel();
    const life = new AbortController();
    const wire = new Wire(model, life.signal);
    const asked = wire.request("tile");
    life.abort();
    await expect(asked).rejects.toSatisfy(isAbort);
    expect(model.sent.map((m) => m.kind)).toEqual(["request", "cancel"]);
    expect(model.listening).toBe(0);
    await expect(wire.request("tile")).rejects.toSatisfy(isAbort);
  });

  it("say that the kernel is gone", async () => {
    const model = new FakeModel();
    model.gone = true;
    const wire = new Wire(model, new AbortController().signal);
    await expect(wire.request("tile")).rejects.toThrow("The kernel is gone");
  });
});
