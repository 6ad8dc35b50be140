"""The component graph of a transformer: who writes to the residual stream and who reads it."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import networkx as nx

SLOTS = ("q", "k", "v")


@dataclass(frozen=True)
class Node:
    """One writer or reader of the residual stream.

    ``name`` is what the literature writes: ``input``, ``a3.h7``, ``m3``, ``a3.h7<q>``, ``logits``;
    ``component`` is the name without the slot, ``kind`` one of ``input``, ``head``, ``mlp``,
    ``logits``; ``slot`` is ``q``, ``k`` or ``v`` for an input of a head.
    """

    name: str
    component: str
    kind: str
    layer: int | None = None
    head: int | None = None
    slot: str | None = None


@dataclass(frozen=True, eq=False)
class Graph:
    """Edges between components, dense, with a score each and a choice of edges.

    Writers (rows): ``input`` (the embeddings), every head, every MLP. Readers (columns): the query,
    key and value input of every head, every MLP input, ``logits``. An edge is real when the writer
    writes before the reader reads. Under grouped-query attention each query head has its own key
    and value input.

    A graph is a value: ``top_n``, ``prune`` and the others return a new one.

    Parameters
    ----------
    layers, heads
        Blocks, and query heads of a block.
    parallel
        Whether attention and MLP of a block read the same residual (GPT-NeoX), so that no edge
        runs from a head to the MLP of its own block.
    mlps
        Whether the blocks have MLPs.
    scores, in_graph
        ``[n_forward, n_backward]``; default zero, and nothing chosen.

    Examples
    --------
    >>> graph = Graph.build(layers=12, heads=12)
    >>> graph.n_edges
    32491
    """

    layers: int
    heads: int
    parallel: bool = False
    mlps: bool = True
    scores: np.ndarray = None  # type: ignore[assignment]
    in_graph: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.layers < 1 or self.heads < 1:
            raise ValueError(f"a graph needs layers and heads, got {self.layers} and {self.heads}")
        for name, dtype in (("scores", np.float32), ("in_graph", np.bool_)):
            given = getattr(self, name)
            array = np.zeros(self.shape, dtype) if given is None else np.asarray(given, dtype)
            if array.shape != self.shape:
                raise ValueError(f"{name} must be {self.shape}, got {array.shape}")
            object.__setattr__(self, name, array)
        if (self.in_graph & ~self.real_edge_mask).any():
            raise ValueError("in_graph holds edges that run backwards in the network")

    @classmethod
    def build(cls, layers: int, heads: int, *, parallel: bool = False, mlps: bool = True) -> Self:
        """Return the full graph of a network of this shape, without scores or choice."""
        return cls(layers, heads, parallel, mlps)

    @classmethod
    def from_session(cls, session: Any, level: str = "edge") -> Self:
        """Return the graph of a session's model.

        Parameters
        ----------
        session
            A live session.
        level
            ``"edge"``: edges between heads, MLPs, embeddings and logits.

        Raises
        ------
        ValueError
            For another level, for post-norm models (their residual stream is not the sum of what
            was written, so an edge has no meaning), and for blocks of different shapes.
        """
        if level != "edge":
            raise ValueError(f'level must be "edge", got {level!r}')
        anatomy = session.anatomy
        blocks = anatomy.blocks
        if not blocks or any(block.attention is None for block in blocks):
            raise ValueError(
                "this model has layers without attention heads: it has no graph of edges"
            )
        if any(block.norm_after for block in blocks):
            raise ValueError(
                "this model normalises after each addition (post-norm), so its residual stream is "
                "not the sum of what its components wrote and a circuit of edges is not defined; "
                "use iw.patching on it"
            )
        kinds = {
            (anatomy.attention(i).heads, block.parallel, "mlp_out" in block.places)
            for i, block in enumerate(blocks)
        }
        if len(kinds) > 1:
            raise ValueError(
                "this model's layers differ in heads or parts, which a graph cannot hold"
            )
        heads, parallel, mlps = kinds.pop()
        return cls(len(blocks), heads, parallel=parallel, mlps=mlps)

    # Shape and names

    @property
    def n_forward(self) -> int:
        """Number of writers: 1 + layers · (heads + 1)."""
        return 1 + self.layers * (self.heads + int(self.mlps))

    @property
    def n_backward(self) -> int:
        """Number of readers: layers · (3 · heads + 1) + 1."""
        return self.layers * (3 * self.heads + int(self.mlps)) + 1

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_forward, n_backward)``."""
        return self.n_forward, self.n_backward

    @cached_property
    def forward(self) -> tuple[Node, ...]:
        """The writers, in order."""
        nodes = [Node("input", "input", "input")]
        for layer in range(self.layers):
            names = [f"a{layer}.h{h}" for h in range(self.heads)]
            nodes.extend(Node(name, name, "head", layer, h) for h, name in enumerate(names))
            if self.mlps:
                nodes.append(Node(f"m{layer}", f"m{layer}", "mlp", layer))
        return tuple(nodes)

    @cached_property
    def backward(self) -> tuple[Node, ...]:
        """The readers, in order: of each block all q, all k, all v, the MLP; last the logits."""
        nodes = []
        for layer in range(self.layers):
            for slot in SLOTS:
                for h in range(self.heads):
                    name = f"a{layer}.h{h}"
                    nodes.append(Node(f"{name}<{slot}>", name, "head", layer, h, slot))
            if self.mlps:
                nodes.append(Node(f"m{layer}", f"m{layer}", "mlp", layer))
        nodes.append(Node("logits", "logits", "logits"))
        return tuple(nodes)

    def writer(self, layer: int, head: int | None = None) -> int:
        """Row of a head, or of the MLP when no head is given."""
        return 1 + layer * (self.heads + int(self.mlps)) + (self.heads if head is None else head)

    def reader(self, layer: int, head: int | None = None, slot: str = "q") -> int:
        """Column of a head's input, or of the MLP when no head is given."""
        start = layer * (3 * self.heads + int(self.mlps))
        return start + (3 * self.heads if head is None else SLOTS.index(slot) * self.heads + head)

    @cached_property
    def first_unreadable(self) -> np.ndarray:
        """Of each reader ``[n_backward]``: it reads the writers before this row, and no other."""
        limit = np.empty(self.n_backward, np.int64)
        for i, node in enumerate(self.backward):
            if node.kind == "logits":
                limit[i] = self.n_forward
            elif node.kind == "mlp" and not self.parallel:
                limit[i] = self.writer(_int(node.layer))
            else:
                limit[i] = self.writer(_int(node.layer), 0)
        return limit

    @cached_property
    def real_edge_mask(self) -> np.ndarray:
        """Bool ``[n_forward, n_backward]``: the edges that exist in the network."""
        return np.arange(self.n_forward)[:, None] < self.first_unreadable[None, :]

    @property
    def n_edges(self) -> int:
        """Number of edges that exist in the network."""
        return int(self.real_edge_mask.sum())

    @property
    def count(self) -> int:
        """Number of chosen edges."""
        return int(self.in_graph.sum())

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {node.name: i for i, node in enumerate(self.forward)}

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {node.name: i for i, node in enumerate(self.backward)}

    def edge(self, name: str) -> tuple[int, int]:
        """Return row and column of an edge such as ``"a0.h1->a2.h3<q>"``.

        Raises
        ------
        KeyError
            When a node is unknown or the edge runs backwards.
        """
        writer, arrow, reader = name.partition("->")
        if not arrow or writer not in self._rows or reader not in self._columns:
            raise KeyError(f'no edge {name!r}; edges look like "input->m0" or "a0.h1->a2.h3<q>"')
        at = self._rows[writer], self._columns[reader]
        if not self.real_edge_mask[at]:
            raise KeyError(f"no edge {name!r}: {writer} is written after {reader} is read")
        return at

    def edge_name(self, row: int, column: int) -> str:
        """Return the name of an edge."""
        return f"{self.forward[row].name}->{self.backward[column].name}"

    def edges(self) -> list[str]:
        """Names of the chosen edges, largest |score| first."""
        rows, columns = np.nonzero(self.in_graph)
        order = np.argsort(-np.abs(self.scores[rows, columns]), kind="stable")
        return [self.edge_name(int(rows[i]), int(columns[i])) for i in order]

    def mask(self, edges: Iterable[str | tuple[int, int]] | np.ndarray) -> np.ndarray:
        """Return a bool ``[n_forward, n_backward]`` from names, (row, column) pairs or a mask."""
        if isinstance(edges, np.ndarray) and edges.shape == self.shape:
            chosen = edges.astype(bool)
        else:
            chosen = np.zeros(self.shape, bool)
            for edge in [edges] if isinstance(edges, str) else edges:
                at = self.edge(edge) if isinstance(edge, str) else (int(edge[0]), int(edge[1]))
                if not (0 <= at[0] < self.n_forward and 0 <= at[1] < self.n_backward):
                    raise KeyError(
                        f"no edge {at}: the graph is {self.n_forward} × {self.n_backward}"
                    )
                chosen[at] = True
        if (chosen & ~self.real_edge_mask).any():
            row, column = np.argwhere(chosen & ~self.real_edge_mask)[0]
            raise KeyError(f"no edge {self.edge_name(row, column)}: it runs backwards")
        return chosen

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


def _int(value: int | None) -> int:
    assert value is not None
    return value
