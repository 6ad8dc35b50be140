import { h } from "../core/dom.js";
import { defineView } from "../core/view.js";

export default defineView("heatmap", (view) => {
  view.body.append(h("p", {}, view.spec.alt));
});
