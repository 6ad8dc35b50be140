"""Values on tokens."""

from __future__ import annotations

import numpy as np
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


def test_normalised_values_have_a_largest_magnitude_or_a_sum_of_one():
    result = make([[0.5, -2.0, float("nan"), 1.5]])
    assert result.normalised(0, "max")[[0, 1, 3]].tolist() == [0.25, -1.0, 0.75]
    shares = result.normalised(0, "sum")[[0, 1, 3]]
    assert abs(shares).sum() == pytest.approx(1)
    assert make([[0.0, 0.0, 0.0, 0.0]]).normalised(0, "sum").tolist() == [0, 0, 0, 0]


def test_the_numbers_at_a_selected_token_are_its_column():
    result = make([[0.1, -2.0, 0.3, 1.5], [1.0, 2.0, 3.0, 4.0]], channels=["effect", "norm"])
    assert result.at({"token": 1}).value.tolist() == [-2.0, 2.0]
    assert len(result.at({})) == 8
    assert result.at({"token": 9}).empty


def test_the_top_channels_are_those_of_numpy_and_a_query_narrows_them():
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(300, 4, generator=draw, dtype=torch.float64)
    names = [f"L{i // 100}N{i % 100}" for i in range(300)]
    result = TokensResult({"values": values}, {"tokens": TOKENS, "channels": names})
    best = values[:, 2].argsort(descending=True)[:5]
    assert [name for name, _ in result.top("token", 5, token=2)] == [names[i] for i in best]
    layer = values[200:].abs().amax(1)
    assert result.top("magnitude", 1, query="L2N")[0][0] == names[200 + int(layer.argmax())]


def test_a_channel_is_found_by_name_or_index():
    result = make([[0.1, -2.0, 0.3, 1.5], [1.0, 2.0, 3.0, 4.0]], channels=["effect", "norm"])
    assert (result.channel("norm"), result.channel(0)) == (1, 0)
    with pytest.raises(ValueError, match="no channel 'size'; there are effect, norm"):
        result.channel("size")


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


def test_an_attribution_matrix_is_an_array_whose_later_tokens_are_masked():
    values = np.array([[1.0, 0, 0, 0], [0.5, -2.0, 0, 0], [0.25, 3.0, 0, 0]])
    meta = {"tokens": ["a", "b", "<script>", "d"], "targets": [1, 2, 3], "quantity": "attribution"}
    result = TokensResult({"values": values}, {**meta, "channels": ["b", "<script>", "d"]})
    matrix = result.matrix()
    assert matrix.dims == ["target", "position"]
    assert matrix.meta["labels"]["target"] == ["b", "<script>", "d"]
    assert matrix.numpy("mask").tolist() == [
        [False, True, True, True],
        [False, False, True, True],
        [False, False, False, True],
    ]
    np.testing.assert_array_equal(matrix.numpy("values"), values)
    plain = TokensResult({"values": values}, {"tokens": list("abcd"), "channels": list("xyz")})
    with pytest.raises(ValueError, match="only channels that explain tokens"):
        plain.matrix()
