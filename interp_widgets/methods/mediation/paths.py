"""Edges and paths as mediators: what a component writes for another to read, and on from there."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from interp_widgets.methods.circuits.cut import Cut
from interp_widgets.methods.circuits.engine import ModelEngine
from interp_widgets.methods.mediation.composed import Path
from interp_widgets.methods.mediation.network import Network
from interp_widgets.methods.mediation.sources import Kind
from interp_widgets.results.graph import Graph
from interp_widgets.session.prompts import PromptBatch

KINDS = ("interchange", "zero", "mean", "resample")


class PathEngine(ModelEngine):
    """Runs a model with edges cut, and notes what every component writes in that run."""

    def hop(self, batch: PromptBatch, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is written and the logits when the masked edges carry ``values``.

        Returns
        -------
        tuple
            ``[n_forward, batch, position, d]`` and ``[batch, vocabulary]``.
        """
        cut = Cut(self.graph, values, mask)
        written: dict[int, Tensor] = {}

        def note(row: int, value: Tensor) -> None:
            written[row] = value
            cut.write(row, value)

        steps = self._watch_writers(note)
        for i in range(self.graph.layers):
            steps += self._cut_layer(i, cut)
        steps.append(self._cut_reading(self.wiring.logits, self.graph.n_backward - 1, cut))
        with torch.no_grad():
            logits = self._run(batch, steps)
        return torch.cat([written[row] for row in sorted(written)]), logits


class Paths:
    """The edges between components of a network's model, as mediators.

    A path is patched hop by hop: its first edge carries the other value; what its reader writes in
    that run, and no other, is what the next edge carries.

    Raises
    ------
    ValueError
        When the prompts of a pair differ in length.
    CircuitError
        When the residual stream of the model is no sum of what components write.
    """

    def __init__(self, network: Network, kind: Kind, seed: int = 0) -> None:
        if kind not in KINDS:
            raise ValueError(f"an edge carries {', '.join(KINDS)} values, not {kind!r}")
        for group in network.groups:
            if any(a != b for a, b in group.alignment) or any(
                len(p) != group.length for p in group.corrupted
            ):
                raise ValueError(
                    "edges are patched position by position: the prompts of a pair have to have "
                    "as many tokens"
                )
        self.network, self.kind, self.seed = network, kind, seed
        first = network.groups[0]
        self.engine = PathEngine(network.session, PromptBatch(first.clean))
        self._written: dict[tuple[int, int], Tensor] = {}

    @property
    def graph(self) -> Graph:
        """The components."""
        return self.engine.graph

    def edges(self, path: Path) -> list[list[tuple[int, int]]]:
        """Return each hop's edges as (row, column).

        Raises
        ------
        KeyError
            When a node or an edge is not in the model.
        """
        nodes = list(path.nodes)
        if len(nodes) < 2:
            raise KeyError(f"{path.label} is no path: it needs a writer and a reader")
        graph = self.graph
        rows = {node.name: i for i, node in enumerate(graph.forward)}
        hops = []
        for start, end in pairwise(nodes):
            writer = start.partition("<")[0]
            if writer not in rows:
                raise KeyError(f"no component {writer!r} in {path.label}; there are a0.h0, m0, …")
            columns = [i for i, n in enumerate(graph.backward) if end in (n.name, n.component)]
            found = [(rows[writer], c) for c in columns if graph.real_edge_mask[rows[writer], c]]
            if not found:
                raise KeyError(f"there is no edge {start}->{end}: {end} does not read {writer}")
            hops.append(found)
        return hops

    def patched(
        self, side: int, path: Path, *, strength: float, own: bool = False, first: bool = False
    ) -> Tensor:
        """Return the metric with the path patched ``[pair]``; NaN for pairs left out."""
        found = torch.full((self.network.pairs,), torch.nan, dtype=torch.float64)
        hops = self.edges(path)
        for g, group in enumerate(self.network.groups):
            self.network.run.progress(g, len(self.network.groups))
            rows = range(1) if first else range(len(group.at))
            batch = PromptBatch(tuple(group.side(side)[i] for i in rows))
            values = self._values(g, side, own=own)[:, list(rows)]
            logits = torch.empty(0)
            for number, hop in enumerate(hops):
                mask = torch.zeros(self.graph.shape)
                mask[tuple(zip(*hop, strict=True))] = strength if number == 0 else 1.0
                values, logits = self.engine.hop(batch, values, mask)
            scores = group.score(logits, list(rows)).double().cpu()
            found[[group.at[i] for i in rows]] = scores
        return found

    def size(self, path: Path) -> int:
        """Return the dimensions of what the first writer writes."""
        del path
        return int(self.network.session.anatomy.d_model or 0)

    def _values(self, g: int, side: int, *, own: bool) -> Tensor:
        """Return what the first edge carries ``[n_forward, pair, position, d]``."""
        if own or self.kind == "zero":
            values = self._writers(g, side)
            return values if own else torch.zeros_like(values)
        if self.kind == "interchange":
            return self._writers(g, 1 - side)
        source = 1 if self.network.groups[0].corrupted else 0
        values = self._writers(g, source)
        if self.kind == "resample":
            if values.shape[1] < 2:
                raise ValueError("resampling needs at least two pairs of the same length")
            draw = torch.Generator().manual_seed(self.seed * 7919 + g)
            order = torch.randperm(values.shape[1], generator=draw)
            partner = torch.empty_like(order)
            partner[order] = order.roll(1)
            return values[:, partner]
        parts = [self._writers(i, source) for i in range(len(self.network.groups))]
        total = torch.stack([part.sum((1, 2), keepdim=True) for part in parts]).sum(0)
        count = sum(part.shape[1] * part.shape[2] for part in parts)
        return (total / count).expand_as(values)

    def _writers(self, g: int, side: int) -> Tensor:
        if (g, side) not in self._written:
            batch = PromptBatch(self.network.groups[g].side(side))
            self._written[g, side] = self.engine.writers(batch)[0]
        return self._written[g, side]
