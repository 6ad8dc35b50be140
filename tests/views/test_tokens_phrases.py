"""Words of a tokens view made phrases, and heads its target: Python's side of it."""

from __future__ import annotations

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.results.base import NotLiveError
from tests.views.fakes import look, record
from tests.views.test_tokens import made

TEXT = "When Mary and John went to the store, John gave a drink to"
UNITS = [[0], [1], [2, 3, 4], *([i] for i in range(5, 15))]


@pytest.fixture(scope="module")
def demo():
    return iw.demo()


@pytest.fixture
def prompt(demo):
    demo.interventions.clear()
    return demo.prompt(TEXT, answer=" Mary", foil=" John")


def ask(view, **payload):
    """Send the request as the browser does, wait for the worker, return the answer."""
    sent = record(view)
    message = {"kind": "request", "id": "a-1", "name": "explain", "payload": payload}
    view._receive(view, message, [])
    view.session.run(lambda: None)
    return sent[-1][0]


def test_words_that_were_dragged_over_are_one_phrase_also_after_an_intervention(demo, prompt):
    view = iw.phrase_importance(prompt).view()
    look(view)
    assert view.spec["asked"] == {"units": "word", "head": None}
    assert ask(view, units=UNITS, head=None)["ok"]
    assert view.spec["revision"] == 1
    assert view.spec["asked"]["units"] == UNITS
    assert [unit["at"] for unit in view.spec["units"]] == UNITS
    alone = iw.phrase_importance(prompt, units=UNITS)
    np.testing.assert_array_equal(view.current.numpy("values"), alone.numpy("values"))
    assert view.current is view.base
    assert not view.spec["changed"]
    assert view.status["phase"] == "live"
    demo.ablate("z", layer=1, head=2)
    demo.run(lambda: None)
    assert [unit["at"] for unit in view.spec["units"]] == UNITS
    assert "interventions are not in these numbers" in view.spec["note"]
    again = ask(view, units="phrase", head=None)  # asked with the intervention on
    assert again["ok"]
    demo.interventions.clear()
    demo.run(lambda: None)
    assert not view.spec["note"]
    assert view.spec["asked"]["units"] == "phrase"
    assert len(view.spec["units"]) == len(view.base.units) == len(view.current.units) == 3
    view.close()


def test_a_head_becomes_the_target_and_the_logits_come_back_with_their_foil(prompt):
    view = iw.phrase_importance(prompt, target=" Mary", foil=" store").view()
    logits = view.current
    assert ask(view, units="word", head=[3, 2])["ok"]
    assert view.spec["asked"] == {"units": "word", "head": [3, 2]}
    assert "output of head 3.2" in view.spec["target"]
    assert not view.spec["signed"]
    alone = iw.phrase_importance(prompt, target=(3, 2))
    np.testing.assert_array_equal(view.current.numpy("values"), alone.numpy("values"))
    assert view.figure().caption
    assert ask(view, units="word", head=None)["ok"]
    assert view.current.meta["target"] == logits.meta["target"]
    assert "store" in view.spec["target"]
    np.testing.assert_array_equal(view.current.numpy("values"), logits.numpy("values"))
    view.close()
    other = iw.phrase_importance(prompt, target=(1, 0)).view()
    assert ask(other, units="word", head=None)["ok"]
    assert "Mary" in other.spec["target"]
    other.close()


@pytest.mark.parametrize(
    ("units", "head", "words"),
    [
        ([[1], []], None, "positions from 0 to 14"),
        ([[1, 40]], None, "positions from 0 to 14"),
        ([[1, 2], [2]], None, "in one unit only"),
        ("clause", None, "is not one of"),
        ("word", [9, 0], "no target"),
    ],
)
def test_what_cannot_be_asked_is_said_and_the_view_stays(prompt, units, head, words):
    view = iw.phrase_importance(prompt).view()
    before = view.current
    answer = ask(view, units=units, head=head)
    assert not answer["ok"]
    assert words in answer["error"]["message"]
    assert view.current is before
    assert view.status["phase"] == "live"
    assert view.spec["asked"] == {"units": "word", "head": None}
    view.close()


def test_closed_views_other_results_and_results_without_a_session(prompt, tmp_path):
    result = iw.phrase_importance(prompt)
    view = result.view()
    view.close()
    with pytest.raises(NotLiveError, match="closed"):
        view.on_explain({"units": "token", "head": None})
    plain = iw.attribute(prompt).view()
    assert plain.spec["asked"] is None
    with pytest.raises(ValueError, match="not of words or phrases"):
        plain.on_explain({"units": "token", "head": None})
    plain.close()
    assert made().view().spec["asked"] is None
    stored = iw.load(result.save(tmp_path / "phrases")).view()
    assert not stored.spec["live"]
    with pytest.raises(NotLiveError, match="no session"):
        stored.on_explain({"units": "token", "head": None})
