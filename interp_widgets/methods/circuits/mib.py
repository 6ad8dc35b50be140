"""Circuits as the MIB benchmark and the EAP-IG library exchange them: edges, nodes or neurons."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from interp_widgets.methods.circuits.evaluate import units_of
from interp_widgets.methods.circuits.tally import Level
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph


def to_mib(circuit: CircuitResult) -> str:
    """Return a circuit as JSON in the layout of the MIB benchmark (arXiv 2504.13151).

    ``cfg`` holds the shape of the network, ``nodes`` and ``edges`` say by name what is ``in_graph``
    and give each ``score``; at the neuron level nodes have ``neurons`` (booleans) and
    ``neurons_scores``, a number per dimension of what the node writes. The input has no score of
    its own, which means to the benchmark that it always stays. Two keys are ours: ``cfg.level``,
    and ``scores``, one per position, where positions were told apart (``score`` is their sum).

    Examples
    --------
    >>> Path("ioi.json").write_text(iw.circuits.to_mib(circuit))
    """
    graph = circuit.graph
    data = json.loads(graph.to_json())
    units = units_of(circuit)
    data["cfg"] |= {"level": circuit.level}
    if circuit.meta.get("d_model"):
        data["cfg"]["d_model"] = int(circuit.meta["d_model"])
    if "size" in circuit.meta:
        data["cfg"]["size"] = int(circuit.meta["size"])
    if circuit.level == "edge":
        if units.positional:
            for name, edge in data["edges"].items():
                edge["scores"] = units.scores[graph.edge(name)].tolist()
        return json.dumps(data, allow_nan=False)
    kept = units.top(int(circuit.meta.get("size", 0))).neurons
    for row, node in enumerate(graph.forward):
        entry = data["nodes"][node.component]
        own = units.scores[row]
        if circuit.level == "neuron":
            assert kept is not None
            entry["neurons"] = (~kept[row]).tolist()
            if row:
                entry["neurons_scores"] = own.tolist()
        elif row:
            entry["score"] = float(own.sum())
            if units.positional:
                entry["scores"] = own.tolist()
    return json.dumps(data, allow_nan=False)


def from_mib(text: str) -> CircuitResult:
    """Read a circuit written by :func:`to_mib`, by the MIB benchmark or by the EAP-IG library.

    The level is the finest one that has scores. The result can be drawn, compared and given to
    ``iw.circuits.evaluate`` with pairs of prompts.

    Raises
    ------
    ValueError
        When the text is not such a circuit; what is wrong is named.

    Examples
    --------
    >>> circuit = iw.circuits.from_mib(Path("ioi.json").read_text())
    >>> iw.circuits.evaluate(session, circuit, clean, corrupted).cpr
    """
    graph = Graph.from_json(text)
    data = json.loads(text)
    nodes = data.get("nodes", {})
    try:
        level, scores = _scores(graph, nodes, data["edges"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a circuit of the benchmark: {error}") from error
    meta: dict[str, Any] = {"level": level, "title": "Circuit from a file"}
    cfg = data["cfg"]
    if cfg.get("d_model"):
        meta["d_model"] = int(cfg["d_model"])
    inside = _count(level, graph, nodes)
    meta["size"] = int(cfg.get("size", inside))
    result = CircuitResult.from_graph(graph, **meta)
    if scores is not None:
        result.arrays["unit_scores"] = scores.astype(np.float32)
    return result


def _scores(
    graph: Graph, nodes: dict[str, Any], edges: dict[str, Any]
) -> tuple[Level, np.ndarray | None]:
    """Return the level, and scores of its units unless they are those of the edges."""
    writers = [nodes.get(node.component, {}) for node in graph.forward]
    width = max((len(entry.get("neurons_scores", ())) for entry in writers), default=0)
    if width:
        found = np.full((graph.n_forward, width), np.nan)
        for row, entry in enumerate(writers):
            found[row] = entry.get("neurons_scores", np.nan)
        return "neuron", found
    if any("score" in entry for entry in writers):
        length = max(len(entry.get("scores", ())) for entry in writers)
        shape = (graph.n_forward, length) if length else (graph.n_forward,)
        found = np.full(shape, np.nan)
        for row, entry in enumerate(writers):
            found[row] = entry.get("scores" if length else "score", np.nan)
        return "node", found
    length = max((len(edge.get("scores", ())) for edge in edges.values()), default=0)
    if not length:
        return "edge", None
    found = np.zeros((*graph.shape, length))
    for name, edge in edges.items():
        found[graph.edge(name)] = edge["scores"]
    return "edge", found


def _count(level: Level, graph: Graph, nodes: dict[str, Any]) -> int:
    """Count the units that the file says are in the circuit."""
    if level == "edge":
        return graph.count
    writers = [nodes.get(node.component, {}) for node in graph.forward[1:]]
    if level == "neuron":
        return int(sum(np.sum(entry.get("neurons", ())) for entry in writers))
    return sum(bool(entry.get("in_graph")) for entry in writers)
