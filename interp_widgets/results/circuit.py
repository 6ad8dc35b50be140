"""Which edges of a network carry a behaviour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from interp_widgets.results import arrangement as arranging
from interp_widgets.results.base import NotLiveError, Result
from interp_widgets.results.graph import Graph
from interp_widgets.results.overlap import Overlap, Reference

if TYPE_CHECKING:
    import pandas as pd

    from interp_widgets.results.attribution_graph import AttributionGraph
    from interp_widgets.results.live import LiveSession


class CircuitResult(Result):
    """Scores of all edges, the chosen circuit, and how much of the behaviour it keeps.

    Arrays: ``scores`` (metric units per edge), ``in_graph``, ``real_edge_mask``
    ``[n_forward, n_backward]``; when measured, ``faithfulness_sizes`` (edges taken by |score|,
    before pruning), ``faithfulness_edges`` (edges left after pruning), ``faithfulness`` and
    ``metric_by_size`` ``[size]``.
    ``meta``: ``layers``, ``heads``, ``parallel``, ``mlps``, ``forward`` and ``backward`` (node
    names), ``metric``, ``ablation``, ``scoring`` (the method that gave the scores), ``n_pairs``,
    ``tokens`` and ``corrupted_tokens`` of the first pair, ``values``
    (``{"clean": metric, "corrupted": metric}``), ``arrangement`` (results/arrangement.py).
    An optional array ``exact`` ``[n_forward, n_backward]`` holds measured effects of single edges,
    NaN where none was measured.

    Examples
    --------
    >>> circuit = iw.circuit(clean, corrupted, method="eap-ig")
    >>> circuit.top(5)
    [('a1.h3->logits', 2.31), …]
    """

    kind = "circuit"

    cutter: Callable[[np.ndarray], float] | None = None
    """Measures the metric with a mask of edges cut; set by the method, never saved."""

    def _check(self) -> None:
        for key in ("layers", "heads"):
            if key not in self.meta:
                raise ValueError(f"a circuit's meta needs {key!r}")
        shape = tuple(self.arrays["scores"].shape)
        if shape != self._empty().shape:
            raise ValueError(
                f"scores of shape {shape} do not fit {self.meta['layers']} layers of "
                f"{self.meta['heads']} heads, which need {self._empty().shape}"
            )
        self.arrays.setdefault("real_edge_mask", self._empty().real_edge_mask)
        self.arrays.setdefault("in_graph", np.zeros(shape, bool))
        self.meta.setdefault("forward", [node.name for node in self._empty().forward])
        self.meta.setdefault("backward", [node.name for node in self._empty().backward])

    def _empty(self) -> Graph:
        return Graph.build(
            int(self.meta["layers"]),
            int(self.meta["heads"]),
            parallel=bool(self.meta.get("parallel", False)),
            mlps=bool(self.meta.get("mlps", True)),
        )

    @classmethod
    def from_graph(cls, graph: Graph, **meta: Any) -> CircuitResult:
        """Return a result that shows a graph, for example one read from a file."""
        arrays = {
            "scores": graph.scores,
            "in_graph": graph.in_graph,
            "real_edge_mask": graph.real_edge_mask,
        }
        shape = {
            "layers": graph.layers,
            "heads": graph.heads,
            "parallel": graph.parallel,
            "mlps": graph.mlps,
        }
        return cls(arrays, {**shape, **meta})

    @property
    def graph(self) -> Graph:
        """The graph with its scores and the chosen edges."""
        empty = self._empty()
        return empty.with_scores(self.numpy("scores")).with_edges(self.numpy("in_graph"))

    @property
    def metric(self) -> str:
        """What was measured, with its unit."""
        return str(self.meta.get("metric", "metric"))

    @property
    def level(self) -> Any:
        """What is scored: ``"edge"``, ``"node"`` or ``"neuron"``."""
        return self.meta.get("level", "edge")

    @property
    def faithfulness(self) -> list[tuple[int, float]]:
        """(edges taken, faithfulness) for each size measured; empty when none was."""
        if "faithfulness" not in self.arrays:
            return []
        sizes, values = self.numpy("faithfulness_sizes"), self.numpy("faithfulness")
        return [(int(n), float(f)) for n, f in zip(sizes, values, strict=True)]

    @property
    def can_cut(self) -> bool:
        """Whether edges can be cut live."""
        return self.cutter is not None

    def metric_with_cut(self, edges: Iterable[str | tuple[int, int]] | np.ndarray) -> float:
        """Run the model with these edges carrying corrupted values and return the metric.

        Parameters
        ----------
        edges
            Names such as ``"a0.h1->m1"``, (row, column) pairs, or a mask
            ``[n_forward, n_backward]``.

        Raises
        ------
        NotLiveError
            When the result is not attached to a session: call ``result.rerun(session)``.
        KeyError
            When there is no such edge.
        """
        mask = self._empty().mask(edges)
        if self.cutter is None:
            raise NotLiveError(
                "edges can be cut only while the result is live: result.rerun(session) makes it so"
            )
        return float(self.cutter(mask))

    @property
    def nodes(self) -> list[str]:
        """Names of the components, writers first."""
        names = [node.component for node in self._empty().forward]
        return [*names, "logits"]

    @property
    def arrangement(self) -> dict[str, Any]:
        """What a reader placed, grouped, pinned and noted; see ``results/arrangement.py``."""
        return arranging.checked(self.meta.get("arrangement") or {}, self.nodes, strict=False)

    def arrange(self, **fields: Any) -> Self:
        """Set parts of the arrangement; views, figures and the saved file show it.

        Parameters
        ----------
        **fields
            ``groups``: ``{"name mover": ["9.9", "10.0"]}``, or a list of
            ``{"name", "members", "collapsed", "at"}`` where ``at`` is the token position that the
            class works at; ``positions``: ``{node: (x, y)}`` in shares of the drawing, from below;
            ``pins``: node names; ``notes``: ``{node or group: text}``; ``size``: edges shown.

        Returns
        -------
        CircuitResult
            The same result.

        Raises
        ------
        TypeError
            For another field.
        ValueError
            For an unknown node, or a node in two groups.

        Examples
        --------
        >>> circuit.arrange(groups={"name mover": ["9.9", "10.0", "9.6"]}, pins=["9.9"])
        """
        wanted = {**self.arrangement, **fields}
        self.meta["arrangement"] = arranging.checked(wanted, self.nodes)
        return self

    def compare(self, reference: Any) -> Overlap:
        """Say which edges or nodes of a known circuit the chosen circuit has.

        Parameters
        ----------
        reference
            Edge names, node names (also ``"9.9"``), ``{"name mover": ["9.9", …]}``, a
            :class:`Graph`, another circuit, or a mask ``[n_forward, n_backward]``.

        Returns
        -------
        Overlap
            ``hit``, ``miss``, ``extra``, ``precision``, ``recall``.

        Examples
        --------
        >>> circuit.compare(["9.9", "10.0", "9.6"]).recall
        """
        graph = self.graph
        return Overlap.of(graph, Reference.of(reference, graph))

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the edges into and out of the selected head, layer or node, strongest first."""
        node, layer, head = (selection.get(key) for key in ("node", "layer", "head"))
        frame = self.frame()
        if node is None and layer is None:
            return frame.iloc[:0]
        known = {n.component: n for n in (*self._empty().forward, *self._empty().backward)}
        wanted = {
            name
            for name, n in known.items()
            if (name == arranging.component(node) if node is not None else n.layer == layer)
            and (node is not None or head is None or n.head == head)
        }
        reader = frame["reader"].str.replace(r"<[qkv]>$", "", regex=True)
        return frame[frame["writer"].isin(wanted) | reader.isin(wanted)]

    def rerun(
        self,
        session: LiveSession | None = None,
        interventions: Literal["current", "none"] = "current",
    ) -> Self:
        """Make the circuit again; what was arranged stays, by the names of the nodes."""
        again = super().rerun(session, interventions)
        if "arrangement" in self.meta:
            again.meta["arrangement"] = self.meta["arrangement"]
        return again

    def to_attribution_graph(self) -> AttributionGraph:
        """Return the chosen circuit in the schema that attribution graph viewers read."""
        from interp_widgets.results.attribution_export import from_circuit

        return from_circuit(self)

    def top(self, n: int = 10) -> list[tuple[str, float]]:
        """Return the ``n`` edges of largest |score| with their scores."""
        graph = self.graph.top_n(n)
        return [(name, float(graph.scores[graph.edge(name)])) for name in graph.edges()]

    def frame(self) -> pd.DataFrame:
        """Return one row per real edge, largest |score| first."""
        import pandas as pd

        graph = self.graph
        rows, columns = np.nonzero(graph.real_edge_mask)
        order = np.argsort(-np.abs(graph.scores[rows, columns]), kind="stable")
        rows, columns = rows[order], columns[order]
        writers = np.array([node.name for node in graph.forward], dtype=object)[rows]
        readers = np.array([node.name for node in graph.backward], dtype=object)[columns]
        kinds = [node.slot or node.kind for node in graph.backward]
        return pd.DataFrame(
            {
                "edge": writers + "->" + readers,
                "writer": writers,
                "reader": readers,
                "input": np.array(kinds, dtype=object)[columns],
                "score": graph.scores[rows, columns],
                "in_graph": graph.in_graph[rows, columns],
            }
        )

    def text(self) -> str:
        """Say the size of the circuit, how faithful it is, and its strongest edges."""
        graph = self.graph
        line = f"{self.title}: {graph.count:,} of {graph.n_edges:,} edges"
        values = self.meta.get("values")
        if values:
            line += (
                f"; {self.metric} {values['clean']:.3g} clean, {values['corrupted']:.3g} corrupted"
            )
        kept = dict(self.faithfulness)
        if self.meta.get("size") in kept:
            line += f"; faithfulness {kept[self.meta['size']]:.2f}"
        edges = ", ".join(f"{name} {score:+.3g}" for name, score in self.top(5))
        return f"{line}; strongest: {edges}"
