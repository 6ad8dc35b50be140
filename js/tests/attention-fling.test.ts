// A fling across a long prompt: what left the screen before its turn is never asked for.

import { describe, expect, it } from "vitest";
import { tilesFor } from "../src/attention/window.js";
import { Tiles } from "../src/core/tiles.js";

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

function slow() {
  const sent: { key: string; signal: AbortSignal; answer: (value: string) => void }[] = [];
  const load = (key: string, signal: AbortSignal) =>
    new Promise<string>((answer) => sent.push({ key, signal, answer }));
  return { sent, load };
}

describe("tiles of a long pattern", () => {
  it("asks for two at a time, the middle first, and goes on when one arrives", async () => {
    const { sent, load } = slow();
    let drawn = 0;
    const tiles = new Tiles(load, { done: () => drawn++, failed: () => undefined, atOnce: 2 });
    const window = { q0: 0, q1: 1024, k0: 0, k1: 1024 };
    const keys = tilesFor(window, 1, 4096, 4096).map((t) => `${t.row},${t.column}`);
    expect(keys).toHaveLength(16);
    tiles.show(keys);
    expect(sent.map((s) => s.key)).toEqual(keys.slice(0, 2));
    sent[0]!.answer("a");
    await settle();
    expect(sent).toHaveLength(3);
    expect([drawn, tiles.waiting, tiles.get(keys[0]!)]).toEqual([1, 2, "a"]);
  });

  it("drops what left the screen: cancelled where it was sent, forgotten where it was not", async () => {
    const { sent, load } = slow();
    const tiles = new Tiles(load, { done: () => undefined, failed: () => undefined, atOnce: 2 });
    for (let row = 0; row < 16; row++) {
      const window = { q0: 256 * row, q1: 256 * row + 256, k0: 0, k1: 1024 };
      tiles.show(tilesFor(window, 1, 4096, 4096).map((t) => `${t.row},${t.column}`));
    }
    const kept = sent.filter((s) => !s.signal.aborted);
    expect(kept.map((s) => s.key.split(",")[0])).toEqual(["15", "15"]);
    for (let i = 0; i < 4; i++) {
      for (const s of sent.filter((s) => !s.signal.aborted)) s.answer(s.key);
      await settle();
    }
    const there = Array.from({ length: 16 }, (_, row) => tiles.get(`${row},0`)).filter(Boolean);
    expect(there).toEqual(["15,0"]);
  });
});
