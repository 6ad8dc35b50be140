"""Activations come back labelled, and equal to what a plain PyTorch hook sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.session.session import Session
from interp_widgets.session.sites import SiteError
from tests.methods.conftest import IDS, OTHER, long_llama, open_session


def hooked(session, path, ids=IDS, port="output"):
    """What a plain PyTorch hook on a module sees, without nnsight."""
    module, seen = session.model._module, []
    target = module.get_submodule(path)

    def keep(_module, args, output):
        value = args[0] if port == "input" else output
        seen.append(value[0] if isinstance(value, tuple) else value)

    handle = target.register_forward_hook(keep)
    try:
        with torch.no_grad():
            module(input_ids=torch.tensor([ids]))
    finally:
        handle.remove()
    return seen[0][0]


def test_every_layer_of_the_residual_stream_equals_the_hooks(session, prompt):
    result = iw.activations(prompt)
    d_model = session.anatomy.root.config.hidden_size
    assert result.sizes == {"layer": 3, "position": 7, "d_model": d_model}
    for layer, block in enumerate(session.anatomy.blocks):
        torch.testing.assert_close(result.values[layer], hooked(session, block.path))
    assert result.labels("position") == [str(i) for i in IDS]
    assert result.labels("layer") == ["0", "1", "2"]
    assert "residual stream" in result.quantity
    assert result.signed


def test_one_layer_has_no_layer_dim_however_it_is_asked_for(session, prompt):
    path = session.anatomy.blocks[1].output_projection
    expected = hooked(session, path, port="input").unflatten(-1, (4, 8))
    for result in (
        iw.activations(prompt, "z", 1),
        iw.activations(prompt, "z.1"),
        iw.activations(prompt, layer=1, site="z"),
    ):
        assert result.dims == ["position", "head", "d_head"]
        torch.testing.assert_close(result.values, expected)


@pytest.mark.parametrize(("family", "kv_heads"), [("gpt2", 4), ("llama", 2)])
def test_keys_of_grouped_queries_have_a_dim_of_their_own(family, kv_heads):
    prompt = open_session(family).prompt(IDS)
    assert iw.activations(prompt, "k").sizes == {
        "layer": 3,
        "kv_head": kv_heads,
        "position": 7,
        "d_head": 8,
    }
    assert iw.activations(prompt, "q").sizes == {"layer": 3, "head": 4, "position": 7, "d_head": 8}


def test_patterns_label_queries_and_keys(prompt):
    result = iw.activations(prompt, "pattern", 2)
    assert result.dims == ["head", "query", "key"]
    assert result.labels("query") == result.labels("key") == [str(i) for i in IDS]
    torch.testing.assert_close(result.values.sum(-1), torch.ones(4, 7))
    assert not result.signed


def test_an_intervention_shows(session, prompt):
    before = iw.activations(prompt, "attn_out", 1)
    session.ablate("attn_out", layer=1, position=3)
    after = before.rerun()
    assert not after.values[3].any()
    torch.testing.assert_close(after.values[:3], before.values[:3])


def test_a_batch_masks_padding(session):
    batch = session.prompts([session.prompt(IDS), session.prompt(OTHER[:4])])
    result = iw.activations(batch, "resid_post")
    assert result.dims == ["layer", "batch", "position", "d_model"]
    alone = iw.activations(session.prompt(OTHER[:4]), "resid_post")
    torch.testing.assert_close(result.values[:, 1, :4], alone.values, rtol=1e-4, atol=1e-5)
    assert result.values[:, 1, 4:].isnan().all()
    assert not result.values[:, 0].isnan().any()
    assert f"{result.masked} entries are masked" in result.text()
    assert result.masked == result.values.isnan().sum()


def test_any_module_of_any_torch_model_can_be_read():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 4))
    session = Session(net)
    x = torch.randn(1, 5)
    result = iw.activations(session.prompt(x), "1")
    assert result.dims == ["unit"]
    torch.testing.assert_close(result.values, net[:2](x)[0])
    assert result.quantity == "output of 1"
    session.close()


def test_a_module_of_a_transformer_can_be_read_by_its_path(session, prompt):
    path = session.anatomy.blocks[2].norms[0]
    result = iw.activations(prompt, path)
    assert result.dims == ["position", "unit"]
    torch.testing.assert_close(result.values, hooked(session, path))
    assert result.labels("position") == [str(i) for i in IDS]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"site": "residual"}, "no site 'residual'.*resid_post"),
        ({"site": "resid_post", "layer": 9}, "no layer 9: .* 0 to 2"),
        ({"site": "resid_post.1", "layer": 2}, "name two layers"),
        ({"site": "logits", "layer": 2}, "has no layers"),
    ],
)
def test_a_site_that_is_not_there_says_which_are(prompt, arguments, why):
    with pytest.raises(SiteError, match=why):
        iw.activations(prompt, **arguments)
    assert iw.activations(prompt, "embed").values.shape[0] == 7  # the session goes on


def test_all_patterns_of_a_long_prompt_are_refused_before_anything_is_allocated():
    session = Session(long_llama(16_384))
    prompt = session.prompt([5] * 10_000)
    passes = session.forward_passes
    with pytest.raises(
        ValueError, match=r"10,000 tokens are 1,200,000,000 numbers; .*iw.attention"
    ):
        iw.activations(prompt, "pattern")
    assert session.forward_passes == passes
