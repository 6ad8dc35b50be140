"""ACDC: cut edges one after the other, and keep the cuts that do not matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import Engine
from interp_widgets.methods.circuits.gates import Repeat, Trial, losses
from interp_widgets.results.graph import Graph

Progress = Callable[[int, int], None]
Measure = Callable[[Tensor], Tensor]

TAUS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Thresholds in the unit of the loss, large first: each is a search of its own."""


def acdc(
    engine: Engine,
    trials: Sequence[Trial],
    *,
    repeat: Repeat,
    taus: Sequence[float] = TAUS,
    rows: int = 64,
    progress: Progress | None = None,
) -> np.ndarray:
    """Search circuits by cutting edge after edge (Conmy et al. 2023, arXiv 2304.14997, alg. 1).

    Readers are visited from the logits down, and of each reader the writers, latest first. An edge
    whose cut raises the mean loss by less than τ, on top of all cuts before, stays cut. Edges into
    a component that nothing reads any more go without a run.

    Parameters
    ----------
    engine
        Runs the network.
    trials
        The batches; the paper's loss is the KL divergence from the clean run.
    repeat
        Repeats a batch.
    taus
        Thresholds above 0; every one is a search from the whole network.
    rows
        Most rows of one run.
    progress
        Called with (done, total), in readers visited.

    Returns
    -------
    numpy.ndarray
        Bool ``[tau, n_forward, n_backward]``, the edges kept, in the order of ``taus``.

    Raises
    ------
    ValueError
        For no threshold, or one that is not above 0.

    Notes
    -----
    Several next cuts are tried side by side, each on top of those before it. Up to the first that
    matters they are the cuts that the search one by one makes, so the result is the same; what was
    tried beyond it is thrown away.
    """
    if not taus or min(taus) <= 0:
        raise ValueError(f"taus must be above 0, got {list(taus)}")
    graph = engine.graph
    total = len(taus) * graph.n_backward

    def measure(masks: Tensor) -> Tensor:
        return losses(engine, trials, masks, repeat=repeat, rows=rows)

    most = max(1, rows // max(len(trial.clean) for trial in trials))
    found = []
    for i, tau in enumerate(taus):

        def within(done: int, i: int = i) -> None:
            if progress is not None:
                progress(i * graph.n_backward + done, total)

        found.append(_search(graph, measure, tau, most, within))
    return np.stack(found)


def kept_scores(kept: np.ndarray, taus: Sequence[float]) -> np.ndarray:
    """Score each edge by the largest threshold that keeps it ``[n_forward, n_backward]``; 0: none.

    A larger threshold can keep an edge that a smaller one cuts, so this is a summary of the sweep;
    the circuits themselves are in ``kept`` ``[tau, n_forward, n_backward]``.
    """
    sizes = np.asarray(taus, np.float32)[:, None, None]
    return np.asarray(np.where(kept, sizes, 0).max(axis=0))


def _search(
    graph: Graph, measure: Measure, tau: float, most: int, progress: Callable[[int], None]
) -> np.ndarray:
    real = torch.from_numpy(graph.real_edge_mask)
    cut = torch.zeros(graph.shape, dtype=torch.bool)
    now = measure(cut[None])[0]
    size = 1
    for done, column in enumerate(reversed(range(graph.n_backward))):
        if not _heard(graph, column, cut | ~real):
            cut[:, column] |= real[:, column]
            continue
        writers = list(reversed(range(int(graph.first_unreadable[column]))))
        at = 0
        while at < len(writers):
            some = writers[at : at + size]
            masks = cut.repeat(len(some), 1, 1)
            for i, row in enumerate(some):
                masks[i:, row, column] = True
            after = measure(masks)
            rises = torch.diff(after, prepend=now[None])
            # `not <` rather than `>=`: a loss that is not a number keeps its edge.
            matters = (~(rises < tau)).nonzero()
            free = int(matters[0]) if len(matters) else len(some)
            if free:
                cut, now = masks[free - 1].clone(), after[free - 1]
            at += free + 1 if free < len(some) else free
            size = min(most, 2 * size) if free == len(some) else max(1, free)
        progress(done + 1)
    return (real & ~cut).numpy()


def _heard(graph: Graph, column: int, closed: Tensor) -> bool:
    """Whether anything still reads the component that this reader belongs to."""
    node = graph.backward[column]
    if node.layer is None:
        return True
    return not bool(closed[graph.writer(node.layer, node.head)].all())
