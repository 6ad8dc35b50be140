"""What a reader names and places stays with the result; a known circuit is compared with it."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.arrangement import checked, component
from interp_widgets.results.base import load
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph

NODES = ["input", "a0.h1", "a1.h2", "m1", "logits"]


def circuit() -> CircuitResult:
    graph = Graph.build(2, 3)
    names = ["input->a0.h1<q>", "a0.h1->a1.h2<k>", "a1.h2->logits", "input->m1", "m1->logits"]
    scores = np.zeros(graph.shape, np.float32)
    for i, name in enumerate(names):
        scores[graph.edge(name)] = 5 - i
    return CircuitResult.from_graph(graph.with_scores(scores).with_edges(names), size=5)


def test_heads_are_written_as_people_write_them():
    assert [component(n) for n in ("9.6", (9, 6), "MLP 3", "mlp3", " a1.h2 ", "input")] == [
        "a9.h6", "a9.h6", "m3", "m3", "a1.h2", "input",
    ]  # fmt: skip


def test_an_arrangement_is_saved_with_the_circuit(tmp_path):
    result = circuit().arrange(
        groups=[{"name": "movers <script>", "members": ["1.2"], "at": "end"}],
        pins=["0.1", "a0.h1"],
        notes={"MLP 1": "writes", "movers <script>": "all of them", "logits": "  "},
        positions={"a1.h2": (0.25, 0.75)},
        size=4,
    )
    again = load(result.save(tmp_path / "circuit")).arrangement
    assert again == result.arrangement
    assert again["groups"] == [
        {"name": "movers <script>", "members": ["a1.h2"], "collapsed": False, "at": "end"}
    ]
    assert again["pins"] == ["a0.h1"]
    assert again["notes"] == {"m1": "writes", "movers <script>": "all of them"}
    assert again["positions"] == {"a1.h2": [0.25, 0.75]}


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"pins": ["a7.h0"]}, ValueError, "no node 'a7.h0'"),
        ({"groups": {"x": ["0.1"], "y": ["0.1"]}}, ValueError, "in 'x' and in 'y'"),
        ({"positions": {"m1": (np.nan, 0)}}, ValueError, "pair of numbers"),
        ({"colour": "red"}, TypeError, "not colour"),
    ],
)
def test_what_does_not_fit_is_refused(fields, error, message):
    with pytest.raises(error, match=message):
        circuit().arrange(**fields)


def test_what_an_earlier_run_left_is_kept_where_the_node_still_is():
    kept = checked(
        {"pins": ["a0.h1", "gone"], "groups": {"x": ["gone"], "y": ["m1", "gone"]}},
        NODES,
        strict=False,
    )
    assert kept["pins"] == ["a0.h1"]
    assert kept["groups"] == [{"name": "y", "members": ["m1"], "collapsed": False}]


def test_a_known_circuit_of_edges_gives_precision_and_recall():
    known = ["input->a0.h1<q>", "a1.h2->logits", "m0->logits", "input->a1.h0<v>"]
    overlap = circuit().compare(known)
    assert set(overlap.hit) == set(known[:2])
    assert set(overlap.miss) == set(known[2:])
    assert len(overlap.extra) == 3
    assert (overlap.precision, overlap.recall) == (0.4, 0.5)
    assert str(overlap) == "precision 0.40, recall 0.50 (2 edges shared, 2 missed, 3 extra)"


def test_a_known_circuit_of_heads_leaves_input_and_logits_alone():
    overlap = circuit().compare({"mover": ["1.2"], "previous": ["0.1", "0.2"]})
    assert overlap.level == "node"
    assert overlap.hit == ("a0.h1", "a1.h2")
    assert overlap.miss == ("a0.h2",)
    assert overlap.extra == ("m1",)
    assert overlap.precision == pytest.approx(2 / 3)


def test_a_circuit_compared_with_itself_is_all_hits():
    ours = circuit()
    assert ours.compare(ours).precision == ours.compare(ours.graph).recall == 1
    with pytest.raises(ValueError, match="another network"):
        ours.compare(Graph.build(3, 3))
    with pytest.raises(ValueError, match="empty"):
        ours.compare([])
    with pytest.raises(ValueError, match=r"'9\.9'"):
        ours.compare(["9.9"])


def test_the_numbers_at_the_selected_head_are_its_edges():
    frame = circuit().at({"layer": 1, "head": 2})
    assert set(frame[frame["in_graph"]]["edge"]) == {"a0.h1->a1.h2<k>", "a1.h2->logits"}
    assert set(circuit().at({"node": "m1"})["writer"]) >= {"input", "m1"}
    assert circuit().at({"token": 3}).empty
