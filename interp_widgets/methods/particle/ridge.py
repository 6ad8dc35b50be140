"""Linear probes with their penalty chosen by cross-validation, and what to regress out first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALPHAS = 10.0 ** np.arange(-4, 5)
FOLDS = 5


@dataclass
class Ridge:
    """A ridge regression of several targets, each with its own penalty.

    ``weight [target, feature]`` and ``offset [target]`` act on the features as given; ``alpha
    [target]`` is the penalty per row, of standardised features.
    """

    weight: np.ndarray
    offset: np.ndarray
    alpha: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return predictions ``[row, target]``."""
        found: np.ndarray = x @ self.weight.T + self.offset
        return found


def fit(x: np.ndarray, y: np.ndarray, seed: int = 0) -> Ridge:
    """Fit targets ``y [row, target]`` from ``x [row, feature]``; 5-fold choice of the penalty."""
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    z = (x - mean) / spread
    folds = np.random.default_rng(seed).permutation(len(z)) % FOLDS
    errors = np.zeros((len(ALPHAS), y.shape[1]))
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        for k, (weight, offset) in enumerate(_path(z[train], y[train])):
            errors[k] += ((z[test] @ weight + offset - y[test]) ** 2).sum(0)
    best = errors.argmin(0)
    weight = np.empty((y.shape[1], x.shape[1]))
    offset = np.empty(y.shape[1])
    for k, (w, b) in enumerate(_path(z, y)):
        chosen = best == k
        weight[chosen], offset[chosen] = w.T[chosen], b[chosen]
    weight = weight / spread
    return Ridge(weight, offset - weight @ mean, ALPHAS[best])


def _path(z: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weights ``[feature, target]`` and offsets for every penalty."""
    at, to = z.mean(0), y.mean(0)
    values, basis = np.linalg.eigh((z - at).T @ (z - at) / len(z))
    inner = basis.T @ ((z - at).T @ (y - to) / len(z))
    found = []
    for alpha in ALPHAS:
        weight = basis @ (inner / (np.maximum(values, 0) + alpha)[:, None])
        found.append((weight, to - at @ weight))
    return found


def explained(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return R² of each target ``[target]``."""
    left = ((y - predicted) ** 2).sum(0)
    r2: np.ndarray = 1 - left / np.maximum(((y - y.mean(0)) ** 2).sum(0), 1e-30)
    return r2


class Residual:
    """Regresses known quantities, their squares and products out of anything.

    Parameters
    ----------
    known
        ``[row, quantity]``.
    train
        Rows on which the regression is fitted.
    """

    def __init__(self, known: np.ndarray, train: np.ndarray) -> None:
        z = (known - known[train].mean(0)) / np.maximum(known[train].std(0), 1e-12)
        n = z.shape[1]
        products = [z[:, i] * z[:, j] for i in range(n) for j in range(i, n)]
        self.design = np.column_stack([np.ones(len(z)), z, *products])
        self.train = train

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return what is left of values ``[row, …]``."""
        found = np.linalg.lstsq(self.design[self.train], values[self.train], rcond=None)[0]
        left: np.ndarray = values - self.design @ found
        return left


def principal_angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the angles in degrees between the spans of two sets of rows, smallest first."""
    bases = [np.linalg.qr(np.atleast_2d(x).T)[0] for x in (a, b)]
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))
