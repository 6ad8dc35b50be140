import { describe, expect, it, vi } from "vitest";
import { PatternStore, rowPayload, tilePayload } from "../src/attention/store";

const head = { layer: 1, head: 2, mode: "current" as const };
const tile = (row: number) => tilePayload(head, { pool: 1, row, column: 0 });

function setup() {
  const open: { resolve: (v: unknown) => void; signal: AbortSignal; payload: any }[] = [];
  const ask = vi.fn(
    (_name: string, payload: any, { signal }: { signal: AbortSignal }) =>
      new Promise<any>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
        open.push({ resolve, signal, payload });
      }),
  );
  const arrived = vi.fn();
  const failed = vi.fn();
  return { store: new PatternStore(ask, arrived, failed), open, ask, arrived, failed };
}

const array = { data: Float32Array.from([0.5]), shape: [1, 1] };

describe("the store of patterns", () => {
  it("asks once for what is wanted twice and tells when it is there", async () => {
    const { store, open, ask, arrived } = setup();
    store.want("tiles", "tile", [tile(0)]);
    store.want("tiles", "tile", [tile(0)]);
    expect(ask).toHaveBeenCalledTimes(1);
    expect(store.get("tile", tile(0))).toBeUndefined();
    open[0]!.resolve({ values: array });
    await vi.waitFor(() => expect(arrived).toHaveBeenCalled());
    expect(store.get("tile", tile(0))).toBe(array);
  });

  it("takes back what has left the screen, and may ask for it again", async () => {
    const { store, open, ask, failed } = setup();
    store.want("tiles", "tile", [tile(0), tile(1)]);
    store.want("tiles", "tile", [tile(1)]);
    expect(open[0]!.signal.aborted).toBe(true);
    expect(open[1]!.signal.aborted).toBe(false);
    store.want("tiles", "tile", [tile(0)]);
    expect(ask).toHaveBeenCalledTimes(3);
    await Promise.resolve();
    expect(failed).not.toHaveBeenCalled();
  });

  it("keeps a question open that another part of the view still waits for", () => {
    const { store, open, ask } = setup();
    store.want("picture", "tile", [tile(0)]);
    store.want("hover", "tile", [tile(0)]);
    store.want("picture", "tile", []);
    expect(ask).toHaveBeenCalledTimes(1);
    expect(open[0]!.signal.aborted).toBe(false);
  });

  it("leaves the tiles alone when only a hovered row changes", () => {
    const { store, open } = setup();
    store.want("tiles", "tile", [tile(0)]);
    store.want("row", "row", [rowPayload(head, "query", 3)]);
    store.want("row", "row", [rowPayload(head, "key", 3)]);
    expect(open.map((o) => o.signal.aborted)).toEqual([false, true, false]);
  });

  it("ignores an answer to a question from before the model changed", async () => {
    const { store, open, arrived } = setup();
    store.want("tiles", "tile", [tile(0)]);
    store.clear();
    open[0]!.resolve({ values: array });
    await Promise.resolve();
    expect(store.get("tile", tile(0))).toBeUndefined();
    expect(arrived).not.toHaveBeenCalled();
  });

  it("does not grow without end", async () => {
    const { store, open, arrived } = setup();
    for (let i = 0; i < 150; i++) store.want("tiles", "tile", [tile(i)]);
    open.forEach((o) => o.resolve({ values: array }));
    store.want("tiles", "tile", [tile(149)]);
    await vi.waitFor(() => expect(arrived).toHaveBeenCalled());
    const kept = Array.from({ length: 150 }, (_, i) => store.get("tile", tile(i))).filter(Boolean);
    expect(kept.length).toBeLessThanOrEqual(97);
  });
});
