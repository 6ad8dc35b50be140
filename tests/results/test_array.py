"""Labelled arrays: slices by name, tidy frames, honest summaries."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp_widgets.results.array import ArrayResult

TOKENS = [" Mary", "<script>", " Mary", "·", " gave"]


@pytest.fixture
def result() -> ArrayResult:
    values = torch.arange(3 * 5 * 2, dtype=torch.float32).reshape(3, 5, 2) - 4
    return ArrayResult(
        {"values": values},
        {
            "dims": ("layer", "position", "unit"),
            "labels": {"position": TOKENS},
            "quantity": "activation",
        },
    )


def test_a_reader_selects_by_the_name_of_a_dim(result):
    assert result.sizes == {"layer": 3, "position": 5, "unit": 2}
    np.testing.assert_array_equal(result.sel(layer=2, unit=1), [17, 19, 21, 23, 25])
    np.testing.assert_array_equal(result.sel(layer=-1, position=slice(0, 2)), [[16, 17], [18, 19]])


def test_a_wrong_dim_or_index_says_what_there_is(result):
    with pytest.raises(IndexError, match="no dim 'head'; there are layer, position, unit"):
        result.sel(head=0)
    with pytest.raises(IndexError, match="layer 3 is out of range: there are 3"):
        result.sel(layer=3)


def test_the_frame_has_one_row_per_entry_with_index_and_token(result):
    frame = result.frame()
    assert list(frame.columns) == ["layer", "position", "position_label", "unit", "value"]
    assert len(frame) == 30
    row = frame[(frame.layer == 1) & (frame.position == 1) & (frame.unit == 0)].iloc[0]
    assert (row.position_label, row.value) == ("<script>", 8.0)


def test_a_frame_too_large_to_help_is_refused_with_a_way_on():
    values = torch.zeros(1).expand(50, 1000, 1000)  # no memory behind it
    with pytest.raises(ValueError, match=r"50,000,000 entries.*\.sel\(layer=0\)"):
        ArrayResult({"values": values}, {"dims": ("layer", "position", "unit")}).frame()


def test_zero_is_the_middle_only_where_there_are_negative_values(result):
    assert result.signed
    positive = ArrayResult({"values": torch.ones(2, 3)}, {"dims": ("a", "b")})
    assert not positive.signed
    assert ArrayResult({"values": torch.ones(2)}, {"dims": ("a",), "signed": True}).signed


def test_the_summary_finds_extremes_and_counts_what_is_not_finite(result):
    assert "largest 25 at layer 2, position  gave, unit 1" in result.text()
    values = torch.tensor([[1.0, float("nan")], [float("inf"), -2.0]])
    text = ArrayResult({"values": values}, {"dims": ("layer", "head"), "title": "Effect"}).text()
    assert text.startswith("Effect: value, layer × head = 2 × 2")
    assert "largest 1 at layer 0, head 0; smallest -2 at layer 1, head 1" in text
    assert "2 entries are not finite" in text


def test_broken_models_are_summarised_too():
    values = torch.full((2, 3), float("nan"))
    assert (
        "6 entries are not finite" in ArrayResult({"values": values}, {"dims": ("a", "b")}).text()
    )


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ({"dims": ("a",)}, "do not name the 2 dimensions"),
        ({}, "do not name"),
        ({"dims": ("a", "a")}, "differ"),
        ({"dims": ("a", "b"), "labels": {"c": []}}, "not one of the dims"),
        ({"dims": ("a", "b"), "labels": {"b": ["x"]}}, "1 labels for dim 'b' of size 3"),
    ],
)
def test_meta_that_does_not_fit_is_refused(meta, why):
    with pytest.raises(ValueError, match=why):
        ArrayResult({"values": torch.zeros(2, 3)}, meta)
