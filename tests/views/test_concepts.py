"""The concepts view: numbers, flags, steering."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.concepts import ConceptResult
from interp_widgets.session.intervention_list import Interventions
from interp_widgets.views.concepts import FLAGS, ConceptsView, steering_site
from interp_widgets.views.wire import unpack

EFFECT = [[0.1, 2.0, -0.3, np.nan], [0.0, -4.0, 0.2, 0.1], [0.3, 0.4, 0.5, 0.6]]


class Live:
    """A session as far as the view knows it."""

    def __init__(self):
        self.interventions = Interventions()
        self.selection = None

    def listen(self, callback):
        return lambda: None


def concepts(session=None, **meta) -> ConceptResult:
    """Three concepts at four layers of width 5."""
    effect = np.array(EFFECT, np.float32)
    rng = np.random.default_rng(0)
    arrays = {
        "effect": effect,
        "low": effect - 0.5,
        "high": effect + 0.5,
        "score": np.full_like(effect, 0.75),
        "p": np.full_like(effect, 0.01),
        "p_corrected": np.full_like(effect, 0.04),
        "significant": np.abs(np.nan_to_num(effect)) > 0.35,
        "negligible": np.abs(np.nan_to_num(effect)) < 1,
        "vectors": rng.normal(size=(3, 4, 5)).astype(np.float32),
        "gap": np.full_like(effect, 2.0),
    }
    labels = {"concepts": ["stripes", "dots", "<script>"], "layers": ["4", "5", "6", "7"]}
    return ConceptResult(arrays, {**labels, "site": "resid_post", **meta}, session=session)


def test_numbers_and_flags_travel_as_they_are():
    view = ConceptsView(concepts())
    first = unpack(view.spec["first"], view.spec["buffers"])
    np.testing.assert_array_equal(first["effect"], np.array(EFFECT, np.float32))
    flags = [[FLAGS[i] for i in row] for row in first["flag"]]
    assert flags[0] == ["not significant", "relevant", "not significant", "undefined"]
    assert flags[2][3] == "significant but negligible"
    assert "score_null" not in view.spec["tables"]


def test_it_opens_on_the_layer_with_the_largest_effect():
    assert ConceptsView(concepts()).state["layer"] == 1
    assert ConceptsView(concepts(), layer=-1).state["layer"] == 3


def test_a_layer_or_sort_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="there are 4"):
        ConceptsView(concepts(), layer=4)
    with pytest.raises(ValueError, match="effect, p, name"):
        ConceptsView(concepts(), sort="size")


def test_steering_moves_by_multiples_of_the_concept():
    session = Live()
    result = concepts(session)
    view = ConceptsView(result)
    assert view.spec["can_steer"]
    view.on_steer({"concept": 1, "layer": 2, "strength": 1.5})
    (item,) = session.interventions
    assert (item.kind, item.site, item.layer) == ("steer", "resid_post", 6)
    assert item.strength == pytest.approx(3.0)  # 1.5 times a gap of 2
    np.testing.assert_allclose(item.direction, result.vector("dots", 2))


def test_the_slider_changes_its_intervention_and_zero_removes_it():
    session = Live()
    view = ConceptsView(concepts(session))
    session.interventions.add({"kind": "ablate", "site": "z", "layer": 0, "head": 1})
    for strength in (1, -2):
        view.on_steer({"concept": 0, "layer": 0, "strength": strength})
    view.on_steer({"concept": 0, "layer": 1, "strength": 1})
    assert [i.kind for i in session.interventions] == ["ablate", "steer", "steer"]
    assert session.interventions[1].strength == pytest.approx(-4.0)
    view.on_steer({"concept": 0, "layer": 0, "strength": 0})
    assert [i.layer for i in session.interventions] == [0, 5]
    session.interventions.undo()
    assert len(session.interventions) == 3


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"concept": 9, "layer": 0, "strength": 1}, "no concept 9"),
        ({"concept": 0, "layer": 0, "strength": float("inf")}, "finite"),
    ],
)
def test_steering_that_cannot_be_says_why(payload, reason):
    session = Live()
    with pytest.raises(ValueError, match=reason):
        ConceptsView(concepts(session)).on_steer(payload)
    assert len(session.interventions) == 0


def test_concepts_from_arrays_have_no_place_to_steer_at():
    with pytest.raises(ValueError, match="no site"):
        steering_site(concepts(site=None), 0)


def test_an_exported_page_promises_no_steering():
    view = ConceptsView(concepts(Live()))
    assert view.export_spec()["can_steer"] is False
