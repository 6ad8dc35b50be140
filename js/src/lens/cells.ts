// The cells of a lens: the word each layer would say, coloured by a channel, with its rivals.
import { select } from "../core/controls.js";
import type { Cells } from "../heatmap/cells.js";
import { type LensTile, percent, ranked, rankedList, topWord } from "./words.js";

export const tokens: Cells = (board) => {
  const lens = (row: number, col: number) => {
    const found = board.data.answer(row, col);
    if (!found?.tile.ids || !found.tile.probs || !found.tile.strings) return null;
    return { ...found, tile: found.tile as unknown as LensTile };
  };
  return {
    size: (width) => ({ narrowest: width < 480 ? 52 : 64, widest: 120, height: 22 }),
    word(row, col) {
      const at = lens(row, col);
      return at ? topWord(at.tile, at.r, at.c) : undefined;
    },
    said(row, col) {
      const at = lens(row, col);
      return at ? ` says “${ranked(at.tile, at.r, at.c)[0]?.[0]}”` : "";
    },
    hover(row, col) {
      const at = lens(row, col);
      if (!at) return null;
      const words = ranked(at.tile, at.r, at.c)
        .slice(0, 5)
        .map(([token, p]) => [`“${token}”`, percent(p)] as const);
      const { state, mode } = board.slice;
      const isTop = state.channel === "probability" && mode !== "difference";
      return isTop ? words : [...words, board.valueRow(row, col)];
    },
    open(row, col) {
      const at = lens(row, col);
      if (!at) return;
      const best = ranked(at.tile, at.r, at.c);
      board.side.replaceChildren(rankedList(board.slice.describe(row, col), best));
    },
    controls() {
      const { spec, state } = board.slice;
      const now = state.channel ?? "probability";
      return [select("Colour", spec.channels ?? [], now, (channel) => board.set({ channel })).el];
    },
  };
};
