"""Contextual decomposition as a discovery method of ``iw.circuit``: scores of nodes and edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interp_widgets.methods.cdt.discover import Measure, every, prune, search
from interp_widgets.methods.cdt.relevance import (
    Progress,
    Relevance,
    means,
    relevance_to_logits,
)
from interp_widgets.methods.cdt.sources import Reader, Rule, Source
from interp_widgets.methods.circuits.levels import Units
from interp_widgets.methods.circuits.problem import Problem
from interp_widgets.methods.circuits.wiring import CircuitError

SEARCHING = 0.7
"""Share of the progress bar that the search takes; pruning takes the rest."""


def scores(problem: Problem, *, attention: Rule, progress: Progress) -> np.ndarray:
    """Return of every node or edge what its writer's deviation from the mean adds to the metric.

    Of the problem's shape, in logits, means over pairs. One pass for 64 nodes or edges. The means
    are over the corrupted prompts, position by position; with the ablation ``"zero"`` all that a
    node writes is the source. Of an edge only its reader counts the deviation as relevant.
    """
    _check(problem)
    pairs = problem.pairs
    sources = _edges(problem) if problem.level == "edge" else _nodes(problem)
    zero = problem.ablation.name == "zero"
    reference = {} if zero else means(pairs)
    total = np.zeros(len(sources))
    done = 0
    for case in problem.cases():
        case.note(*problem.engine.writers(case.clean))
        for prompt in case.clean:

            def within(some: int, of: int, done: int = done) -> None:
                progress(done * of + some, len(pairs) * of)

            total += relevance_to_logits(
                pairs.session,
                prompt,
                sources,
                reference=reference.get(len(prompt)),
                attention=attention,
                progress=within,
            )
            done += 1
    return _table(problem, sources, total / len(pairs))


def searched_scores(
    problem: Problem,
    *,
    per_round: int,
    rounds: int,
    enough: float,
    tolerance: float,
    how: Relevance,
    attention: Rule,
    progress: Progress,
) -> np.ndarray:
    """Search backwards, prune by faithfulness, and rank the nodes as they were found.

    Scores are ranks, from 1 down to 0: first the nodes of the pruned circuit in the order they were
    found, then those that pruning dropped; nodes that were not found have 0. The problem's arrays
    get ``found_in_round``, ``relevance`` and ``in_circuit``, of the scores' shape.
    """
    _check(problem)
    sources = _nodes(problem)
    clean, cut = _ends(problem)
    measure = _measure(problem, clean, cut)

    def first(done: int, of: int) -> None:
        progress(round(1000 * SEARCHING * done / of), 1000)

    def second(done: int, of: int) -> None:
        progress(round(1000 * (SEARCHING + (1 - SEARCHING) * done / of)), 1000)

    found = search(
        problem.pairs,
        [s for s in sources if not s.words],
        per_round=per_round,
        how=how,
        attention=attention,
        most_rounds=rounds,
        enough=enough,
        measure=measure,
        progress=first,
    )
    if not found.sources:
        raise CircuitError("no head and no MLP adds to the metric: is the model able to do this?")
    kept = prune(found, measure, tolerance=tolerance, progress=second).sources
    ranked = [*kept, *(s for s in found.sources if s not in kept)]
    ranks = [1 - i / (len(ranked) + 1) for i in range(len(ranked))]
    problem.arrays |= {
        "found_in_round": _table(problem, found.sources, found.rounds).astype(np.int32),
        "relevance": _table(problem, found.sources, found.relevance).astype(np.float32),
        "in_circuit": _table(problem, kept, np.ones(len(kept))).astype(bool),
    }
    return _table(problem, ranked, ranks)


def _check(problem: Problem) -> None:
    session = problem.pairs.session
    if problem.metric.name == "kl":
        raise CircuitError(
            "contextual decomposition splits logits, and the KL divergence is no sum of its parts: "
            'use metric="logit_difference"'
        )
    if session.interventions.active:
        raise CircuitError(
            "contextual decomposition goes through the model's weights and sees no interventions: "
            'switch them off, or use method="eap-ig"'
        )


def _nodes(problem: Problem) -> list[Source]:
    """Return the input and all components, or these at every position."""
    words = [Source(0, None, at, words=True) for at in _places(problem)]
    return [*words, *every(problem.pairs, positions=problem.positions, mlps=True)]


def _places(problem: Problem) -> list[tuple[int, ...] | None]:
    length = len(problem.pairs.first[0])
    return [(p,) for p in range(length)] if problem.positions else [None]


def _edges(problem: Problem) -> list[Source]:
    graph = problem.engine.graph
    found = []
    for row, column in np.argwhere(graph.real_edge_mask):
        writer, reader = graph.forward[row], graph.backward[column]
        into: Reader = "logits"
        if reader.kind != "logits":
            into = (reader.layer or 0, reader.head, reader.slot or "mlp")
        words = writer.kind == "input"
        found += [
            Source(writer.layer or 0, writer.head, at, words=words, into=into)
            for at in _places(problem)
        ]
    return found


def _table(problem: Problem, sources: Sequence[Source], values: Any) -> np.ndarray:
    """Put values where the problem's scores of these nodes or edges are."""
    graph = problem.engine.graph
    rows = {node.name: i for i, node in enumerate(graph.forward)}
    columns = {node.name: i for i, node in enumerate(graph.backward)}
    table = np.zeros(problem.shape)
    for source, value in zip(sources, values, strict=True):
        at: tuple[int, ...] = (rows[source.name],)
        if source.into is not None:
            at = (*at, columns[source.reader])
        table[at if source.positions is None else (*at, source.positions[0])] = value
    return table


def _ends(problem: Problem) -> tuple[float, float]:
    """Return the mean metric of the whole network, and with everything ablated."""
    for case in problem.cases():
        case.note(*problem.engine.writers(case.clean))
    found = problem.values()
    return found["clean"], found["corrupted"]


def _measure(problem: Problem, clean: float, cut: float) -> Measure:
    """Return the faithfulness of the circuit of some nodes, everything else ablated."""
    units = Units(problem.engine.graph, "node", np.zeros(problem.shape))

    def faithfulness(sources: Sequence[Source]) -> float:
        part = units.part(_table(problem, sources, np.ones(len(sources))).astype(bool))
        values: list[float] = []
        for case in problem.cases():
            logits = problem.engine.cut(case.clean, case.values, part.cut)
            values += problem.metric.value(logits, case.clean, logits).double().tolist()
        return (float(np.mean(values)) - cut) / (clean - cut)

    return faithfulness
