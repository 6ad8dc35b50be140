"""The wiring of a transformer: who writes to the residual stream and who reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

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
class Components:
    """Writers and readers of a network of this shape, and the edges that exist between them.

    Writers (rows): ``input`` (the embeddings), every head, every MLP. Readers (columns): the query,
    key and value input of every head, every MLP input, ``logits``. An edge is real when the writer
    writes before the reader reads. Under grouped-query attention each query head has its own key
    and value input.

    Parameters
    ----------
    layers, heads
        Blocks, and query heads of a block.
    parallel
        Whether attention and MLP of a block read the same residual (GPT-NeoX), so that no edge
        runs from a head to the MLP of its own block.
    mlps
        Whether the blocks have MLPs.
    """

    layers: int
    heads: int
    parallel: bool = False
    mlps: bool = True

    def __post_init__(self) -> None:
        if self.layers < 1 or self.heads < 1:
            raise ValueError(f"a graph needs layers and heads, got {self.layers} and {self.heads}")

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


def _int(value: int | None) -> int:
    assert value is not None
    return value
