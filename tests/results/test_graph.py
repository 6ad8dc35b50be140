"""The component graph: its edges, how circuits are chosen from it, and its file form."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

from interp_widgets.results.graph import Graph


def order_of(graph: Graph, node, *, reads: bool) -> tuple[float, ...]:
    """When a node reads or writes, worked out from its name alone."""
    if node.kind == "input":
        return (-1.0,)
    if node.kind == "logits":
        return (graph.layers,)
    sub = 0.0 if node.kind == "head" or graph.parallel else 0.5
    return (node.layer + sub + (0.0 if reads else 0.25),)


@pytest.fixture
def graph() -> Graph:
    rng = np.random.default_rng(0)
    graph = Graph.build(layers=3, heads=5)
    return graph.with_scores(rng.normal(size=graph.shape))


def test_gpt2_small_has_the_published_number_of_edges():
    graph = Graph.build(layers=12, heads=12)
    assert (graph.n_forward, graph.n_backward) == (157, 445)
    assert graph.n_edges == 32_491
    assert graph.real_edge_mask.shape == (157, 445)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("mlps", [False, True])
def test_an_edge_exists_exactly_when_writing_comes_before_reading(parallel, mlps):
    graph = Graph.build(layers=3, heads=2, parallel=parallel, mlps=mlps)
    for (row, writer), (column, reader) in itertools.product(
        enumerate(graph.forward), enumerate(graph.backward)
    ):
        before = order_of(graph, writer, reads=False) < order_of(graph, reader, reads=True)
        assert graph.real_edge_mask[row, column] == before, (writer.name, reader.name)


def test_names_rows_and_columns_agree(graph):
    assert graph.forward[graph.writer(2, 4)].name == "a2.h4"
    assert graph.forward[graph.writer(1)].name == "m1"
    assert graph.backward[graph.reader(2, 4, "v")].name == "a2.h4<v>"
    assert graph.backward[graph.reader(0)].name == "m0"
    assert graph.edge_name(*graph.edge("a0.h3->a2.h1<k>")) == "a0.h3->a2.h1<k>"


@pytest.mark.parametrize("name", ["a2.h0->m1", "m0->a0.h1<q>", "nonsense", "a9.h0->logits", "m0->"])
def test_an_edge_that_is_not_there_is_refused(graph, name):
    with pytest.raises(KeyError, match="no edge"):
        graph.edge(name)


def test_top_n_takes_the_largest_scores_and_ignores_nan(graph):
    scores = graph.scores.copy()
    best = graph.edge("a0.h3->a2.h1<k>")
    scores[best] = -50
    scores[graph.edge("input->m0")] = np.nan
    scores[graph.n_forward - 1, 0] = 1e9  # not an edge: m2 into a0.h0<q>
    graph = graph.with_scores(scores)
    chosen = graph.top_n(7)
    assert chosen.count == 7
    assert chosen.edges()[0] == "a0.h3->a2.h1<k>"
    assert best not in set(map(tuple, np.argwhere(graph.top_n(7, absolute=False).in_graph)))
    assert graph.top_n(10**6).count == graph.n_edges - 1
    assert graph.top_n(0).count == 0


def test_threshold_is_the_same_as_comparing_each_edge(graph):
    chosen = graph.threshold(1.2)
    assert np.array_equal(chosen.in_graph, (np.abs(graph.scores) >= 1.2) & graph.real_edge_mask)


def test_greedy_grows_only_components_that_reach_the_logits(graph):
    chosen = graph.greedy(20)
    assert chosen.count == 20
    network = chosen.to_networkx()
    assert all(nx.has_path(network, node, "logits") for node in network)
    strongest = np.abs(graph.scores[:, -1]).max()
    assert abs(chosen.scores[:, -1][chosen.in_graph[:, -1]]).max() == pytest.approx(strongest)


def test_prune_keeps_exactly_the_edges_on_paths_from_input_to_logits(graph):
    chosen = graph.top_n(45)
    pruned = chosen.prune()
    network = chosen.to_networkx()
    network.add_nodes_from(["input", "logits"])
    good = (nx.descendants(network, "input") | {"input"}) & (
        nx.ancestors(network, "logits") | {"logits"}
    )
    expected = np.zeros(graph.shape, bool)
    for row, column in np.argwhere(chosen.in_graph):
        ends = {graph.forward[row].component, graph.backward[column].component}
        expected[row, column] = ends <= good
    assert 0 < expected.sum() < 45
    assert np.array_equal(pruned.in_graph, expected)


def test_circuits_combine_as_sets(graph):
    a, b = graph.top_n(30), graph.greedy(30)
    assert set(a.union(b).edges()) == set(a.edges()) | set(b.edges())
    assert set(a.intersect(b).edges()) == set(a.edges()) & set(b.edges())
    assert set(a.diff(b).edges()) == set(a.edges()) - set(b.edges())
    assert a.complement().count == graph.n_edges - 30
    with pytest.raises(ValueError, match="different networks"):
        a.union(Graph.build(2, 5))


def test_json_round_trip_and_the_benchmark_layout(graph):
    scores = graph.scores.copy()
    scores[graph.edge("input->m1")] = np.nan
    chosen = graph.with_scores(np.where(graph.real_edge_mask, scores, 0)).greedy(12)
    text = chosen.to_json()
    assert Graph.from_json(text) == chosen
    data = json.loads(text)
    assert data["cfg"]["n_layers"] == 3
    assert len(data["edges"]) == graph.n_edges
    assert sum(edge["in_graph"] for edge in data["edges"].values()) == 12
    assert data["nodes"]["logits"]["in_graph"]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"cfg": {"n_layers": 1, "n_heads": 1}, "edges": {"m0->input": {}}}'],
)
def test_a_broken_file_is_named_as_such(text):
    with pytest.raises(ValueError, match="not a graph"):
        Graph.from_json(text)


def test_networkx_merges_the_three_inputs_of_a_head(graph):
    chosen = graph.with_edges(["a0.h0->a1.h2<q>", "a0.h0->a1.h2<v>", "a1.h2->logits"])
    network = chosen.to_networkx()
    assert set(network.edges) == {("a0.h0", "a1.h2"), ("a1.h2", "logits")}
    assert set(network.edges["a0.h0", "a1.h2"]["slots"]) == {"q", "v"}


def test_from_session_reads_the_anatomy_and_refuses_post_norm():
    def block(**kind):
        places = {"mlp_out": None}
        return SimpleNamespace(
            **{"attention": "a", "norm_after": False, "parallel": True} | kind, places=places
        )

    def session(*blocks):
        facts = SimpleNamespace(heads=6, kv_heads=2)
        return SimpleNamespace(anatomy=SimpleNamespace(blocks=blocks, attention=lambda _: facts))

    graph = Graph.from_session(session(*[block()] * 4))
    assert graph.shape == (1 + 4 * 7, 4 * 19 + 1)
    assert graph.parallel
    with pytest.raises(ValueError, match="post-norm"):
        Graph.from_session(session(block(norm_after=True)))
    with pytest.raises(ValueError, match="differ"):
        Graph.from_session(session(block(), block(parallel=False)))
    with pytest.raises(ValueError, match="without attention"):
        Graph.from_session(session(block(attention=None)))
    with pytest.raises(ValueError, match="level"):
        Graph.from_session(session(block()), level="atom")


def test_edges_against_the_arrow_of_time_cannot_be_chosen(graph):
    backwards = np.zeros(graph.shape, bool)
    backwards[graph.writer(2), graph.reader(0)] = True
    with pytest.raises(KeyError, match="backwards"):
        graph.with_edges(backwards)
    with pytest.raises(ValueError, match="backwards"):
        Graph(3, 5, in_graph=backwards)
