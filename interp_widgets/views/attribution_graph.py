"""An attribution graph: layers above one another, positions side by side, a card per feature."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from interp_widgets.results.attribution_graph import (
    EDGE_THRESHOLD,
    NODE_THRESHOLD,
    AttributionGraph,
)
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import one_of
from interp_widgets.views.circuit_graph import GraphView
from interp_widgets.views.wire import Array

MOST_AT_FIRST = 30_000
"""Links sent with the first paint (16 bytes each); the less influential follow when asked for."""
EVERY = 1_000_000_000
LAYOUTS = ("positions", "classes")
MOST_EXAMPLES = 20
LARGEST_FEATURE = 20_000_000
"""Bytes of a feature file that is still read."""


@VIEWS.register("attribution_graph")
class AttributionGraphView(GraphView, bundle="circuit"):
    """Features, errors, tokens and outputs of one prompt, with what leads from one to another.

    Parameters
    ----------
    result
        An :class:`AttributionGraph`.
    nodes, edges
        Cumulative influence that the drawn nodes and links keep; by default 0.8 and 0.98, or the
        file's own node threshold.
    layout
        ``"positions"`` (default): rows are layers, columns tokens; ``"classes"``: only what is
        pinned or in a group, as papers draw the subgraph.
    selected
        ``node_id`` whose inputs and outputs are listed; by default the file's ``clickedId``.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Examples
    --------
    >>> iw.open_graph("austin.json").view(nodes=0.6, layout="classes")
    """

    def __init__(
        self,
        result: AttributionGraph,
        *,
        nodes: float | None = None,
        edges: float = EDGE_THRESHOLD,
        layout: str = "positions",
        selected: str | None = None,
        theme: str = "auto",
    ) -> None:
        one_of("layout", layout, LAYOUTS)
        if nodes is None:
            nodes = float(result.meta["metadata"].get("node_threshold") or NODE_THRESHOLD)
        for name, value in (("nodes", nodes), ("edges", edges)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} is a share of influence between 0 and 1, not {value}")
        clicked = str((result.meta.get("qParams") or {}).get("clickedId") or "")
        if selected is not None and selected not in result.names:
            raise ValueError(f"there is no node {selected!r} in this graph")
        clicked = selected or (clicked if clicked in result.names else "")
        state = {"nodes": nodes, "edges": edges, "layout": layout, "clicked": clicked}
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Return ids, labels and places of the nodes."""
        graph: AttributionGraph = self.current
        layers = {name: i for i, name in enumerate(graph.layers)}
        nodes = graph.meta["nodes"]
        return {
            "tokens": graph.tokens,
            "layers": graph.layers,
            "ids": graph.names,
            "clerps": [str(node.get("clerp") or "") for node in nodes],
            "row": [layers[str(node["layer"])] for node in nodes],
            "position": [int(node["ctx_idx"]) for node in nodes],
            "total": len(graph.arrays["weight"]),
            "prompt": str(graph.meta["metadata"].get("prompt") or ""),
            "note": str(graph.meta.get("note") or ""),
        }

    def first(self) -> dict[str, Any]:
        """Return kinds, influence and activations, and the most influential links."""
        graph: AttributionGraph = self.current
        given = [node.get("activation") for node in graph.meta["nodes"]]
        activation = np.array([np.nan if a is None else float(a) for a in given], np.float32)
        return {
            "kind": Array(graph.node_kinds, "int32"),
            "influence": Array(graph.numpy("influence"), "float32"),
            "activation": Array(activation, "float32"),
            **self._links(0, MOST_AT_FIRST),
        }

    def on_links(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return links, most influential first: source, target, weight, cumulative influence."""
        start = max(0, int(payload.get("start", 0)))
        return self._links(start, int(payload.get("stop", start + MOST_AT_FIRST)))

    def _links(self, start: int, stop: int) -> dict[str, Any]:
        graph: AttributionGraph = self.current
        order = np.argsort(graph.numpy("edge_influence"), kind="stable")[start:stop]
        return {
            "source": Array(graph.numpy("source")[order], "int32"),
            "target": Array(graph.numpy("target")[order], "int32"),
            "weight": Array(graph.numpy("weight")[order], "float32"),
            "share": Array(graph.numpy("edge_influence")[order], "float32"),
        }

    def on_card(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return what is known of a node: its fields, top and bottom logits, examples."""
        graph: AttributionGraph = self.pick("current")
        at = graph.names.index(str(payload["node"]))
        node = graph.meta["nodes"][at]
        return card(node, _feature(graph, node))

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name the links that the first paint did not bring, and the cards of the pinned nodes."""
        if self.spec["total"] > MOST_AT_FIRST:
            yield "links", {"start": MOST_AT_FIRST, "stop": EVERY}
        arranged = self.current.arrangement
        named = [*arranged["pins"], *(m for g in arranged["groups"] for m in g["members"])]
        clicked = self.state.get("clicked")
        known = [n for n in dict.fromkeys([clicked, *named, *self._detailed()]) if n]
        for name in known[:500]:
            yield "card", {"node": name}

    def _detailed(self) -> list[str]:
        nodes = self.current.meta["nodes"]
        return [str(n["node_id"]) for n in nodes if n.get("examples") or n.get("top_logits")]

    def figure_options(self) -> dict[str, Any]:
        """Return thresholds and layout of what is shown."""
        shown = {key: self.state.get(key) for key in ("nodes", "edges")}
        return {**super().figure_options(), **shown}


def card(node: dict[str, Any], feature: dict[str, Any]) -> dict[str, Any]:
    """Return the plain parts of a node and its feature file that a card shows."""
    known = {**feature, **{k: v for k, v in node.items() if v not in (None, "", [])}}
    examples = known.get("examples") or [
        example
        for quantile in known.get("examples_quantiles") or []
        for example in quantile.get("examples") or []
    ]
    shown = []
    for example in examples[:MOST_EXAMPLES]:
        tokens = [str(t) for t in example.get("tokens") or []]
        acts = example.get("tokens_acts_list") or example.get("activations") or []
        values = [float(a) for a in acts if isinstance(a, int | float)]
        if tokens and len(values) == len(tokens):
            shown.append({"tokens": tokens[:128], "activations": values[:128]})
    return {
        "type": str(node["feature_type"]),
        "top": [str(t) for t in known.get("top_logits") or []][:10],
        "bottom": [str(t) for t in known.get("bottom_logits") or []][:10],
        "examples": shown,
    }


def _feature(graph: AttributionGraph, node: dict[str, Any]) -> dict[str, Any]:
    number = node.get("feature")
    if graph.features is None or not isinstance(number, int):
        return {}
    path = graph.features / f"{number}.json"
    if not path.is_file() or path.stat().st_size > LARGEST_FEATURE:
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return {}
    return data if isinstance(data, dict) else {}
