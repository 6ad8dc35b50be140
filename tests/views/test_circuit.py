"""The circuit view: what travels to the browser, cutting edges, following the session."""

from __future__ import annotations

import json

import numpy as np
import pytest

from interp_widgets.results.base import load
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.views.circuit import MOST_AT_FIRST, CircuitView, ranked_edges
from interp_widgets.views.wire import unpack


def random_circuit(layers: int = 3, heads: int = 2, seed: int = 0) -> CircuitResult:
    graph = Graph.build(layers, heads)
    scores = np.random.default_rng(seed).normal(size=graph.shape).astype(np.float32)
    graph = graph.with_scores(np.where(graph.real_edge_mask, scores, 7.0)).top_n(12)
    values = {"clean": 3.5, "corrupted": -0.5}
    return CircuitResult.from_graph(graph, metric="logit difference", values=values)


def first_of(view: CircuitView) -> dict:
    return unpack(view.spec["first"], view.spec["buffers"])


def ask(view: CircuitView, name: str, **payload) -> dict:
    """Send a request as the browser does and return the answer."""
    sent = []
    view.send = lambda content, buffers=None: sent.append((content, buffers or []))
    view._receive(view, {"kind": "request", "id": "1", "name": name, "payload": payload}, [])
    ((answer, buffers),) = sent
    return {**answer, "payload": unpack(answer.get("payload"), buffers)}


def test_edges_come_strongest_first_and_only_real_ones():
    result = random_circuit()
    graph = result.graph
    first = first_of(CircuitView(result))
    rows, columns = np.divmod(first["flat"], graph.n_backward)
    assert len(first["flat"]) == graph.n_edges == len(set(first["flat"].tolist()))
    assert graph.real_edge_mask[rows, columns].all()
    assert (np.diff(np.abs(first["score"])) <= 0).all()
    np.testing.assert_array_equal(first["score"], graph.scores[rows, columns])
    top = [graph.edge_name(int(r), int(c)) for r, c in zip(rows[:5], columns[:5], strict=True)]
    assert top == [name for name, _ in result.top(5)]


def test_edges_without_a_finite_score_are_counted_but_not_drawn():
    result = random_circuit()
    at = result.graph.edge("input->m0")
    result.arrays["scores"][at] = np.nan
    view = CircuitView(result)
    assert view.spec["unscored"] == 1
    assert view.spec["total"] == result.graph.n_edges - 1
    assert np.isfinite(first_of(view)["score"]).all()


def test_a_gpt2_small_graph_is_small_on_the_wire():
    result = random_circuit(layers=12, heads=12)
    view = CircuitView(result)
    assert view.spec["total"] == 32_491
    bytes_sent = sum(len(b) for b in view.spec["buffers"])
    assert bytes_sent == 32_491 * 8
    text = json.dumps({k: v for k, v in view.spec.items() if k != "buffers"})
    assert len(text) < 20_000


def test_more_edges_than_the_first_paint_takes_follow_on_request():
    result = random_circuit(layers=24, heads=8)
    view = CircuitView(result)
    assert view.spec["total"] > MOST_AT_FIRST == len(first_of(view)["flat"])
    rest = ask(view, "edges", mode="current", start=MOST_AT_FIRST, stop=view.spec["total"])
    flat = np.concatenate([first_of(view)["flat"], rest["payload"]["flat"]])
    np.testing.assert_array_equal(flat, ranked_edges(result)[0])
    assert ("edges", {"mode": "current", "start": MOST_AT_FIRST, "stop": len(flat)}) in list(
        view.export_requests()
    )


def test_the_slider_starts_at_the_chosen_circuit():
    result = random_circuit()
    assert CircuitView(result).state["size"] == 12
    result.meta["size"] = 20  # the chosen edges were pruned from the 20 strongest
    assert CircuitView(result).state["size"] == 20
    assert CircuitView(result, size=5, layout="packed").state["layout"] == "packed"


@pytest.mark.parametrize("size", [0, -3, 10**6])
def test_a_size_that_is_not_there_is_refused(size):
    with pytest.raises(ValueError, match="size must be between 1 and"):
        CircuitView(random_circuit(), size=size)


def test_an_unknown_layout_or_keyword_is_refused():
    with pytest.raises(ValueError, match="packed"):
        CircuitView(random_circuit(), layout="circle")
    with pytest.raises(TypeError, match="colour"):
        CircuitView(random_circuit(), colour="red")


def test_faithfulness_of_each_size_stands_beside_the_slider():
    result = random_circuit()
    assert CircuitView(result).spec["faithfulness"] is None
    result.arrays["faithfulness_sizes"] = np.array([5, 20])
    result.arrays["faithfulness"] = np.array([0.25, np.nan], np.float32)
    assert CircuitView(result).spec["faithfulness"] == {"sizes": [5, 20], "values": [0.25, None]}


def test_cutting_edges_measures_exactly_these_edges():
    result = random_circuit()
    masks = []
    result.cutter = lambda mask: masks.append(mask) or 1.25
    view = CircuitView(result)
    graph = result.graph
    row, column = graph.edge("a0.h1->a2.h0<k>")
    answer = ask(view, "cut", edges=[row * graph.n_backward + column])
    assert answer["ok"]
    assert answer["payload"] == {"value": 1.25}
    assert masks[0].sum() == 1
    assert masks[0][row, column]
    ask(view, "cut", edges=[])
    assert masks[1].sum() == 0


def test_a_cut_that_cannot_be_is_answered_with_a_reason():
    result = random_circuit()
    graph = result.graph
    view = CircuitView(result)
    assert view.spec["can_cut"] is False
    flat = graph.edge("input->logits")[1]
    assert "live" in ask(view, "cut", edges=[flat])["error"]["message"]
    result.cutter = lambda mask: 0.0
    backwards = (graph.n_forward - 1) * graph.n_backward
    assert "runs backwards" in ask(view, "cut", edges=[backwards])["error"]["message"]
    assert "no edge" in ask(view, "cut", edges=[10**9])["error"]["message"]


def test_after_a_rerun_the_base_is_still_there():
    before, after = random_circuit(seed=0), random_circuit(seed=1)
    view = CircuitView(before)
    view.set_result(after)
    assert view.spec["revision"] == 1
    np.testing.assert_array_equal(first_of(view)["score"], ranked_edges(after)[1])
    base = ask(view, "edges", mode="base", start=0, stop=10**9)["payload"]
    np.testing.assert_array_equal(base["flat"], ranked_edges(before)[0])


def test_an_exported_page_promises_no_cuts():
    result = random_circuit()
    result.cutter = lambda mask: 0.0
    view = CircuitView(result)
    assert view.spec["can_cut"] is True
    assert view.export_spec()["can_cut"] is False


def test_the_table_lists_edges_by_strength():
    answer = ask(CircuitView(random_circuit()), "table")["payload"]
    assert answer["columns"][:3] == ["edge", "writer", "reader"]
    scores = [abs(row[answer["columns"].index("score")]) for row in answer["rows"]]
    assert scores == sorted(scores, reverse=True)


def test_a_closed_view_holds_nothing():
    view = CircuitView(random_circuit())
    view.close()
    assert view.current is None
    assert view._ranked == {}


CLASSES = {"early": ["0.1"], "late <b>": ["2.0", "2.1"]}


def test_what_is_arranged_in_the_view_is_saved_with_the_result(tmp_path):
    result = random_circuit()
    view = CircuitView(result)
    groups = [{"name": "early", "members": ["a0.h1", "gone"], "collapsed": True}]
    view.state = {**view.state, "groups": groups, "pins": ["m1"], "notes": {"m1": "why?"},
                  "positions": {"m1": [0.5, 0.25]}, "size": 30}  # fmt: skip
    kept = load(result.save(tmp_path / "circuit"))
    assert kept.arrangement == {
        "positions": {"m1": [0.5, 0.25]},
        "groups": [{"name": "early", "members": ["a0.h1"], "collapsed": True}],
        "pins": ["m1"],
        "notes": {"m1": "why?"},
        "size": 30,
    }
    again = kept.view()
    assert again.state["size"] == 30
    assert again.state["layout"] == "classes"
    assert again.state["pins"] == ["m1"]


def test_a_rerun_keeps_what_was_arranged_by_the_names_of_the_nodes():
    view = CircuitView(random_circuit(seed=0), groups=CLASSES)
    again = random_circuit(seed=1)
    view.set_result(again)
    assert [g["name"] for g in again.arrangement["groups"]] == list(CLASSES)
    view.state = {**view.state, "pins": ["a2.h0"]}
    assert view.base.arrangement["pins"] == view.current.arrangement["pins"] == ["a2.h0"]


def test_a_view_that_nobody_touched_leaves_the_result_alone():
    result = random_circuit()
    view = CircuitView(result)
    view.state = {**view.state, "layout": "packed"}
    assert "arrangement" not in result.meta


def test_a_reference_travels_as_places_in_the_matrix_or_as_nodes():
    result = random_circuit()
    graph = result.graph
    name = result.top(1)[0][0]
    row, column = graph.edge(name)
    view = CircuitView(result, reference=[name], connected=False)
    assert view.spec["reference"] == {"level": "edge", "flat": [row * graph.n_backward + column]}
    assert view.figure_options()["reference"] == [name]
    assert "recall 1.00" in view.figure().caption
    nodes = CircuitView(result, reference={"movers": ["2.0", "MLP 1"]}).spec["reference"]
    assert nodes == {"level": "node", "nodes": ["a2.h0", "m1"]}
    with pytest.raises(KeyError, match="after"):
        CircuitView(result, reference=["m2->m0"])
    with pytest.raises(ValueError, match=r"9\.9"):
        CircuitView(result, groups={"x": ["9.9"]})


def test_effects_that_were_measured_exactly_go_with_their_edges():
    result = random_circuit()
    exact = np.full(result.graph.shape, np.nan, np.float32)
    name, _ = result.top(2)[1]
    exact[result.graph.edge(name)] = 0.75
    result.arrays["exact"] = exact
    sent = first_of(CircuitView(result))["exact"]
    assert sent[1] == 0.75
    assert np.isnan(np.delete(sent, 1)).all()
