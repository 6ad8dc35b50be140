"""Circuits by search, by learned gates and by flow, on real architectures."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from interp_widgets.methods import circuits
from interp_widgets.methods.circuit import circuit
from interp_widgets.methods.circuits import SCORERS, CircuitError
from interp_widgets.methods.circuits.engine import ModelEngine
from interp_widgets.session.errors import Cancelled
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.session import Session
from tests import families


def ids(count, length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 61, (count, length), generator=generator).tolist()


@pytest.fixture(scope="module", params=["llama", "gpt_neox", "gemma2"])
def session(request):
    return Session(families.build(request.param))


@pytest.fixture
def pairs(session):
    clean = [session.prompt(x, answer=5, foil=9) for x in ids(3, 6, 0)]
    return clean, [session.prompt(x) for x in ids(3, 6, 2)]


def test_flow_is_the_share_of_what_the_stream_holds(session, pairs):
    """A layer's heads: proximities from plain captures of the stream and of what was added."""
    found = circuit(*pairs, method="flow-routes", positions=True, faithfulness=False, size=20)
    scores = found.numpy("unit_scores")
    graph = found.graph
    wanted = np.zeros((graph.n_forward, 6))
    for prompt in pairs[0]:
        acts = session.capture(prompt, ["resid_pre.0", "resid_pre.1", "mlp_out.0"])
        stream = acts["resid_pre.1"]
        engine = ModelEngine(session, PromptBatch((prompt,)))
        heads = engine.writers(PromptBatch((prompt,)))[0][1 : 1 + graph.heads, 0]
        parts = [acts["resid_pre.0"], *heads, acts["mlp_out.0"]]
        near = torch.stack(
            [(stream.abs().sum(-1) - (stream - part).abs().sum(-1)).clamp_min(0) for part in parts]
        )
        wanted[: len(parts)] += (near / near.sum(0)).numpy() / 3
    for slot in "qkv":
        np.testing.assert_allclose(scores[:, graph.reader(1, 2, slot)], wanted, atol=1e-4)
    np.testing.assert_allclose(scores.sum(0), 1, atol=1e-5)
    other = circuit(pairs[0], pairs[1][::-1], method="flow-routes", faithfulness=False)
    np.testing.assert_allclose(other.numpy("scores"), scores.mean(-1), atol=1e-6)


def test_a_search_keeps_its_circuits(session, pairs):
    found = circuit(*pairs, method="acdc", options={"taus": [0.2, 0.02]}, sizes=[1.0])
    kept = found.numpy("kept_by_tau")
    assert kept.shape == (2, *found.graph.shape)
    np.testing.assert_allclose(
        found.numpy("scores"), np.where(kept[0], 0.2, np.where(kept[1], 0.02, 0)), atol=1e-6
    )
    assert "taus 0.2/0.02" in found.meta["scoring"]
    chosen = found.graph.with_edges(kept[1])
    lost = circuits.cut(session, found, chosen.complement().in_graph)
    assert lost == pytest.approx(found.metric_with_cut(chosen.complement().in_graph))


@pytest.mark.parametrize("method", ["edge-pruning", "ugs"])
def test_gates_are_learned_again_from_the_recipe(pairs, method):
    options = {"edge-pruning": {"sparsity": 0.7}, "ugs": {"price": 0.01}}[method]
    found = circuit(*pairs, method=method, steps=6, options=options, sizes=[1.0], seed=1)
    again = found.rerun()
    np.testing.assert_allclose(again.numpy("scores"), found.numpy("scores"), atol=1e-5)
    other = circuit(*pairs, method=method, steps=6, options=options, faithfulness=False, seed=2)
    assert np.abs(other.numpy("scores") - found.numpy("scores")).max() > 1e-3
    assert (found.numpy("scores")[~found.graph.real_edge_mask] == 0).all()
    assert found.recipe.arguments["options"] == options
    for level, positions in (("node", True), ("node", False), ("edge", True)):
        own = circuit(
            *pairs, method=method, steps=2, level=level, positions=positions, faithfulness=False
        ).numpy("unit_scores")
        assert own.shape == (
            (found.graph.shape if level == "edge" else (found.graph.n_forward,))
            + ((6,) if positions else ())
        )


def test_learned_gates_are_worth_more_than_chance(pairs):
    """The gates that Edge Pruning leaves open lose less than random edges of that number."""
    found = circuit(
        *pairs, method="edge-pruning", metric="kl", steps=60, options={"sparsity": 0.6}, sizes=[1.0]
    )
    real = found.graph.real_edge_mask
    n = round(float(found.numpy("gate")[real].sum()))
    assert 0.1 < n / real.sum() < 0.75
    own = found.metric_with_cut(found.graph.top_n(n).complement().in_graph)
    rng = np.random.default_rng(0)
    lost = []
    for _ in range(5):
        scores = np.where(real, rng.random(real.shape), 0)
        drawn = found.graph.with_scores(scores).top_n(n)
        lost.append(found.metric_with_cut(drawn.complement().in_graph))
    assert own < 0.5 * min(lost)


def test_a_long_search_is_cancelled(session, pairs):
    job = session.submit(
        lambda: circuit(*pairs, method="ugs", steps=100_000, sizes=[1.0]), label="Circuit"
    )
    seen = []
    while len(seen) < 3:
        if job.progress_done > (seen[-1] if seen else 0):
            seen.append(job.progress_done)
        time.sleep(0.01)
        assert not job.finished
        if job.progress_total and not job.progress_done:
            break  # 100,000 steps move the bar of 1,000 slowly
    job.cancel()
    with pytest.raises(Cancelled):
        job.result(20)


def test_options_that_a_method_does_not_have_are_refused(session, pairs):
    with pytest.raises(CircuitError, match=r"no option 'tau'; it takes taus=\("):
        circuit(*pairs, method="acdc", options={"tau": 0.1})
    with pytest.raises(CircuitError, match="EAP-IG has no option 'sparsity'; it takes none"):
        circuit(*pairs, options={"sparsity": 0.5})
    with pytest.raises(ValueError, match="steps must be at least 1"):
        circuit(*pairs, method="ugs", steps=0)
    with pytest.raises(ValueError, match="share of gates to shut"):
        circuit(*pairs, method="edge-pruning", options={"sparsity": -1})
    with pytest.raises(CircuitError, match="ACDC scores edges, not nodes"):
        circuit(*pairs, method="acdc", level="node")


def test_every_method_says_where_it_comes_from():
    assert {"acdc", "edge-pruning", "ugs", "flow-routes", "eap", "eap-ig"} <= set(SCORERS)
    assert all(scorer.paper.startswith("arXiv:") for scorer in SCORERS.values())


def test_the_signed_ranking_takes_what_speaks_for_the_answer(session, pairs):
    found = circuit(*pairs, faithfulness=False)
    n = 30
    by_score = found.graph.top_n(n, absolute=False).prune()
    signed = circuits.evaluate(session, found, sizes=[n, 1.0], absolute=False)
    unsigned = circuits.evaluate(session, found, sizes=[n, 1.0])
    expected = found.metric_with_cut(by_score.complement().in_graph)
    assert signed.metric[0] == pytest.approx(expected, abs=1e-4)
    assert abs(signed.metric[0] - unsigned.metric[0]) > 1e-3
    assert signed.metric[1] == pytest.approx(unsigned.metric[1], abs=1e-5)
