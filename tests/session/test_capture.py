"""Reading activations: every site of every family against plain PyTorch hooks, in one trace."""

from __future__ import annotations

import nnsight
import pytest
import torch
from torch import nn

from interp_widgets.session.anatomy import Anatomy
from interp_widgets.session.capture import capture, capture_with_grad
from interp_widgets.session.sites import Site, SiteError
from tests import families
from tests.session import reference


@pytest.fixture(scope="module")
def opened():
    """Open each family once: its nnsight model and anatomy."""
    made = {}

    def get(name):
        if name not in made:
            model = nnsight.NNsight(families.build(name))
            made[name] = (model, Anatomy.of(model))
        return made[name]

    return get


@pytest.mark.parametrize("name", families.FAMILIES)
def test_every_site_holds_what_a_pytorch_hook_sees(name, opened):
    model, anatomy = opened(name)
    inputs = families.inputs(name)
    expected = reference.read(name, families.build(name), inputs)
    got = capture(
        model, anatomy, inputs, [s for s in anatomy.sites if s not in ("pattern", "bias")]
    )
    compared = set()
    for site, value in got.items():
        if site.name in "qkv" and (site.name, site.layer) not in expected:
            assert families.build(name).config._attn_implementation == "eager"
            continue
        theirs = expected[site.name, site.layer][0]
        mine = value.flatten(-2) if site.name == "z" else value
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)
        compared.add(site.name)
    missing = set(families.FAMILIES[name].without)
    standard = {
        "embed",
        "resid_pre",
        "resid_post",
        "z",
        "attn_out",
        "resid_mid",
        "mlp_post",
        "mlp_out",
        "logits",
    }
    assert compared - set("qkv") == standard - missing


@pytest.mark.parametrize("name", families.WITH_ATTENTION)
def test_pattern_times_v_is_z(name, opened):
    model, anatomy = opened(name)
    got = capture(model, anatomy, families.inputs(name, 11), ["pattern", "v", "z"])
    group = anatomy.n_heads // anatomy.n_kv_heads
    for layer in range(anatomy.n_layers):
        v = got[Site("v", layer)].repeat_interleave(group, 0)
        z = torch.einsum("hqk,hkd->qhd", got[Site("pattern", layer)], v)
        torch.testing.assert_close(z, got[Site("z", layer)], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "name", [n for n in families.WITH_ATTENTION if not families.FAMILIES[n].image]
)
def test_patterns_of_a_padded_batch_equal_eager_attention(name, side, opened):
    model, anatomy = opened(name)
    inputs = families.inputs(name, 9, batch=2)
    mask = torch.ones(2, 9, dtype=torch.long)
    real = slice(3, 9) if side == "left" else slice(0, 6)
    mask[1, : 3 if side == "left" else 9] = 0
    mask[1, real] = 1
    inputs["attention_mask"] = mask
    eager = reference.eager_patterns(name, inputs)
    got = capture(model, anatomy, inputs, ["pattern"])
    for layer in range(anatomy.n_layers):
        mine = got[Site("pattern", layer)]
        assert mine.shape == (2, families.HEADS, 9, 9)
        torch.testing.assert_close(mine[0], eager[layer][0], atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(mine[1, :, real], eager[layer][1, :, real], atol=2e-5, rtol=1e-4)
        assert mine[1][..., mask[1] == 0].abs().max() == 0


def test_the_residual_stream_adds_up_in_a_pre_norm_model(opened):
    for name in ("gpt2", "llama", "gemma2", "olmo2", "modernbert", "t5_encoder", "vit"):
        model, anatomy = opened(name)
        got = capture(
            model,
            anatomy,
            families.inputs(name),
            ["resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"],
        )
        for i in range(anatomy.n_layers):
            middle = got[Site("resid_pre", i)] + got[Site("attn_out", i)]
            torch.testing.assert_close(middle, got[Site("resid_mid", i)], atol=1e-5, rtol=1e-5)
            after = middle + got[Site("mlp_out", i)]
            torch.testing.assert_close(after, got[Site("resid_post", i)], atol=1e-5, rtol=1e-5)


def test_bert_normalises_the_sum_itself(opened):
    model, anatomy = opened("bert")
    assert anatomy.post_norm
    got = capture(model, anatomy, families.inputs("bert"), ["resid_pre", "attn_out", "resid_mid"])
    norm = model._module.bert.encoder.layer[1].attention.output.LayerNorm
    expected = norm(got[Site("resid_pre", 1)] + got[Site("attn_out", 1)])
    torch.testing.assert_close(got[Site("resid_mid", 1)], expected)


def test_a_batch_keeps_its_dimension_and_one_prompt_drops_it(opened):
    model, anatomy = opened("llama")
    one = capture(
        model, anatomy, families.inputs("llama", 7), ["q.1", "k.1", "z.1", "resid_post.2", "logits"]
    )
    assert {str(s): tuple(v.shape) for s, v in one.items()} == {
        "q.1": (4, 7, 8),
        "k.1": (2, 7, 8),
        "z.1": (7, 4, 8),
        "resid_post.2": (7, 40),
        "logits": (7, 61),
    }
    kept = capture(model, anatomy, families.inputs("llama", 7), ["q.1"], squeeze=False)
    assert kept[Site("q", 1)].shape == (1, 4, 7, 8)
    three = capture(model, anatomy, families.inputs("llama", 7, batch=3), ["q.1", "logits"])
    assert three[Site("q", 1)].shape == (3, 4, 7, 8)
    assert three[Site("logits")].shape == (3, 7, 61)


def test_sites_asked_in_any_order_come_back_in_that_order(opened):
    model, anatomy = opened("gpt2")
    asked = ["logits", "resid_post.2", "resid_pre.0", "z.1", "z.1", "embed", "transformer.h.1.ln_2"]
    got = capture(model, anatomy, families.inputs("gpt2"), asked)
    assert [str(s) for s in got] == list(dict.fromkeys(asked))
    assert all(not v.requires_grad for v in got.values())


def test_the_model_stops_after_the_last_site_asked(opened):
    model, anatomy = opened("gpt2")
    calls = []
    handle = model._module.transformer.h[2].register_forward_hook(lambda *_: calls.append(1))
    capture(model, anatomy, families.inputs("gpt2"), ["resid_post.0", "pattern.1"])
    assert calls == []
    capture(model, anatomy, families.inputs("gpt2"), ["logits"])
    handle.remove()
    assert calls == [1]


def test_an_edited_model_is_read_after_its_edits_even_when_they_come_later(opened):
    model, anatomy = opened("gpt2")
    clean = capture(model, anatomy, families.inputs("gpt2"), ["resid_post"])
    with model.edit() as (_, edited):
        edited.transformer.h[1].output[:] = 0
    early = capture(edited, anatomy, families.inputs("gpt2"), ["resid_post.0"])
    torch.testing.assert_close(early[Site("resid_post", 0)], clean[Site("resid_post", 0)])
    after = capture(edited, anatomy, families.inputs("gpt2"), ["resid_post"])
    assert after[Site("resid_post", 1)].abs().max() == 0
    assert not torch.allclose(after[Site("resid_post", 2)], clean[Site("resid_post", 2)])


def test_writing_at_a_location_changes_what_the_model_does(opened):
    """Zero each site in turn: what is read back is zero, and the logits move."""
    model, anatomy = opened("llama")
    inputs = families.inputs("llama")
    clean = capture(model, anatomy, inputs, ["logits"])[Site("logits")]
    for name in (
        "embed",
        "resid_pre",
        "q",
        "k",
        "v",
        "z",
        "attn_out",
        "resid_mid",
        "mlp_post",
        "mlp_out",
        "resid_post",
    ):
        place = anatomy.locate(name, None if name == "embed" else 1)
        with torch.no_grad(), model.trace(**inputs):
            value = place.read(model)
            place.write(model, torch.zeros_like(value))
            back = place.read(model).save()
            logits = model.output.logits.save()
        assert back.abs().max() == 0, name
        assert not torch.allclose(logits[0], clean, atol=1e-3), name


def test_zeroing_resid_mid_removes_everything_before_it(opened):
    """The residual connection reads the same tensor, so a write must reach it too."""
    model, anatomy = opened("gpt2")
    place = anatomy.locate("resid_mid", 1)
    with torch.no_grad(), model.trace(**families.inputs("gpt2")):
        place.write(model, torch.zeros_like(place.read(model)))
        mlp_out = anatomy.locate("mlp_out", 1).read(model).save()
        after = anatomy.locate("resid_post", 1).read(model).save()
    torch.testing.assert_close(after, mlp_out)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "gemma2", "mixtral", "bert", "vit", "mamba"])
def test_gradients_equal_plain_autograd(name, opened):
    model, anatomy = opened(name)
    inputs = families.inputs(name)
    torch.manual_seed(3)
    direction = torch.randn(families.build(name)(**inputs).logits[0].shape)
    sites = [s for s in anatomy.sites if s not in ("pattern", "bias", "q", "k", "v")]
    weights = [p.requires_grad for p in model._module.parameters()]
    got = capture_with_grad(
        model, anatomy, inputs, sites, lambda logits: (logits * direction).sum()
    )
    assert [p.requires_grad for p in model._module.parameters()] == weights
    assert all(p.grad is None for p in model._module.parameters())

    plain, kept = families.build(name), {}
    paths = reference.PATHS[name]

    def keep(key, path, port):
        def before(_, args, kwargs):
            tensor = args[0] if args else next(iter(kwargs.values()))
            tensor.retain_grad()
            kept[key] = tensor

        def after(_, args, output):
            tensor = output[0] if isinstance(output, tuple) else output
            tensor.retain_grad()
            kept[key] = tensor

        module = plain.get_submodule(path)
        if port == "in":
            module.register_forward_pre_hook(before, with_kwargs=True)
        else:
            module.register_forward_hook(after)

    for layer in range(families.LAYERS):
        keep(("resid_post", layer), f"{paths['block']}.{layer}", "out")
        for site in ("z", "attn_out", "resid_mid", "mlp_post", "mlp_out"):
            if site in paths:
                keep((site, layer), f"{paths['block']}.{layer}.{paths[site][0]}", paths[site][1])
    keep(("embed", None), paths["embed"], "out")
    score = (plain(**inputs).logits[0] * direction).sum()
    score.backward()
    torch.testing.assert_close(got.metric, score.detach(), atol=1e-3, rtol=1e-4)
    for (site, layer), tensor in kept.items():
        mine = got.grads[Site(site, layer)]
        mine = mine.flatten(-2) if site == "z" else mine
        scale = tensor.grad.abs().max().item()
        torch.testing.assert_close(mine, tensor.grad[0], atol=1e-4 * scale, rtol=1e-3)


def test_gradients_of_q_k_v_predict_a_small_change(opened):
    model, anatomy = opened("llama")
    inputs = families.inputs("llama")
    got = capture_with_grad(
        model, anatomy, inputs, ["q.1", "k.1", "v.1"], lambda logits: logits[-1, 5]
    )
    for site, grad in got.grads.items():
        place, step = anatomy.locate(site), 1e-2 * grad / grad.norm()
        ends = []
        for sign in (-1, 1):
            with torch.no_grad(), model.trace(**inputs):
                place.write(model, place.read(model) + sign * step)
                ends.append(model.output.logits[0, -1, 5].save())
        slope = (ends[1] - ends[0]) / 2
        torch.testing.assert_close(slope, (grad * step).sum(), atol=1e-4, rtol=0.02)


def test_gradients_flow_when_every_weight_is_frozen_and_grad_is_off(opened):
    module = families.build("gpt2").requires_grad_(False)
    model = nnsight.NNsight(module)
    with torch.no_grad():
        got = capture_with_grad(
            model, Anatomy.of(model), families.inputs("gpt2"), ["resid_post.0"], lambda x: x[-1, 3]
        )
    assert got.grads[Site("resid_post", 0)].abs().max() > 0
    assert not any(p.requires_grad for p in module.parameters())


def test_a_metric_that_is_no_number_or_ignores_the_model_is_refused(opened):
    model, anatomy = opened("gpt2")
    inputs = families.inputs("gpt2")
    with pytest.raises(ValueError, match="one number"):
        capture_with_grad(model, anatomy, inputs, ["z"], lambda logits: logits[-1])
    with pytest.raises(ValueError, match="does not depend"):
        capture_with_grad(model, anatomy, inputs, ["z"], lambda logits: torch.tensor(1.0))
    with pytest.raises(ValueError, match="q, k or z"):
        capture_with_grad(model, anatomy, inputs, ["pattern.0"], lambda logits: logits.sum())
    assert capture(model, anatomy, inputs, ["logits"])[Site("logits")].shape == (9, 61)


def test_a_site_that_is_not_there_leaves_the_model_usable(opened):
    model, anatomy = opened("mamba")
    with pytest.raises(
        SiteError, match=r"no site 'pattern.0'.*Its sites are: embed, resid_pre, resid_post, logits"
    ):
        capture(model, anatomy, families.inputs("mamba"), ["resid_post", "pattern"])
    assert len(capture(model, anatomy, families.inputs("mamba"), ["resid_post"])) == families.LAYERS


class Digits(nn.Module):
    """A small image classifier."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, pixels):
        return self.head(torch.relu(self.conv(pixels)).mean((2, 3)))


def test_any_module_can_be_read_by_its_paths():
    module = Digits().eval()
    model = nnsight.NNsight(module)
    anatomy = Anatomy.of(model)
    pixels = torch.randn(2, 3, 9, 7)
    got = capture(model, anatomy, {"pixels": pixels}, ["head", "conv", "logits"])
    torch.testing.assert_close(got[Site("conv")], module.conv(pixels).detach())
    torch.testing.assert_close(got[Site("head")], got[Site("logits")])
    assert anatomy.kind == "modules"
    slopes = capture_with_grad(
        model, anatomy, {"pixels": pixels}, ["conv"], lambda logits: logits[:, 2].sum()
    )
    expected = module.head.weight[2][None, :, None, None] / 35 * (got[Site("conv")] > 0)
    torch.testing.assert_close(slopes.grads[Site("conv")], expected.detach())
