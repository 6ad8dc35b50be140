"""The concepts view: numbers, flags, steering."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.concepts import ConceptResult
from interp_widgets.views.concepts import FLAGS, ConceptsView, steering_site
from interp_widgets.views.wire import unpack
from tests.views.fakes import FakeSession, ask

EFFECT = [[0.1, 2.0, -0.3, np.nan], [0.0, -4.0, 0.2, 0.1], [0.3, 0.4, 0.5, 0.6]]


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
        "norm": np.array([1, 2, 3, 4.0]),
        "presence": rng.normal(size=(3, 4, 6)).astype(np.float32),
        "member": np.array([[1, 1, -1, -1, 0, 0]] * 3, np.int8),
        "token_presence": rng.normal(size=(3, 4, 13)).astype(np.float32),
    }
    tokens = [["a", " b"], ["c"], ["<script>", "x", "y"], ["z"] * 4, ["u"], ["v", "w"]]
    labels = {
        "concepts": ["stripes", "dots", "<script>"],
        "layers": ["4", "5", "6", "7"],
        "inputs": ["".join(t) for t in tokens],
        "input_tokens": tokens,
    }
    return ConceptResult(arrays, {**labels, "site": "resid_post", **meta}, session=session)


def test_numbers_and_flags_travel_as_they_are():
    view = ConceptsView(concepts())
    first = unpack(view.spec["first"], view.spec["buffers"])
    np.testing.assert_array_equal(first["effect"][0], np.array(EFFECT, np.float32))
    flags = [[FLAGS[i] for i in row] for row in first["flag"][0]]
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
    with pytest.raises(ValueError, match="effects, inputs, examples, steer"):
        ConceptsView(concepts(), show="all")
    with pytest.raises(ValueError, match="stripes, dots"):
        ConceptsView(concepts(), concept="zebra")


def test_steering_moves_by_multiples_of_the_typical_norm():
    session = FakeSession()
    result = concepts(session)
    view = ConceptsView(result)
    assert view.spec["can_steer"]
    view.on_steer({"concept": 1, "layer": 2, "strength": 1.5})
    (item,) = session.interventions
    assert (item.kind, item.site, item.layer) == ("steer", "resid_post", 6)
    assert item.strength == pytest.approx(4.5)  # 1.5 times a norm of 3
    assert item.label == "dots"
    np.testing.assert_allclose(item.direction, result.vector("dots", 2))


def test_the_slider_changes_its_intervention_and_zero_removes_it():
    session = FakeSession()
    view = ConceptsView(concepts(session))
    session.interventions.add({"kind": "ablate", "site": "z", "layer": 0, "head": 1})
    for strength in (1, -2):
        view.on_steer({"concept": 0, "layer": 0, "strength": strength})
    view.on_steer({"concept": 0, "layer": 1, "strength": 1})
    assert [i.kind for i in session.interventions] == ["ablate", "steer", "steer"]
    assert session.interventions[1].strength == pytest.approx(-2.0)
    assert view.spec["steering"] == {"0-0": -2.0, "0-1": 1.0}
    view.on_steer({"concept": 0, "layer": 0, "strength": 0})
    assert [i.layer for i in session.interventions] == [0, 5]
    assert view.spec["steering"] == {"0-1": 1.0}
    session.interventions.undo()
    assert len(session.interventions) == 3
    assert view.spec["steering"] == {"0-0": -2.0, "0-1": 1.0}


def test_inputs_and_their_tokens_travel_layer_by_layer():
    result = concepts(FakeSession())
    view = ConceptsView(result, show="inputs", layer=2)
    message, buffers = ask(view, "inputs", {"layer": 2, "mode": "current"})
    answer = unpack(message["payload"], buffers)
    np.testing.assert_array_equal(answer["presence"], result.numpy("presence")[:, 2])
    np.testing.assert_array_equal(answer["token_presence"], result.numpy("token_presence")[:, 2])
    assert answer["member"][0].tolist() == [1, 1, -1, -1, 0, 0]
    assert answer["tokens"][2] == ["<script>", "x", "y"]
    assert answer["inputs"][0] == "a b"
    table = view.on_table({})
    assert table["columns"] == ["concept", "input", "presence", "role"]
    assert table["total"] == 18
    asked = [payload for name, payload in view.export_requests() if name == "inputs"]
    assert asked == [{"layer": i, "mode": "current"} for i in range(4)]


def test_each_target_has_its_numbers():
    result = concepts(targets=["she", "he"], target_quantities=["on she", "on he"])
    effect = result.numpy("effect")
    result.arrays["targets.effect"] = np.stack([effect, -2 * effect])
    view = ConceptsView(result, target="he")
    assert view.state["target"] == 1
    first = unpack(view.spec["first"], view.spec["buffers"])
    np.testing.assert_array_equal(first["effect"][1], -2 * np.array(EFFECT, np.float32))
    assert view.spec["targets"] == ["she", "he"]
    options = view.figure_options()
    assert (options["target"], options["layer"], options["show"]) == (1, 1, "effects")
    with pytest.raises(ValueError, match="she, he"):
        ConceptsView(result, target="they")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"concept": 9, "layer": 0, "strength": 1}, "no concept 9"),
        ({"concept": 0, "layer": 0, "strength": float("inf")}, "finite"),
    ],
)
def test_steering_that_cannot_be_says_why(payload, reason):
    session = FakeSession()
    with pytest.raises(ValueError, match=reason):
        ConceptsView(concepts(session)).on_steer(payload)
    assert len(session.interventions) == 0


def test_concepts_from_arrays_have_no_place_to_steer_at():
    with pytest.raises(ValueError, match="no site"):
        steering_site(concepts(site=None), 0)


def test_an_exported_page_promises_no_steering():
    view = ConceptsView(concepts(FakeSession()))
    assert view.export_spec()["can_steer"] is False
