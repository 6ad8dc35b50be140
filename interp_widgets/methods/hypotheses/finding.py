"""A finding: one number, the draws of its null, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_DRAWS = 400
"""Draws of a null that a result keeps."""


def finding(
    hypothesis: str,
    statistic: str,
    value: float,
    null: Sequence[float] | np.ndarray,
    null_name: str,
    *,
    unit: str = "",
    note: str = "",
    inputs: int = 0,
    low: float | None = None,
    high: float | None = None,
) -> dict[str, Any]:
    """Return a finding as JSON.

    Parameters
    ----------
    hypothesis
        ``"H1"`` to ``"H7"``, or the part of a dossier that it belongs to.
    statistic
        What was measured, in words.
    value
        The number; larger speaks for the hypothesis.
    null
        The same number where the hypothesis is false by construction, draw by draw.
    null_name
        How the null was made.
    unit
        Unit of the number.
    note
        What a reader must know.
    inputs
        Prompts that were not used to choose anything and that the number was measured on.
    low, high
        95 % limits over inputs, where there are.

    Notes
    -----
    p = (1 + draws at least as large) / (1 + draws), one-sided; it cannot be below 1 / (1 + draws).

    Raises
    ------
    ValueError
        Without a draw: a number without its null says nothing.
    """
    draws = np.asarray(null, np.float64).reshape(-1)
    if not len(draws) or not np.isfinite(draws).all():
        raise ValueError(f"{statistic}: the null needs at least one finite draw")
    p = (1 + int((draws >= value).sum())) / (1 + len(draws))
    return {
        "hypothesis": hypothesis,
        "statistic": statistic,
        "value": round(float(value), 6),
        "unit": unit,
        "null": [round(float(x), 6) for x in draws[:MOST_DRAWS]],
        "null_name": null_name,
        "p": p,
        "inputs": inputs,
        "low": None if low is None else round(float(low), 6),
        "high": None if high is None else round(float(high), 6),
        "note": note,
    }


def above(found: dict[str, Any], alpha: float = 0.05) -> bool:
    """Whether a finding is above its null."""
    return bool(found["p"] <= alpha)
