"""Scores of edges, nodes and neurons: attribution patching, integrated forms, exact patching."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import Engine, Loss, Note
from interp_widgets.methods.circuits.gates import Repeat, Trial, losses
from interp_widgets.methods.circuits.tally import Level, Tally
from interp_widgets.results.graph import Graph

Progress = Callable[[int, int], None]
Endpoint = Literal["clean", "corrupted"]
LossOf = Callable[[Tensor], Loss]
"""From the clean logits to the function from logits ``[batch, vocabulary]`` to losses."""


def eap(
    engine: Engine,
    clean: Any,
    values: Tensor,
    loss: LossOf,
    *,
    level: Level = "edge",
    positions: bool = False,
    note: Note | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Score edges by attribution patching (Syed et al. 2023, arXiv 2310.10348).

    ``score(u → r) = Σ_position (v_u − o_u) · d loss / d x_r``, with ``v`` what ablated components
    write and the gradient taken on the clean run: a first-order estimate of what the loss gains
    when the edge alone is cut. One forward and one backward pass.

    Parameters
    ----------
    engine
        Runs the network.
    clean
        A batch.
    values
        What cut edges carry ``[n_forward, batch, position, d]``.
    loss
        Takes the clean logits; returns the function from logits to a loss per row.
    level, positions
        What is scored: see :class:`Tally`.
    note
        Called with what components wrote on the clean batch, and its logits.
    progress
        Called with (done, total).

    Returns
    -------
    numpy.ndarray
        ``[n_forward, n_backward]`` for edges, summed over the rows of the batch.
    """
    return _integrate(
        engine,
        clean,
        values,
        loss,
        [1.0],
        level=level,
        positions=positions,
        note=note,
        progress=progress,
    )


def eap_ig(
    engine: Engine,
    clean: Any,
    values: Tensor,
    loss: LossOf,
    *,
    steps: int = 5,
    endpoint: Endpoint = "clean",
    level: Level = "edge",
    positions: bool = False,
    note: Note | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Score edges by attribution patching with integrated gradients (arXiv 2403.17806, eq. 8).

    As :func:`eap`, with the gradient averaged over inputs ``v_input + (k / steps) (e_clean −
    v_input)``.

    Parameters
    ----------
    steps
        Inputs averaged; 5 is the paper's.
    endpoint
        ``"clean"``: k = 1 … steps, as in the paper; ``"corrupted"``: k = 0 … steps − 1, as in the
        authors' library.
    progress
        Called with (done, total) after each input.
    """
    _check(steps)
    first = 1 if endpoint == "clean" else 0
    shares = [(k + first) / steps for k in range(steps)]
    return _integrate(
        engine,
        clean,
        values,
        loss,
        shares,
        level=level,
        positions=positions,
        note=note,
        progress=progress,
    )


def clean_corrupted(
    engine: Engine,
    clean: Any,
    values: Tensor,
    loss: LossOf,
    *,
    level: Level = "edge",
    positions: bool = False,
    note: Note | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Score edges by the mean of the gradients at both ends of EAP-IG's way: two steps."""
    return _integrate(
        engine,
        clean,
        values,
        loss,
        [1.0, 0.0],
        level=level,
        positions=positions,
        note=note,
        progress=progress,
    )


def eap_ig_activations(
    engine: Engine,
    clean: Any,
    values: Tensor,
    loss: LossOf,
    *,
    steps: int = 5,
    level: Level = "edge",
    positions: bool = False,
    note: Note | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Score edges with gradients averaged over what the writer itself writes.

    One layer's heads, one MLP, or the input at a time writes ``v + (k / steps) (o − v)``, k = 1 …
    steps, while the rest of the network runs on; its own edges are scored by the mean gradient
    (Hanna et al. 2024, arXiv 2403.17806). This makes sense of any ablation, also of means and
    zeros, and costs ``steps · (2 · layers + 1)`` passes.
    """
    _check(steps)
    graph = engine.graph
    ours, logits = engine.writers(clean)
    if note is not None:
        note(ours, logits)
    parts: list[np.ndarray] = []
    groups = _groups(graph)
    of_logits = loss(logits)
    for i, rows in enumerate(groups):
        difference = values[rows] - ours[rows]
        tally = Tally(graph, difference, level, positions=positions, start=rows.start)
        for k in range(1, steps + 1):
            now = values[rows] - (k / steps) * difference
            replace = None if k == steps else (rows.start, now)
            for columns, gradient in engine.gradients(clean, of_logits, replace=replace):
                tally.add(columns, gradient, 1 / steps)
            tally.end(1 / steps)
        parts.append(tally.numpy())
        if progress is not None:
            progress(i + 1, len(groups))
    return np.concatenate(parts)


def _groups(graph: Graph) -> list[slice]:
    """Return the writers that are replaced together: the input, heads by layer, MLPs."""
    starts = [
        row
        for row, node in enumerate(graph.forward)
        if row == 0
        or (node.kind, node.layer) != (graph.forward[row - 1].kind, graph.forward[row - 1].layer)
    ]
    return [slice(a, b) for a, b in itertools.pairwise([*starts, graph.n_forward])]


def _check(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")


def _integrate(
    engine: Engine,
    clean: Any,
    values: Tensor,
    loss: LossOf,
    shares: list[float],
    *,
    level: Level,
    positions: bool,
    note: Note | None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Average gradients over inputs; a run on the clean input also tells what is written."""
    seen: list[Tensor] = []

    def see(written: Tensor, logits: Tensor) -> None:
        seen.extend([written, logits])
        if note is not None:
            note(written, logits)

    def on_clean(logits: Tensor) -> Tensor:
        return loss(logits.detach())(logits)

    if 1.0 not in shares:
        see(*engine.writers(clean))
    tally: Tally | None = None
    for done, share in enumerate(sorted(shares, reverse=True)):
        replace = None
        if share != 1:
            ours = seen[0][:1]
            replace = (0, (values[:1] + share * (ours - values[:1])).expand_as(ours))
        of_logits = loss(seen[1]) if seen else on_clean
        first = see if not seen else None
        for columns, gradient in engine.gradients(clean, of_logits, replace=replace, note=first):
            if tally is None:
                tally = Tally(engine.graph, values - seen[0], level, positions=positions)
            tally.add(columns, gradient, 1 / len(shares))
        assert tally is not None
        tally.end(1 / len(shares))
        if progress is not None:
            progress(done + 1, len(shares))
    assert tally is not None
    return tally.numpy()


def exact(
    engine: Engine,
    clean: Any,
    values: Tensor,
    loss: LossOf,
    *,
    repeat: Repeat,
    level: Literal["edge", "node"] = "edge",
    rows: int = 64,
    note: Note | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Score edges (or nodes: all edges out of one) by cutting each alone: what the loss gains.

    One run of the network per edge and row, several at a time: the reference for small models.

    Parameters
    ----------
    repeat
        ``repeat(batch, n)`` returns the whole batch n times over, ``[0…b, 0…b, …]``.
    rows
        Most rows of one run.
    """
    ours, logits = engine.writers(clean)
    if note is not None:
        note(ours, logits)
    pairs = ours.shape[1]
    of_logits = loss(logits)
    base = float(of_logits(logits).double().mean())
    real = torch.from_numpy(engine.graph.real_edge_mask)
    units = real.nonzero() if level == "edge" else torch.arange(engine.graph.n_forward)[:, None]
    at_once = max(1, rows // pairs)
    trial = Trial(clean, values, of_logits)
    effects: list[float] = []
    for start in range(0, len(units), at_once):
        some = units[start : start + at_once]
        masks = torch.zeros((len(some), *engine.graph.shape), dtype=torch.bool)
        for mask, unit in zip(masks, some.tolist(), strict=True):
            mask[tuple(unit)] = True
        after = losses(engine, [trial], masks & real, repeat=repeat, rows=rows)
        effects += ((after - base) * pairs).tolist()
        if progress is not None:
            progress(min(start + at_once, len(units)), len(units))
    scores = np.zeros(engine.graph.shape if level == "edge" else engine.graph.n_forward, np.float32)
    scores[tuple(units.T.numpy())] = effects
    return scores
