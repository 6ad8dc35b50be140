"""The view of a mediation: what it sends, what it runs, what it leaves to a page."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.mediation import MediationResult
from interp_widgets.views.wire import unpack
from tests.views.fakes import ask, look


def result(pairs=4, **meta):
    """Two layers of three heads on a few pairs; total effects near −2."""
    rng = np.random.default_rng(0)
    ends = np.stack([1 + 0.1 * rng.standard_normal(pairs), -1 + 0.1 * rng.standard_normal(pairs)])
    patched = ends[:, None] + 0.3 * rng.standard_normal((2, 6, pairs))
    names = ["<script>alert(1)</script>", *(f"a{i // 3}.h{i % 3}" for i in range(1, 6))]
    mediators = [
        {
            "name": name,
            "type": "head",
            "site": "z",
            "layer": i // 3,
            "head": i % 3,
            "position": None,
            "unit": None,
            "dims": 8,
            "aligned": True,
            "linear": True,
        }
        for i, name in enumerate(names)
    ]
    return MediationResult(
        {"ends": ends, "patched": patched, "identity": np.zeros(6), "expected": -np.ones(pairs)},
        {
            "mediators": mediators,
            "dims": ["layer", "head"],
            "labels": {"layer": ["0", "1"]},
            "metric": "logit difference of ' Mary' over ' John'",
            "metric_name": "logit difference",
            "unit": "logits",
            "pair_texts": [["Mary gave", "John gave"]] * pairs,
            "title": "Causal mediation",
            **meta,
        },
    )


def test_the_first_paint_has_every_effect_with_its_interval():
    given = result()
    view = given.view()
    first = unpack(view.spec["first"], view.spec["buffers"])
    names = [name for name, _ in view.spec["quantities"]]
    assert names == ["effect", "TE", "NIE", "NDE", "NIE_rev", "interaction"]
    np.testing.assert_allclose(first["mean"][names.index("NDE")], given.mean("NDE"), rtol=1e-5)
    np.testing.assert_allclose(first["low"][2], given.interval("NIE")[0], rtol=1e-5)
    assert view.state["mediator"] == given.ranked()[0]
    assert view.spec["shape"] == [2, 3]
    assert view.spec["tunable"] is False
    assert "<script>alert" not in view.to_html()
    view.close()


def test_pairs_are_sent_for_the_chosen_mediator_and_strengths_are_run():
    given = result()
    view = given.view(mediator="a1.h0", quantity="interaction")
    answer, buffers = ask(view, "pairs", {"mediator": 3, "mode": "current"})
    payload = unpack(answer["payload"], buffers)
    np.testing.assert_allclose(payload["effect"], given.per_pair()[3], rtol=1e-5)
    assert payload["texts"][0] == ["Mary gave", "John gave"]
    asked = []

    def tuner(index, strength):
        asked.append((index, strength))
        return given.numpy("ends") + strength

    given.tuner = tuner
    found = view.answer("strength", {"mediator": 3, "strength": 0.5})
    assert asked == [(3, 0.5)]
    assert found["means"][0] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no mediator 9"):
        view.answer("pairs", {"mediator": 9})
    given.tuner = None
    with pytest.raises(RuntimeError, match="live"):
        view.answer("strength", {"mediator": 3, "strength": 0.5})
    look(view)
    requests = list(view.export_requests())
    assert ("pairs", {"mediator": 3, "mode": "current"}) in requests
    view.close()


def test_the_figure_is_of_what_the_view_shows_and_the_table_of_its_page():
    given = result()
    view = given.view(mediator=5, quantity="NDE")
    figure = view.figure()
    words = [t.get_text() for ax in figure.mpl.axes for t in ax.texts]
    assert "a1.h2" in words
    assert any(word.startswith("indirect ") for word in words)
    assert "NDE" in view.table({}).columns
    view.state = {**view.state, "show": "compare"}
    assert "faithfulness" in view.table({}).columns
    assert view.figure().png()
    view.close()
    for options, message in (
        ({"quantity": "total"}, "quantity is one of"),
        ({"mediator": "a9.h9"}, "mediator is one of"),
        ({"mediator": 9}, "no mediator 9"),
        ({"slice": 1}, "no slice 1"),
    ):
        with pytest.raises(ValueError, match=message):
            given.view(**options)


def test_one_pair_a_list_and_one_side():
    single = result(pairs=1)
    assert np.isnan(single.interval()).all()
    assert np.isfinite(single.proportion).all()
    assert single.view().figure().png()
    listed = MediationResult(single.arrays, {**single.meta, "dims": [], "labels": {}})
    assert listed.grid().dims == ["mediator"]
    assert listed.figure("acl").png()
    ends = single.numpy("ends").copy()
    patched = single.numpy("patched").copy()
    ends[1], patched[1] = np.nan, np.nan
    alone = MediationResult(
        {"ends": ends, "patched": patched, "identity": np.zeros(6)}, {**single.meta, "kind": "zero"}
    )
    view = alone.view()
    assert [name for name, _ in view.spec["quantities"]] == ["effect", "CE"]
    assert view.spec["ends"][1] is None
    assert view.figure().png()
    with pytest.raises(ValueError, match="counterfactuals"):
        alone.figure(show="compare")
    view.close()


def test_a_result_that_does_not_fit_is_refused():
    given = result()
    with pytest.raises(ValueError, match="do not fit"):
        MediationResult({**given.arrays, "patched": np.zeros((2, 5, 4))}, given.meta)
    with pytest.raises(ValueError, match="does not hold"):
        MediationResult(given.arrays, {**given.meta, "labels": {"layer": ["0", "1", "2", "3"]}})
    with pytest.raises(KeyError, match="no effect 'CDE'"):
        given.mean("CDE")
