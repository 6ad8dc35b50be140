// Two results against each other, one point for each cell.
import { defineView } from "../core/view.js";
import { Cloud } from "../scatter/cloud.js";

export default defineView(
  "scatter",
  (view) => {
    new Cloud(view);
  },
  {
    modes: true,
    predict: false,
    keys: [
      ["← →", "the points from left to right; Home and End go to the ends"],
      ["Enter", "select what the point stands for in every view (also a click)"],
      ["Space", "brush the point, or take it out (also Alt + click)"],
      ["drag", "a lasso: its cells are outlined in the heatmaps of both results; Shift adds"],
      ["Delete", "brush nothing"],
      ["Esc", "leave the points"],
    ],
  },
);
