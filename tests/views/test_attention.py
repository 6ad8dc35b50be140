"""The attention view: what travels to the browser, pooling, ablating a head, long prompts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.results.attention import HEAD_SCORES, AttentionResult
from interp_widgets.session.session import Session
from interp_widgets.views.attention import EXPORT_BYTES, AttentionView
from interp_widgets.views.wire import unpack
from tests.families import build

IDS = [3, 14, 15, 9, 26, 5, 35]


def made(layers: int = 2, heads: int = 3, tokens: int = 11, d_head: int = 4) -> AttentionResult:
    generator = torch.Generator().manual_seed(layers * 100 + tokens)
    q = torch.randn(layers, heads, tokens, d_head, generator=generator) * 2
    k = torch.randn(layers, heads, tokens, d_head, generator=generator)
    words = [f"w{i % 5}" for i in range(tokens)]
    facts = [{"scaling": d_head**-0.5, "causal": True}] * layers
    return AttentionResult({"q": q, "k": k}, {"tokens": words, "facts": facts})


def softmax_pattern(result: AttentionResult, layer: int, head: int) -> np.ndarray:
    """Causal attention in float64, written out."""
    q, k = (result.arrays[name][layer, head].double() for name in "qk")
    scores = q @ k.T * q.shape[-1] ** -0.5
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return torch.softmax(scores.masked_fill(future, -torch.inf), dim=-1).numpy()


def ask(view: AttentionView, name: str, **payload) -> dict:
    """Send a request as the browser does and return the answer."""
    sent = []
    view.send = lambda content, buffers=None: sent.append((content, buffers or []))
    view._receive(view, {"kind": "request", "id": "1", "name": name, "payload": payload}, [])
    ((answer, buffers),) = sent
    size = sum(len(b) for b in buffers)
    return {**answer, "payload": unpack(answer.get("payload"), buffers), "bytes": size}


def values(view: AttentionView, name: str, **payload) -> np.ndarray:
    answer = ask(view, name, **payload)
    assert answer["ok"], answer
    return answer["payload"]["values"]


def tile(view: AttentionView, layer: int, head: int, **payload) -> np.ndarray:
    asked = {"pool": 1, "row": 0, "column": 0, **payload}
    return values(view, "tile", layer=layer, head=head, **asked)


def test_the_open_head_of_a_short_prompt_comes_along_exactly():
    result = made()
    view = AttentionView(result, layer=1, head=2)
    (found,) = unpack(view.spec["first"], view.spec["buffers"])["tiles"]
    np.testing.assert_allclose(found["values"], softmax_pattern(result, 1, 2), atol=1e-3)
    asked = {name: v for name, v in found["payload"].items() if name not in ("layer", "head")}
    np.testing.assert_array_equal(found["values"], tile(view, 1, 2, **asked))


def test_thumbnails_of_a_short_prompt_are_the_patterns_themselves():
    result = made()
    view = AttentionView(result)
    coded = unpack(view.spec["first"], view.spec["buffers"])["thumbs"]
    assert coded.shape == (2, 3, 11, 11)
    scores = 4 * 2 * 3 * len(HEAD_SCORES)
    assert sum(len(b) for b in view.spec["buffers"]) == 2 * 3 * 11 * 11 + 2 * 11 * 11 + scores
    for layer, head in np.ndindex(2, 3):
        exact = softmax_pattern(result, layer, head)
        np.testing.assert_allclose(coded[layer, head] ** 2, exact, atol=0.005)
    small = softmax_pattern(result, 1, 2)
    weak = (small > 0.001) & (small < 0.01)
    assert weak.any()
    np.testing.assert_allclose(coded[1, 2][weak] ** 2, small[weak], rtol=0.15)


def test_a_tile_holds_the_exact_weights_of_one_head():
    result = made()
    np.testing.assert_allclose(
        tile(AttentionView(result), 1, 2), softmax_pattern(result, 1, 2), atol=1e-3
    )


def test_pooled_cells_are_the_largest_of_their_block_also_at_the_edge():
    result = made(tokens=301)
    exact = softmax_pattern(result, 1, 0)
    view = AttentionView(result)
    assert view.spec["thumb"] == {"cells": 38, "pool": 8, "lazy": False, "sampled": False}
    pooled = tile(view, 1, 0, pool=2)
    assert pooled.shape == (151, 151)
    for r, c in [(0, 0), (77, 12), (150, 150), (150, 3)]:
        block = exact[2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
        assert pooled[r, c] == pytest.approx(block.max(), abs=1e-3)
    lower_right = tile(view, 1, 0, row=1, column=1)
    np.testing.assert_allclose(lower_right, exact[256:, 256:], atol=1e-3)


def test_a_token_can_be_read_as_query_and_as_key():
    result = made(tokens=300)
    exact = softmax_pattern(result, 0, 1)
    view = AttentionView(result)
    row = values(view, "row", layer=0, head=1, axis="query", position=280)
    column = values(view, "row", layer=0, head=1, axis="key", position=17)
    np.testing.assert_allclose(row, exact[280], atol=1e-3)
    np.testing.assert_allclose(column, exact[:, 17], atol=1e-3)


def test_144_heads_of_1024_tokens_paint_with_less_than_2_mb():
    view = AttentionView(made(layers=12, heads=12, tokens=1024))
    sizes = [len(b) for b in view.spec["buffers"]]
    sizes.append(ask(view, "tile", layer=11, head=0, pool=2, row=1, column=0)["bytes"] * 3)
    sizes.append(ask(view, "overview", layer=5)["bytes"] * 12)
    assert 0 < sum(sizes) < 2_000_000
    assert len(json.dumps({**view.spec, "buffers": []})) < 50_000


def test_where_pooling_all_would_be_slow_one_query_stands_for_a_block_and_the_view_says_so():
    result = made(layers=1, heads=2, tokens=1100)
    view = AttentionView(result)
    assert view.spec["sample_from"] == 16
    assert view.spec["thumb"]["pool"] == 32
    exact = softmax_pattern(result, 0, 1)
    shown = tile(view, 0, 1, pool=32)
    assert shown.shape == (35, 35)
    for r, query in [(0, 31), (20, 671), (34, 1099)]:
        wanted = [exact[query, 32 * c : 32 * c + 32].max() for c in range(35)]
        np.testing.assert_allclose(shown[r], wanted, atol=1e-3)
    assert AttentionView(made(tokens=1000)).spec["sample_from"] is None


def test_scores_come_for_every_head_in_order():
    result = made()
    scores = ask(AttentionView(result), "scores")["payload"]["scores"]
    assert set(scores) == {
        "previous_token",
        "first_token",
        "duplicate_token",
        "induction",
        "entropy",
    }
    pattern = softmax_pattern(result, 1, 2)
    assert scores["previous_token"][1 * 3 + 2] == pytest.approx(
        np.mean([pattern[i, i - 1] for i in range(1, 11)]), abs=1e-5
    )


def test_stored_patterns_that_are_not_causal_are_shown_without_a_mask():
    pattern = torch.softmax(torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0)), -1)
    view = AttentionView(AttentionResult({"pattern": pattern}, {"tokens": list("abcde")}))
    assert view.spec["masks"] == [{"causal": False, "window": None}]
    assert view.spec["source"] == "stored patterns"
    np.testing.assert_allclose(tile(view, 0, 1), pattern[0, 1], atol=1e-3)


def test_tokens_travel_as_text_whatever_they_hold():
    result = made(tokens=4)
    result.meta["tokens"] = ["<script>alert(1)</script>", "\n", "😀", "שלום"]
    assert AttentionView(result).spec["tokens"] == result.meta["tokens"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": 9}, "there is no layer 9"),
        ({"head": 3}, "heads are 0 to 2"),
        ({"sort": "size"}, "sort is one of"),
        ({"drawing": "graph"}, "drawing is one of matrix, lines"),
        ({"scale": "cubic"}, "scale is one of"),
        ({"mode": "both"}, "mode is one of"),
    ],
)
def test_a_view_that_cannot_be_says_what_can(options, words):
    with pytest.raises(ValueError, match=words):
        AttentionView(made(), **options)


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("tile", {"layer": 7, "head": 0, "row": 0, "column": 0}, "no layer 7"),
        ("tile", {"layer": 0, "head": 0, "row": 5, "column": 0}, "no tile 5, 0 of 11 × 11"),
        ("tile", {"layer": 0, "head": 0, "row": 0, "column": 0, "pool": 3}, "power of two"),
        ("tile", {"layer": 0}, "missing"),
        ("row", {"layer": 0, "head": 0, "position": 11}, "no query 11; there are 11"),
        ("nonsense", {}, "no request"),
    ],
)
def test_a_request_that_cannot_be_answered_gets_an_error_and_the_view_goes_on(name, payload, words):
    view = AttentionView(made())
    answer = ask(view, name, **payload)
    assert not answer["ok"]
    assert words in answer["error"]["message"]
    assert tile(view, 0, 0).shape == (11, 11)


def test_an_exported_page_holds_all_heads_of_a_short_prompt_and_the_open_head_of_a_long_one():
    short = AttentionView(made())
    asked = list(short.export_requests())
    assert sum(name == "tile" for name, _ in asked) == 6
    assert ("scores", {"mode": "current"}) in asked
    long = AttentionView(made(layers=2, heads=5, tokens=300), layer=1, head=3)
    tiles = [payload for name, payload in long.export_requests() if name == "tile"]
    assert EXPORT_BYTES < 2 * 5 * 300 * 300 * 2
    assert {(t["layer"], t["head"]) for t in tiles} == {(1, 3)}
    assert len(tiles) == 4


@pytest.fixture(scope="module")
def session():
    opened = Session(build("gpt2"), name="tiny")
    yield opened
    opened.close()


@pytest.fixture
def live(session):
    view = iw.attention(session.prompt(IDS)).view()
    yield view
    view.close()
    session.reset()


def settle(session):
    session.run(lambda: None)


def test_ablating_a_head_moves_later_layers_only_and_ablating_again_restores(session, live):
    n_heads = live.current.n_heads
    before = live.current.pattern(layer=1, head=0).clone()
    ablate = {"kind": "ablate", "site": "z", "layer": 0, "head": 1, "method": "zero"}
    assert ask(live, "intervene", **ablate)["ok"]
    settle(session)
    assert live.spec["changed"]
    assert [(i["site"], i["layer"], i["head"]) for i in live.spec["interventions"]] == [
        ("z", 0, [1])
    ]
    for head in range(n_heads):
        assert np.abs(tile(live, 0, head, mode="difference")).max() < 1e-6
    moved = tile(live, 1, 0, mode="difference")
    assert np.abs(moved).max() > 1e-5
    np.testing.assert_allclose(
        moved, live.current.pattern(layer=1, head=0) - before, atol=1e-4, rtol=1e-2
    )
    np.testing.assert_allclose(tile(live, 1, 0, mode="base"), before, atol=1e-3)
    effect = live.answer("scores", {})["scores"]["effect"].values.reshape(-1, n_heads)
    assert effect[0].max() < 1e-6 < effect[1].max()
    assert ask(live, "intervene", **ablate)["ok"]
    settle(session)
    assert not live.spec["changed"]
    assert live.spec["interventions"] == []


def test_a_closed_view_lets_go_of_its_patterns(session):
    view = iw.attention(session.prompt(IDS)).view()
    assert view._overviews
    view.close()
    assert view.current is None
    assert not view._overviews
    assert not ask(view, "overview", layer=0)["ok"]
