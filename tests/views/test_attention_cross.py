"""Cross-attention of an encoder–decoder: its heads are cut where they are seen."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets.session.session import Session
from interp_widgets.session.sites import SiteError
from tests.models import tiny_t5
from tests.views.test_attention import ask, settle, tile


@pytest.fixture(scope="module")
def session():
    opened = Session(tiny_t5(), name="t5")
    yield opened
    opened.close()


@pytest.fixture
def prompts(session):
    yield session.prompt([3, 5, 7, 9, 11]), session.prompt([0, 8, 6])
    session.reset()


def logits(session, prompts, cut=None):
    """Return the model's own logits, head ``cut`` (layer, head) of cross-attention set to zero."""
    source, target = prompts
    model = session.model._module
    handle = None
    if cut is not None:
        layer, head = cut

        def zero(_module, args):
            z = args[0].clone()
            z[..., head * 8 : head * 8 + 8] = 0
            return (z,)

        out = model.decoder.block[layer].layer[1].EncDecAttention.o
        handle = out.register_forward_pre_hook(zero)
    with torch.no_grad():
        found = model(
            input_ids=torch.tensor([source.ids]), decoder_input_ids=torch.tensor([target.ids])
        ).logits
    if handle is not None:
        handle.remove()
    return found


def test_a_click_on_a_cross_attention_head_cuts_that_head_and_no_other(session, prompts):
    source, target = prompts
    view = iw.attention(source, decoder=target).view(layer=1, head=2)
    ask(view, "open")
    assert (view.spec["site"], view.spec["can_ablate"]) == ("cross_z", True)
    before = tile(view, 2, 1)
    click = {"kind": "ablate", "site": "cross_z", "layer": 1, "head": 2, "method": "zero"}
    assert ask(view, "intervene", **click)["ok"]
    settle(session)
    (item,) = session.interventions.active
    assert item.describe() == "ablate cross_z 1.2 (zero)"
    assert "cross-attention head 1.2 ablated" in view.status["said"]
    with torch.no_grad(), session.trace(source, decoder_input_ids=torch.tensor([target.ids])):
        shown = session.model.output.logits.save()
    expected, plain = logits(session, prompts, (1, 2)), logits(session, prompts)
    torch.testing.assert_close(shown, expected, atol=1e-5, rtol=1e-4)
    assert (expected - plain).abs().max() > 1e-3
    other = logits(session, prompts, (1, 1))
    assert (expected - other).abs().max() > 1e-3
    moved = tile(view, 2, 1)
    assert abs(moved - before).max() > 1e-4, "the layers after the cut head read something else"
    assert ask(view, "intervene", **click)["ok"]
    settle(session)
    assert not session.interventions.active
    view.close()


def test_the_decoders_own_head_of_the_same_number_is_another_one(session, prompts):
    source, target = prompts
    session.ablate("z", layer=1, head=2)
    with torch.no_grad(), session.trace(source, decoder_input_ids=torch.tensor([target.ids])):
        shown = session.model.output.logits.save()
    assert (shown - logits(session, prompts, (1, 2))).abs().max() > 1e-3


def test_heads_and_models_without_cross_attention_say_so(session, prompts):
    with pytest.raises(ValueError, match=r"no head 7 in cross_z.1: its heads are 0 to 3"):
        session.ablate("cross_z", layer=1, head=7)
    with pytest.raises(SiteError, match=r"encoder–decoder: give decoder="):
        iw.attention(prompts[0])
    with (
        iw.demo() as plain,
        pytest.raises(ValueError, match=r"no site 'cross_z.0'.*no cross-attention"),
    ):
        plain.ablate("cross_z", layer=0, head=0)
