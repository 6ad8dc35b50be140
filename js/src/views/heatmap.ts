// Heatmap of arrays, and the lens grid: one board, two kinds of cells.
import { defineView } from "../core/view.js";
import { Board } from "../heatmap/board.js";
import { numbers } from "../heatmap/cells.js";
import { tokens } from "../lens/cells.js";

export default defineView(
  "heatmap",
  (view) => {
    new Board(view, view.spec.cells === "token" ? tokens : numbers);
  },
  {
    modes: true,
    keys: [
      ["← ↑ → ↓", "move from cell to cell; Home, End, Page up, Page down go further"],
      ["Enter", "select the cell in every view; in a lens also list its best tokens"],
      ["Space", "ablate what the cell stands for, or restore it (also a double click)"],
      ["+ − 0", "zoom in, out, fit (also Ctrl + wheel); drag to move"],
      ["[ ]", "previous and next slice"],
      ["Esc", "leave the grid"],
    ],
  },
);
