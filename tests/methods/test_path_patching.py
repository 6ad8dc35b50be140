"""Path patching beside the algorithm of Wang et al. written out with plain PyTorch hooks."""

from __future__ import annotations

import copy

import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.session.session import Session
from tests.families import build
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER, open_session

D = 8
PARTS = {  # of each family: blocks, output projection, MLP, what makes q, k and v
    "gpt2": ("transformer.h", "attn.c_proj", "mlp", "attn.c_attn"),
    "llama": ("model.layers", "self_attn.o_proj", "mlp", "self_attn.{}_proj"),
    "gpt_neox": ("gpt_neox.layers", "attention.dense", "mlp", "attention.query_key_value"),
    "qwen3": ("model.layers", "self_attn.o_proj", "mlp", "self_attn.{}_proj"),
    "gemma2": ("model.layers", "self_attn.o_proj", "mlp", "self_attn.{}_proj"),
}


def with_own_keys(model):
    """The same model with a key and value head of its own for each query head."""
    config = getattr(model, "config", None)
    if getattr(config, "num_key_value_heads", config.num_attention_heads) == 4:
        return model
    wide = copy.deepcopy(config)
    wide.num_key_value_heads = 4
    made = type(model)(wide).eval()
    state = model.state_dict()
    for name in state:
        if "k_proj" in name or "v_proj" in name:
            rows = state[name].unflatten(0, (2, D)).repeat_interleave(2, 0)
            state[name] = rows.flatten(0, 1)
    made.load_state_dict(state)
    return made


class Plain:
    """Hooks on a bare model: heads frozen, one sender changed, receivers noted and replaced."""

    def __init__(self, family, model):
        self.model = with_own_keys(model)
        self.blocks, self.out, self.mlp, self.qkv = PARTS[family]
        self.interleaved = family == "gpt_neox"

    def module(self, layer, name):
        return self.model.get_submodule(f"{self.blocks}.{layer}.{name}")

    def reader(self, name):
        """Module, port and slice of what a receiver reads."""
        if name[0] == "m":
            return self.module(int(name[1:]), self.mlp), slice(None)
        layer, head, slot = int(name[1]), int(name[4]), name[6]
        j = "qkv".index(slot)
        start = {True: head * 3 * D + j * D, False: j * 4 * D + head * D}[self.interleaved]
        if "{}" in self.qkv:
            start = head * D
        return self.module(layer, self.qkv.format(slot)), slice(start, start + D)

    def run(self, ids, z=None, mlps=None, sender=None, sent=None, note=(), put=None):
        """z and mlps freeze; ``sender`` writes ``sent``; returns the metric and what was seen."""
        handles, seen = [], {"z": {}, "mlp": {}, "read": {}}

        def heads(layer):
            def hook(_m, args):
                x = args[0].clone()
                seen["z"][layer] = x.clone()
                if z is not None:
                    x = z[layer].clone()
                if sender is not None and sender[0] == "a" and int(sender[1]) == layer:
                    at = int(sender[4]) * D
                    x[..., at : at + D] = sent["z"][layer][..., at : at + D]
                return (x,)

            return hook

        def mlp(layer):
            def hook(_m, _args, out):
                seen["mlp"][layer] = out.clone()
                if sender == f"m{layer}":
                    return sent["mlp"][layer]
                return out if mlps is None else mlps[layer]

            return hook

        def reading(name, part):
            def before(_m, args):
                seen["read"][name] = args[0].clone()
                return (put[name],) if put else None

            def after(_m, _args, out):
                seen["read"][name] = out[..., part].clone()
                if put:
                    out = out.clone()
                    out[..., part] = put[name]
                return out

            return before if name[0] == "m" else after

        for layer in range(3):
            handles.append(self.module(layer, self.out).register_forward_pre_hook(heads(layer)))
            handles.append(self.module(layer, self.mlp).register_forward_hook(mlp(layer)))
        for name in note:
            module, part = self.reader(name)
            add = (
                module.register_forward_pre_hook if name[0] == "m" else module.register_forward_hook
            )
            handles.append(add(reading(name, part)))
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([ids])).logits[0, -1]
        for handle in handles:
            handle.remove()
        return float(logits[ANSWER] - logits[FOIL]), seen

    def path(self, sender, receivers, *, freeze=False):
        clean, kept = self.run(IDS)
        other = self.run(OTHER)[1]
        mlps = kept["mlp"] if freeze else None
        score, seen = self.run(IDS, kept["z"], mlps, sender, other, note=receivers)
        if receivers:
            score = self.run(IDS, note=receivers, put=seen["read"])[0]
        return score - clean


@pytest.fixture(params=list(PARTS), scope="module")
def family(request):
    return request.param


@pytest.fixture(scope="module")
def plain(family):
    return Plain(family, build(family))


def pair_of(family):
    session = open_session(family)
    return session.prompt(IDS, ANSWER, FOIL), session.prompt(OTHER)


def test_paths_to_the_logits_equal_plain_hooks(family, plain):
    found = iw.path_patching(*pair_of(family), normalise=False)
    assert found.dims == ["layer", "head"]
    frozen = iw.path_patching(*pair_of(family), mlps="frozen", normalise=False)
    for layer, head in ((0, 1), (1, 2), (2, 0)):
        for result, freeze in ((found, False), (frozen, True)):
            expected = plain.path(f"a{layer}.h{head}", [], freeze=freeze)
            assert float(result.values[layer, head]) == pytest.approx(expected, rel=2e-4, abs=1e-4)
    assert not torch.allclose(found.values[0], frozen.values[0])


def test_paths_to_heads_and_mlps_equal_plain_hooks(family, plain):
    receivers = ["a2.h1<q>", "a2.h3<k>", "a1.h2<v>", "m2"]
    found = iw.path_patching(
        *pair_of(family), receivers, senders=["a0.h1", "m0", "a1.h3"], normalise=False
    )
    assert found.dims == ["receiver", "sender"]
    for i, receiver in enumerate(receivers):
        for j, sender in enumerate(["a0.h1", "m0", "a1.h3"]):
            value = float(found.values[i, j])
            if (receiver, sender) == ("a1.h2<v>", "a1.h3"):
                assert value != value
                assert found.mask[i, j]
            else:
                assert value == pytest.approx(plain.path(sender, [receiver]), rel=2e-4, abs=1e-4)


def test_receivers_together_are_replaced_in_one_run(family, plain):
    receivers = ["a2.h1<q>", "a1.h2<q>", "a2.h0<v>"]
    found = iw.path_patching(
        *pair_of(family), receivers, senders=["m0", "a1.h0"], together=True, normalise=False
    )
    assert found.dims == ["sender"]
    for sender, value in zip(["m0", "a1.h0"], found.values, strict=True):
        assert float(value) == pytest.approx(plain.path(sender, receivers), rel=2e-4, abs=1e-4)


def test_a_head_stands_for_its_three_inputs():
    pair = pair_of("gpt2")
    found = iw.path_patching(*pair, "a2.h1")
    assert found.labels("receiver") == ["a2.h1<q>", "a2.h1<k>", "a2.h1<v>"]
    single = iw.path_patching(*pair, "a2.h1<k>")
    assert single.sizes == {"layer": 3, "head": 4}
    assert single.mask[2].all()
    torch.testing.assert_close(single.values[:2].flatten(), found.values[1, :8])


def test_senders_found_become_receivers():
    pair = pair_of("gpt2")
    found = iw.path_search(*pair, rounds=2, top=5, threshold=0.0)
    logits, inputs = found.meta["rounds"]
    assert logits == ["logits"]
    direct = iw.path_patching(*pair).values.flatten()
    best = [found.labels("sender")[i] for i in direct.abs().argsort(descending=True)[:5]]
    assert {name[:5] for name in inputs} == {name for name in best if name[1] != "0"}
    torch.testing.assert_close(found.values[0], direct)
    again = iw.path_patching(*pair, inputs[0]).values.flatten()
    torch.testing.assert_close(found.values[1], again, equal_nan=True)


def test_pairs_interventions_and_recipes():
    session = open_session("llama")
    cleans = [session.prompt(IDS, ANSWER, FOIL), session.prompt(IDS[1:], ANSWER, 40)]
    others = [session.prompt(OTHER), session.prompt(OTHER[1:])]
    both = iw.path_patching(cleans, others, normalise=False)
    single = [iw.path_patching(*p, normalise=False) for p in zip(cleans, others, strict=True)]
    expected = torch.stack([r.values for r in single])
    torch.testing.assert_close(both.arrays["changes"], expected, rtol=1e-4, atol=1e-5)
    session.ablate("z", layer=1, head=2)
    again = single[0].rerun()
    assert again.values[1, 2].abs() < 1e-5
    assert not torch.allclose(again.values[0], single[0].values[0])
    session.interventions.clear()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"receivers": "a9.h0<q>"}, "there is no receiver 'a9.h0<q>'"),
        ({"receivers": ["logits", "m1"], "together": True}, "nothing else could matter"),
        ({"senders": ["a0.h7"]}, "there is no sender 'a0.h7'"),
        ({"senders": []}, "the list is empty"),
    ],
)
def test_what_is_not_there_is_told(arguments, why):
    with pytest.raises(ValueError, match=why):
        iw.path_patching(*pair_of("gpt2"), **arguments)


def test_post_norm_models_are_refused():
    session = Session(build("bert"))
    pair = session.prompt(IDS, ANSWER, FOIL), session.prompt(OTHER)
    with pytest.raises(CircuitError, match="post-norm"):
        iw.path_patching(*pair)
