import { describe, expect, it, vi } from "vitest";
import { Tiles } from "../src/core/tiles.js";
import { settle } from "./fake-model.js";

function tilesOf(keep = 64) {
  const asked: { key: string; signal: AbortSignal; answer: (v: string) => void }[] = [];
  const done = vi.fn();
  const failed = vi.fn();
  const tiles = new Tiles<string>(
    (key, signal) =>
      new Promise((resolve, reject) => {
        asked.push({ key, signal, answer: resolve });
        signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
      }),
    { done, failed, keep },
  );
  return { tiles, asked, done, failed };
}

describe("tiles", () => {
  it("are asked for once and remembered", async () => {
    const { tiles, asked, done } = tilesOf();
    tiles.show(["a", "b"]);
    tiles.show(["a", "b"]);
    expect(asked.map((a) => a.key)).toEqual(["a", "b"]);
    asked[0]!.answer("A");
    await settle();
    expect(tiles.get("a")).toBe("A");
    expect(done).toHaveBeenCalledTimes(1);
    tiles.show(["a"]);
    expect(asked.length).toBe(2);
  });

  it("that left the screen are cancelled, without an error", async () => {
    const { tiles, asked, failed } = tilesOf();
    tiles.show(["a", "b"]);
    tiles.show(["b", "c"]);
    expect(asked.map((a) => a.signal.aborted)).toEqual([true, false, false]);
    await settle();
    expect(failed).not.toHaveBeenCalled();
    expect(tiles.waiting).toBe(2);
  });

  it("of an old revision are not mixed with new ones, but can be drawn meanwhile", async () => {
    const { tiles, asked } = tilesOf();
    tiles.show(["a"]);
    asked[0]!.answer("old");
    await settle();
    tiles.show(["a", "b"]);
    tiles.clear();
    expect(tiles.get("a")).toBeUndefined();
    expect(tiles.stale("a")).toBe("old");
    tiles.show(["a"]);
    expect(asked.map((a) => a.key)).toEqual(["a", "b", "a"]);
  });

  it("are dropped, least recently shown first", () => {
    const { tiles } = tilesOf(2);
    tiles.put("a", "A");
    tiles.put("b", "B");
    tiles.get("a");
    tiles.put("c", "C");
    expect([tiles.get("a"), tiles.get("b"), tiles.get("c")]).toEqual(["A", undefined, "C"]);
  });
});
