"""Direct logit attribution: exact sums on every family, shares beside the formula written out."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods.circuits.wiring import CircuitError
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER, open_session


def pose(family, ids=IDS):
    session = open_session(family)
    return session, session.prompt(ids, ANSWER, FOIL)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "qwen3", "gemma2", "phi3"])
def test_shares_add_up_to_the_logit_difference(family):
    session, prompt = pose(family)
    with torch.no_grad():
        logits = session.model._module(input_ids=torch.tensor([IDS])).logits[0, -1].double()
    cap = getattr(session.model._module.config, "final_logit_softcapping", None)
    if cap:
        logits = cap * torch.atanh(logits / cap)
    expected = float(logits[ANSWER] - logits[FOIL])
    whole = iw.direct_logit_attribution(prompt, by="component")
    assert float(whole.values.sum()) == pytest.approx(expected, abs=1e-5)
    assert whole.meta["total"] == pytest.approx(expected, abs=1e-5)
    assert ("before the soft cap" in whole.quantity) == bool(cap)
    heads = iw.direct_logit_attribution(prompt)
    layers = iw.direct_logit_attribution(prompt, by="layer")
    tokens = iw.direct_logit_attribution(prompt, by="token")
    assert tokens.sizes == {"layer": 3, "head": 4, "key": 7}
    torch.testing.assert_close(tokens.values.sum(-1), heads.values, rtol=1e-4, atol=1e-6)
    names = dict(zip(whole.labels("component"), whole.values, strict=True))
    assert float(heads.values[1, 2]) == float(names["a1.h2"])
    both = float(heads.values[2].sum() + names["a2 bias"])
    assert float(layers.values[2, 0]) == pytest.approx(both, abs=1e-6)
    assert float(layers.values[2, 1]) == float(names["m2"])


@pytest.mark.parametrize("position", [-1, 3])
def test_a_head_of_gpt2_by_the_formula(position):
    session, prompt = pose("gpt2")
    model, seen = session.model._module, {}
    block = model.transformer.h[1]
    handles = [
        block.attn.c_proj.register_forward_pre_hook(lambda _m, a: seen.update(z=a[0][0])),
        block.mlp.register_forward_hook(lambda _m, _a, out: seen.update(mlp=out[0])),
        model.transformer.ln_f.register_forward_pre_hook(lambda _m, a: seen.update(last=a[0][0])),
    ]
    with torch.no_grad():
        model(input_ids=torch.tensor([IDS]))
    for handle in handles:
        handle.remove()
    norm, last = model.transformer.ln_f, seen["last"][position]
    sigma = (last.var(unbiased=False) + norm.eps).sqrt()
    direction = (model.lm_head.weight[ANSWER] - model.lm_head.weight[FOIL]) * norm.weight / sigma

    def share(x):
        return float(((x - x.mean()) @ direction).detach())

    found = iw.direct_logit_attribution(prompt, by="component", position=position)
    names = dict(zip(found.labels("component"), found.values, strict=True))
    head = seen["z"][position, 16:24] @ block.attn.c_proj.weight[16:24]
    assert float(names["a1.h2"]) == pytest.approx(share(head), abs=1e-6)
    assert float(names["a1 bias"]) == pytest.approx(share(block.attn.c_proj.bias), abs=1e-6)
    assert float(names["m1"]) == pytest.approx(share(seen["mlp"][position]), abs=1e-6)
    biases = (
        norm.bias.detach() @ (model.lm_head.weight[ANSWER] - model.lm_head.weight[FOIL]).detach()
    )
    assert float(names["bias"]) == pytest.approx(float(biases), abs=1e-6)


def test_several_prompts_are_averaged_and_interventions_hold():
    session, prompt = pose("llama")
    other = session.prompt(OTHER, ANSWER, FOIL)
    both = iw.direct_logit_attribution([prompt, other])
    single = [iw.direct_logit_attribution(p).values for p in (prompt, other)]
    torch.testing.assert_close(both.arrays["by_prompt"], torch.stack(single))
    torch.testing.assert_close(both.values, torch.stack(single).mean(0))
    session.ablate("z", layer=1, head=2)
    assert both.rerun().values[1, 2] == 0
    session.interventions.clear()
    session.steer("resid_mid", layer=1, direction=torch.ones(40).tolist(), strength=3.0)
    noted = iw.direct_logit_attribution(prompt, by="component")
    missing = noted.meta["total"] - float(noted.values.sum())
    assert f"{missing:.3g}" in noted.meta["note"]
    session.interventions.clear()


def test_what_cannot_be_split_is_refused():
    session, prompt = pose("gpt2")
    with pytest.raises(ValueError, match="no position 9"):
        iw.direct_logit_attribution(prompt, position=9)
    with pytest.raises(ValueError, match="no prompt in the list"):
        iw.direct_logit_attribution([])
    short = session.prompt(IDS[:4], ANSWER, FOIL)
    with pytest.raises(ValueError, match="no mean by token"):
        iw.direct_logit_attribution([prompt, short], by="token")
    _, bert = pose("bert")
    with pytest.raises(CircuitError, match="post-norm"):
        iw.direct_logit_attribution(bert)


def test_without_a_foil_it_is_the_logit_of_the_answer():
    session, _ = pose("gpt2")
    prompt = session.prompt(IDS, ANSWER)
    logits = session.capture(prompt, "logits")["logits"][-1]
    found = iw.direct_logit_attribution(prompt, by="component")
    assert float(found.values.sum()) == pytest.approx(float(logits[ANSWER]), abs=1e-5)
