"""Values on tokens."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.results.tokens import TokensResult

TOKENS = ["The", " cat", "<script>", " cat"]


def make(values, **meta) -> TokensResult:
    return TokensResult({"values": torch.tensor(values)}, {"tokens": TOKENS, **meta})


def test_the_frame_tells_equal_tokens_apart_by_position():
    result = make([[0.1, -2.0, 0.3, 1.5], [1.0, 1.0, 1.0, 1.0]], channels=["effect", "norm"])
    frame = result.frame()
    assert len(frame) == 8
    cats = frame[(frame.token == " cat") & (frame.channel == "effect")]
    assert cats[["position", "value"]].to_numpy().tolist() == [[1, -2.0], [3, 1.5]]


def test_the_summary_names_the_largest_by_size_and_the_target():
    text = make([[0.1, -2.0, 0.3, 1.5]], target="logit of ' sat'", quantity="attribution").text()
    assert text.startswith("tokens: attribution for logit of ' sat'; largest: ' cat' (1) -2")
    assert "' cat' (3) +1.5" in text


def test_a_value_that_is_not_finite_does_not_hide_the_others():
    assert "' cat' (1) -2" in make([[float("nan"), -2.0, 0.3, 1.5]]).text()


def test_sign_is_read_from_the_data_unless_said():
    assert make([[0.1, -2.0, 0.3, 1.5]]).signed
    assert not make([[0.1, 2.0, 0.3, 1.5]]).signed
    assert make([[0.1, 2.0, 0.3, 1.5]], signed=True).signed


@pytest.mark.parametrize(
    ("values", "meta", "why"),
    [
        ([0.1, 0.2, 0.3, 0.4], {}, r"must be \[channel, position\]"),
        ([[0.1, 0.2]], {}, "4 tokens for 2 positions"),
        ([[0.1, 0.2, 0.3, 0.4]], {"channels": ["a", "b"]}, "2 channel names for 1 channels"),
    ],
)
def test_arrays_that_do_not_fit_the_tokens_are_refused(values, meta, why):
    with pytest.raises(ValueError, match=why):
        make(values, **meta)
