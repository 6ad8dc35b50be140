"""A circuit as data: its table, its summary, its file, its live cut."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.base import NotLiveError, load
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph


@pytest.fixture
def circuit() -> CircuitResult:
    graph = Graph.build(layers=2, heads=3)
    rng = np.random.default_rng(1)
    graph = graph.with_scores(np.where(graph.real_edge_mask, rng.normal(size=graph.shape), 0))
    result = CircuitResult.from_graph(
        graph.top_n(10),
        metric="logit difference (logits)",
        values={"clean": 3.5, "corrupted": -1.25},
        title="EAP-IG",
        size=10,
    )
    result.arrays["faithfulness_sizes"] = np.array([1, 10, graph.n_edges], np.int32)
    result.arrays["faithfulness"] = np.array([-0.1, 1.25, 1.0], np.float32)
    return result


def test_the_table_has_every_real_edge_strongest_first(circuit):
    frame = circuit.frame()
    assert len(frame) == circuit.graph.n_edges
    assert frame["score"].abs().is_monotonic_decreasing
    assert list(frame["edge"][:3]) == [name for name, _ in circuit.top(3)]
    assert frame["in_graph"][:10].all()
    assert not frame["in_graph"][10:].any()
    assert set(frame["input"]) == {"q", "k", "v", "mlp", "logits"}


def test_the_summary_names_metric_faithfulness_and_edges(circuit):
    text = circuit.text()
    assert "10 of" in text
    assert "3.5 clean, -1.25 corrupted" in text
    assert "faithfulness 1.25" in text  # never clipped
    assert circuit.top(1)[0][0] in text


def test_save_and_load_keep_everything_but_the_live_cut(circuit, tmp_path):
    circuit.cutter = lambda mask: float(mask.sum())
    assert circuit.metric_with_cut(["input->m0", "a0.h1->a1.h2<k>"]) == 2
    again = load(circuit.save(tmp_path / "circuit"))
    assert isinstance(again, CircuitResult)
    assert again.graph == circuit.graph
    assert again.faithfulness == circuit.faithfulness
    assert not again.can_cut
    with pytest.raises(NotLiveError, match="rerun"):
        again.metric_with_cut(["input->m0"])


def test_a_cut_of_an_edge_that_is_not_there_is_refused_before_the_model_runs(circuit):
    circuit.cutter = lambda mask: pytest.fail("ran the model")
    with pytest.raises(KeyError, match="no edge"):
        circuit.metric_with_cut(["m1->m0"])


def test_scores_of_another_network_are_refused():
    with pytest.raises(ValueError, match="need \\(9, 21\\)"):
        CircuitResult({"scores": np.zeros((4, 4))}, {"layers": 2, "heads": 3})
