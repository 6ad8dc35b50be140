"""Information-flow routes: how much of what a reader reads each writer brought."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from interp_widgets.methods.circuits.engine import Engine, Note


def flow_routes(
    engine: Engine, batch: Any, *, positions: bool = False, note: Note | None = None
) -> np.ndarray:
    """Score edges by proximity (Ferrando and Voita 2024, arXiv 2403.00824, section 2).

    ``proximity(u → r) = max(0, ‖x_r‖₁ − ‖x_r − o_u‖₁)``, with ``x_r`` the residual stream that r
    reads and ``o_u`` what u wrote, divided by the sum over all writers before r. Two forward
    passes; no gradient, no metric and no corrupted prompt, so it says what flows, not what matters
    for a task. All readers of one place, such as q, k and v of a layer's heads, get equal scores.

    Parameters
    ----------
    engine
        Runs the network.
    batch
        The clean inputs.
    positions
        Keep positions apart, as the last axis, rather than their mean.
    note
        Called with what components wrote, and the logits.

    Returns
    -------
    numpy.ndarray
        ``[n_forward, n_backward]``, summed over the rows of the batch; each column of a row sums
        to 1.
    """
    graph = engine.graph
    written, logits = engine.writers(batch)
    if note is not None:
        note(written, logits)
    length = written.shape[2]
    scores = np.zeros((*graph.shape, length), np.float64)
    for limit, stream in engine.streams(batch).items():
        size = stream.abs().sum(-1)
        near = torch.stack([size - (stream - own).abs().sum(-1) for own in written[:limit]])
        near = near.clamp_min(0).double()
        share = near / near.sum(0).clamp_min(1e-30)
        columns = np.flatnonzero(graph.first_unreadable == limit)
        scores[:limit, columns] = share.sum(1)[:, None].cpu().numpy()
    return scores if positions else scores.mean(-1)
