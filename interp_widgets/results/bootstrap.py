"""Intervals of means over pairs, by drawing pairs again."""

from __future__ import annotations

import numpy as np

DRAWS = 1000
"""Usual for 95 % percentile intervals."""


class Bootstrap:
    """Resamples of pairs; the same resamples for every number, so that differences are paired.

    Parameters
    ----------
    pairs
        How many there are.
    draws, seed
        Of the resamples.
    """

    def __init__(self, pairs: int, draws: int = DRAWS, seed: int = 0) -> None:
        self.pairs = pairs
        rng = np.random.default_rng(seed)
        picks = rng.integers(0, pairs, (draws, pairs))
        self._weights = np.zeros((draws, pairs))
        np.add.at(self._weights, (np.arange(draws)[:, None], picks), 1.0 / pairs)

    def interval(self, values: np.ndarray, confidence: float = 0.95) -> np.ndarray:
        """Return the limits of the mean over the last axis ``[2, …]``; NaN of one pair."""
        values = np.asarray(values, np.float64)
        shape = values.shape[:-1]
        if self.pairs < 2:
            return np.full((2, *shape), np.nan)
        tail = (1 - confidence) / 2
        flat = values.reshape(-1, self.pairs)
        parts = [
            np.quantile(self._weights @ flat[at : at + 2048].T, [tail, 1 - tail], axis=0)
            for at in range(0, len(flat), 2048)
        ]
        return np.concatenate(parts, axis=1).reshape(2, *shape)
