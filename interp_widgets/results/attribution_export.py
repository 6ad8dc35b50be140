"""A circuit of heads and MLPs in the schema of attribution graphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from interp_widgets.results.attribution_graph import AttributionGraph
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph, Node

TYPES = {"input": "embedding", "head": "attention head", "mlp": "mlp", "logits": "logit"}


def from_circuit(circuit: CircuitResult) -> AttributionGraph:
    """Return the chosen circuit as an attribution graph.

    A component is one node at the last position, because a circuit's edges hold for all positions
    together; the input stands at the first. The three inputs of a head are one link, its weight
    their sum, with ``slots`` as a field of its own. What was pinned and grouped goes along.
    """
    graph = circuit.graph
    tokens = [str(t) for t in circuit.meta.get("tokens") or ["input"]]
    rows, columns = np.nonzero(graph.in_graph)
    used: dict[str, Node] = {}
    for row, column in zip(rows, columns, strict=True):
        for node in (graph.forward[row], graph.backward[column]):
            used.setdefault(node.component, node)
    links: dict[tuple[str, str], dict[str, Any]] = {}
    ids = {name: _id(node, graph, len(tokens) - 1) for name, node in used.items()}
    for row, column in zip(rows, columns, strict=True):
        writer, reader = graph.forward[row], graph.backward[column]
        score = float(graph.scores[row, column])
        key = writer.component, reader.component
        link = links.setdefault(
            key, {"source": ids[key[0]], "target": ids[key[1]], "weight": 0.0, "slots": {}}
        )
        link["weight"] += score
        link["slots"][reader.slot or reader.kind] = score
    now = circuit.arrangement
    data = {
        "metadata": {
            "slug": circuit.title,
            "scan": str(circuit.recipe.model.get("name", "")) if circuit.recipe else "",
            "transcoder_list": [],
            "prompt_tokens": tokens,
            "prompt": "".join(tokens),
            "schema_version": 1,
            "info": {"description": circuit.text()},
        },
        "qParams": {
            "pinnedIds": [ids[p] for p in now["pins"] if p in ids],
            "supernodes": [
                [g["name"], *(ids[m] for m in g["members"] if m in ids)]
                for g in now["groups"]
                if any(m in ids for m in g["members"])
            ],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": [_entry(node, ids[name], graph, len(tokens) - 1) for name, node in used.items()],
        "links": list(links.values()),
    }
    return AttributionGraph.from_json(data)


def _layer(node: Node, graph: Graph) -> str:
    if node.kind == "input":
        return "E"
    return str(graph.layers + 1 if node.kind == "logits" else node.layer)


def _id(node: Node, graph: Graph, last: int) -> str:
    """``layer_index_position``; an MLP's index follows those of the heads."""
    index = 0 if node.head is None else node.head
    if node.kind == "mlp":
        index = graph.heads
    return f"{_layer(node, graph)}_{index}_{0 if node.kind == 'input' else last}"


def _entry(node: Node, name: str, graph: Graph, last: int) -> dict[str, Any]:
    labels = {"head": f"head {node.layer}.{node.head}", "mlp": f"MLP {node.layer}"}
    return {
        "node_id": name,
        "feature": node.head,
        "layer": _layer(node, graph),
        "ctx_idx": 0 if node.kind == "input" else last,
        "feature_type": TYPES[node.kind],
        "token_prob": 1.0 if node.kind == "logits" else 0.0,
        "is_target_logit": node.kind == "logits",
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": name.rpartition("_")[0] + "-0",
        "clerp": labels.get(node.kind, node.component),
        "influence": None,
        "activation": None,
    }
