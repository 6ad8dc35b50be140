"""A graph of edges between components: scores, and a choice of edges."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from interp_widgets.results.components import SLOTS, Components, Node

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["SLOTS", "Graph", "Node"]


@dataclass(frozen=True, eq=False)
class Graph(Components):
    """Edges between components, dense, with a score each and a choice of edges.

    Rows are writers, columns readers, as in :class:`Components`. A graph is a value: ``top_n``,
    ``prune`` and the others return a new one.

    Parameters
    ----------
    layers, heads, parallel, mlps
        The network, as in :class:`Components`.
    scores, in_graph
        ``[n_forward, n_backward]``; default zero, and nothing chosen.

    Examples
    --------
    >>> graph = Graph.build(layers=12, heads=12)
    >>> graph.n_edges
    32491
    """

    scores: np.ndarray = None  # type: ignore[assignment]
    in_graph: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, dtype in (("scores", np.float32), ("in_graph", np.bool_)):
            given = getattr(self, name)
            array = np.zeros(self.shape, dtype) if given is None else np.asarray(given, dtype)
            if array.shape != self.shape:
                raise ValueError(f"{name} must be {self.shape}, got {array.shape}")
            object.__setattr__(self, name, array)
        if (self.in_graph & ~self.real_edge_mask).any():
            raise ValueError("in_graph holds edges that run backwards in the network")

    @property
    def count(self) -> int:
        """Number of chosen edges."""
        return int(self.in_graph.sum())

    def edges(self) -> list[str]:
        """Names of the chosen edges, largest |score| first."""
        rows, columns = np.nonzero(self.in_graph)
        order = np.argsort(-np.abs(self.scores[rows, columns]), kind="stable")
        return [self.edge_name(int(rows[i]), int(columns[i])) for i in order]

    # Choosing edges

    def _rank(self, *, absolute: bool) -> np.ndarray:
        keys = np.abs(self.scores) if absolute else self.scores
        return np.where(self.real_edge_mask & np.isfinite(keys), keys, -np.inf)

    def top_n(self, n: int, *, absolute: bool = True) -> Self:
        """Choose the ``n`` edges of largest |score| (``absolute=False``: largest score).

        Ties are broken by the order of the rows, so that the choice is the same every time.
        """
        keys = self._rank(absolute=absolute)
        order = np.argsort(-keys, axis=None, kind="stable")[: max(0, min(n, self.n_edges))]
        chosen = np.zeros(self.shape, bool)
        chosen.flat[order] = True
        return replace(self, in_graph=chosen & np.isfinite(keys))

    def threshold(self, value: float, *, absolute: bool = True) -> Self:
        """Choose every edge with a |score| (or score) of at least ``value``."""
        keys = self._rank(absolute=absolute)
        return replace(self, in_graph=(keys >= value) & self.real_edge_mask & np.isfinite(keys))

    def greedy(self, n: int, *, absolute: bool = True) -> Self:
        """Grow from the logits upward: at each step take the best edge into what is there already.

        Every writer chosen so reaches the logits. With ``prune`` the edges of writers that nothing
        feeds go too.
        """
        keys = self._rank(absolute=absolute)
        columns_of: dict[str, list[int]] = {}
        for i, node in enumerate(self.backward):
            columns_of.setdefault(node.component, []).append(i)
        chosen = np.zeros(self.shape, bool)
        heap: list[tuple[float, int, int]] = []

        def enter(component: str) -> None:
            for column in columns_of.pop(component, []):
                for row in np.flatnonzero(np.isfinite(keys[:, column])):
                    heapq.heappush(heap, (-float(keys[row, column]), int(row), column))

        enter("logits")
        for _ in range(max(0, n)):
            if not heap:
                break
            _, row, column = heapq.heappop(heap)
            chosen[row, column] = True
            enter(self.forward[row].component)
        return replace(self, in_graph=chosen)

    def prune(self) -> Self:
        """Drop chosen edges that are on no path from the input to the logits.

        Repeats: drop components without an edge in or without an edge out, with their edges; the
        input needs no edge in, the logits none out.
        """
        row_of = np.array([self._rows.get(node.component, -1) for node in self.backward])
        chosen = self.in_graph.copy()
        while True:
            fed = np.zeros(self.n_forward, bool)
            fed[row_of[chosen.any(axis=0) & (row_of >= 0)]] = True
            fed[0] = True
            keep = chosen & fed[:, None]
            heard: np.ndarray = np.asarray(keep.any(axis=1))
            keep[:, (row_of >= 0) & ~heard[row_of]] = False
            if (keep == chosen).all():
                return replace(self, in_graph=keep)
            chosen = keep

    def _combine(self, other: Graph, how: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Self:
        if self._shape_key != other._shape_key:
            raise ValueError(f"graphs of different networks: {self!r} and {other!r}")
        return replace(self, in_graph=how(self.in_graph, other.in_graph))

    @property
    def _shape_key(self) -> tuple[int, int, bool, bool]:
        return self.layers, self.heads, self.parallel, self.mlps

    def union(self, other: Graph) -> Self:
        """Choose the edges that either graph has."""
        return self._combine(other, np.logical_or)

    def intersect(self, other: Graph) -> Self:
        """Choose the edges that both graphs have."""
        return self._combine(other, np.logical_and)

    def diff(self, other: Graph) -> Self:
        """Choose the edges that this graph has and the other has not."""
        return self._combine(other, lambda a, b: a & ~b)

    def complement(self) -> Self:
        """Choose the real edges that are not chosen now."""
        return replace(self, in_graph=self.real_edge_mask & ~self.in_graph)

    def with_scores(self, scores: Any) -> Self:
        """Return the graph with other scores ``[n_forward, n_backward]``."""
        return replace(self, scores=scores)

    def with_edges(self, edges: Iterable[str | tuple[int, int]] | np.ndarray) -> Self:
        """Return the graph with exactly these edges chosen."""
        return replace(self, in_graph=self.mask(edges))

    # Other forms

    def to_networkx(self) -> nx.DiGraph:
        """Return the chosen edges as a directed graph of components.

        A head's three inputs are one node; an edge has ``score`` (their sum), and ``slots``, the
        score of each input.
        """
        import networkx as nx

        graph: nx.DiGraph = nx.DiGraph()
        for row, column in np.argwhere(self.in_graph):
            writer, reader = self.forward[row], self.backward[column]
            for node in (writer, reader):
                graph.add_node(node.component, kind=node.kind, layer=node.layer, head=node.head)
            if not graph.has_edge(writer.component, reader.component):
                graph.add_edge(writer.component, reader.component, score=0.0, slots={})
            data = graph.edges[writer.component, reader.component]
            score = float(self.scores[row, column])
            data["score"] += score
            data["slots"][reader.slot or reader.kind] = score
        return graph

    def to_json(self) -> str:
        """Return the graph as JSON, in the layout of the MIB benchmark (arXiv 2504.13151)."""
        in_nodes = {self.forward[row].component for row, _ in np.argwhere(self.in_graph)}
        in_nodes |= {self.backward[column].component for _, column in np.argwhere(self.in_graph)}
        components = [node.component for node in self.forward] + ["logits"]
        edges = {}
        for row, column in np.argwhere(self.real_edge_mask):
            score = float(self.scores[row, column])
            edges[self.edge_name(int(row), int(column))] = {
                "score": score if np.isfinite(score) else None,
                "in_graph": bool(self.in_graph[row, column]),
            }
        data = {
            "cfg": {
                "n_layers": self.layers,
                "n_heads": self.heads,
                "parallel_attn_mlp": self.parallel,
                "mlps": self.mlps,
            },
            "nodes": {name: {"in_graph": name in in_nodes} for name in components},
            "edges": edges,
        }
        return json.dumps(data, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a graph written by :meth:`to_json`, or an edge-level circuit of the MIB benchmark.

        Raises
        ------
        ValueError
            When the text is not such a graph; the first thing wrong is named.
        """
        try:
            data = json.loads(text)
            cfg, edges = data["cfg"], data["edges"]
            graph = cls(
                int(cfg["n_layers"]),
                int(cfg["n_heads"]),
                parallel=bool(cfg.get("parallel_attn_mlp", False)),
                mlps=bool(cfg.get("mlps", True)),
            )
            scores = np.zeros(graph.shape, np.float32)
            chosen = np.zeros(graph.shape, bool)
            for name, edge in edges.items():
                at = graph.edge(name)
                score = edge.get("score")
                scores[at] = np.nan if score is None else score
                chosen[at] = bool(edge.get("in_graph", False))
        except json.JSONDecodeError as error:
            raise ValueError(f"not a graph: the text is not JSON ({error})") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a graph: {error}") from error
        return replace(graph, scores=scores, in_graph=chosen)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Graph)
            and self._shape_key == other._shape_key
            and np.array_equal(self.scores, other.scores, equal_nan=True)
            and np.array_equal(self.in_graph, other.in_graph)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parallel = ", parallel" if self.parallel else ""
        return (
            f"Graph({self.layers} layers × {self.heads} heads{parallel}: "
            f"{self.count:,} of {self.n_edges:,} edges)"
        )
