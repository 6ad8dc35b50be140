"""A circuit of thousands of edges is drawn in seconds, and its strongest edges can be read."""

from __future__ import annotations

import matplotlib.collections
import numpy as np
from matplotlib.text import Text

from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph


def random_circuit(layers: int, heads: int, edges: int) -> CircuitResult:
    graph = Graph.build(layers, heads)
    scores = np.random.default_rng(0).laplace(0, 1, graph.shape).astype(np.float32)
    return CircuitResult.from_graph(graph.with_scores(scores).top_n(edges), title="Random")


def lines(circuit: CircuitResult, edges: int) -> matplotlib.collections.PathCollection:
    (drawn,) = circuit.figure(edges=edges, connected=False).mpl.axes[0].collections
    return drawn


def test_a_crowd_of_edges_is_plain_and_faint_under_the_strongest():
    circuit = random_circuit(8, 10, 40)
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


def test_no_edge_runs_through_the_names_of_the_layers():
    figure = random_circuit(12, 12, 60).figure(venue="neurips").mpl
    figure.canvas.draw()
    (drawn,) = figure.axes[0].collections
    path = drawn.get_transform().transform(np.concatenate([p.vertices for p in drawn.get_paths()]))
    names = [text for text in figure.findobj(Text) if text.get_text().startswith("layer")]
    assert len(names) == 12
    assert path[:, 0].min() > max(name.get_window_extent().x1 for name in names)
