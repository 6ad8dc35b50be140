import { describe, expect, it, vi } from "vitest";
import { NOTHING, Selection } from "../src/core/selection.js";
import { Wire } from "../src/core/wire.js";
import { FakeModel, settle } from "./fake-model.js";

function viewOf(shared: FakeModel | undefined) {
  const model = new FakeModel();
  const life = new AbortController();
  const selection = new Selection(new Wire(model, life.signal), life.signal);
  const host = shared && { getModel: async () => shared };
  return { model, life, selection, ready: selection.connect("anywidget:abc", host) };
}

describe("the shared selection", () => {
  it("links two views without Python", async () => {
    const shared = new FakeModel({ value: { layer: 2 } });
    const [one, two] = [viewOf(shared), viewOf(shared)];
    await Promise.all([one.ready, two.ready]);
    const heard = vi.fn();
    two.selection.on(heard);
    one.selection.set({ head: 3 });
    one.selection.set({ head: 1 });
    expect(two.selection.get()).toEqual({ ...NOTHING, layer: 2, head: 1 });
    expect(heard).not.toHaveBeenCalled();
    await settle();
    expect(heard).toHaveBeenCalledTimes(1);
    expect(shared.save_changes).toHaveBeenCalledTimes(1);
    expect([...heard.mock.calls[0]![1]]).toEqual(["head"]);
  });

  it("stays quiet when nothing changes", async () => {
    const shared = new FakeModel({ value: { layer: 2 } });
    const { selection, ready } = viewOf(shared);
    await ready;
    const heard = vi.fn();
    selection.on(heard);
    selection.set({ layer: 2 });
    await settle();
    expect(heard).not.toHaveBeenCalled();
    expect(shared.save_changes).not.toHaveBeenCalled();
  });

  it("toggles off what is selected already", async () => {
    const { selection, ready } = viewOf(new FakeModel({ value: {} }));
    await ready;
    selection.toggle({ layer: 3, head: 0 });
    expect(selection.get()).toMatchObject({ layer: 3, head: 0 });
    selection.toggle({ layer: 3, head: 0 });
    expect(selection.get()).toEqual(NOTHING);
  });

  it("asks Python where the host cannot share a widget", async () => {
    const { model, selection, ready } = viewOf(undefined);
    await ready;
    selection.set({ token: 3 });
    selection.set({ token: 4, head: 1 });
    await settle();
    expect(model.sent.map((m) => m.payload)).toEqual([{ token: 4, head: 1 }]);
    expect(selection.get().token).toBe(4);
  });

  it("survives a kernel that is gone, and leaves no listener behind", async () => {
    const shared = new FakeModel({ value: {} });
    shared.save_changes.mockImplementation(() => {
      throw new Error("Cannot send");
    });
    const { life, selection, ready } = viewOf(shared);
    await ready;
    selection.set({ layer: 1 });
    await settle();
    expect(shared.get("value").layer).toBe(1);
    life.abort();
    await settle();
    expect(shared.listening).toBe(0);
  });
});
