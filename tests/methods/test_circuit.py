"""A user finds a circuit: scores, faithfulness, live cuts, saved and made again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp_widgets.methods import circuits
from interp_widgets.methods.circuit import circuit
from interp_widgets.methods.circuits import CircuitError, Faithfulness
from interp_widgets.methods.circuits.evaluate import sizes_of
from interp_widgets.results.base import load
from interp_widgets.session.session import Session
from tests import families


@pytest.fixture(scope="module")
def session():
    return Session(families.build("llama"))


@pytest.fixture(autouse=True)
def untouched(session):
    yield
    session.reset()


def ids(count, length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 61, (count, length), generator=generator).tolist()


@pytest.fixture
def clean(session):
    return [session.prompt(x, answer=5, foil=9) for x in ids(3, 7, 0) + ids(2, 5, 1)]


@pytest.fixture
def corrupted(session):
    return [session.prompt(x) for x in ids(3, 7, 2) + ids(2, 5, 3)]


def difference(session, prompts, pairs):
    """Mean logit difference by plain captures."""
    values = []
    for prompt, pair in zip(prompts, pairs, strict=True):
        logits = session.capture(prompt, "logits")["logits"][-1]
        values.append(float(logits[pair.answer] - logits[pair.foil]))
    return float(np.mean(values))


def test_a_circuit_from_pairs_of_two_lengths(session, clean, corrupted):
    found = circuit(clean, corrupted, sizes=[10, 0.25, 1.0])
    assert found.meta["values"]["clean"] == pytest.approx(
        difference(session, clean, clean), rel=1e-4
    )
    assert found.meta["values"]["corrupted"] == pytest.approx(
        difference(session, corrupted, clean), rel=1e-4
    )
    n = found.graph.n_edges
    assert [size for size, _ in found.faithfulness] == [10, round(n / 4), n]
    assert found.faithfulness[-1][1] == pytest.approx(1, abs=1e-3)
    assert max(found.meta["checks"].values()) < 1e-4
    assert found.meta["n_pairs"] == 5
    assert found.meta["tokens"] == [str(i) for i in clean[3].ids]  # pairs are sorted by length
    assert found.graph.prune() == found.graph
    assert found.recipe.method == "circuit"


def test_scores_are_means_over_pairs(clean, corrupted):
    options = {"method": "eap", "faithfulness": False}
    whole = circuit(clean, corrupted, **options).numpy("scores")
    parts = [
        circuit(a, b, **options).numpy("scores") for a, b in zip(clean, corrupted, strict=True)
    ]
    np.testing.assert_allclose(whole, np.mean(parts, axis=0), atol=1e-5)
    one_by_one = circuit(clean, corrupted, batch_size=1, **options).numpy("scores")
    np.testing.assert_allclose(whole, one_by_one, atol=1e-5)


@pytest.mark.parametrize("metric", ["logit_difference", "kl"])
def test_exact_scores_are_the_change_of_the_metric_when_one_edge_is_cut(clean, corrupted, metric):
    found = circuit(
        clean[3:], corrupted[3:], method="exact", metric=metric, faithfulness=False, size=20
    )
    lost = {"logit_difference": 1, "kl": -1}[metric]
    for name, score in found.top(4):
        cut = found.metric_with_cut([name])
        assert score == pytest.approx(lost * (found.meta["values"]["clean"] - cut), abs=1e-4)
    everything = found.metric_with_cut(found.graph.real_edge_mask)
    assert everything == pytest.approx(found.meta["values"]["corrupted"], rel=1e-3)
    assert found.graph.count <= 20


def test_attribution_estimates_what_exact_patching_measures():
    torch.manual_seed(0)
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_embd=36,
        n_layer=2,
        n_head=3,
        n_positions=16,
        vocab_size=61,
        bos_token_id=1,
        eos_token_id=2,
    )
    own = Session(GPT2LMHeadModel(config))
    clean = [own.prompt(x, answer=5, foil=9) for x in ids(4, 6, 0)]
    corrupted = [own.prompt(x) for x in ids(4, 6, 2)]
    scores = {
        method: circuit(clean, corrupted, method=method, faithfulness=False).graph
        for method in ("eap", "eap-ig", "exact")
    }
    real = scores["exact"].real_edge_mask
    wanted = scores["exact"].scores[real]
    plain, integrated = (
        np.corrcoef(scores[method].scores[real], wanted)[0, 1] for method in ("eap", "eap-ig")
    )
    assert plain > 0.7
    assert integrated > 0.95


def test_evaluating_on_other_pairs_and_the_size_grid(session, clean, corrupted):
    found = circuit(clean[:3], corrupted[:3], faithfulness=False)
    assert found.faithfulness == []
    curve = circuits.evaluate(session, found, clean[3:], corrupted[3:], sizes=[0, 40, 1.0])
    assert curve.values[0] == pytest.approx(0, abs=1e-3)
    assert curve.values[-1] == pytest.approx(1, abs=1e-3)
    assert curve.metric[0] == pytest.approx(difference(session, corrupted[3:], clean[3:]), rel=1e-3)
    kept = found.graph.top_n(40).prune()
    by_cut = circuits.cut(session, found, kept.complement().in_graph, clean[3:], corrupted[3:])
    assert curve.metric[1] == pytest.approx(by_cut, rel=1e-4)
    assert list(curve.frame()["edges_taken"]) == [0, 40, found.graph.n_edges]


def test_a_saved_circuit_is_made_live_again(session, clean, corrupted, tmp_path):
    found = circuit(clean, corrupted, method="eap", sizes=[0.1])
    again = load(found.save(tmp_path / "circuit"), session)
    assert not again.can_cut
    live = again.rerun()
    np.testing.assert_allclose(live.numpy("scores"), found.numpy("scores"), atol=1e-6)
    assert live.can_cut
    name = found.top(1)[0][0]
    assert circuits.cut(session, again, [name]) == pytest.approx(live.metric_with_cut([name]))


def test_interventions_apply_to_circuits(session, clean, corrupted):
    session.ablate("z", layer=1, head=2)
    found = circuit(clean, corrupted, sizes=[0.5])
    out_of_it = found.graph.scores[found.graph.writer(1, 2)]
    assert (out_of_it == 0).all()
    into_it = [found.graph.scores[:, found.graph.reader(1, 2, slot)] for slot in "qkv"]
    assert np.abs(into_it).max() < 1e-6
    assert found.meta["values"]["clean"] == pytest.approx(
        difference(session, clean, clean), rel=1e-4
    )
    assert len(found.recipe.interventions) == 1


def test_an_intervention_between_components_is_refused_with_the_way_out(session, clean, corrupted):
    session.clamp("resid_mid", 0.5, layer=1, unit=[0, 1, 2])
    with pytest.raises(CircuitError, match="switch those at resid_pre"):
        circuit(clean, corrupted, sizes=[0.5])
    session.undo()
    circuit(clean, corrupted, sizes=[0.5])


def test_bad_input_is_named(session, clean, corrupted):
    with pytest.raises(CircuitError, match="differs in length: 7 tokens clean, 5 corrupted"):
        circuit(clean[0], corrupted[4])
    with pytest.raises(CircuitError, match="5 clean and 2 corrupted"):
        circuit(clean, corrupted[:2])
    with pytest.raises(CircuitError, match="answer and a foil"):
        circuit(corrupted, clean)
    with pytest.raises(CircuitError, match="no gradient at the clean run"):
        circuit(clean, corrupted, method="eap", metric="kl")
    with pytest.raises(CircuitError, match="have to differ"):
        circuit(clean[0], session.prompt(list(clean[0].ids)))
    with pytest.raises(ValueError, match="9999 units"):
        circuit(clean, corrupted, size=9999)
    with pytest.raises(CircuitError, match="prompt or a list"):
        circuits.evaluate(session, circuit(clean, corrupted, faithfulness=False), [], [])
    with pytest.raises(CircuitError, match="names no prompts"):
        circuits.evaluate(session, circuits.Graph.from_session(session))


def curve_of(sizes, values, total):
    """Faithfulness of one pair: 1 with everything whole, 0 with everything cut."""
    return Faithfulness(
        np.array(sizes), np.array(sizes), np.array(values)[:, None], np.ones(1), np.zeros(1), total
    )


def test_a_perfect_ranking_has_the_area_of_the_benchmark():
    sizes = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]) * 10_000
    curve = curve_of(sizes, np.ones(10), 10_000)
    assert curve.cpr == pytest.approx(0.999)
    assert curve.cmd == 0
    late = curve_of(sizes, np.eye(10)[-1], 10_000)
    assert (late.cpr, late.cmd) == pytest.approx((0.25, 0.749))


def test_the_chart_shows_the_measured_points_unclipped():
    chart = curve_of([1, 10, 100], [-0.2, 0.6, 1.3], 100).chart()
    assert list(chart.data[0].x) == [1, 10, 100]
    assert list(chart.data[0].y) == [-0.2, 0.6, 1.3]
    assert chart.layout.yaxis.range is None


def test_intervals_are_over_pairs():
    rng = np.random.default_rng(0)
    samples = rng.normal([[2.0], [4.0]], 0.5, (2, 200))
    curve = Faithfulness(
        np.array([1, 2]), np.array([1, 2]), samples, np.full(200, 5.0), np.full(200, 1.0), 9
    )
    limits = curve.interval()
    wanted = (samples.mean(1) - 1) / 4
    spread = 1.96 * samples.std(1) / 200**0.5 / 4
    np.testing.assert_allclose(limits, wanted[:, None] + np.outer(spread, [-1, 1]), atol=0.01)


def test_sizes_are_numbers_or_shares():
    assert sizes_of(262, [0.5, 3, 0, 1.0]) == [0, 3, 131, 262]
    assert sizes_of(262)[0] == 1  # 0.1 % of a small network is still an edge
    with pytest.raises(ValueError, match="262"):
        sizes_of(262, [263])
