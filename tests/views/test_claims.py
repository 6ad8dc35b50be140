"""Cards of claims in the view: controls before the test, a locked verdict after it."""

from __future__ import annotations

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.results.claims import ClaimsResult
from interp_widgets.views.claims import ClaimsView
from tests.methods.conftest import open_session
from tests.views.fakes import ask, look

TAG = "<script>alert(1)</script>"


def card(*, passed=True, **more):
    row = {"lamp": "F", "name": "intervention", "wanted": "0.2 or more", "value": 0.4, "low": 0.3}
    facts = {
        "statement": TAG,
        "kind": "explain",
        "model": "tiny",
        "mechanism": "head 0.1",
        "prediction": "Ablating head 0.1 lowers the accuracy by at least 0.2.",
        "metric": "accuracy",
        "effect": "drops",
        "minimum": 0.2,
        "threshold": 0.5,
        "cause": True,
        "lamps": {"F": passed, "R": None, "P": None},
        "status": "stands" if passed else "refuted",
        "rows": [{**row, "high": 0.5, "p": 0.048, "passed": passed, "reading": "as foretold"}],
        "value": 0.4,
        "snapshot": {"accuracy": 1.0, "low": 1.0, "high": 1.0, "confidence": 0.9},
        "inputs": [{"tokens": [" When", TAG], "answer": " a", "foil": " b"}],
        "log": [{"what": "ablate"}] * 61,
    }
    return {**facts, **more}


def result(**more):
    arrays = {
        "0.null": np.linspace(-0.1, 0.1, 20),
        "0.score": np.array([0.9, 0.2, 0.8]),
        "0.margin": np.array([1.0, 2.0, -1.0]),
        "0.forecast": np.array([0.1, 0.2, 0.9]),
        "0.failed": np.array([0.0, 0.0, 1.0]),
    }
    return ClaimsResult(arrays, {"cards": [card(**more), card(passed=False)], "title": "Report"})


@pytest.fixture
def claim():
    session = open_session("gpt2")
    rng = np.random.default_rng(5)
    data = [session.prompt(rng.integers(5, 60, 7).tolist(), answer=17, foil=8) for _ in range(24)]
    seen, sealed = iw.claims.split(data)
    return iw.claims.register(
        session,
        "head 1.2 writes the answer",
        iw.claims.Parts(["1.2"]),
        iw.claims.Prediction("logit_difference", "drops", 0.1, on=sealed),
        seen,
        floor=0.0,
    )


def test_a_card_from_a_file_is_shown_and_offers_nothing_to_change():
    view = ClaimsView(result())
    look(view)
    shown = view.spec["cards"]
    assert [c["status"] for c in shown] == ["stands", "refuted"]
    assert not any(c["can_test"] or c["can_change"] for c in shown)
    assert shown[0]["runs"] == 61
    assert "log" not in shown[0]
    assert len(view.spec["first"]["numbers"]) == 2
    message, _ = ask(view, "input", {"claim": 0, "input": 0})
    assert message["payload"]["tokens"] == [" When", TAG]
    message, _ = ask(view, "minimum", {"claim": 0, "value": 0.3})
    assert "from a file" in str(message)
    message, _ = ask(view, "input", {"claim": 0, "input": 9})
    assert "there is no 9" in str(message)
    page = view.to_html()
    assert TAG not in page
    view.close()
    with pytest.raises(ValueError, match="there is no claim 7"):
        ClaimsView(result(), claim=7)


def test_scatter_and_calibration_are_those_of_the_arrays():
    found = result()
    points = found.scatter()
    assert points["correct"].tolist() == [True, True, False]
    assert points["wrong_reason"].tolist() == [False, True, False]
    assert found.calibration(bins=3)["observed"].tolist() == [0.0, 0.0, 1.0]
    assert found.scatter(1).empty
    assert result(cause=False).scatter()["wrong_reason"].tolist() == [True, False, False]
    assert found.lamps() == {
        "falsifiable": "passed",
        "reproducible": "untested",
        "predictive": "untested",
    }


def test_the_minimum_moves_before_the_test_and_is_locked_after_it(claim):
    view = claim.card().view()
    look(view)
    assert view.spec["cards"][0]["can_change"]
    assert view.spec["cards"][0]["rows"] == []
    ask(view, "minimum", {"claim": 0, "value": 0.25})
    assert claim.prediction.min_size == 0.25
    assert view.spec["cards"][0]["minimum"] == 0.25
    assert [e["what"] for e in view.spec["cards"][0]["timeline"]] == ["registered", "changed"]
    view.on_test({"claim": 0})
    shown = view.spec["cards"][0]
    assert claim.tested
    assert shown["rows"]
    assert not shown["can_test"]
    assert not shown["can_change"]
    message, _ = ask(view, "minimum", {"claim": 0, "value": 0.01})
    assert "cannot be changed" in str(message)
    assert claim.prediction.min_size == 0.25
    assert view.spec["can_colour"]
    assert not view.export_spec()["can_colour"]
    tokens = view.on_tokens({"claim": 0, "input": 2})
    assert tokens["values"].values.shape == (7,)
    claim.session.ablate("z", layer=0, head=0)
    assert view.spec["cards"][0]["status"] == shown["status"]
    claim.session.reset()
    view.close()


@pytest.mark.parametrize("venue", [None, "acl", "slides"])
def test_cards_and_report_cards_are_drawn(venue):
    found = result()
    assert "no single score" in found.figure(venue).caption
    figure = found.figure(venue, claim=0)
    assert "right for the wrong reason (1 of 2)" in figure.caption
    assert len(figure.mpl.axes) == 4
    untested = ClaimsResult({}, {"cards": [{**card(), "rows": [], "value": None}]})
    assert "was not tested" in untested.figure(venue).caption
    with pytest.raises(ValueError, match="there is no claim 5"):
        found.figure(claim=5)
