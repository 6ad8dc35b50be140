"""Several methods score the same units; what disagrees is named."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import interp_widgets as iw
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.crosscheck import spearman
from tests.backdoor import CLASS_TOKENS, backdoor_session, sentences
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER, open_session


def backdoor_pairs(count=12):
    session = backdoor_session()
    sides = []
    for trigger in (True, False):
        texts, topics = sentences(4 * count, 31, trigger=trigger)
        sides.append(
            [
                session.prompt(t, answer=CLASS_TOKENS[1], foil=CLASS_TOKENS[0])
                for t, k in zip(texts, topics, strict=True)
                if k == 0
            ][:count]
        )
    return sides


@pytest.fixture(scope="module")
def agreement():
    return iw.crosscheck(*backdoor_pairs())


def test_every_quick_method_that_scores_heads_takes_part(agreement):
    names = agreement.meta["names"]
    assert {"exact", "eap", "eap-ig", "cdt", "direct", "attention", "probe"} <= set(names)
    assert "edge-pruning" not in names
    n = len(names)
    assert agreement.values.shape == (n, n)
    assert agreement.arrays["scores"].shape == (n, 8)
    assert agreement.meta["units"][:2] == ["a0.h0", "a0.h1"]
    values = agreement.numpy("values")
    assert np.allclose(np.diag(values), 1)
    assert np.allclose(values, values.T, atol=1e-6)


def test_agreement_is_spearmans_correlation_of_the_scores(agreement):
    scores = agreement.numpy("scores")
    expected = spearmanr(scores.T).statistic
    assert np.allclose(agreement.numpy("values"), expected, atol=1e-5)
    tied = np.array([[1.0, 1, 2, 3, 3], [5.0, 4, 4, 2, 1]])
    assert spearman(tied)[0, 1] == pytest.approx(spearmanr(*tied).statistic)


def test_methods_of_the_same_idea_agree_and_others_are_named(agreement):
    names, values = agreement.meta["names"], agreement.numpy("values")

    def of(a, b):
        return values[names.index(a), names.index(b)]

    assert of("exact", "clean-corrupted") > 0.7  # gradients at both ends see what saturates
    p = agreement.numpy("p")
    assert p[names.index("exact"), names.index("clean-corrupted")] < 0.05
    for pair in agreement.meta["disagreements"]:
        assert pair in agreement.meta["note"]
    low = [(i, j) for i in range(len(names)) for j in range(i) if not values[i, j] >= 0.5]
    assert len(agreement.meta["disagreements"]) == len(low)


def test_scores_are_those_of_the_methods_themselves(agreement):
    clean, corrupted = backdoor_pairs()
    names, scores = agreement.meta["names"], agreement.numpy("scores")
    own = iw.circuit(clean, corrupted, method="eap", level="node", faithfulness=False)
    graph = own.graph
    rows = [i for i, node in enumerate(graph.forward) if node.name.startswith("a")]
    assert np.allclose(scores[names.index("eap")], np.abs(own.numpy("unit_scores")[rows]))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "qwen2", "gemma2"])
def test_it_runs_on_every_family_by_node_and_on_edges(family):
    session = open_session(family)
    clean, corrupted = session.prompt(IDS, ANSWER, FOIL), session.prompt(OTHER)
    nodes = iw.crosscheck(clean, corrupted, ["exact", "eap", "eap-ig"], by="node", draws=19)
    assert nodes.arrays["scores"].shape == (3, 15)
    assert nodes.meta["units"][-1] == "m2"


def test_edges_and_the_view(tmp_path):
    session = open_session("gpt2")
    clean, corrupted = session.prompt(IDS, ANSWER, FOIL), session.prompt(OTHER)
    edges = iw.crosscheck(clean, corrupted, ["eap", "eap-ig", "flow-routes"], by="edge", draws=19)
    assert len(edges.meta["units"]) == edges.arrays["scores"].shape[1] > 100
    view = edges.view()
    assert view.spec["dims"]
    view.close()
    assert edges.figure().png().startswith(b"\x89PNG")
    loaded = iw.load(edges.save(tmp_path / "agreement"), session)
    assert np.allclose(loaded.rerun().numpy("values"), edges.numpy("values"), atol=1e-5)


def test_methods_that_cannot_are_told():
    session = open_session("gpt2")
    clean, corrupted = session.prompt(IDS, ANSWER, FOIL), session.prompt(OTHER)
    with pytest.raises(CircuitError, match="'acdc' does not score heads; these do: eap"):
        iw.crosscheck(clean, corrupted, ["acdc", "eap"])
    with pytest.raises(CircuitError, match="agreement needs two methods"):
        iw.crosscheck(clean, corrupted, ["eap"])
    with pytest.raises(CircuitError, match="a probe needs four pairs"):
        iw.crosscheck(clean, corrupted, ["eap", "probe"])
