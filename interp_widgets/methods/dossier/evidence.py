"""What a result is worth as evidence: rows with their tags, verified or not, and why."""

from __future__ import annotations

from typing import Any

from interp_widgets.methods.catalogue import Method
from interp_widgets.methods.tags import Tags
from interp_widgets.results.base import Result
from interp_widgets.results.judgement import JudgementResult
from interp_widgets.results.registry import METHODS

FEWEST = 10
"""Inputs that were not used to choose anything, from which a number counts as a test."""
ALPHA = 0.05
WORTH = 0.1
"""Share of a behaviour from which another node counts as a stand-in."""


def rows_of(result: Result, number: int) -> list[dict[str, Any]]:
    """Return one row for each finding of a result; one without a number where it has none."""
    name = result.recipe.method if result.recipe is not None else ""
    entry: Method | None = METHODS.get(name) if name in METHODS else None
    tags = entry.tags if entry is not None else None
    about = {
        "part": number,
        "method": name or result.kind,
        "title": entry.title if entry is not None else result.title,
        "interventions": len(result.recipe.interventions) if result.recipe is not None else 0,
        **({k: v for k, v in tags.row().items() if k != "units"} if tags else {}),
    }
    found = result.meta.get("findings") or (
        _judged(result) if isinstance(result, JudgementResult) else [{}]
    )
    rows = []
    for one in found:
        reasons = doubts(one, tags)
        rows.append(
            {
                **about,
                "statistic": one.get("statistic", "shown, not tested"),
                **{k: one.get(k) for k in ("value", "unit", "low", "high", "p", "note", "role")},
                **{
                    k: one.get(k)
                    for k in ("null", "null_name", "inputs", "lost", "fpr", "detected")
                },
                "status": "unverified" if reasons else "verified",
                "reason": "; ".join(reasons) or _praise(one),
            }
        )
    return rows


def doubts(found: dict[str, Any], tags: Tags | None) -> list[str]:
    """Return why a finding does not verify an explanation; none when it does."""
    reasons = []
    if tags is None:
        reasons.append("the method has no tags, so nobody knows what it shows")
    else:
        if tags.causal_nature == "observational":
            reasons.append("observational: it reads and changes nothing")
        if tags.scope == "local":
            reasons.append("local: it speaks of the prompts given")
        if tags.phase != "verification":
            reasons.append("it suggests an explanation and does not test one")
    if found.get("value") is None:
        return [*reasons, "no number"]
    if not found.get("null"):
        reasons.append("no null to compare with")
    elif found["p"] > ALPHA and found.get("role") != "self-repair":
        reasons.append(f"not above its null (p = {found['p']:.2g})")
    if (found.get("inputs") or 0) < FEWEST:
        reasons.append(f"measured on fewer than {FEWEST} inputs held out")
    return reasons


def _praise(found: dict[str, Any]) -> str:
    if found.get("role") == "self-repair":
        stand_in = found["p"] <= ALPHA and found["value"] > WORTH
        return "a second ablation found " + ("a stand-in" if stand_in else "no stand-in")
    return "an intervention, tested on inputs held out, above its null"


def _judged(result: JudgementResult) -> list[dict[str, Any]]:
    """Return the faithfulness of a circuit as a finding, against random circuits of its size."""
    random = [float(x) for x in result.numpy("random")]
    value = result.faithfulness
    p = (1 + sum(x >= value for x in random)) / (1 + len(random))
    low, high = result.interval
    return [
        {
            "statistic": f"faithfulness of a circuit of {result.meta['size']:,} "
            f"{result.meta['level']}s",
            "value": value,
            "low": low,
            "high": high,
            "p": p,
            "null": random,
            "null_name": "random circuits of equal size",
            "inputs": result.meta["n_pairs"],
            "note": "",
        }
    ]
