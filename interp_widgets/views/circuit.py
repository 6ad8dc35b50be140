"""A circuit as a layered graph whose edges can be cut and whose heads can be ablated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from interp_widgets.results.arrangement import Groups
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.overlap import Reference
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import one_of
from interp_widgets.views.circuit_graph import GraphView
from interp_widgets.views.requests import on_worker
from interp_widgets.views.wire import Array

MOST_AT_FIRST = 50_000
"""Edges sent with the first paint (8 bytes each); the weaker ones follow when asked for."""

LAYOUTS = ("columns", "packed", "classes")
EVERY = 1_000_000_000
DEFAULT_SIZE = 200
LARGEST_DEFAULT = 2_000


@VIEWS.register("circuit")
class CircuitView(GraphView, bundle="circuit"):
    """Layered graph of a circuit: input at the bottom, logits at the top.

    Parameters
    ----------
    result
        A :class:`CircuitResult`.
    size
        How many of the strongest edges to draw; by default the size that was arranged, else those
        that the chosen circuit was pruned from, at most 2,000, or 200 where none was chosen.
    layout
        ``"columns"``: every head in its column (default); ``"packed"``: only what is in the
        circuit; ``"classes"``: a box per group of heads, as papers draw a circuit (default where
        there are groups).
    groups
        Classes of heads, ``{"name mover": ["9.9", "10.0"]}``; added to the result's arrangement.
    reference
        A known circuit to lay over this one: edge names, node names (also ``"9.9"``), a mapping of
        classes, a graph or a circuit. The view marks what both have, what is missing and what is
        extra, and states precision and recall.
    connected
        Whether edges on no path from the input to the logits are left out (default).
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Examples
    --------
    >>> iw.circuit(clean, corrupted).view(size=60, layout="packed")
    """

    def __init__(
        self,
        result: CircuitResult,
        *,
        size: int | None = None,
        layout: str | None = None,
        connected: bool = True,
        groups: Groups | None = None,
        reference: Any = None,
        theme: str = "auto",
    ) -> None:
        if groups is not None:
            result.arrange(groups=groups)
        arranged = result.arrangement
        layout = layout or ("classes" if arranged["groups"] else "columns")
        one_of("layout", layout, LAYOUTS)
        self.reference = None if reference is None else Reference.of(reference, result.graph)
        total = int(result.numpy("real_edge_mask").sum())
        if size is None:
            size = arranged["size"]
        if size is None:
            counted = result.meta.get("size") if result.level == "edge" else None
            chosen = int(counted or result.numpy("in_graph").sum())
            size = min(chosen, LARGEST_DEFAULT, total) or min(DEFAULT_SIZE, total)
        if not 1 <= size <= total:
            raise ValueError(f"size must be between 1 and {total:,} edges, got {size}")
        state = {"size": int(size), "layout": layout, "connected": bool(connected), "cut": []}
        self._ranked: dict[int, tuple[Any, np.ndarray, np.ndarray]] = {}
        super().__init__(result, theme=theme, state=state)

    @property
    def shown_size(self) -> int | None:
        """How many of the strongest edges are asked for."""
        return self.state.get("size")

    def figure_options(self) -> dict[str, Any]:
        """Return size, layout and reference of what is shown; the rest is in the result."""
        reference = self.reference and list(self.reference.names)
        connected = bool(self.state.get("connected", True))
        options = {**super().figure_options(), "edges": self.shown_size, "connected": connected}
        return {**options, "reference": reference} if reference else options

    def describe(self) -> dict[str, Any]:
        """Return names, sizes, the metric and how faithful each size is."""
        result: CircuitResult = self.current
        real = result.numpy("real_edge_mask")
        finite = np.isfinite(result.numpy("scores")) & real
        curve = result.faithfulness if result.level == "edge" else []  # the slider counts edges
        base = self.known_base
        return {
            "forward": list(result.meta["forward"]),
            "backward": list(result.meta["backward"]),
            "total": int(finite.sum()),
            "unscored": int(real.sum() - finite.sum()),
            "chosen": int(result.numpy("in_graph").sum()),
            "metric": result.metric,
            "scoring": str(result.meta.get("scoring", "")),
            "ablation": str(result.meta.get("ablation", "")),
            "pairs": result.meta.get("n_pairs"),
            "values": dict(result.meta.get("values") or {}),
            "base_values": dict(base.meta.get("values") or {}) if base is not None else {},
            "faithfulness": {"sizes": [n for n, _ in curve], "values": [f for _, f in curve]}
            if curve
            else None,
            "tokens": list(result.meta.get("tokens") or []),
            "reference": self._reference(),
            "can_cut": result.can_cut,
            "can_ablate": self.session is not None,
        }

    def _reference(self) -> dict[str, Any] | None:
        if self.reference is None:
            return None
        graph = self.current.graph
        if self.reference.level == "node":
            return {"level": "node", "nodes": list(self.reference.names)}
        at = [graph.edge(name) for name in self.reference.names]
        return {"level": "edge", "flat": [r * graph.n_backward + c for r, c in at]}

    def first(self) -> dict[str, Any]:
        """Return the strongest edges, and the effects that were measured exactly."""
        edges = self._edges("current", 0, MOST_AT_FIRST)
        if "exact" in self.current.arrays:
            flat, _ = self._ranking(self.current)
            exact = self.current.numpy("exact").reshape(-1)[flat[:MOST_AT_FIRST]]
            edges["exact"] = Array(exact, "float32")
        return edges

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name the edges that the first paint did not bring."""
        if self.spec["total"] > MOST_AT_FIRST:
            rest = {"mode": "current", "start": MOST_AT_FIRST, "stop": self.spec["total"]}
            yield "edges", rest
        if self.changed:
            yield "edges", {"mode": "base", "start": 0, "stop": EVERY}

    def export_spec(self) -> dict[str, Any]:
        """Return the spec of a page without a kernel: nothing can be cut or ablated there."""
        return {**super().export_spec(), "can_cut": False, "can_ablate": False}

    def on_edges(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return edges by |score|, largest first: row · n_backward + column, and the score."""
        start = max(0, int(payload.get("start", 0)))
        stop = int(payload.get("stop", start + MOST_AT_FIRST))
        return self._edges(str(payload.get("mode", "current")), start, stop)

    @on_worker
    def on_cut(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Measure the metric with these edges (and no others) carrying corrupted values."""
        result: CircuitResult = self.pick("current")
        mask = np.zeros(result.numpy("real_edge_mask").shape, bool)
        for flat in payload.get("edges") or []:
            if not 0 <= int(flat) < mask.size:
                raise ValueError(f"there is no edge {flat}: the graph has {mask.size} places")
            mask.flat[int(flat)] = True
        return {"value": result.metric_with_cut(mask)}

    def _edges(self, mode: str, start: int, stop: int) -> dict[str, Any]:
        flat, score = self._ranking(self.pick(mode))
        return {
            "flat": Array(flat[start:stop], "int32"),
            "score": Array(score[start:stop], "float32"),
            "start": start,
            "total": len(flat),
        }

    def _ranking(self, result: CircuitResult) -> tuple[np.ndarray, np.ndarray]:
        known = self._ranked.get(id(result))
        if known is None or known[0] is not result:
            self._ranked = {
                key: entry
                for key, entry in self._ranked.items()
                if entry[0] is self.known_base or entry[0] is self.current
            }
            known = (result, *ranked_edges(result))
            self._ranked[id(result)] = known
        return known[1], known[2]

    def close(self) -> None:
        """Stop following the session and let go of the data."""
        self._ranked = {}
        super().close()


def ranked_edges(result: CircuitResult) -> tuple[np.ndarray, np.ndarray]:
    """Return the real edges with a finite score, largest |score| first, ties in row order.

    Returns
    -------
    flat, score
        ``[edge]``: row · n_backward + column as int32, and the score as float32.
    """
    scores = result.numpy("scores").astype(np.float32)
    flat = np.flatnonzero(result.numpy("real_edge_mask") & np.isfinite(scores))
    values = scores.reshape(-1)[flat]
    order = np.argsort(-np.abs(values), kind="stable")
    return flat[order].astype(np.int32), values[order]
