"""How much every node and link of an attribution graph has to do with the outputs."""

from __future__ import annotations

import numpy as np

MOST_STEPS = 1_000


def flow(
    source: np.ndarray, target: np.ndarray, weight: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the influence of nodes and links on the outputs.

    With ``|weight|`` normalised over the inputs of each target to A, the influence of nodes is
    ``start · (A + A² + …)``, and that of a link ``A[t, s] · (influence[t] + start[t])`` (Ameisen
    et al. 2025, "Circuit Tracing", section on pruning).

    Parameters
    ----------
    source, target, weight
        ``[link]``.
    start
        ``[node]``: weights of the outputs, for example their probabilities.

    Returns
    -------
    node, link
        ``[node]`` and ``[link]``, float64; ``start`` sums to one.

    Raises
    ------
    ValueError
        When the links run in a circle, so that the sum has no end.
    """
    n = len(start)
    begin = start / start.sum() if start.sum() > 0 else start.astype(float)
    size = np.abs(weight)
    total = np.bincount(target, weights=size, minlength=n)
    share = np.divide(size, total[target], out=np.zeros_like(size), where=total[target] > 0)
    node = np.zeros(n)
    now = begin
    for _ in range(MOST_STEPS):
        now = np.bincount(source, weights=share * now[target], minlength=n)
        if not now.any():
            return node, share * (node[target] + begin[target])
        node += now
    raise ValueError("not an attribution graph: its links run in a circle")


def cumulative(value: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the share of the sum reached when the largest values are added one by one.

    ``[n]``, with NaN outside of ``among``; equal values keep their order.
    """
    result = np.full(len(value), np.nan)
    where = np.flatnonzero(among)
    order = where[np.argsort(-value[where], kind="stable")]
    total = value[where].sum()
    if total > 0:
        result[order] = np.cumsum(value[order]) / total
    else:
        result[order] = 1.0
    return result


def reaching(cumulated: np.ndarray, share: float) -> np.ndarray:
    """Return the fewest entries that reach a share, with the one that crosses it: bool ``[n]``.

    ``cumulated`` is what :func:`cumulative` gives; NaN stays, and a share of 1 keeps everything.
    """
    enough = cumulated[cumulated >= share]
    last = enough.min() if len(enough) and share < 1 else np.inf
    kept: np.ndarray = ~(cumulated > last)
    return kept
