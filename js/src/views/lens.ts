// The lens: the grid that it shares with arrays, with words as cells and the course of pins below.
import { defineView } from "../core/view.js";
import { Board } from "../heatmap/board.js";
import { tokens } from "../lens/cells.js";

export default defineView(
  "lens",
  (view) => {
    view.el.classList.add("iw-heatmap");
    new Board(view, tokens);
  },
  {
    modes: true,
    keys: [
      ["← ↑ → ↓", "move from cell to cell; Home, End, Page up, Page down go further"],
      ["Enter", "select the cell in every view, list its best tokens, follow the pins from there"],
      ["Space", "ablate what the cell stands for, or restore it (also a double click)"],
      [
        "c, v",
        "copy the cell; patch it in at another position or in another lens (also by dragging)",
      ],
      ["Tab", "to the list of tokens: Enter pins one, Shift + Enter adds it to the last pin"],
      ["+ − 0", "zoom in, out, fit (also Ctrl + wheel); drag to move"],
      ["Esc", "leave the grid"],
    ],
  },
);
