"""Concepts as data: flags, order, table, file."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.base import load
from interp_widgets.results.concepts import ConceptResult


def make(concepts: int = 3, **arrays: np.ndarray) -> ConceptResult:
    rng = np.random.default_rng(2)
    effect = rng.normal(size=(concepts, 2)) + np.arange(concepts)[:, None] * 3
    data = {
        "effect": effect,
        "low": effect - 0.5,
        "high": effect + 0.5,
        "score": rng.uniform(size=effect.shape),
        "p": np.full(effect.shape, 0.001),
        "p_corrected": np.full(effect.shape, 0.006),
        "significant": np.ones(effect.shape, bool),
        "negligible": np.abs(effect) < 1,
        "vectors": rng.normal(size=(concepts, 2, 7)),
    }
    meta = {
        "concepts": [f"c{i}" for i in range(concepts)],
        "layers": ["1", "4"],
        "quantity": "removal effect (logits)",
        "score_name": "TCAV",
    }
    return ConceptResult({**data, **arrays}, meta)


def test_a_flag_tells_relevant_from_merely_significant():
    result = make(
        effect=np.array([[8.0, 0.2], [0.1, np.nan], [5, 5]]),
        negligible=np.array([[False, True], [True, True], [False, False]]),
        significant=np.array([[True, True], [False, False], [True, False]]),
    )
    flags = [[result.flag(c, i) for i in range(2)] for c in range(3)]
    assert flags == [
        ["relevant", "significant but negligible"],
        ["not significant", "undefined"],
        ["relevant", "not significant"],
    ]


def test_the_table_has_one_row_per_concept_and_layer():
    frame = make().frame()
    assert len(frame) == 6
    assert set(frame["layer"]) == {"1", "4"}
    row = frame[(frame["concept"] == "c2") & (frame["layer"] == "4")].iloc[0]
    assert row["low"] < row["effect"] < row["high"]
    assert row["flag"] == "relevant"


def test_order_is_by_the_size_of_the_effect_whatever_its_sign():
    effect = np.array([[1.0, 0], [-9, 0], [2, 5]])
    result = make(effect=effect)
    assert result.order() == [1, 2, 0]
    assert result.order(layer=1) == [2, 0, 1]
    assert result.text().index("c1") < result.text().index("c2")


def test_more_than_thirty_two_concepts_come_with_a_note():
    assert make().note is None
    assert "40 concepts" in make(40).note
    assert "40 concepts" in make(40).text()


def test_vectors_come_by_name_and_unknown_names_are_refused():
    result = make()
    assert np.array_equal(result.vector("c1", 0), result.arrays["vectors"][1, 0])
    with pytest.raises(KeyError, match="c0, c1, c2"):
        result.vector("<script>", 0)


def test_save_and_load(tmp_path):
    result = make()
    again = load(result.save(tmp_path / "c"))
    assert again.frame().equals(result.frame())


def test_arrays_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="concept, layer"):
        make(effect=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="low"):
        make(low=np.zeros((2, 3)))
