"""Long prompts: tiles are exact, memory grows with the tokens, little travels, a fling is dropped."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from interp_widgets.results.attention_math import HeadScores
from interp_widgets.views.attention import AttentionView
from interp_widgets.views.attention_source import THUMB
from tests.views.test_attention import ask, made, tile, values


@pytest.fixture(scope="module")
def long():
    return made(layers=1, heads=2, tokens=4096, d_head=8)


def rows_in_float64(result, head, queries):
    """Some queries of a causal head, the softmax written out."""
    q, k = (result.arrays[name][0, head].double() for name in "qk")
    scores = q[queries] @ k.T * q.shape[-1] ** -0.5
    future = torch.arange(len(k))[None] > torch.as_tensor(queries)[:, None]
    return torch.softmax(scores.masked_fill(future, -torch.inf), dim=-1).numpy()


@pytest.mark.parametrize(("row", "column"), [(0, 0), (15, 15), (15, 0), (9, 4)])
def test_a_tile_of_4096_tokens_is_the_float64_softmax(long, row, column):
    shown = tile(AttentionView(long), 0, 1, row=row, column=column)
    exact = rows_in_float64(long, 1, list(range(256 * row, 256 * row + 256)))
    part = exact[:, 256 * column : 256 * column + 256]
    np.testing.assert_allclose(shown, part, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("how", ["max", "mean"])
def test_pooled_cells_of_4096_tokens_pool_every_weight(long, how):
    shown = tile(AttentionView(long), 0, 0, pool=8, row=1, column=0, how=how)
    exact = rows_in_float64(long, 0, list(range(2048, 4096)))[:, :2048]
    cells = exact.reshape(256, 8, 256, 8)
    wanted = cells.max((1, 3)) if how == "max" else cells.mean((1, 3))
    np.testing.assert_allclose(shown, wanted, rtol=2e-3, atol=1e-7)


def test_a_normaliser_is_worked_out_once_for_each_query(long, monkeypatch):
    view = AttentionView(long)
    tile(view, 0, 1, row=11, column=3)
    calls = []
    normaliser = HeadScores._normaliser_of
    monkeypatch.setattr(HeadScores, "_normaliser_of", lambda *a: calls.append(1) or normaliser(*a))
    tile(view, 0, 1, row=11, column=4)
    assert calls == []
    tile(view, 0, 1, row=13, column=4)
    assert calls


def test_memory_grows_with_the_tokens(long):
    view = AttentionView(long)
    for row in range(16):
        tile(view, 0, 0, row=row, column=0)
    kept = sum(t.nbytes for t in long._heads.normalisers.values())
    assert kept <= 2 * 4096 * 4
    values(view, "overview", layer=0)
    assert sum(t.nbytes for t in view._overviews.values()) == 2 * THUMB * THUMB * 4


@pytest.mark.parametrize("tokens", [1024, 4096, 32_768])
def test_the_first_paint_of_a_long_prompt_moves_less_than_a_megabyte_of_arrays(tokens):
    zeros = torch.zeros(12, 12, 1, 4).expand(12, 12, tokens, 4)
    meta = {"tokens": [f"t{i}" for i in range(tokens)], "facts": [{"causal": True}] * 12}
    view = AttentionView(type(made())({"q": zeros, "k": zeros}, meta), layer=0)
    assert view.spec["buffers"] == []
    pool = 2 ** int(np.ceil(np.log2(tokens / 512)))
    tiles = [(0, 0), (1, 0), (1, 1)]
    moved = [
        ask(view, "tile", layer=0, head=0, pool=pool, row=r, column=c)["bytes"] for r, c in tiles
    ]
    moved.append(ask(view, "overview", layer=0)["bytes"])
    assert 0 < sum(moved) < 1_000_000
    assert len(json.dumps({**view.spec, "buffers": []})) < 15 * tokens + 20_000


def test_thumbnails_of_a_long_prompt_say_that_a_row_is_one_query():
    thumb = AttentionView(made(layers=5, heads=2, tokens=2048)).spec["thumb"]
    assert thumb == {"cells": 64, "pool": 32, "lazy": True, "sampled": True}
    assert not AttentionView(made(tokens=300)).spec["thumb"]["sampled"]


def test_a_word_that_is_no_pooling_is_refused(long):
    answer = ask(AttentionView(long), "tile", layer=0, head=0, row=0, column=0, how="median")
    assert "'max' or 'mean', not 'median'" in answer["error"]["message"]
