"""Heads and MLPs with a score each, as a circuit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph

if TYPE_CHECKING:
    from interp_widgets.results.mediation import MediationResult


def circuit_of(result: MediationResult, k: int) -> CircuitResult:
    """Return the ``k`` components of largest |effect| and all edges among them; see `to_circuit`.

    Raises
    ------
    ValueError
        When the mediators are no heads or MLPs, or ``k`` is not positive.
    """
    if k < 1:
        raise ValueError(f"k={k}: a circuit has at least one component")
    network = result.meta.get("network")
    sizes: dict[str, float] = {}
    for mediator, effect in zip(result.meta["mediators"], result.mean(), strict=True):
        name = ""
        if mediator["site"] == "z" and mediator["head"] is not None:
            name = f"a{mediator['layer']}.h{mediator['head']}"
        elif mediator["site"] == "mlp_out":
            name = f"m{mediator['layer']}"
        if name and abs(effect) >= abs(sizes.get(name, 0.0)):
            sizes[name] = float(effect)
    if not network or not sizes:
        raise ValueError(
            "only heads and MLPs are components of a circuit: mediate through "
            '"heads", "mlps" or a list of them'
        )
    graph = Graph.build(**network)
    rows = {node.name: i for i, node in enumerate(graph.forward)}
    order = sorted(sizes, key=lambda name: -abs(sizes[name]))[:k]
    chosen = {"input", "logits", *(name for name in order if name in rows)}
    scores = np.zeros(graph.shape, np.float32)
    mask = np.zeros(graph.shape, bool)
    for name, effect in sizes.items():
        if name in rows:
            scores[rows[name]] = np.where(graph.real_edge_mask[rows[name]], effect, 0)
    for i, writer in enumerate(graph.forward):
        for j, reader in enumerate(graph.backward):
            if graph.real_edge_mask[i, j] and {writer.component, reader.component} <= chosen:
                mask[i, j] = True
    ends = result.numpy("ends").mean(1)
    return CircuitResult.from_graph(
        graph.with_scores(scores).with_edges(mask),
        title=f"{len(order)} components of largest effect",
        metric=result.meta.get("metric", "metric"),
        ablation=result.meta.get("put", ""),
        scoring=f"{result.meta['direction']} of each component",
        level="node",
        n_pairs=result.pairs,
        values={"clean": float(ends[0]), "corrupted": float(ends[1])},
    )
