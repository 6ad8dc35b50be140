"""Testing with concept vectors: sign counts against random counterparts, effects, corrections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from interp_widgets.methods.cav import Filter, direction

Correction = Literal["holm", "bonferroni"]


@dataclass(frozen=True)
class TcavTest:
    """What repeated concept vectors and their random counterparts say.

    Parameters
    ----------
    scores, null
        TCAV scores of the repeated vectors and of random counterparts ``[run]``.
    p_sign
        Two-sided Welch test of the two, as in arXiv 1711.11279. The runs share one pool of
        examples, so it calls too many concepts significant.
    effect, null_effects
        Linear effect of the vector on all examples, and of vectors on shuffled labels ``[run]``.
    p
        Two-sided t-test of the one against the spread of the others: right at any number of runs.
    """

    scores: np.ndarray
    null: np.ndarray
    p_sign: float
    effect: float
    null_effects: np.ndarray
    p: float


def tcav_score(gradients: np.ndarray, vector: np.ndarray) -> float:
    """Return the share of inputs whose target rises along the vector (arXiv 1711.11279, eq. 2).

    Parameters
    ----------
    gradients
        ``[input, d]``: gradient of the target at the site. An input with gradient zero counts half.
    vector
        ``[d]``.
    """
    sensitivity = gradients @ vector
    return float((sensitivity > 0).mean() + 0.5 * (sensitivity == 0).mean())


def tcav_test(
    positive: np.ndarray,
    negative: np.ndarray,
    gradients: np.ndarray,
    *,
    filter: Filter = "pattern",  # noqa: A002
    runs: int = 30,
    seed: int = 0,
) -> TcavTest:
    """Compare concept vectors with their random counterparts, by sign count and by linear effect.

    Sign count: each run draws half of the positive and half of the negative examples; its
    counterpart draws two sets apart of the same size from the negative examples alone. Linear
    effect (mean gradient · vector · gap): the vector of all examples against vectors of the same
    examples with their labels shuffled.

    Raises
    ------
    ValueError
        With fewer than 4 examples of either kind or fewer than 2 runs.
    """
    if min(len(positive), len(negative)) < 4:
        raise ValueError(
            f"TCAV needs at least 4 examples with and 4 without the concept, got {len(positive)} "
            f"and {len(negative)}"
        )
    if runs < 2:
        raise ValueError(f"runs must be at least 2, got {runs}")
    rng = np.random.default_rng(seed)
    size = min(len(positive), len(negative)) // 2
    both = np.concatenate([positive, negative])
    scores, null, null_effects = np.empty((3, runs))
    for run in range(runs):
        some = positive[rng.permutation(len(positive))[:size]]
        order = rng.permutation(len(negative))
        others, counterpart = negative[order[:size]], negative[order[size : 2 * size]]
        scores[run] = _score(some, others, gradients, filter)
        null[run] = _score(counterpart, others, gradients, filter)
        shuffled = both[rng.permutation(len(both))]
        parts = shuffled[: len(positive)], shuffled[len(positive) :]
        null_effects[run] = linear_effect(*parts, gradients, filter)
    effect = linear_effect(positive, negative, gradients, filter)
    return TcavTest(
        scores, null, welch_p(scores, null), effect, null_effects, outlier_p(effect, null_effects)
    )


def linear_effect(
    positive: np.ndarray,
    negative: np.ndarray,
    gradients: np.ndarray,
    filter: Filter = "pattern",  # noqa: A002
) -> float:
    """Return mean gradient · unit vector · gap: what having the concept adds, to first order.

    The gap is the difference of mean projections of the two sets of examples.
    """
    try:
        vector = direction(positive, negative, filter)
    except ValueError:
        return 0.0
    gap = float((positive @ vector).mean() - (negative @ vector).mean())
    return float((gradients @ vector).mean()) * gap


def _score(a: np.ndarray, b: np.ndarray, gradients: np.ndarray, filter: Filter) -> float:  # noqa: A002
    try:
        return tcav_score(gradients, direction(a, b, filter))
    except ValueError:
        return 0.5  # equal sets of examples have no direction: neither up nor down


def outlier_p(value: float, null: np.ndarray) -> float:
    """Return the two-sided p of one more draw from the normal distribution that gave ``null``."""
    from scipy import stats

    spread = float(null.std(ddof=1)) * np.sqrt(1 + 1 / len(null))
    difference = abs(value - float(null.mean()))
    if spread == 0:
        return float(difference == 0)
    return float(2 * stats.t.sf(difference / spread, len(null) - 1))


def welch_p(a: np.ndarray, b: np.ndarray, *, greater: bool = False) -> float:
    """Return the p of a Welch test, two-sided or for ``a`` being greater.

    Without any variance it is 1 when the means agree, else 0 (1 when ``a`` should be greater and
    is not).
    """
    from scipy import stats

    n, m = len(a), len(b)
    u, v = float(a.var(ddof=1)) / n, float(b.var(ddof=1)) / m
    difference = float(a.mean() - b.mean())
    if u + v == 0:
        return float(difference <= 0) if greater else float(difference == 0)
    freedom = (u + v) ** 2 / (u**2 / (n - 1) + v**2 / (m - 1))
    t = difference / np.sqrt(u + v)
    return float(stats.t.sf(t, freedom) if greater else 2 * stats.t.sf(abs(t), freedom))


def correct(p: np.ndarray, how: Correction = "holm") -> np.ndarray:
    """Return p-values corrected for their number, in the same shape; NaN is not counted.

    Raises
    ------
    ValueError
        For an unknown correction.
    """
    if how not in ("holm", "bonferroni"):
        raise ValueError(f'correction must be "holm" or "bonferroni", got {how!r}')
    flat = np.asarray(p, dtype=np.float64).reshape(-1)
    known = np.flatnonzero(np.isfinite(flat))
    out = np.full(flat.shape, np.nan)
    if how == "bonferroni":
        out[known] = np.minimum(1, flat[known] * len(known))
    else:
        order = known[np.argsort(flat[known], kind="stable")]
        steps = flat[order] * np.arange(len(order), 0, -1)
        out[order] = np.minimum(1, np.maximum.accumulate(steps)) if len(order) else steps
    return out.reshape(np.shape(p))


def bootstrap(
    samples: tuple[np.ndarray, ...],
    statistic: Callable[..., float],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return a percentile interval of ``statistic(*samples)``, each sample redrawn on its own."""
    rng = np.random.default_rng(seed)
    values = np.empty(draws)
    for i in range(draws):
        values[i] = statistic(
            *(sample[rng.integers(len(sample), size=len(sample))] for sample in samples)
        )
    tail = 50 * (1 - level)
    low, high = (
        np.nanpercentile(values, [tail, 100 - tail]) if np.isfinite(values).any() else (np.nan,) * 2
    )
    return float(low), float(high)
