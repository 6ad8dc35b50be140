"""Choosing the strongest units of a level, and what has to be cut to leave only them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.tally import Level
from interp_widgets.results.graph import Graph


@dataclass(frozen=True)
class Part:
    """A circuit as it is measured.

    ``cut`` is the mask of edges that carry other values, ``neurons`` ``[n_forward, d]`` restricts
    them to some dimensions of what is written; ``graph`` has the edges that stay, ``count`` is
    the number of units left.
    """

    graph: Graph
    cut: Tensor
    count: int
    neurons: Tensor | None = None


@dataclass(frozen=True)
class Units:
    """Scores of a level, in the order of their size.

    Parameters
    ----------
    graph
        The component graph, with edge scores when the level is ``"edge"``.
    level
        ``"edge"``, ``"node"`` (heads and MLPs) or ``"neuron"`` (dimensions of what they write).
    scores
        As :class:`Tally` gives them; edges and nodes may have positions as a last axis.
    """

    graph: Graph
    level: Level
    scores: np.ndarray

    @property
    def positional(self) -> bool:
        """Whether positions are kept apart."""
        return self.scores.ndim == {"edge": 3, "node": 2, "neuron": 3}[self.level]

    @property
    def real(self) -> np.ndarray:
        """Which units exist and may be cut; the input is always whole, except for its edges."""
        if self.level != "edge":
            mask = np.ones(self.scores.shape, bool)
            mask[0] = False
            return mask
        mask = self.graph.real_edge_mask
        return np.broadcast_to(mask[..., None], self.scores.shape) if self.positional else mask

    @property
    def total(self) -> int:
        """Number of units."""
        return int(self.real.sum())

    def top(self, n: int, *, absolute: bool = True) -> Part:
        """Keep the ``n`` units of largest |score| (or score); edges are pruned to paths."""
        keys = np.abs(self.scores) if absolute else self.scores
        keys = np.where(self.real & np.isfinite(keys), keys, -np.inf)
        kept = np.zeros(self.scores.shape, bool)
        kept.flat[np.argsort(-keys, axis=None, kind="stable")[:n]] = True
        return self.part(kept & self.real)

    def part(self, kept: np.ndarray) -> Part:
        """Return the circuit of the units in the mask ``kept``."""
        graph = self.graph
        real = graph.real_edge_mask
        if self.level == "edge" and not self.positional:
            chosen = graph.with_edges(kept).prune()
            return Part(chosen, torch.from_numpy(chosen.complement().in_graph), chosen.count)
        if self.level == "edge":
            inside = graph.with_edges(np.asarray(kept.any(-1))).prune()
            kept = kept & inside.in_graph[..., None]
            cut = torch.from_numpy(real[..., None] & ~kept)[None]
            return Part(inside, cut, int(kept.sum()))
        kept = kept.copy()
        kept[0] = True
        some = np.asarray(kept.reshape(len(kept), -1).any(1))
        inside = graph.with_edges(self._between(some))
        count = int(kept[1:].sum())
        if self.level == "neuron":
            cut = torch.from_numpy(real)
            return Part(inside, cut, count, torch.from_numpy(~kept))
        if self.positional:
            cut = torch.from_numpy(real[..., None] & ~kept[:, None, :])[None]
            return Part(inside, cut, count)
        return Part(inside, torch.from_numpy(real & ~kept[:, None]), count)

    def _between(self, writers: np.ndarray) -> np.ndarray:
        """Return the edges whose two ends are kept."""
        named = {node.name for node, keep in zip(self.graph.forward, writers, strict=True) if keep}
        readers = np.array(
            [node.component in named or node.kind == "logits" for node in self.graph.backward]
        )
        return self.graph.real_edge_mask & writers[:, None] & readers[None, :]
