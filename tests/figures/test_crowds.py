"""A circuit of thousands of edges is drawn in seconds, and its strongest edges can be read."""

from __future__ import annotations

import matplotlib.collections
import numpy as np

from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph


def lines(circuit: CircuitResult, edges: int) -> matplotlib.collections.PathCollection:
    (drawn,) = circuit.figure(edges=edges, connected=False).mpl.axes[0].collections
    return drawn


def test_a_crowd_of_edges_is_plain_and_faint_under_the_strongest():
    graph = Graph.build(8, 10)
    scores = np.random.default_rng(0).laplace(0, 1, graph.shape).astype(np.float32)
    circuit = CircuitResult.from_graph(graph.with_scores(scores).top_n(40), title="Eight")
    few, crowd = lines(circuit, 40), lines(circuit, 6_000)
    assert any(len(path) > 4 for path in few.get_paths())  # led beside the boxes
    assert {len(path) for path in crowd.get_paths()} == {4}
    assert len(crowd.get_paths()) == 6_000
    dark = crowd.get_edgecolor()[:, 3]
    assert few.get_edgecolor()[:, 3].min() > 0.45
    assert dark[-1] > 0.9  # the strongest is on top
    assert dark[0] == 0.02
    widths = np.array(crowd.get_linewidth())
    assert widths[-1] == widths.max()
    solid = [dashes is None for _, dashes in crowd.get_linestyle()]
    assert all(np.array(solid)[dark == 0.02])  # too faint for dashes
    assert not all(solid)
