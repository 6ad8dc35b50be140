"""Kinds of heads and their weights: the demo model's heads by name, products written out."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets.session.sites import SiteError
from tests.methods.conftest import open_session

TEXT = "When Mary and John went to the store, John gave a drink to"


@pytest.fixture(scope="module")
def demo():
    return iw.demo()


def test_the_demo_models_heads_are_found_by_name(demo):
    scores = iw.head_scores(demo)
    named = scores.meta["named"]
    assert named["previous_token"] == ["0.0"]
    assert "1.3" in named["induction"]
    assert all(name.startswith("1.") for name in named["induction"])
    induction = scores.sel(score=scores.labels("score").index("induction"))
    assert induction[1, 3] > 5 * induction[[0, 2, 3]].max()
    assert torch.equal(scores.rerun().values, scores.values)
    assert not torch.equal(iw.head_scores(demo, seed=1).values, scores.values)


def test_the_induction_head_reads_the_previous_token_head(demo):
    scores = iw.composition(demo)
    keys = torch.from_numpy(scores.sel(input=1)).nan_to_num()
    best = divmod(int(keys.argmax()), keys.shape[1])
    names = scores.labels("sender")
    assert (names[best[0]], names[best[1]]) == ("1.3", "0.0")


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_attention_scores_equal_the_models_own_patterns(family):
    session = open_session(family)
    pool = [5, 9, 30, 44, 58]
    scores = iw.head_scores(session, length=6, batch=2, tokens=pool, seed=3)
    draw = torch.randint(5, (2, 6), generator=torch.Generator().manual_seed(3))
    ids = torch.tensor(pool)[draw].repeat(1, 2)
    root = session.model._module
    kernel = root.config._attn_implementation
    root.set_attn_implementation("eager")
    with torch.no_grad():
        patterns = root(input_ids=ids, output_attentions=True).attentions
    root.set_attn_implementation(kernel)
    for layer, pattern in enumerate(patterns):
        cells = {
            "previous_token": [(q, q - 1) for q in range(1, 12)],
            "current_token": [(q, q) for q in range(1, 12)],
            "first_token": [(q, 0) for q in range(1, 12)],
            "duplicate_token": [(q, q - 6) for q in range(6, 12)],
            "induction": [(q, q - 5) for q in range(6, 12)],
        }
        for name, places in cells.items():
            mine = scores.values[scores.labels("score").index(name), layer]
            expected = torch.stack([pattern[:, :, q, k] for q, k in places]).mean((0, 1))
            torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-6)


def test_prompts_add_name_movers(demo):
    prompt = demo.prompt(TEXT, answer=" Mary", foil=" John")
    scores = iw.head_scores(demo, prompt)
    row = {name: scores.sel(score=i) for i, name in enumerate(scores.labels("score"))}
    pattern = demo.capture(prompt, "pattern.3")["pattern.3"]
    at = prompt.tokens.index(" Mary")
    assert row["attention_to_answer"][3, 2] == pytest.approx(float(pattern[2, -1, at]), abs=1e-6)
    direct = iw.direct_logit_attribution(prompt).values.numpy()
    assert row["direct_effect"] == pytest.approx(direct, abs=1e-6)
    wanted = row["attention_to_answer"].clip(0) * row["copying"].clip(0) * (direct > 0)
    assert row["name_mover"] == pytest.approx(wanted, abs=1e-6)


def test_circuits_of_a_gpt2_head_by_the_formula():
    session = open_session("gpt2")
    block, root = session.model._module.transformer.h[1], session.model._module
    ids = [4, 9, 33]
    with torch.no_grad():
        x = torch.nn.functional.layer_norm(
            root.transformer.wte.weight[ids], (32,), block.ln_1.weight, block.ln_1.bias
        )
        qkv = block.attn.c_attn(x[None])[0].unflatten(-1, (3, 4, 8))[:, :, 2]
        scores = qkv[:, 0] @ qkv[:, 1].T / 8**0.5
        out = qkv[:, 2] @ block.attn.c_proj.weight[16:24]
        out = (out - out.mean(-1, keepdim=True)) * root.transformer.ln_f.weight
        logits = out @ root.lm_head.weight[ids].T
    qk = iw.head_circuit(session, 1, 2, ids, "qk", embedding="token")
    torch.testing.assert_close(qk.values, scores, rtol=1e-4, atol=1e-5)
    ov = iw.head_circuit(session, 1, 2, ids, embedding="token")
    torch.testing.assert_close(ov.values, logits, rtol=2e-3, atol=1e-5)
    eigenvalues = torch.linalg.eigvals(logits.double())
    share = float(eigenvalues.real.sum() / eigenvalues.abs().sum())
    assert ov.meta["copying"] == pytest.approx(share, abs=2e-3)
    assert ov.labels("source") == [session.token_string(i) for i in ids]


def test_block0_is_what_later_layers_get(demo):
    names = [" Mary", " John", " Tom", " Anna", " Paul"]
    copying = iw.head_circuit(demo, 1, 3, names).meta["copying"]
    assert copying > 0.9  # the induction head writes what it reads
    assert (
        iw.head_circuit(demo, 0, 0, names).meta["copying"] < 0
    )  # the previous-token head does not


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_composition_equals_dense_products(family):
    """‖W_in W_out‖ / (‖W_in‖ ‖W_out‖) with the d_model × d_model matrices made."""
    session = open_session(family)
    found = iw.composition(session, baseline=False)
    root = session.model._module

    def dense(layer, head):
        """QK and OV ``[read, written]`` for row vectors, the norm's gain and centring folded in."""
        if family == "gpt2":
            block = root.transformer.h[layer]
            qkv = block.attn.c_attn.weight.unflatten(1, (3, 4, 8))[:, :, head]
            q, k, v = (qkv[:, j] * block.ln_1.weight[:, None] for j in range(3))
            q, k, v = (w - w.mean(0, keepdim=True) for w in (q, k, v))
            o = block.attn.c_proj.weight[8 * head : 8 * head + 8]
        else:
            block = root.model.layers[layer]
            gain = block.input_layernorm.weight[:, None]
            q = block.self_attn.q_proj.weight[8 * head : 8 * head + 8].T * gain
            at = 8 * (head // 2)
            k, v = (
                getattr(block.self_attn, f"{s}_proj").weight[at : at + 8].T * gain for s in "kv"
            )
            o = block.self_attn.o_proj.weight[:, 8 * head : 8 * head + 8].T
        return (q @ k.T).double(), (v @ o).double()

    with torch.no_grad():
        qk, ov = dense(2, 1)
        sender = dense(0, 3)[1]
        products = {"q": sender @ qk, "k": qk @ sender.T, "v": sender @ ov}
        sizes = {"q": qk, "k": qk, "v": ov}
        for i, slot in enumerate("qkv"):
            expected = products[slot].norm() / (sizes[slot].norm() * sender.norm())
            assert float(found.values[i, 9, 3]) == pytest.approx(float(expected), rel=1e-3)
    assert found.mask[:, :4].all()  # nothing comes before the first layer
    assert found.mask[0, 5, 6]  # nor from the same layer


def test_random_matrices_compose_at_the_baseline():
    session = open_session("gpt2")
    above = iw.composition(session, draws=20)
    values = above.values[~above.mask]
    raw = iw.composition(session, baseline=False).values[~above.mask]
    assert values.mean().abs() < 0.2 * raw.mean()
    assert set(above.meta["random"]) == {"q", "k", "v"}


def test_what_is_not_there_is_told(demo):
    with pytest.raises(SiteError, match="there is no head 9"):
        iw.head_circuit(demo, 1, 9, [" Mary", " John"])
    with pytest.raises(SiteError, match="no layer 8"):
        iw.head_circuit(demo, 8, 0, [" Mary", " John"])
    with pytest.raises(ValueError, match="at least two different tokens"):
        iw.head_circuit(demo, 1, 0, [" Mary"])
    with pytest.raises(ValueError, match="not two tokens to draw from"):
        iw.head_scores(demo, tokens=[" Mary"])
    with pytest.raises(ValueError, match=r"positions|tokens"):
        iw.head_scores(demo, length=2000)
