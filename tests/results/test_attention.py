"""Looking at attention: patterns recomputed from q and k, in tiles, thumbnails and scores of heads."""

from __future__ import annotations

import math

import nnsight
import numpy as np
import pytest
import torch

from interp_widgets.results import attention_heads, attention_math
from interp_widgets.results.attention import AttentionResult, attention_pattern
from interp_widgets.results.attention_math import HeadScores, pool_columns
from interp_widgets.results.base import load
from interp_widgets.session.anatomy import Anatomy
from interp_widgets.session.capture import capture
from interp_widgets.session.sites import Site
from tests import families
from tests.session import reference


def made(
    positions=23,
    layers=2,
    heads=6,
    kv_heads=3,
    d_head=8,
    seed=0,
    tokens=None,
    dtype=torch.float32,
    **facts,
):
    """A result with random q and k, sharp enough that heads differ."""
    torch.manual_seed(seed)
    q = [2 * torch.randn(heads, positions, d_head, dtype=dtype) for _ in range(layers)]
    k = [torch.randn(kv_heads, positions, d_head, dtype=dtype) for _ in range(layers)]
    tokens = [f"t{i % 7}" for i in range(positions)] if tokens is None else tokens
    extra = {name: facts.pop(name) for name in ("valid", "bias", "ids") if name in facts}
    facts = {"scaling": d_head**-0.5, **facts}
    return AttentionResult.of(q, k, [facts] * layers, tokens, **extra)


def by_definition(result, layer, head):
    """The pattern in float64, one query and one key at a time."""
    facts = result.meta["facts"][layer]
    q, k = (result.arrays[n][layer].double() for n in "qk")
    q, k = q[head], k[head // (q.shape[0] // k.shape[0])]
    n = len(k)
    pattern = np.zeros((n, n))
    for i in range(n):
        scores = {}
        for j in range(n):
            s = float(q[i] @ k[j]) * facts["scaling"]
            if facts.get("softcap"):
                s = facts["softcap"] * math.tanh(s / facts["softcap"])
            if "bias" in result.arrays:
                s += float(result.arrays["bias"][layer, head, n - 1 + j - i])
            seen = not (facts.get("causal", True) and j > i)
            seen &= not facts.get("window") or abs(i - j) < facts["window"]
            seen &= "valid" not in result.arrays or bool(result.arrays["valid"][j])
            if seen:
                scores[j] = s
        rest = math.exp(facts["sinks"][head]) if facts.get("sinks") else 0.0
        total = sum(math.exp(s) for s in scores.values()) + rest
        for j, s in scores.items():
            pattern[i, j] = math.exp(s) / total
    return torch.from_numpy(pattern)


KINDS = {
    "causal": {},
    "both ways": {"causal": False},
    "window": {"window": 5},
    "window both ways": {"window": 4, "causal": False},
    "soft cap": {"softcap": 1.5},
    "sinks": {"sinks": [0.3, -1.0, 2.0, 0.0, 1.0, 5.0]},
    "padding": {"valid": torch.arange(23) >= 4},
    "padding both ways": {"valid": torch.arange(23) < 17, "causal": False},
    "bias": {
        "bias": [torch.randn(6, 45, generator=torch.Generator().manual_seed(i)) for i in range(2)],
        "causal": False,
    },
    "all at once": {
        "window": 9,
        "softcap": 2.0,
        "sinks": [0.3, -1.0, 2.0, 0.0, 1.0, 5.0],
        "valid": torch.arange(23) >= 2,
        "bias": [torch.linspace(-1, 1, 6 * 45).reshape(6, 45)] * 2,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pattern_is_what_the_definition_says(kind, monkeypatch):
    result = made(**KINDS[kind])
    expected = by_definition(result, 1, 4)
    torch.testing.assert_close(
        result.pattern(layer=1, head=4).double(), expected, atol=1e-6, rtol=1e-5
    )
    every = torch.stack([by_definition(result, 0, head) for head in range(6)])
    torch.testing.assert_close(result.held(0).double(), every, atol=1e-6, rtol=1e-5)
    monkeypatch.setattr(attention_math, "BLOCK_BYTES", 23 * 4 * 5)
    monkeypatch.setattr(attention_heads, "SMALL", 0)
    blockwise = made(**KINDS[kind])
    assert blockwise.held(0) is None
    assert len(blockwise._heads.blocks((1, 4), range(23))) == 5
    torch.testing.assert_close(
        blockwise.pattern(layer=1, head=4).double(), expected, atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("name", families.WITH_ATTENTION)
def test_every_family_shows_the_pattern_of_its_own_eager_attention(name):
    model = nnsight.NNsight(families.build(name))
    anatomy, inputs = Anatomy.of(model), families.inputs(name, 13)
    got = capture(model, anatomy, inputs, [s for s in ("q", "k", "bias") if s in anatomy.sites])
    layers = range(anatomy.n_layers)
    result = AttentionResult.of(
        [got[Site("q", i)] for i in layers],
        [got[Site("k", i)] for i in layers],
        [anatomy.attention(i).to_json() for i in layers],
        [str(i) for i in range(got[Site("k", 0)].shape[1])],
        bias=[got[Site("bias", i)] for i in layers] if "bias" in anatomy.sites else None,
    )
    for layer, eager in enumerate(reference.eager_patterns(name, inputs)):
        for head in range(families.HEADS):
            torch.testing.assert_close(
                result.pattern(layer=layer, head=head), eager[0, head], atol=2e-5, rtol=1e-4
            )


def test_a_tile_is_a_part_of_the_pattern_whatever_the_blocks(monkeypatch):
    whole = made(window=11).pattern(layer=0, head=3)
    monkeypatch.setattr(attention_math, "BLOCK_BYTES", 23 * 4 * 4)
    result = made(window=11)
    for query, key in [
        (slice(0, 23), slice(0, 3)),
        (slice(6, 9), slice(4, 20)),
        (slice(22, 23), slice(None)),
        (slice(3, 3), slice(2, 5)),
        (slice(0, 2), slice(15, 23)),
    ]:
        torch.testing.assert_close(result.tile(0, 3, query, key), whole[query, key])


@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize("shape", [(5, 4), (23, 7), (1, 1), (40, 40)])
def test_a_pooled_tile_pools_the_exact_pattern(how, shape, monkeypatch):
    whole = made().pattern(layer=1, head=2)[2:, 1:]
    rows, cols = min(shape[0], 21), min(shape[1], 22)
    monkeypatch.setattr(attention_math, "BLOCK_BYTES", 23 * 4 * 4)
    got = made().tile(1, 2, slice(2, None), slice(1, None), pool=how, out_shape=shape)
    assert got.shape == (rows, cols)
    for r in range(rows):
        for c in range(cols):
            cell = whole[
                r * 21 // rows : (r + 1) * 21 // rows, c * 22 // cols : (c + 1) * 22 // cols
            ]
            expected = cell.max() if how == "max" else cell.mean()
            torch.testing.assert_close(got[r, c], expected)


def test_the_overview_has_a_thumbnail_per_head_and_keeps_the_largest_weight():
    result = made(positions=50)
    thumbs = result.overview(8)
    assert thumbs.shape == (2, 6, 8, 8)
    for layer in range(2):
        for head in range(6):
            assert thumbs[layer, head].max() == result.pattern(layer=layer, head=head).max()


def test_scores_are_the_logs_of_the_weights_up_to_a_constant_per_query():
    result = made(softcap=3.0)
    scores = result.scores(0, 1)
    assert torch.equal(torch.isinf(scores), torch.ones(23, 23).triu(1).bool())
    torch.testing.assert_close(scores.softmax(-1), result.pattern(layer=0, head=1))
    assert result.scores(0, 1, slice(3, 5), slice(0, 4)).shape == (2, 4)


def test_heads_of_textbook_kinds_score_one_on_their_own_kind():
    """Patterns built by hand on a sequence repeated once: the usual test for induction heads."""
    n, half = 12, 6
    tokens = [f"w{i % half}" for i in range(n)]
    at = torch.arange(n)
    heads = {
        "previous_token": (at - 1).clamp(min=0),
        "first_token": torch.zeros(n, dtype=torch.long),
        "duplicate_token": torch.where(at >= half, at - half, at),
        "induction": torch.where(at >= half, at - half + 1, at),
    }
    pattern = torch.stack([torch.nn.functional.one_hot(j, n).float() for j in heads.values()])
    result = AttentionResult({"pattern": pattern[None]}, {"tokens": tokens})
    for index, name in enumerate(heads):
        scores = result.head_score(name)[0]
        assert scores[index] == pytest.approx(1), name
        assert all(s < 0.2 for i, s in enumerate(scores) if i != index), name
    assert result.head_score("entropy") == pytest.approx(0)
    assert "induction: head 0.3 with 1.00" in result.text()
    assert list(result.frame().columns[:4]) == ["layer", "head", "previous_token", "first_token"]


@pytest.mark.parametrize("left", [0, 4])
def test_head_scores_equal_loops_over_queries(left, monkeypatch):
    monkeypatch.setattr(attention_math, "BLOCK_BYTES", 23 * 4 * 6)
    result = made(valid=torch.arange(23) >= left, ids=[i % 5 for i in range(23)])
    ids = result.meta["ids"]
    weights = by_definition(result, 1, 5).numpy()
    real = range(left, 23)
    wanted = {
        "previous_token": [],
        "first_token": [],
        "duplicate_token": [],
        "induction": [],
        "entropy": [],
    }
    for i in real:
        row = weights[i]
        if i > left:
            wanted["previous_token"].append(row[i - 1])
            wanted["first_token"].append(row[left])
        earlier = [j for j in range(left, i) if ids[j] == ids[i]]
        if earlier:
            wanted["duplicate_token"].append(sum(row[j] for j in earlier))
            wanted["induction"].append(sum(row[j + 1] for j in earlier))
        wanted["entropy"].append(-sum(w * math.log(w) for w in row if w > 0))
    for name, values in wanted.items():
        assert result.head_score(name)[1, 5] == pytest.approx(np.mean(values), rel=1e-4), name
    entropy = result.entropy(1, 5)
    assert torch.isnan(entropy[:left]).all()
    np.testing.assert_allclose(entropy[left:].numpy(), wanted["entropy"], rtol=1e-3, atol=1e-5)


def test_a_prompt_without_repeats_has_no_induction_score():
    result = made(tokens=[str(i) for i in range(23)])
    assert np.isnan(result.induction()).all()
    assert not np.isnan(result.previous_token()).any()
    assert "induction" not in result.text()


def test_half_precision_activations_are_worked_on_in_float32():
    result = made(dtype=torch.bfloat16)
    pattern = result.pattern(layer=0, head=0)
    assert pattern.dtype == torch.float32
    torch.testing.assert_close(pattern.double(), by_definition(result, 0, 0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(23))


def test_a_query_that_sees_nothing_attends_to_nothing():
    result = made(valid=torch.arange(23) >= 4)
    pattern = result.pattern(layer=0, head=0)
    assert pattern[:4].abs().max() == 0
    assert torch.isfinite(pattern).all()
    torch.testing.assert_close(pattern[4:].sum(-1), torch.ones(19))


def test_eight_thousand_tokens_never_need_a_whole_pattern(monkeypatch):
    n, largest = 8192, 0
    result = made(positions=n, layers=1, heads=2, kv_heads=1, d_head=4)
    scores = HeadScores.scores

    def watched(self, rows, cols):
        nonlocal largest
        largest = max(largest, len(rows) * len(cols))
        return scores(self, rows, cols)

    monkeypatch.setattr(HeadScores, "scores", watched)
    tile = result.tile(0, 1, slice(8000, 8064), slice(7900, 8064))
    thumb = result.tile(0, 1, pool="max", out_shape=(32, 32))
    assert 4 * largest <= attention_math.BLOCK_BYTES < n * n
    kept = sum(t.nbytes for t in result._heads.normalisers.values())
    assert kept == 4 * n
    assert (tile.shape, thumb.shape) == ((64, 164), (32, 32))
    assert thumb[0, 0] == 1
    assert thumb[0, 1:].abs().max() == 0


def test_ready_patterns_need_no_q_and_k():
    pattern = torch.rand(2, 3, 7, 7).softmax(-1)
    result = AttentionResult({"pattern": pattern}, {"tokens": list("abcdefg"), "layers": [4, 9]})
    torch.testing.assert_close(result.pattern(layer=9, head=2), pattern[1, 2])
    assert result.tile(4, 0, pool="mean", out_shape=(1, 1)).item() == pytest.approx(
        pattern[0, 0].mean()
    )
    with pytest.raises(ValueError, match="no scores"):
        result.scores(4, 0)


def test_wrong_questions_get_answers():
    result = made()
    with pytest.raises(ValueError, match="layers are 0 to 1"):
        result.pattern(layer=2, head=0)
    with pytest.raises(ValueError, match="heads are 0 to 5"):
        result.pattern(layer=0, head=6)
    with pytest.raises(ValueError, match="belong together"):
        result.tile(0, 0, pool="max")
    with pytest.raises(ValueError, match="step 1"):
        result.tile(0, 0, slice(0, 9, 2))
    with pytest.raises(ValueError, match="choose previous_token"):
        result.head_score("curiosity")
    with pytest.raises(ValueError, match="22 tokens for 23 keys"):
        AttentionResult(result.arrays, {"tokens": ["a"] * 22})
    with pytest.raises(ValueError, match="do not fit"):
        AttentionResult(
            {"q": torch.zeros(1, 4, 5, 8), "k": torch.zeros(1, 3, 5, 8)}, {"tokens": list("abcde")}
        )
    with pytest.raises(ValueError, match="needs the arrays"):
        AttentionResult({}, {"tokens": []})
    with pytest.raises(ValueError, match="layers of one shape"):
        AttentionResult.of(
            [torch.zeros(4, 5, 8), torch.zeros(2, 5, 8)],
            [torch.zeros(2, 5, 8)] * 2,
            [{}, {}],
            list("abcde"),
        )


def test_a_result_is_saved_with_what_its_patterns_need(tmp_path):
    result = made(**KINDS["all at once"])
    back = load(result.save(tmp_path / "attention"))
    assert isinstance(back, AttentionResult)
    torch.testing.assert_close(back.pattern(layer=1, head=4), result.pattern(layer=1, head=4))
    assert back.alt_text() == result.alt_text()


def test_pooling_columns_keeps_every_entry_once():
    values = torch.arange(10.0)[None]
    assert pool_columns(values, 3, "max").tolist() == [[2, 5, 9]]
    assert pool_columns(values, 3, "mean").tolist() == [[1, 4, 7.5]]
    assert pool_columns(values, 5, "max").tolist() == [[1, 3, 5, 7, 9]]


def test_one_pattern_from_q_and_k_alone():
    q, k = torch.randn(9, 4), torch.randn(9, 4)
    expected = torch.nn.functional.scaled_dot_product_attention(
        q, k, torch.eye(9), scale=0.5, is_causal=True
    )
    torch.testing.assert_close(attention_pattern(q, k, scaling=0.5), expected)


@pytest.mark.parametrize("facts", [{}, {"window": 5}, {"softcap": 3.0}, {"causal": False}])
def test_single_queries_are_rows_of_the_pattern(facts):
    result = made(**facts)
    some = [0, 7, 22]
    np.testing.assert_allclose(
        result.queries(1, 4, some), by_definition(result, 1, 4)[some], atol=1e-5
    )
