// Heatmap of any two dims of an array.
import { defineView } from "../core/view.js";
import { Board } from "../heatmap/board.js";
import { numbers } from "../heatmap/cells.js";

export default defineView(
  "heatmap",
  (view) => {
    new Board(view, numbers);
    const say = () => view.note(view.spec.note ?? "", "info", undefined, "result");
    view.onSpec(say);
    say();
  },
  {
    modes: true,
    keys: [
      ["← ↑ → ↓", "move from cell to cell; Home, End, Page up, Page down go further"],
      ["Enter", "select the cell in every view (also a click)"],
      ["Space", "ablate what the cell stands for, or restore it (also a double click)"],
      ["+ − 0", "zoom in, out, fit (also Ctrl + wheel); drag to move"],
      ["Shift + arrows", "brush a rectangle (also Shift + drag); Delete takes it away"],
      ["o", "outline the cell, or take the outline away (also Alt + click)"],
      ["[ ]", "previous and next slice"],
      ["Esc", "leave the grid"],
    ],
  },
);
