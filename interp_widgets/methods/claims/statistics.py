"""Small statistics of the tests: intervals, forecasts, scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DRAWS = 1000
RIDGE = 0.05
"""Pull of a forecast's slope towards none, as a share of the variance of its score."""


def interval(
    values: np.ndarray, of: Callable[[np.ndarray], np.ndarray] | None = None, seed: int = 0
) -> tuple[float, float]:
    """Return 95 % limits of a mean over inputs ``[input]``, by bootstrap."""
    drawn = draws(values, seed) if of is None else of(draw(len(values), seed))
    low, high = np.quantile(drawn[np.isfinite(drawn)], [0.025, 0.975])
    return float(low), float(high)


def draw(n: int, seed: int = 0) -> np.ndarray:
    """Return inputs drawn with replacement ``[draw, input]``."""
    return np.random.default_rng([seed, 5]).integers(0, n, (DRAWS, n))


def draws(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the mean of each bootstrap draw ``[draw]``."""
    values = np.asarray(values, float)
    return np.asarray(values[draw(len(values), seed)].mean(1))


def p_random(own: float, drawn: np.ndarray) -> float:
    """Return (1 + draws at least as large) / (1 + draws)."""
    return float((1 + (np.asarray(drawn) >= own - 1e-12).sum()) / (1 + len(drawn)))


def p_within(values: np.ndarray, bound: float, seed: int = 0) -> float:
    """Return (1 + bootstrap means beyond ± bound) / (1 + bootstrap means): a test of staying."""
    drawn = np.abs(draws(values, seed))
    return float((1 + (drawn >= bound).sum()) / (1 + len(drawn)))


class Line:
    """A number foretold by others in a line, with a Gaussian error."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        x, y = _columns(x), np.asarray(y, float)
        self.middle, self.spread = x.mean(0), np.where(x.std(0) < 1e-12, np.inf, x.std(0))
        scaled = (x - self.middle) / self.spread
        pull = RIDGE * len(y) * np.eye(x.shape[1])
        self.slopes = np.linalg.solve(scaled.T @ scaled + pull, scaled.T @ (y - y.mean()))
        self.start = float(y.mean())
        rest = y - self.start - scaled @ self.slopes
        self.sd = max(float(rest.std()), 1e-3 * max(1.0, float(np.abs(y).mean())))

    def log_score(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the log density of each outcome ``[input]``, in nats."""
        scaled = (_columns(x) - self.middle) / self.spread
        rest = np.asarray(y) - self.start - scaled @ self.slopes
        return np.asarray(-0.5 * (rest / self.sd) ** 2 - np.log(self.sd * np.sqrt(2 * np.pi)))


class Logistic:
    """A probability foretold by a number; the targets may be shares between 0 and 1."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        x, y = np.asarray(x, float), np.asarray(y, float)
        self.middle, self.spread = float(x.mean()), float(x.std())
        wide = np.stack([np.ones_like(x), self._scaled(x)], 1)
        # One failure and one success more than seen: a share of 0 or 1 is not certainty.
        mean = (y.sum() + 0.5) / (len(y) + 1)
        weights = np.array([np.log(mean / (1 - mean)), 0.0])
        pull = np.diag([1e-3, RIDGE * len(y) / 10])
        for _ in range(50):
            p = _sigmoid(wide @ weights)
            curve = wide.T @ (wide * (p * (1 - p))[:, None]) + pull
            step = np.linalg.solve(curve, wide.T @ (y - p) - pull @ weights)
            weights = weights + np.clip(step, -2, 2)
            if np.abs(step).max() < 1e-10:
                break
        self.weights = weights

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return probabilities ``[input]``."""
        wide = np.stack([np.ones(len(x)), self._scaled(np.asarray(x, float))], 1)
        return _sigmoid(wide @ self.weights)

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return (x - self.middle) / self.spread if self.spread > 1e-12 else np.zeros_like(x)


def auroc(score: np.ndarray, outcome: np.ndarray) -> float:
    """Return the area under the ROC curve, ties counting half; NaN with one outcome only."""
    from scipy.stats import rankdata

    hit = np.asarray(outcome, bool)
    if hit.all() or not hit.any():
        return float("nan")
    ranks = rankdata(score)
    n, m = int(hit.sum()), int((~hit).sum())
    return float((ranks[hit].sum() - n * (n + 1) / 2) / (n * m))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return the rank correlation; 1 where both are constant."""
    from scipy.stats import rankdata

    x, y = rankdata(a), rankdata(b)
    if x.std() < 1e-12 or y.std() < 1e-12:
        return float(x.std() < 1e-12 and y.std() < 1e-12)
    return float(np.corrcoef(x, y)[0, 1])


def _columns(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, float)
    return x[:, None] if x.ndim == 1 else x


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -40, 40))))
