"""Heads and whole models in vocabulary space, against planted truth and changed bases."""

import copy

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import interp_widgets as iw
from interp_widgets.methods.weights import WeightsError, projected_correlation, right_inverse
from interp_widgets.methods.weights.heads import head_factors
from interp_widgets.methods.weights.stitch import kernel, stitched_logits
from interp_widgets.session.session import Session
from tests import families


@pytest.mark.parametrize("which", ["VO", "QK"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "qwen2", "gemma2"])
def test_a_heads_factors_are_its_own_weights(family, which):
    session = Session(families.build(family))
    model, head = session.anatomy.root, 3
    a, b = head_factors(session, 1, head, which, "transpose")
    block = model.get_submodule(session.anatomy.blocks[1].path)
    size, group = families.D_HEAD, 1
    if family == "gpt2":
        q, k, v = (w.T for w in block.attn.c_attn.weight.split(32, dim=1))
        o = block.attn.c_proj.weight.T
    elif family == "gpt_neox":
        fused = block.attention.query_key_value.weight.view(4, 3, size, -1)
        q, k, v = (fused[:, i].reshape(32, -1) for i in range(3))
        o = block.attention.dense.weight
    else:
        at = block.self_attn
        q, k, v, o = (getattr(at, f"{n}_proj").weight for n in "qkvo")
        group = 2
    mine, kv = slice(head * size, (head + 1) * size), head // group
    theirs = slice(kv * size, (kv + 1) * size)
    read = model.get_input_embeddings().weight
    if which == "VO":
        expected = read @ v[theirs].T @ o[:, mine].T @ model.get_output_embeddings().weight.T
    else:
        expected = read @ q[mine].T @ k[theirs] @ read.T / size**0.5
    torch.testing.assert_close(a @ b.T, expected.detach(), atol=1e-4, rtol=1e-4)


def test_planted_pairs_of_a_head_are_found():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=500, n_positions=16, n_embd=64, n_layer=2, n_head=2)
    ).eval()
    table = model.transformer.wte.weight.detach()
    tokens = torch.randperm(500)[:40]
    first, second = tokens[:20], tokens[20:]
    inverse = right_inverse(table)
    with torch.no_grad():
        attention = model.transformer.h[1].attn
        # W_V W_O = Σ pinv-side(a)ᵀ … so that reading with the pseudo-inverse finds a → b
        into = table[first].T @ torch.eye(20, 32)
        attention.c_attn.weight[:, 128 + 32 : 128 + 64] = into
        attention.c_proj.weight[32:64] = torch.eye(32, 20) @ inverse[second]
    session = Session(model)
    planted = {(int(a), int(b)) for a, b in zip(first, second, strict=True)}
    recall = {}
    for how in ("pinv", "transpose"):
        found = iw.weights.head(session, 1, 1, k=20, inverse=how)
        ids = found.numpy("ids")[:, :, 0, 0]
        recall[how] = len(planted & {(int(a), int(b)) for a, b in ids}) / 20
    assert recall["pinv"] >= 0.95, recall
    block = iw.weights.head_block(session, 1, 1, [int(first[0]), int(second[0])], inverse="pinv")
    assert block.values.shape == (2, 2)
    assert block.values[0].argmax() == 1
    with pytest.raises(ValueError, match="no head 2"):
        iw.weights.head(session, 1, 2)
    with pytest.raises(ValueError, match="ids from 0 to 499"):
        iw.weights.head(session, 1, 1, tokens=[500])


def bases(s=0.5, t=0.3, layers=1):
    """Parameters and embeddings of a model, and of a noisy copy in another basis."""
    draw = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(64, 64, generator=draw)).Q
    table = torch.randn(2000, 64, generator=draw)
    rows = [torch.randn(768, 64, generator=draw) for _ in range(layers)]
    noisy = [r + s * torch.randn(768, 64, generator=draw) for r in rows]
    other = (table + t * torch.randn(2000, 64, generator=draw)) @ rotation.T
    return rows, table, [r @ rotation.T for r in noisy], other


def test_neurons_are_matched_in_another_basis_where_raw_coordinates_fail():
    (x,), ex, (y,), ey = bases()
    found = projected_correlation(x, ex, y, ey)
    dense = torch.corrcoef(torch.cat([x @ ex.T, y @ ey.T]).double())[:768, 768:]
    torch.testing.assert_close(found, dense.float(), atol=1e-5, rtol=0)
    right = torch.arange(768)
    assert (found.argmax(1) == right).float().mean() >= 0.99
    raw = torch.corrcoef(torch.cat([x, y]))[:768, 768:]
    assert (raw.argmax(1) == right).float().mean() <= 0.02


def test_layers_are_matched_in_another_basis():
    x, ex, y, ey = bases(layers=6)
    scores = torch.tensor(
        [[projected_correlation(a, ex, b, ey).abs().mean() for b in y] for a in x]
    )
    assert linear_sum_assignment(-scores.numpy())[1].tolist() == list(range(6))


def rotated():
    """A Llama and its copy in a rotated basis; gains of 1 commute with the rotation."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=90,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        initializer_range=0.2,
    )
    one = LlamaForCausalLM(config).eval()
    two = copy.deepcopy(one)
    rotation = torch.linalg.qr(torch.randn(32, 32)).Q
    with torch.no_grad():
        for name, weight in two.named_parameters():
            if weight.ndim != 2:
                continue
            writes = name.endswith(("o_proj.weight", "down_proj.weight"))
            weight.copy_(rotation @ weight if writes else weight @ rotation.T)
    return Session(one, name="one"), Session(two, name="two")


def test_a_model_stitched_with_its_rotated_copy_is_itself_at_every_cut():
    one, two = rotated()
    prompt = one.prompt([5, 80, 33, 7], answer=9)
    own = one.capture(prompt, ["logits"])["logits"]
    way = kernel(*(s.anatomy.root.lm_head.weight.detach() for s in (two, one)))
    for keep in range(4):
        found = stitched_logits(one, two, prompt, keep, 3 - keep, way)
        torch.testing.assert_close(found, own, atol=1e-4, rtol=1e-4)
    result = iw.weights.stitch([prompt], other=two)
    assert (result.values[0] == 1).all()
    again = result.rerun(one)
    torch.testing.assert_close(again.values, result.values)
    two.close()
    with pytest.raises(ValueError, match="compares with 'two', whose session is not open"):
        result.rerun(one)


def test_a_rotated_copy_has_the_same_layers_in_vocabulary_space_only():
    one, two = rotated()
    found = iw.weights.align(one, two, "ff_values", average="best")
    assert found.meta["matching"] == {"0": 0, "1": 1, "2": 2}
    torch.testing.assert_close(found.values.diagonal(), torch.ones(3), atol=1e-4, rtol=0)
    raw = iw.weights.align(one, two, "ff_values", average="best", raw=True)
    assert raw.values.diagonal().max() < 0.9
    change = iw.weights.diff(one, two, "W_O", layers=[1], k=3)
    model = [s.anatomy.root.model.layers[1].self_attn.o_proj.weight.detach() for s in (one, two)]
    expected = (model[0] - model[1]).T @ one.anatomy.root.lm_head.weight.detach().T
    torch.testing.assert_close(
        torch.as_tensor(change.numpy("logits")[:, 0, 0, 0]), expected.amax(1), atol=1e-4, rtol=0
    )
    small = Session(families.build("llama"))
    with pytest.raises(WeightsError, match="vocabularies"):
        iw.weights.align(one, small)


def test_sub_heads_are_columns_and_rows_of_their_matrices():
    session = Session(families.build("qwen2"))
    table = iw.weights.project(session, ["W_V", "W_O"], layers=[2], k=3)
    at = session.anatomy.root.model.layers[2].self_attn
    read = at.v_proj.weight.view(2, 8, -1).repeat_interleave(2, 0).flatten(0, 1)
    tables = (
        session.anatomy.root.get_input_embeddings().weight,
        session.anatomy.root.lm_head.weight,
    )
    for c, (rows, vectors) in enumerate(zip((read, at.o_proj.weight.T), tables, strict=True)):
        expected = (rows @ vectors.T).detach().topk(3).values
        torch.testing.assert_close(
            torch.as_tensor(table.numpy("logits")[:, c, 0]), expected, atol=1e-4, rtol=1e-4
        )
    with pytest.raises(WeightsError, match="different numbers of units"):
        iw.weights.project(session, ["ff_keys", "W_V"])
    with pytest.raises(ValueError, match="units are 0 to 31"):
        iw.weights.project(session, "W_O", index=[32])


def test_what_neurons_write_agrees_with_the_state_more_than_chance():
    session = iw.demo()
    texts = [
        "When Mary and John went to the store, John gave a drink to",
        "The capital of Germany is",
    ]
    recall = iw.weights.validate([session.prompt(t) for t in texts], k=20).values
    assert (recall[0] > recall[1]).all()
    assert (recall[2, -1] > recall[3, -1]).all()
    partners = iw.weights.pairs(session, k=50)
    assert partners.values.shape == (6, session.anatomy.n_layers)
    assert (partners.values[0] > partners.values[1]).all()  # keys and values
    with pytest.raises(ValueError, match="two tokens or more"):
        iw.weights.validate([session.prompt([5])])
