"""What of an attribution graph matters: influence, pruning, and how much the errors carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interp_widgets.results.attribution_graph import KINDS
from interp_widgets.results.influence import cumulative, flow, reaching

FEATURE, ERROR, EMBEDDING, LOGIT = range(len(KINDS))


@dataclass(frozen=True, eq=False)
class Links:
    """A graph as arrays: ``source, target, weight [link]``, ``kinds [node]``, ``start [node]``.

    ``start`` is the probability of each logit and 0 elsewhere.
    """

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    kinds: np.ndarray
    start: np.ndarray

    def only(self, links: np.ndarray) -> Links:
        """Return the graph with some of its links."""
        return Links(
            self.source[links], self.target[links], self.weight[links], self.kinds, self.start
        )


@dataclass(frozen=True, eq=False)
class Pruned:
    """What was kept: bool ``nodes [node]`` and ``links [link]``, and the cumulative influence.

    ``node_influence`` is of the whole graph, ``link_influence`` of the graph of the kept nodes; NaN
    for what is in neither.
    """

    nodes: np.ndarray
    links: np.ndarray
    node_influence: np.ndarray
    link_influence: np.ndarray


def prune(graph: Links, node_threshold: float, edge_threshold: float) -> Pruned:
    """Keep the fewest nodes, then links, that carry a share of all influence on the logits.

    Nodes are kept by their influence in the whole graph; the links between kept nodes by theirs in
    what is left. Then features and errors that lead nowhere, and features that nothing feeds, go,
    until there are none. Tokens and logits stay.

    Parameters
    ----------
    graph
        The whole graph.
    node_threshold, edge_threshold
        Shares of influence between 0 and 1.
    """
    influence, _ = flow(graph.source, graph.target, graph.weight, graph.start)
    nodes = _carrying(influence, node_threshold) | (graph.kinds >= EMBEDDING)
    inside = nodes[graph.source] & nodes[graph.target]
    left = graph.only(inside)
    _, through = flow(left.source, left.target, left.weight, graph.start)
    links = np.zeros(len(graph.weight), bool)
    links[inside] = _carrying(through, edge_threshold)
    nodes, links = _connected(graph, nodes, links)
    by_link = np.full(len(graph.weight), np.nan)
    by_link[inside] = cumulative(through, np.ones(len(through), bool))
    return Pruned(nodes, links, cumulative(influence, graph.kinds != LOGIT), by_link)


def _carrying(value: np.ndarray, share: float) -> np.ndarray:
    """Return the fewest entries, largest first, whose sum reaches a share of all."""
    return reaching(cumulative(value, np.ones(len(value), bool)), share)


def _connected(graph: Links, nodes: np.ndarray, links: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    while True:
        links = links & nodes[graph.source] & nodes[graph.target]
        leads = np.bincount(graph.source[links], minlength=len(nodes)) > 0
        fed = np.bincount(graph.target[links], minlength=len(nodes)) > 0
        alive = (graph.kinds >= EMBEDDING) | (leads & (fed | (graph.kinds == ERROR)))
        if not (nodes & ~alive).any():
            return nodes, links
        nodes = nodes & alive


def scores(graph: Links) -> dict[str, float]:
    """Return how much of the graph is explained by features rather than errors.

    ``replacement``: of the influence that starts at tokens and errors, the share of tokens;
    ``completeness``: of what feeds a node, the share that is no error, averaged over all nodes by
    influence (Ameisen et al. 2025, "Circuit Tracing"). Both are 1 where nothing is left over.
    """
    node, _ = flow(graph.source, graph.target, graph.weight, graph.start)
    tokens, errors = (float(node[graph.kinds == kind].sum()) for kind in (EMBEDDING, ERROR))
    size = np.abs(graph.weight)
    n = len(graph.kinds)
    total = np.bincount(graph.target, weights=size, minlength=n)
    wrong = np.bincount(
        graph.target, weights=size * (graph.kinds[graph.source] == ERROR), minlength=n
    )
    explained = 1 - np.divide(wrong, total, out=np.zeros(n), where=total > 0)
    begin = graph.start / graph.start.sum()
    heard = node + begin
    return {
        "replacement": tokens / (tokens + errors) if tokens + errors > 0 else 1.0,
        "completeness": float((explained * heard).sum() / heard.sum()),
    }
