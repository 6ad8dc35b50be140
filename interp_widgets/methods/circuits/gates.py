"""What methods share that run a network with many masks: trials, their losses, gates over units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import Engine, Loss
from interp_widgets.methods.circuits.levels import Units
from interp_widgets.results.graph import Graph

Repeat = Callable[[Any, int], Any]
"""``repeat(batch, n)`` returns the whole batch n times over, ``[0…b, 0…b, …]``."""


@dataclass(frozen=True)
class Trial:
    """One batch of clean inputs, what cut edges carry on it, and a loss per row of logits."""

    clean: Any
    values: Tensor
    loss: Loss


def losses(
    engine: Engine, trials: Sequence[Trial], masks: Tensor, *, repeat: Repeat, rows: int = 64
) -> Tensor:
    """Return the mean loss over all pairs with each mask's edges cut ``[mask]``, in float64.

    Parameters
    ----------
    masks
        ``[mask, n_forward, n_backward]``, true where an edge is cut.
    rows
        Most rows of one run: several masks run side by side.
    """
    total = torch.zeros(len(masks), dtype=torch.float64)
    for trial in trials:
        pairs = len(trial.clean)
        at_once = max(1, rows // pairs)
        writers, _, length, width = trial.values.shape
        values = trial.values.expand(writers, pairs, length, width)
        for start in range(0, len(masks), at_once):
            some = masks[start : start + at_once]
            out = engine.cut(
                repeat(trial.clean, len(some)),
                values.repeat(1, len(some), 1, 1),
                some.repeat_interleave(pairs, 0),
            )
            for i, own in enumerate(out.split(pairs)):
                total[start + i] += trial.loss(own).double().sum().cpu()
    return total / sum(len(trial.clean) for trial in trials)


@dataclass(frozen=True)
class Gates:
    """One gate per edge or node, 1 open and 0 shut; a node's gate is on all edges out of it.

    Parameters
    ----------
    graph
        The component graph.
    level
        ``"edge"`` or ``"node"``.
    length
        Number of positions, when each has gates of its own.
    """

    graph: Graph
    level: Literal["edge", "node"] = "edge"
    length: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """``[n_forward, n_backward]`` or ``[n_forward]``, and positions as the last axis."""
        own = self.graph.shape if self.level == "edge" else (self.graph.n_forward,)
        return own if self.length is None else (*own, self.length)

    @cached_property
    def real(self) -> Tensor:
        """Which gates there are: not those of edges that run backwards, nor of the input."""
        found = Units(self.graph, self.level, np.zeros(self.shape, np.int8)).real
        return torch.from_numpy(np.array(found))

    def cut(self, gates: Tensor) -> Tensor:
        """Turn gates ``[row, *shape]`` into the shares by which :meth:`Engine.cut` cuts edges."""
        shut = (1 - gates) * self.real.to(gates.device)
        if self.level == "edge":
            return shut
        edges = torch.from_numpy(self.graph.real_edge_mask).to(gates.device)
        if self.length is None:
            return shut[:, :, None] * edges
        return shut[:, :, None, :] * edges[..., None]

    def numpy(self, scores: Tensor) -> np.ndarray:
        """Return scores of the gates there are; 0 elsewhere."""
        kept = torch.where(self.real.to(scores.device), scores, torch.zeros_like(scores))
        return kept.float().cpu().numpy()
