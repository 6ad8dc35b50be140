"""A recipe is plain JSON: it reads back equal, and what is not one says why."""

from __future__ import annotations

import json

import pytest

from interp_widgets.results.recipe import Recipe


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        method="logit_lens",
        arguments={"prompt": {"$prompt": {"ids": [3, 1, 4], "text": "<script>"}}, "k": 5},
        model={"name": "tiny", "dtype": "float32"},
        interventions=[{"kind": "ablate", "site": "z", "on": True}, {"kind": "clamp", "on": False}],
        seed=7,
    )


def test_it_reads_back_equal(recipe):
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json(indent=2))["arguments"]["k"] == 5


def test_its_caption_names_call_model_and_active_interventions(recipe):
    assert str(recipe) == "logit_lens(k=5) on tiny with 1 intervention"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[1]", 'object with a "method"'),
        ('{"method": 3}', 'object with a "method"'),
        ('{"method": "lens", "code": "import os"}', "unknown code"),
        ('{"method": "lens", "arguments": [1]}', '"arguments" must be an object'),
    ],
)
def test_what_is_not_a_recipe_says_why(text, why):
    with pytest.raises(ValueError, match=why):
        Recipe.from_json(text)


def test_numbers_that_json_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        Recipe("steer", {"strength": float("nan")}).to_json()
