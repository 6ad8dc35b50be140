// A graph of what leads to what: a circuit of heads and MLPs, or an attribution graph of features.

import { AttributionView } from "../circuit/attribution.js";
import { CircuitView } from "../circuit/circuitview.js";
import { KEYS } from "../circuit/keys.js";
import { defineView } from "../core/view.js";

const PRESS = [
  "Enter",
  "cut or restore the edge; without one, ablate the node or unfold the group",
];

export default defineView(
  "circuit",
  (view) => {
    if (view.spec.kind === "attribution_graph") new AttributionView(view);
    else new CircuitView(view);
  },
  {
    keys: [PRESS as [string, string], ...KEYS, ["Page ↑ ↓", "on the slider: next measured size"]],
    modes: true,
  },
);
