"""Ways to look at a head: beside another, on another prompt, by value, q times k, over an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.attention import AttentionResult
from interp_widgets.session.session import Session
from interp_widgets.views.attention import AttentionView
from tests.families import build
from tests.views.test_attention import ask, made, settle, softmax_pattern, tile


@pytest.fixture(scope="module")
def session():
    opened = Session(build("llama"), name="tiny")
    yield opened
    opened.close()


def test_a_second_prompt_of_another_length_is_shown_beside(session):
    prompt, other = session.prompt([3, 14, 15, 9]), session.prompt([2, 6, 5, 3, 5, 8])
    view = iw.attention(prompt, against=other).view(layer=1, head=2)
    ask(view, "open")
    assert (view.state["compare"], view.spec["keys"]) == ("prompt", 4)
    assert view.spec["against"]["tokens"] == list(other.tokens)
    alone = iw.attention(other)
    np.testing.assert_allclose(
        tile(view, 1, 2, of="against"), alone.pattern(layer=1, head=2), atol=1e-3
    )
    session.ablate("z", layer=0, head=1)
    settle(session)
    moved = tile(view, 1, 2, of="against", mode="difference")
    after = iw.attention(other)
    expected = after.pattern(layer=1, head=2) - alone.pattern(layer=1, head=2)
    assert expected.abs().max() > 1e-4
    np.testing.assert_allclose(moved, expected, atol=1e-4, rtol=1e-2)
    session.reset()
    view.close()


def test_without_a_second_prompt_asking_for_it_says_how_to_get_one():
    answer = ask(AttentionView(made()), "tile", layer=0, head=0, row=0, column=0, of="against")
    assert "against=" in answer["error"]["message"]


def test_value_weights_are_the_norm_of_what_the_head_writes(session):
    prompt = session.prompt([3, 14, 15, 9, 26])
    result = iw.attention(prompt)
    model = build("llama")
    block = model.model.layers[1].self_attn
    kept = {}
    block.v_proj.register_forward_hook(lambda *a: kept.update(v=a[2]))
    with torch.no_grad():
        model(input_ids=torch.tensor([[3, 14, 15, 9, 26]]))
    heads, d_head = result.n_heads, block.head_dim
    v = kept["v"][0].unflatten(-1, (-1, d_head))
    for head in range(heads):
        part = block.o_proj.weight[:, head * d_head : (head + 1) * d_head]
        written = v[:, head // (heads // v.shape[1])] @ part.T
        norm = written.norm(dim=-1)
        torch.testing.assert_close(
            result.arrays["value_norm"][1, head], norm.detach(), rtol=1e-4, atol=1e-6
        )
    shown = tile(result.view(), 1, 3, weigh="value")
    pattern = result.pattern(layer=1, head=3) * result.arrays["value_norm"][1, 3]
    np.testing.assert_allclose(shown, pattern, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "t5_encoder"])
def test_q_times_k_sums_to_the_logit_before_the_softmax(family):
    opened = Session(build(family), name=family)
    result = iw.attention(opened.prompt([3, 14, 15, 9, 26, 5]))
    row = [result.product(1, 2, query=4, key=k) for k in range(6)]
    scores = torch.tensor([p.score for p in row])
    facts = result.meta["facts"][1]
    for product in row:
        assert product.dot == pytest.approx(float(product.terms.sum()), rel=1e-5)
        assert product.dot == pytest.approx(
            float(product.q @ product.k) * facts["scaling"], rel=1e-4, abs=1e-6
        )
    weights = torch.tensor([p.weight for p in row])
    torch.testing.assert_close(scores.softmax(-1), weights, rtol=1e-4, atol=1e-6)
    plain = not facts["softcap"] and not facts["bias"]
    if plain:
        assert [p.dot for p in row[:5]] == pytest.approx(scores[:5].tolist(), rel=1e-4)
    sent = ask(result.view(), "product", layer=1, head=2, query=4, key=1)["payload"]
    np.testing.assert_allclose(sent["terms"].sum(), sent["dot"], rtol=1e-4)
    opened.close()


@pytest.mark.parametrize(
    ("query", "key", "words"), [(11, 0, "no query 11"), (0, -1, "no key -1; there are 11")]
)
def test_a_pair_that_is_not_there_is_named(query, key, words):
    answer = ask(AttentionView(made()), "product", layer=0, head=0, query=query, key=key)
    assert words in answer["error"]["message"]


def test_heads_are_sorted_by_a_readers_own_scores():
    effect = ArrayResult(
        {"values": torch.tensor([[0.5, -2.0, 0.1], [0.0, 1.0, float("nan")]])},
        {"dims": ["layer", "head"], "quantity": "logit difference"},
    )
    view = AttentionView(made(), scores=effect)
    assert view.state["sort"] == "given"
    given = view.spec["given"]
    assert given["name"] == "logit difference"
    assert given["values"][:5] == pytest.approx([0.5, -2.0, 0.1, 0.0, 1.0])
    turned = ArrayResult(
        {"values": effect.arrays["values"].T}, {"dims": ["head", "layer"], "quantity": "x"}
    )
    assert AttentionView(made(), scores=turned).spec["given"]["values"][1] == -2.0
    with pytest.raises(ValueError, match=r"\[layer, head\] = \(2, 3\) here, not \(3, 2\)"):
        AttentionView(made(), scores=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="needs scores"):
        AttentionView(made(), sort="given")


def test_patches_of_an_image_travel_with_their_picture():
    opened = Session(build("vit"), name="vit")
    image = torch.linspace(-2, 3, 3 * 12 * 12).reshape(3, 12, 12)
    view = iw.attention(opened.prompt(image)).view()
    assert view.state["drawing"] == "picture"
    assert view.spec["patches"] == {"extra": 1, "rows": 3, "columns": 3}
    assert view.spec["masks"][0]["causal"] is False
    stored = view.current.arrays["image"]
    assert (stored.dtype, tuple(stored.shape)) == (torch.uint8, (12, 12, 3))
    assert (int(stored.min()), int(stored.max())) == (0, 255)
    assert stored[3, 5, 1] == round(float((image[1, 3, 5] + 2) / 5 * 255))
    np.testing.assert_allclose(tile(view, 1, 0), view.current.pattern(layer=1, head=0), atol=1e-3)
    with pytest.raises(ValueError, match="patches of an image"):
        AttentionView(made(), drawing="picture")
    opened.close()


def test_one_token_is_enough():
    view = AttentionView(made(tokens=1))
    np.testing.assert_array_equal(tile(view, 1, 2), [[1.0]])
    assert "over 1 token:" in view.spec["alt"]
    assert view.figure().png()


def test_the_figure_is_what_is_shown(session):
    prompt = session.prompt([3, 14, 15, 9, 26, 5])
    view = iw.attention(prompt).view(layer=1, head=2, beside=(0, 3), scale="sqrt", weigh="value")
    view.state = {**view.state, "window": [1.0, 5.2, 0.0, 4.0]}
    options = view.figure_options()
    assert options["heads"] == [(1, 2), (0, 3)]
    assert options["window"] == [1, 5, 0, 4]
    figure = view.figure("icml")
    titles = [ax.get_title(loc="left") for ax in figure.mpl.axes]
    assert titles[:2] == ["head 1.2", "head 0.3"]
    first = figure.mpl.axes[0]
    assert (first.get_xlim(), sorted(first.get_ylim())) == ((0, 4), [0, 4])
    assert "recomputed from q and k" in figure.caption
    assert "Square-root scale" in figure.caption
    shown = figure.mpl.axes[0].collections[0].get_array().reshape(4, 4)
    expected = view.current.tile(1, 2, slice(1, 5), slice(0, 4), by_value=True)
    np.testing.assert_allclose(shown, expected, rtol=1e-5)
    for drawing in ("lines", "matrix"):
        view.state = {**view.state, "drawing": drawing, "compare": "none", "scale": "log"}
        assert view.figure().png()
    view.close()


def test_the_difference_is_drawn_as_a_difference(session):
    view = iw.attention(session.prompt([3, 14, 15, 9, 26, 5])).view(layer=2, head=0)
    ask(view, "open")
    session.ablate("z", layer=0, head=1)
    settle(session)
    view.state = {**view.state, "mode": "difference"}
    drawn = view.figure("icml").mpl.axes[0].collections[0].get_array().reshape(6, 6)
    np.testing.assert_allclose(
        drawn, view.current.tile(2, 0) - view.base.tile(2, 0), rtol=1e-5, atol=1e-7
    )
    session.reset()
    view.close()


def test_the_selection_reads_the_weights():
    result = made()
    exact = softmax_pattern(result, 1, 2)
    frame = result.at({"token": 7, "layer": 1, "head": 2})
    np.testing.assert_allclose(frame["weight"], exact[7], atol=1e-6)
    assert list(frame["key_token"])[:3] == ["w0", "w1", "w2"]
    some = result.at({"token": 7})
    assert len(some) == 2 * 3 * 5
    best = some[(some.layer == 1) & (some["head"] == 2)].iloc[0]
    assert best["key"] == exact[7].argmax()
    assert len(result.at({"layer": 1})) == 3
    assert result.at({"token": 99}).empty


def test_an_exported_page_answers_what_is_compared():
    second = made(tokens=6)
    arrays = {f"against.{n}": a for n, a in second.arrays.items()}
    result = made()
    both = AttentionResult({**result.arrays, **arrays}, {**result.meta, "against": second.meta})
    asked = list(both.view(layer=0, head=1).export_requests())
    tiles = [p for name, p in asked if name == "tile" and p["of"] == "against"]
    assert [(t["layer"], t["head"], t["row"]) for t in tiles] == [(0, 1, 0)]
    pairs = [p for name, p in asked if name == "product"]
    assert len(pairs) == 11 * 12 // 2
    assert {(p["layer"], p["head"]) for p in pairs} == {(0, 1)}
