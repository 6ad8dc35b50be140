"""How well scores tell signal from background, with intervals over jets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

EFFICIENCIES = (0.5, 0.3)


@dataclass
class Judge:
    """Measures scores on the same jets, with the same resamples of them every time.

    Parameters
    ----------
    labels
        1 for signal, 0 for background ``[jet]``.
    draws, seed
        Resamples of the jets, and their seed; signal and background are drawn each by itself.
    """

    labels: Tensor
    draws: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        y = self.labels.numpy().astype(bool)
        rng = np.random.default_rng(self.seed)
        weights = np.ones((self.draws + 1, len(y)))
        for kind in (y, ~y):
            at = np.flatnonzero(kind)
            weights[1:, at] = rng.multinomial(len(at), np.full(len(at), 1 / len(at)), self.draws)
        self._signal, self._weights = y, weights

    def auc(self, scores: Tensor) -> np.ndarray:
        """Return the AUC of all jets and then of each resample ``[1 + draw]``; ties count half."""
        s = scores.double().numpy()
        values, level = np.unique(s, return_inverse=True)
        order = np.argsort(level, kind="stable")
        ends = np.searchsorted(level[order], np.arange(len(values)), side="right")

        def by_level(mask: np.ndarray) -> np.ndarray:
            run = np.cumsum((self._weights * mask)[:, order], 1)[:, ends - 1]
            return np.diff(run, axis=1, prepend=0)

        signal, back = by_level(self._signal), by_level(~self._signal)
        below = np.cumsum(back, 1) - back / 2
        auc: np.ndarray = (signal * below).sum(1) / (signal.sum(1) * back.sum(1))
        return auc

    def rejection(self, scores: Tensor, efficiency: float = 0.5) -> np.ndarray:
        """Return 1 / (share of background kept) where this share of signal is kept ``[1 + draw]``.

        Where no background is left it counts as one jet.
        """
        order = np.argsort(-scores.double().numpy(), kind="stable")
        weights, y = self._weights[:, order], self._signal[order]
        signal, back = (np.cumsum(weights * mask, 1) for mask in (y, ~y))
        at = (signal < efficiency * signal[:, -1:]).sum(1)
        kept = np.take_along_axis(back, np.minimum(at, len(y) - 1)[:, None], 1)[:, 0]
        rejection: np.ndarray = back[:, -1] / np.maximum(kept, 1)
        return rejection


def interval(draws: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the limits of what :class:`Judge` measured: percentiles of the resamples."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws[1:], [tail, 1 - tail])
    return float(low), float(high)


def auc(scores: Tensor, labels: Tensor) -> float:
    """Return the area under the ROC curve; ties count half."""
    return float(Judge(torch.as_tensor(labels), draws=0).auc(scores)[0])
