"""The effects that follow from the metric of plain and patched runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

INTERCHANGE = ("TE", "NIE", "NDE", "NIE_rev", "interaction")
CONTROLLED = ("TE", "CE", "CDE", "CE_rev")
MEANINGS = {
    "effect": "what the mediator carries, in the direction of the run",
    "TE": "total effect: Y(x′) − Y(x)",
    "NIE": "natural indirect effect, through the mediator: Y(x, M(x′)) − Y(x)",
    "NDE": "natural direct effect, around the mediator: Y(x′, M(x)) − Y(x)",
    "NIE_rev": "reverse indirect effect: Y(x′, M(x)) − Y(x′)",
    "interaction": "what indirect and direct effect do only together: TE − NDE − NIE",
    "CE": "effect of the value put in place on the clean run: Y(x, m) − Y(x)",
    "CDE": "controlled direct effect, mediator held: Y(x′, m) − Y(x, m)",
    "CE_rev": "effect of the value on the counterfactual run: Y(x′, m) − Y(x′)",
}


def effects(
    ends: np.ndarray,
    patched: np.ndarray,
    quantity: str,
    form: tuple[str, str, str],
    known: Sequence[str],
) -> np.ndarray:
    """Return an effect ``[mediator, pair]`` from the metric of plain and patched runs.

    On the ratio scale every effect is ``Y_changed ÷ Y_unchanged − 1`` of the metric as a
    probability (or ratio of two); the interaction is ``(1 + TE) ÷ ((1 + NDE)(1 + NIE)) − 1``.
    """
    direction, scale, metric = form
    if quantity not in ("effect", *known):
        raise KeyError(f"no effect {quantity!r}; there are effect, {', '.join(known)}")
    ends, patched = np.asarray(ends, np.float64), np.asarray(patched, np.float64)
    if scale == "ratio" and metric == "probability":
        ends, patched = np.log(ends), np.log(patched)
    (y, other), (noised, denoised) = ends[:, None], patched
    found = {
        "TE": other - y + np.zeros_like(noised),
        "NIE": noised - y,
        "CE": noised - y,
        "NDE": denoised - y,
        "NIE_rev": denoised - other,
        "CE_rev": denoised - other,
        "CDE": denoised - noised,
        "interaction": other - denoised - noised + y,
        "effect": other - denoised if direction == "denoising" else noised - y,
    }[quantity]
    return np.expm1(found) if scale == "ratio" else found


def faithfulness_of(ends: np.ndarray, patched: np.ndarray) -> np.ndarray:
    """Return (Y(x′, M(x)) − Y(x′)) ÷ (Y(x) − Y(x′)) of means over pairs ``[mediator]``."""
    span = float((ends[0] - ends[1]).mean())
    kept = (patched[1] - ends[1]).mean(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(kept / span) if span else np.full(len(kept), np.nan)


def ratio_of(metric: str) -> str:
    """Say of what an effect on the ratio scale is a relative change."""
    names = {
        "logit difference": "ratio of the probabilities of answer and foil",
        "log probability": "probability of the answer",
        "probability": "probability of the answer",
    }
    return names.get(metric, metric)
