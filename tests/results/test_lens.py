"""Lens results read like a table of predictions."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.results.lens import LensResult


@pytest.fixture
def lens() -> LensResult:
    ids = torch.tensor(
        [[[3, 1], [2, 3]], [[1, 2], [9, 1]], [[1, 3], [3, 2]]]
    )  # [layer, position, k]
    probs = torch.tensor(
        [[[0.5, 0.1], [0.4, 0.3]], [[0.6, 0.2], [0.9, 0.05]], [[0.7, 0.1], [0.8, 0.1]]]
    )
    return LensResult(
        {"ids": ids, "probs": probs, "entropy": torch.rand(3, 2), "kl": torch.rand(3, 2)},
        {
            "tokens": ["A", "B"],
            "positions": [4, 6],
            "layers": ["embed", "0", "1"],
            "strings": {"1": " x", "2": "</script>", "3": " y"},
            "title": "Logit lens",
        },
    )


def test_one_cell_lists_its_best_tokens(lens):
    assert lens.top(layer=0, position=1) == [
        ("</script>", pytest.approx(0.4)),
        (" y", pytest.approx(0.3)),
    ]


def test_a_token_without_a_string_shows_its_id(lens):
    assert lens.top(1, 1)[0][0] == "#9"


def test_the_frame_has_a_row_per_layer_position_and_rank_at_the_prompts_positions(lens):
    frame = lens.frame()
    assert len(frame) == 3 * 2 * 2
    assert sorted(frame.position.unique()) == [4, 6]
    row = frame[(frame.layer == "1") & (frame.position == 6) & (frame["rank"] == 0)].iloc[0]
    assert (row.token, row.prediction, row.probability) == ("B", " y", pytest.approx(0.8))
    assert row.kl == pytest.approx(float(lens.arrays["kl"][2, 1]))
    assert "answer_prob" not in frame


def test_the_summary_follows_the_last_position_through_the_layers(lens):
    assert lens.text() == (
        "Logit lens, prediction at the last position by layer: "
        "embed: '</script>' 0.40, 0: '#9' 0.90, 1: ' y' 0.80"
    )
