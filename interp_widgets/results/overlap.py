"""A circuit beside a known one: which of its edges or nodes were found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp_widgets.results.arrangement import component
from interp_widgets.results.graph import Graph


@dataclass(frozen=True)
class Reference:
    """A known circuit: edges, or nodes where only those are known.

    ``level`` is ``"edge"`` or ``"node"``; ``names`` are ``"a0.h1->a2.h3<q>"`` or ``"a0.h1"``.
    """

    level: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, known: Any, graph: Graph) -> Reference:
        """Read a known circuit for a graph.

        Parameters
        ----------
        known
            Edge names or ``(row, column)`` pairs; node names (also ``"9.6"`` or ``(9, 6)`` for a
            head); ``{"name mover": ["9.9", …]}``; a :class:`Graph` or a circuit (its chosen edges);
            or a mask ``[n_forward, n_backward]``.
        graph
            The graph that it is compared with.

        Raises
        ------
        ValueError
            When it is empty or of another network.
        KeyError
            When it names an edge that this network does not have.
        """
        graph_of = getattr(known, "graph", known)
        if isinstance(graph_of, Graph):
            if graph_of.shape != graph.shape:
                raise ValueError(f"the reference is of another network: {graph_of!r}, {graph!r}")
            known = graph_of.in_graph
        if isinstance(known, np.ndarray):
            return cls._edges(graph.mask(known), graph)
        if isinstance(known, Mapping):
            known = [name for names in known.values() for name in names]
        names = [known] if isinstance(known, str) else list(known)
        if not names:
            raise ValueError("the reference circuit is empty")
        if all(isinstance(name, str) and "->" in name for name in names):
            return cls._edges(graph.mask(names), graph)
        nodes = {node.component for node in (*graph.forward, *graph.backward)}
        found = [component(name) for name in names]
        for given, name in zip(names, found, strict=True):
            if name not in nodes:
                raise ValueError(f"the reference names {given!r}, which this network does not have")
        return cls("node", tuple(dict.fromkeys(found)))

    @classmethod
    def _edges(cls, mask: np.ndarray, graph: Graph) -> Reference:
        names = tuple(graph.edge_name(int(r), int(c)) for r, c in np.argwhere(mask))
        if not names:
            raise ValueError("the reference circuit is empty")
        return cls("edge", names)


@dataclass(frozen=True)
class Overlap:
    """What a circuit and a reference share.

    ``hit``: in both; ``miss``: only in the reference; ``extra``: only in the circuit. For nodes,
    ``input`` and ``logits`` count only where the reference names them.
    """

    level: str
    hit: tuple[str, ...]
    miss: tuple[str, ...]
    extra: tuple[str, ...]

    @classmethod
    def of(cls, graph: Graph, reference: Reference) -> Overlap:
        """Compare a graph's chosen edges with a reference."""
        known = set(reference.names)
        if reference.level == "edge":
            ours: Iterable[str] = graph.edges()
        else:
            rows, columns = np.nonzero(graph.in_graph)
            ends = [graph.forward[r].component for r in rows]
            ends += [graph.backward[c].component for c in columns]
            ours = [n for n in dict.fromkeys(ends) if n in known or n not in ("input", "logits")]
        ours = list(ours)
        return cls(
            reference.level,
            tuple(name for name in ours if name in known),
            tuple(name for name in reference.names if name not in set(ours)),
            tuple(name for name in ours if name not in known),
        )

    @property
    def precision(self) -> float:
        """Share of the circuit that the reference has; NaN for an empty circuit."""
        n = len(self.hit) + len(self.extra)
        return len(self.hit) / n if n else float("nan")

    @property
    def recall(self) -> float:
        """Share of the reference that the circuit has."""
        return len(self.hit) / (len(self.hit) + len(self.miss))

    def __str__(self) -> str:
        what = "edges" if self.level == "edge" else "nodes"
        return (
            f"precision {self.precision:.2f}, recall {self.recall:.2f} ({len(self.hit)} {what} "
            f"shared, {len(self.miss)} missed, {len(self.extra)} extra)"
        )
