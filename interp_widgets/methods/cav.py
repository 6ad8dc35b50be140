"""Concept activation vectors: the direction that separates examples of a concept from others."""

from __future__ import annotations

from typing import Literal

import numpy as np

Filter = Literal["pattern", "logistic", "ridge"]
FILTERS: tuple[Filter, ...] = ("pattern", "logistic", "ridge")


def gap(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Return what having the concept adds on average: difference of means ``[d]``, not normalised.

    Unlike the normal of a classifier, this is the concept's pattern in the data (Haufe et al.
    2014): subtracting it from an activation takes the concept out, as far as one vector can.
    """
    difference: np.ndarray = positive.mean(axis=0) - negative.mean(axis=0)
    return difference


def direction(
    positive: np.ndarray,
    negative: np.ndarray,
    filter: Filter = "pattern",  # noqa: A002
) -> np.ndarray:
    """Return the unit concept vector ``[d]``.

    Parameters
    ----------
    positive, negative
        Activations ``[example, d]`` with and without the concept.
    filter
        ``"pattern"``: difference of means; ``"logistic"``: normal of a logistic regression
        (Kim et al. 2018, arXiv 1711.11279); ``"ridge"``: normal of a ridge regression on ±1.

    Raises
    ------
    ValueError
        When the filter is unknown or the examples do not differ.
    """
    if filter == "pattern":
        vector = gap(positive, negative)
    elif filter == "logistic":
        vector = _logistic(positive, negative)
    elif filter == "ridge":
        vector = _ridge(positive, negative)
    else:
        raise ValueError(f"filter must be one of {', '.join(FILTERS)}, got {filter!r}")
    norm = float(np.linalg.norm(vector))
    if not norm > 0:
        raise ValueError("the examples with and without the concept have the same activations")
    return vector / norm


def _stack(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = np.concatenate([positive, negative]).astype(np.float64)
    y = np.concatenate([np.ones(len(positive)), -np.ones(len(negative))])
    return x, y


def _logistic(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    x, y = _stack(positive, negative)
    x = x - x.mean(axis=0)
    scale = float(np.sqrt((x**2).sum(axis=1).mean())) or 1.0
    model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=2000, tol=1e-4)
    vector: np.ndarray = model.fit(x / scale, y).coef_[0]
    return vector


def _ridge(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Solve in whichever of the two spaces is smaller; the penalty is 1 % of the mean variance."""
    x, y = _stack(positive, negative)
    weight = np.where(y > 0, 0.5 / len(positive), 0.5 / len(negative))
    x = x - weight @ x
    root = np.sqrt(weight)
    x, y = x * root[:, None], y * root
    penalty = 0.01 * float((x**2).sum()) / min(x.shape) or 1.0
    if x.shape[0] < x.shape[1]:
        dual = np.linalg.solve(x @ x.T + penalty * np.eye(len(x)), y)
        return np.asarray(x.T @ dual)
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y))


def held_out_projections(
    positive: np.ndarray,
    negative: np.ndarray,
    filter: Filter = "pattern",  # noqa: A002
    *,
    folds: int = 5,
    seed: int = 0,
    scaled: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Project each example on the vector fitted without its fold.

    Parameters
    ----------
    scaled
        Divide by half the distance of the training means, as :func:`presence` does.

    Returns
    -------
    tuple of numpy.ndarray
        Projections of the positive and the negative examples, each minus the midpoint of the
        training means, so that a positive number means "has the concept".
    """
    rng = np.random.default_rng(seed)
    folds = max(2, min(folds, len(positive), len(negative)))
    parts = [rng.permutation(np.arange(len(a)) % folds) for a in (positive, negative)]
    out = [np.empty(len(positive)), np.empty(len(negative))]
    for fold in range(folds):
        train = positive[parts[0] != fold], negative[parts[1] != fold]
        vector = direction(*train, filter)
        middle, half = scale_of(*train, vector)
        for examples, part, projections in zip((positive, negative), parts, out, strict=True):
            values = examples[part == fold] @ vector - middle
            projections[part == fold] = values / half if scaled else values
    return out[0], out[1]


def scale_of(positive: np.ndarray, negative: np.ndarray, vector: np.ndarray) -> tuple[float, float]:
    """Return the midpoint of the two mean projections, and half the distance between them."""
    high, low = float((positive @ vector).mean()), float((negative @ vector).mean())
    return (high + low) / 2, (high - low) / 2


def balanced_accuracy(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the mean share of right signs of the two classes; chance is 0.5."""
    return float((positive > 0).mean() + (negative <= 0).mean()) / 2


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the chance that a positive example projects higher than a negative one; ties half."""
    difference = positive[:, None] - negative[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def separation(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the difference of means in pooled standard deviations (Cohen's d)."""
    n, m = len(positive), len(negative)
    pooled = ((n - 1) * positive.var(ddof=1) + (m - 1) * negative.var(ddof=1)) / (n + m - 2)
    difference = float(positive.mean() - negative.mean())
    return difference / float(np.sqrt(pooled)) if pooled > 0 else float("nan")
