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

    A circuit that tells positions apart gives a node for every token of the prompt, and stands
    each component at the position where most is read of it; in another circuit edges hold for all
    positions together, so that the input stands at the first position and the components at the
    last. The three inputs of a head are one link, its weight their sum, with ``slots`` as a field
    of its own. What was pinned and grouped goes along.
    """
    graph = circuit.graph
    tokens = [str(t) for t in circuit.meta.get("tokens") or ["input"]]
    scores, where = _by_position(circuit, len(tokens))
    used: dict[tuple[str, int], Node] = {}
    links: dict[tuple[str, str], dict[str, Any]] = {}
    for row, column in np.argwhere(graph.in_graph):
        writer, reader = graph.forward[row], graph.backward[column]
        end = reader.component, where.get(reader.component, len(tokens) - 1)
        at = np.flatnonzero(scores[row, column]) if writer.kind == "input" else [None]
        for position in at:
            start = writer.component, where[writer.component] if position is None else int(position)
            used.setdefault(start, writer)
            score = float(
                scores[row, column].sum() if position is None else scores[row, column, position]
            )
            key = _id(writer, graph, start[1]), _id(reader, graph, end[1])
            link = links.setdefault(
                key, {"source": key[0], "target": key[1], "weight": 0.0, "slots": {}}
            )
            link["weight"] += score
            link["slots"][reader.slot or reader.kind] = score
        used.setdefault(end, reader)
    ids = {name: _id(node, graph, at) for (name, at), node in used.items()}
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
        "nodes": [
            _entry(node, graph, at, tokens, positional="unit_scores" in circuit.arrays)
            for (_, at), node in used.items()
        ],
        "links": list(links.values()),
    }
    return AttributionGraph.from_json(data)


def _by_position(circuit: CircuitResult, length: int) -> tuple[np.ndarray, dict[str, int]]:
    """Return scores ``[n_forward, n_backward, position]`` and where each component stands."""
    graph = circuit.graph
    own = circuit.arrays.get("unit_scores")
    if circuit.level == "edge" and own is not None:
        scores = circuit.numpy("unit_scores")
        place = np.abs(scores).sum(1).argmax(-1)
        return scores, {n.name: int(p) for n, p in zip(graph.forward, place, strict=True)}
    scores = np.zeros((*graph.shape, length), np.float32)
    scores[..., length - 1] = graph.scores
    scores[0] = 0
    scores[0, :, 0] = graph.scores[0]
    return scores, {node.name: length - 1 for node in graph.forward}


def _layer(node: Node, graph: Graph) -> str:
    if node.kind == "input":
        return "E"
    return str(graph.layers + 1 if node.kind == "logits" else node.layer)


def _id(node: Node, graph: Graph, at: int) -> str:
    """``layer_index_position``; an MLP's index follows those of the heads."""
    index = graph.heads if node.kind == "mlp" else node.head or 0
    return f"{_layer(node, graph)}_{index}_{at}"


def _entry(
    node: Node, graph: Graph, at: int, tokens: list[str], *, positional: bool
) -> dict[str, Any]:
    labels = {
        "head": f"head {node.layer}.{node.head}",
        "mlp": f"MLP {node.layer}",
        "input": tokens[at] if positional else "input",
    }
    name = _id(node, graph, at)
    return {
        "node_id": name,
        "feature": node.head,
        "layer": _layer(node, graph),
        "ctx_idx": at,
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
