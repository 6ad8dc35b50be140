"""Random circuits to compare with: of equal size, connected, from the input to the logits."""

from __future__ import annotations

import numpy as np

from interp_widgets.methods.circuits.trials import Subject, between
from interp_widgets.results.graph import Graph

TRIES = 60
"""Paths tried for the last few edges before a circuit is left a little smaller."""


def random_path(graph: Graph, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Walk from the logits back to the input, each time to a random writer and a random input.

    Returns
    -------
    list
        (row, column) of each edge, from the logits down.
    """
    columns: dict[str, list[int]] = {}
    for i, node in enumerate(graph.backward):
        columns.setdefault(node.component, []).append(i)
    column, path = graph.n_backward - 1, []
    while True:
        row = int(rng.integers(graph.first_unreadable[column]))
        path.append((row, column))
        if row == 0:
            return path
        column = int(rng.choice(columns[graph.forward[row].component]))


def random_edges(graph: Graph, size: int, rng: np.random.Generator) -> np.ndarray:
    """Join random paths until there are ``size`` edges ``[n_forward, n_backward]``.

    A path that would make too many is drawn again; where none fits, a few edges are missing.
    """
    kept = np.zeros(graph.shape, bool)
    count, tries = 0, 0
    while count < size and tries < TRIES:
        new = {edge for edge in random_path(graph, rng) if not kept[edge]}
        if not new or count + len(new) > size:
            tries += 1
            continue
        kept[tuple(np.array(sorted(new)).T)] = True
        count, tries = count + len(new), 0
    return kept


def random_nodes(graph: Graph, size: int, rng: np.random.Generator) -> np.ndarray:
    """Keep ``size`` random heads and MLPs and all edges between them, input and logits."""
    rows = 1 + rng.choice(graph.n_forward - 1, min(size, graph.n_forward - 1), replace=False)
    return between(graph, (graph.forward[i].name for i in rows))


def random_circuit(subject: Subject, rng: np.random.Generator, *, nodes: bool) -> np.ndarray:
    """Draw a circuit as large as the subject: as many edges, or as many nodes.

    Where the subject tells positions apart, random edges get the positions of its edges.
    """
    if nodes:
        drawn = random_nodes(subject.graph, len(subject.rows), rng)
        return _spread(subject, drawn, rng)
    flat = subject.kept.any(-1) if subject.kept.ndim == 3 else subject.kept
    return _spread(subject, random_edges(subject.graph, int(flat.sum()), rng), rng)


def _spread(subject: Subject, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if subject.kept.ndim == 2:
        return drawn
    patterns = subject.kept[subject.kept.any(-1)]
    kept = np.zeros_like(subject.kept)
    count = int(drawn.sum())
    pick = rng.permutation(np.resize(rng.permutation(len(patterns)), count))
    kept[drawn] = patterns[pick]
    return kept


def inflate(subject: Subject, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Add a random path to the circuit; return it with and without one of the new edges.

    Returns
    -------
    tuple
        The larger circuit, and the same less one random edge that was not in the circuit. Both
        equal the circuit when it is the whole network.
    """
    large = subject.kept.copy()
    for _ in range(TRIES):
        path = np.array(random_path(subject.graph, rng)).T
        new = [i for i in range(path.shape[1]) if not subject.kept[path[0, i], path[1, i]].all()]
        if new:
            large[path[0], path[1]] = True
            at = int(rng.choice(new))
            less = large.copy()
            less[path[0, at], path[1, at]] = subject.kept[path[0, at], path[1, at]]
            return large, less
    return large, large
