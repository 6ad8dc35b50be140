"""Scores of all edges: attribution patching, its integrated form, and exact patching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import Engine, Loss

Progress = Callable[[int, int], None]
Endpoint = Literal["clean", "corrupted"]


@dataclass(frozen=True)
class Ends:
    """What components write on the clean and on the corrupted batch, and both batches' logits."""

    clean: Tensor
    corrupted: Tensor
    logits: Tensor
    corrupted_logits: Tensor

    @classmethod
    def of(cls, engine: Engine, clean: Any, corrupted: Any) -> Ends:
        """Run both batches.

        Raises
        ------
        ValueError
            When they differ in shape.
        """
        ours, logits = engine.writers(clean)
        theirs, wrong = engine.writers(corrupted)
        if ours.shape != theirs.shape:
            raise ValueError(f"clean and corrupted differ in shape: {ours.shape}, {theirs.shape}")
        return cls(ours, theirs, logits, wrong)


def eap(
    engine: Engine,
    clean: Any,
    corrupted: Any,
    loss: Callable[[Tensor], Loss],
    *,
    ends: Ends | None = None,
) -> np.ndarray:
    """Score edges by attribution patching (Syed et al. 2023, arXiv 2310.10348).

    ``score(u → r) = Σ_position (o_u^corrupted − o_u^clean) · d loss / d x_r``, the gradient
    taken on the clean run: a first-order estimate of what the loss gains when the edge
    alone is corrupted.

    Parameters
    ----------
    engine
        Runs the network.
    clean, corrupted
        Two batches, row by row of one shape.
    loss
        Takes the clean logits; returns the function from logits to a loss per row.
    ends
        What the two batches gave, if they were run already.

    Returns
    -------
    numpy.ndarray
        ``[n_forward, n_backward]``, summed over the rows of the batch.
    """
    ends = ends or Ends.of(engine, clean, corrupted)
    return _integrate(engine, clean, loss, [1.0], ends)


def eap_ig(
    engine: Engine,
    clean: Any,
    corrupted: Any,
    loss: Callable[[Tensor], Loss],
    *,
    steps: int = 5,
    endpoint: Endpoint = "clean",
    ends: Ends | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Score edges by attribution patching with integrated gradients (arXiv 2403.17806, eq. 8).

    As :func:`eap`, with the gradient averaged over inputs ``e_corrupted + (k / steps) (e_clean −
    e_corrupted)``.

    Parameters
    ----------
    steps
        Inputs averaged; 5 is the paper's.
    endpoint
        ``"clean"``: k = 1 … steps, as in the paper; ``"corrupted"``: k = 0 … steps − 1, as in the
        authors' library.
    ends
        What the two batches gave, if they were run already.
    progress
        Called with (done, total) after each input.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    first = 1 if endpoint == "clean" else 0
    shares = [(k + first) / steps for k in range(steps)]
    ends = ends or Ends.of(engine, clean, corrupted)
    return _integrate(engine, clean, loss, shares, ends, progress)


def _integrate(
    engine: Engine,
    clean: Any,
    loss: Callable[[Tensor], Loss],
    shares: list[float],
    ends: Ends,
    progress: Progress | None = None,
) -> np.ndarray:
    first, last = ends.corrupted[0], ends.clean[0]
    difference = (ends.corrupted - ends.clean).flatten(1)
    scores = torch.zeros(engine.graph.shape, dtype=torch.float32, device=difference.device)
    of_logits = loss(ends.logits)
    for done, share in enumerate(shares):
        start = None if share == 1 else first + share * (last - first)
        for columns, gradient in engine.gradients(clean, of_logits, start):
            limit = int(engine.graph.first_unreadable[columns].max())
            part = difference[:limit] @ gradient.flatten(1).T
            scores[:limit, columns] += part.float()
        if progress is not None:
            progress(done + 1, len(shares))
    mask = engine.graph.real_edge_mask
    return np.where(mask, scores.cpu().numpy() / len(shares), 0).astype(np.float32)


def exact(
    engine: Engine,
    clean: Any,
    corrupted: Any,
    loss: Callable[[Tensor], Loss],
    *,
    repeat: Callable[[Any, int], Any],
    rows: int = 64,
    ends: Ends | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Score edges by patching each one alone: what the loss really gains.

    One run of the network per edge and pair, several at a time: the reference for small models.

    Parameters
    ----------
    repeat
        ``repeat(batch, n)`` returns the whole batch n times over, ``[0…b, 0…b, …]``.
    rows
        Most rows of one run.
    ends
        What the two batches gave, if they were run already.
    """
    ends = ends or Ends.of(engine, clean, corrupted)
    theirs = ends.corrupted
    pairs = theirs.shape[1]
    of_logits = loss(ends.logits)
    base = of_logits(ends.logits).double()
    edges = np.argwhere(engine.graph.real_edge_mask)
    at_once = max(1, rows // pairs)
    scores = np.zeros(engine.graph.shape, np.float32)
    for start in range(0, len(edges), at_once):
        some = edges[start : start + at_once]
        masks = torch.zeros((len(some), *engine.graph.shape), dtype=torch.bool)
        masks[torch.arange(len(some)), some[:, 0], some[:, 1]] = True
        out = engine.cut(
            repeat(clean, len(some)),
            theirs.repeat(1, len(some), 1, 1),
            masks.repeat_interleave(pairs, 0),
        )
        for i, (row, column) in enumerate(some):
            own = of_logits(out[i * pairs : (i + 1) * pairs]).double()
            scores[row, column] = float((own - base).sum())
        if progress is not None:
            progress(min(start + at_once, len(edges)), len(edges))
    return scores
