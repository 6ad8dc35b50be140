"""Which mediators and searches serve which goal, as rules (arXiv:2408.01416)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

GOALS: dict[str, dict[str, str]] = {
    "explain a behaviour": {
        "mediators": "heads, MLPs, edges and paths; features where parts are too coarse",
        "search": "exhaustive, attribution, mask",
        "because": "parts that the model computes with can be named, drawn and read together",
        "rule": "faithfulness of at least 0.2, at most 5 % of the dimensions, basis-aligned or a "
        "feature",
    },
    "verify a hypothesis": {
        "mediators": "subspaces of a layer and position",
        "search": "das, with held-out pairs",
        "because": "a variable of the hypothesis need not lie on neurons; interchanges of it must "
        "change the answer as the hypothesis says",
        "rule": "an interchange accuracy of at least 0.9 (0.8 of the faithfulness held out where "
        "that was measured)",
    },
    "localise and edit": {
        "mediators": "MLPs, directions and features at a position",
        "search": "difference in means, probe, attribution",
        "because": "an edit has to move the answer and leave everything else alone",
        "rule": "an effect of at least five times the KL divergence on control prompts, per nat",
    },
}
"""Goals, what they recommend, and the rule by which a measured mediator serves them."""


def served(row: Any, mediator: Mapping[str, Any]) -> str:
    """Return the goals whose rule a row of the report meets, between commas; empty for none."""

    def number(name: str, other: float = math.nan) -> float:
        value = row.get(name)
        return other if value is None or math.isnan(value) else float(value)

    found = []
    named = bool(mediator.get("aligned")) or mediator.get("type") == "feature"
    small = number("share", 1.0) <= 0.05
    if number("faithfulness", 0.0) >= 0.2 and small and named:
        found.append("explain a behaviour")
    if number("IIA", 0.0) >= 0.9 and number("generality", 1.0) >= 0.8:
        found.append("verify a hypothesis")
    if number("effect_per_nat", 0.0) >= 5:
        found.append("localise and edit")
    return ", ".join(found)
