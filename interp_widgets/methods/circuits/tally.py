"""Summing products of what was written and gradients at readers, at the level asked for."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.results.graph import Graph

Level = Literal["edge", "node", "neuron"]


class Tally:
    """First-order effects of writers on the loss, summed over a batch.

    With ``Δ`` what a writer would write instead minus what it writes, an edge is worth
    ``Δ_u · d loss / d x_r``; a node the sum over everything that reads it; a neuron, which here
    is one dimension of what a component writes to the residual stream (as in the MIB benchmark),
    that sum before the dimensions are added up.

    Parameters
    ----------
    graph
        The component graph.
    difference
        Δ ``[n_forward, batch, position, d]``.
    level
        ``"edge"`` gives ``[n_forward, n_backward]``, ``"node"`` ``[n_forward]``, ``"neuron"``
        ``[n_forward, d]``.
    positions
        Keep positions apart, as the last axis; not with neurons.
    start
        The first writer that ``difference`` is about, when it is not about all of them.
    """

    def __init__(
        self,
        graph: Graph,
        difference: Tensor,
        level: Level,
        *,
        positions: bool = False,
        start: int = 0,
    ) -> None:
        if positions and level == "neuron":
            raise ValueError("neurons by position are not offered: choose edges or nodes")
        self.graph = graph
        self.difference = difference
        self.level = level
        self.positions = positions
        self.start = start
        writers, _, length, width = difference.shape
        shape: tuple[int, ...] = (writers,)
        if level != "node":
            shape = (writers, graph.n_backward if level == "edge" else width)
        self.scores = difference.new_zeros((*shape, length) if positions else shape)
        self._total = torch.zeros_like(difference[0])
        self._limit = writers

    def add(self, columns: list[int], gradient: Tensor, share: float = 1.0) -> None:
        """Take gradients of readers of one limit ``[reader, batch, position, d]``, last first."""
        limit = int(self.graph.first_unreadable[columns[0]]) - self.start
        if limit <= 0:
            return
        if self.level != "edge":
            if limit < self._limit:
                self._settle(limit, share)
            self._total += gradient.sum(0)
            return
        difference = self.difference[:limit]
        if self.positions:
            part = torch.einsum("wbtd,rbtd->wrt", difference, gradient)
        else:
            part = difference.flatten(1) @ gradient.flatten(1).T
        self.scores[:limit, columns] += share * part

    def end(self, share: float = 1.0) -> None:
        """Close one backward pass."""
        if self.level != "edge":
            self._settle(0, share)
        self._total = torch.zeros_like(self._total)
        self._limit = len(self.difference)

    def _settle(self, limit: int, share: float) -> None:
        """Score the writers that no reader still to come reads."""
        rows = slice(limit, self._limit)
        difference = self.difference[rows]
        if self.level == "neuron":
            part = torch.einsum("wbtd,btd->wd", difference, self._total)
        elif self.positions:
            part = torch.einsum("wbtd,btd->wt", difference, self._total)
        else:
            part = torch.einsum("wbtd,btd->w", difference, self._total)
        self.scores[rows] += share * part
        self._limit = limit

    def numpy(self) -> np.ndarray:
        """Return the scores; 0 where there is no edge."""
        found = self.scores.float().cpu().numpy()
        if self.level != "edge":
            return found
        mask = self.graph.real_edge_mask[self.start : self.start + len(found)]
        return np.where(mask[..., None] if self.positions else mask, found, 0).astype(np.float32)
