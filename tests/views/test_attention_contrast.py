"""The difference of two heads, or of one head on two prompts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.results.attention import AttentionResult
from interp_widgets.session.session import Session
from interp_widgets.views.attention import AttentionView
from tests.families import build
from tests.views.test_attention import ask, settle, tile


@pytest.fixture(scope="module")
def session():
    opened = Session(build("llama"), name="tiny")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pair(session):
    """One prompt beside another of the same length."""
    return iw.attention(
        session.prompt([3, 14, 15, 9, 26]), against=session.prompt([3, 58, 9, 7, 9])
    )


def test_a_head_minus_another_is_what_numpy_says(pair):
    view = pair.view(layer=1, head=2, beside=(0, 3), contrast=True)
    a, b = pair.pattern(layer=1, head=2).numpy(), pair.pattern(layer=0, head=3).numpy()
    shown = tile(view, 1, 2, of="contrast", versus=[0, 3])
    np.testing.assert_allclose(shown, a - b, atol=1e-3)
    by_value = tile(view, 1, 2, of="contrast", versus=[0, 3], weigh="value")
    norms = pair.numpy("value_norm")
    np.testing.assert_allclose(by_value, a * norms[1, 2] - b * norms[0, 3], rtol=5e-3, atol=1e-5)


def test_a_prompt_minus_the_other_follows_the_modes(session, pair):
    view = pair.view(layer=1, head=2, contrast=True)
    ask(view, "open")
    a, b = pair.pattern(layer=1, head=2), pair.against.pattern(layer=1, head=2)
    shown = tile(view, 1, 2, of="contrast", versus=None)
    np.testing.assert_allclose(shown, (a - b).numpy(), atol=1e-3)
    session.ablate("z", layer=0, head=1)
    settle(session)
    after = pair.rerun()
    expected = after.pattern(layer=1, head=2) - after.against.pattern(layer=1, head=2) - (a - b)
    assert expected.abs().max() > 1e-4
    moved = tile(view, 1, 2, of="contrast", versus=None, mode="difference")
    np.testing.assert_allclose(moved, expected.numpy(), atol=1e-4, rtol=1e-2)
    session.reset()
    view.close()


def test_pooled_cells_keep_the_largest_difference_not_the_difference_of_the_largest():
    pattern = torch.zeros(1, 2, 600, 600)
    pattern[0, 0, 10, 11] = pattern[0, 1, 11, 10] = 0.5
    pattern[0, 1, 300, 5] = 0.75
    view = AttentionView(
        AttentionResult({"pattern": pattern}, {"tokens": [str(i) for i in range(600)]}),
        beside=(0, 1),
        contrast=True,
    )
    cells = tile(view, 0, 0, of="contrast", versus=[0, 1], pool=4)
    assert abs(cells[2, 2]) == 0.5
    assert cells[75, 1] == -0.75


def test_the_table_lists_both_weights_with_the_largest_difference_first(pair):
    view = pair.view(layer=1, head=2, beside=(0, 3), contrast=True)
    table = ask(view, "table")["payload"]
    assert table["columns"][4:] == ["1.2", "0.3", "difference"]
    first = table["rows"][0]
    a, b = pair.pattern(layer=1, head=2), pair.pattern(layer=0, head=3)
    assert abs(first[-1]) == pytest.approx(float((a - b).abs().max()), abs=1e-6)
    assert first[-1] == pytest.approx(float(a[first[0], first[1]] - b[first[0], first[1]]))
    assert ask(pair.view(), "table")["payload"]["columns"][:2] == ["layer", "head"]
    prompts = ask(pair.view(layer=1, contrast=True), "table")["payload"]
    assert prompts["columns"][4:] == ["this prompt", "other prompt", "difference"]


def test_the_figure_and_the_twin_draw_the_difference_on_a_scale_of_its_own(pair):
    view = pair.view(layer=1, head=2, beside=(0, 3), contrast=True)
    figure = view.figure("icml", "text")
    one, other, difference, *bars = figure.mpl.axes
    assert [ax.get_title("left") for ax in (one, other, difference)] == [
        "head 1.2",
        "head 0.3",
        "1.2 − 0.3",
    ]
    assert [bar.get_ylabel() for bar in bars] == ["attention", "difference of attention"]
    a, b = pair.pattern(layer=1, head=2), pair.pattern(layer=0, head=3)
    drawn = difference.collections[0]
    np.testing.assert_allclose(drawn.get_array().reshape(5, 5), (a - b).numpy(), atol=1e-6)
    low, high = drawn.get_clim()
    assert low == pytest.approx(-high)
    titles = [ax.get_title("left") for ax in view.twin().mpl.axes]
    assert titles[:3] == ["head 1.2", "head 0.3", "1.2 − 0.3"]
    lines = view.figure(lines=True)
    assert lines.mpl.axes[2].get_title("left") == "1.2 − 0.3"
    prompts = pair.view(layer=1, head=2, contrast=True).figure("icml", "text")
    assert prompts.mpl.axes[2].get_title("left") == "1.2, this − other"


def test_an_exported_page_holds_the_difference_before_anybody_asks(pair):
    asked = list(pair.view(layer=1, head=2, beside=(0, 3)).export_requests())
    wanted = {"of": "contrast", "layer": 1, "head": 2, "versus": [0, 3]}
    assert any(name == "tile" and wanted.items() <= where.items() for name, where in asked)


def test_what_has_no_difference_is_refused_with_the_reason(session, pair):
    alone = iw.attention(session.prompt([3, 14, 15]))
    with pytest.raises(ValueError, match=r"beside=\(layer, head\)"):
        alone.view(contrast=True)
    longer = iw.attention(session.prompt([3, 14, 15]), against=session.prompt([2, 7, 1, 8]))
    with pytest.raises(ValueError, match="3 and 4 tokens"):
        longer.view(contrast=True)
    answer = ask(longer.view(), "tile", layer=0, head=0, row=0, column=0, of="contrast")
    assert "prompts of one length" in answer["error"]["message"]
    with pytest.raises(ValueError, match="one length"):
        longer.figure(layer=0, head=0, against=True, contrast=True)
    with pytest.raises(ValueError, match="two panels, not of 1"):
        pair.figure(layer=0, head=0, contrast=True)
