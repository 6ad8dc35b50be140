"""Attributions agree with captum and with their definitions, and say what they miss."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients

import interp_widgets as iw
from interp_widgets.session.sites import SiteError
from tests.families import inputs
from tests.methods.conftest import ANSWER, FOIL, IDS, long_llama, open_session


@pytest.fixture
def case(session, prompt):
    """The plain PyTorch side: embeddings [1, position, d_model] and the logit difference of them."""
    root = session.model._module
    with torch.no_grad():
        embeddings = root.get_input_embeddings()(torch.tensor([IDS]))

    def difference(x):
        logits = root(
            inputs_embeds=x, attention_mask=torch.ones(x.shape[:2], dtype=torch.long)
        ).logits
        return logits[:, -1, ANSWER] - logits[:, -1, FOIL]

    return embeddings, difference


def test_gradient_times_input_is_captums(prompt, case):
    x, difference = case
    expected = InputXGradient(difference).attribute(x.clone().requires_grad_()).sum(-1)
    result = iw.attribute(prompt)
    torch.testing.assert_close(result.values[0], expected[0].detach(), rtol=1e-4, atol=1e-6)
    assert result.meta["score"] == pytest.approx(float(difference(x).detach()), abs=1e-5)
    assert result.meta["target"] == "logit difference of '17' over '8'"
    assert result.tokens == [str(i) for i in IDS]


@pytest.mark.parametrize("baseline", ["zero", "mean", 5])
@pytest.mark.parametrize("steps", [3, 20])
def test_integrated_gradients_are_captums_with_the_same_quadrature(
    session, prompt, case, baseline, steps
):
    x, difference = case
    base = {"zero": torch.zeros_like(x), "mean": x.mean(1, keepdim=True).expand_as(x)}.get(baseline)
    if base is None:
        base = session.model._module.get_input_embeddings()(torch.full((1, 7), baseline)).detach()
    expected, delta = IntegratedGradients(difference).attribute(
        x, base, n_steps=steps, method="gausslegendre", return_convergence_delta=True
    )
    result = iw.attribute(prompt, method="integrated_gradients", steps=steps, baseline=baseline)
    torch.testing.assert_close(
        result.values[0], expected.sum(-1)[0].detach().float(), rtol=1e-3, atol=1e-4
    )
    assert result.meta["completeness_gap"] == pytest.approx(float(delta), abs=1e-4)


def test_what_integrated_gradients_miss_is_said(prompt):
    bad = iw.attribute(
        open_session("llama").prompt(IDS, ANSWER, FOIL), method="integrated_gradients"
    )
    assert abs(bad.meta["completeness_gap"]) > 0.05 * abs(
        bad.meta["score"] - bad.meta["baseline_score"]
    )
    assert "take more steps, or another baseline" in bad.text()  # RMSNorm jumps at zero
    good = iw.attribute(prompt, method="integrated_gradients", baseline="mean")
    assert float(good.values.sum()) == pytest.approx(
        good.meta["score"] - good.meta["baseline_score"], abs=1e-4
    )
    assert "note" not in good.meta


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_occlusion_is_captums_feature_ablation(prompt, case, baseline):
    x, difference = case
    base = torch.zeros_like(x) if baseline == "zero" else x.mean(1, keepdim=True).expand_as(x)
    mask = torch.arange(7)[None, :, None].expand_as(x)
    with torch.no_grad():
        expected = FeatureAblation(difference).attribute(x, base, feature_mask=mask)[..., 0]
    result = iw.attribute(prompt, method="occlusion", baseline=baseline)
    torch.testing.assert_close(result.values[0], expected[0], rtol=1e-3, atol=1e-5)


def test_rollout_is_the_product_of_the_definition(session, prompt):
    product = torch.eye(7, dtype=torch.float64)
    patterns = iw.attention(prompt)
    for layer in range(3):
        heads = [patterns.pattern(layer=layer, head=h).double() for h in range(4)]
        mixed = (sum(heads) / 4 + torch.eye(7)) / 2
        product = (mixed / mixed.sum(-1, keepdim=True)) @ product
    for position in (-1, 3):
        result = iw.attribute(prompt, method="attention_rollout", position=position)
        torch.testing.assert_close(
            result.values[0].double(), product[position], rtol=1e-5, atol=1e-7
        )
        assert float(result.values.sum()) == pytest.approx(1)
    assert not result.signed
    assert result.values[0, 4:].eq(0).all()  # nothing comes from the future


def test_rollout_of_a_long_prompt_carries_one_row():
    from interp_widgets.session.session import Session

    session = Session(long_llama(2048))
    result = iw.attribute(session.prompt([5, 9, 7, 3] * 300), method="attention_rollout")
    assert float(result.values.sum()) == pytest.approx(1, abs=1e-5)
    session.close()


def test_the_target_is_the_difference_the_answer_or_the_top_token(session):
    answered = iw.attribute(session.prompt(IDS, answer=ANSWER))
    assert answered.meta["target"] == "logit of '17'"
    top = int(session.capture(session.prompt(IDS), "logits")["logits"][-1].argmax())
    assert iw.attribute(session.prompt(IDS)).meta["target"] == f"logit of '{top}'"
    chosen = iw.attribute(session.prompt(IDS, ANSWER, FOIL), target=33)
    assert chosen.meta["target"] == "logit of '33'"
    foil = iw.attribute(session.prompt(IDS, FOIL))
    both = iw.attribute(session.prompt(IDS, ANSWER, FOIL))
    torch.testing.assert_close(both.values, answered.values - foil.values, rtol=1e-4, atol=1e-6)


def test_a_target_at_an_earlier_position_ignores_what_comes_later(prompt):
    result = iw.attribute(prompt, position=2, method="occlusion")
    assert result.values[0, 3:].abs().max() < 1e-6
    assert result.values[0, :3].abs().min() > 0


@pytest.mark.parametrize(
    "method", ["gradient_x_input", "integrated_gradients", "occlusion", "attention_rollout"]
)
def test_interventions_apply(session, prompt, method):
    before = iw.attribute(prompt, method=method, baseline="mean")
    session.ablate("z", layer=0, head=1)
    after = before.rerun()
    assert not torch.allclose(before.values, after.values)
    if "score" in after.meta:
        logits = session.capture(prompt, "logits")["logits"][-1]
        assert after.meta["score"] == pytest.approx(float(logits[ANSWER] - logits[FOIL]), abs=1e-5)
    session.undo()
    torch.testing.assert_close(before.rerun().values, before.values)


def test_a_steered_embedding_is_steered_once(session, prompt):
    width = session.anatomy.root.config.hidden_size
    session.steer("embed", direction=[0.3] * width)
    result = iw.attribute(prompt, method="integrated_gradients", baseline="mean")
    logits = session.capture(prompt, "logits")["logits"][-1]
    assert result.meta["score"] == pytest.approx(float(logits[ANSWER] - logits[FOIL]), abs=1e-5)


def test_weights_take_no_part_and_stay_as_they_were(session, prompt):
    parameters = list(session.model._module.parameters())
    wanted = [p.requires_grad for p in parameters]
    iw.attribute(prompt, method="integrated_gradients", steps=2)
    assert [p.requires_grad for p in parameters] == wanted
    assert all(p.grad is None for p in parameters)


def test_an_image_is_attributed_to_its_patches():
    session = open_session("vit")
    prompt = session.prompt(inputs("vit")["pixel_values"][0], answer=3, foil=5)
    result = iw.attribute(prompt, method="occlusion", baseline="mean")
    assert len(result.tokens) == 10
    assert result.meta["target"] == "logit difference of class 3 over class 5"
    assert result.values.abs().max() > 0
    smooth = iw.attribute(prompt, method="integrated_gradients", baseline="mean")
    assert abs(smooth.meta["completeness_gap"]) < 1e-4


def test_chunks_of_rows_change_nothing(prompt, monkeypatch):
    from interp_widgets.methods import rows

    methods = ("occlusion", "integrated_gradients")
    whole = [iw.attribute(prompt, method=m, baseline="mean").values for m in methods]
    monkeypatch.setattr(rows, "TOKENS", 3 * len(IDS))  # three rows a pass
    for m, expected in zip(methods, whole, strict=True):
        got = iw.attribute(prompt, method=m, baseline="mean").values
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_short_memory_halves_the_rows(prompt, monkeypatch):
    module = sys.modules["interp_widgets.methods.attribute"]
    run, sizes = module.scores_of_inputs, []

    def tight(session, prompt, site, inputs, score, *, gradient):
        sizes.append(len(inputs))
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return run(session, prompt, site, inputs, score, gradient=gradient)

    expected = iw.attribute(prompt, method="occlusion")
    monkeypatch.setattr(module, "scores_of_inputs", tight)
    torch.testing.assert_close(iw.attribute(prompt, method="occlusion").values, expected.values)
    assert max(sizes) > 2
    assert sizes[-1] <= 2


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ({"method": "integrated_gradient"}, ValueError, "did you mean 'integrated_gradients'"),
        ({"position": 7}, ValueError, "no position 7 in a prompt of 7 tokens"),
        ({"position": -8, "method": "attention_rollout"}, ValueError, "no position -8"),
        ({"method": "integrated_gradients", "steps": 0}, ValueError, "at least 1"),
        ({"method": "attention_rollout", "target": 3}, ValueError, "explains no particular target"),
        ({"target": "cat"}, ValueError, "no tokenizer"),
        ({"target": 61}, ValueError, "not in the vocabulary"),
        ({"baseline": "noise"}, ValueError, "'zero', 'mean'"),
        ({"baseline": 99}, ValueError, "99 in the prompt is not in the vocabulary"),
    ],
)
def test_bad_settings_are_refused_and_the_session_goes_on(prompt, arguments, error, why):
    with pytest.raises(error, match=why):
        iw.attribute(prompt, **arguments)
    assert math.isfinite(float(iw.attribute(prompt).values.sum()))


def test_models_without_logits_or_attention_say_so():
    with pytest.raises(SiteError, match="no output head"):
        iw.attribute(open_session("t5_encoder").prompt(IDS))
    with pytest.raises(SiteError, match="attention function"):
        iw.attribute(open_session("mamba").prompt(IDS), method="attention_rollout")
    works = iw.attribute(open_session("mamba").prompt(IDS), method="occlusion")
    assert works.values.shape == (1, 7)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients", "occlusion"])
def test_each_token_of_a_text_is_explained_as_if_it_were_the_answer(session, method):
    prompt = session.prompt(IDS)
    matrix = iw.attribute(prompt, method=method, targets=[2, 5], steps=4)
    assert matrix.values.shape == (2, 7)
    assert matrix.targets == [2, 5]
    for row, at in enumerate([2, 5]):
        one = iw.attribute(prompt, method=method, target=IDS[at], position=at - 1, steps=4)
        torch.testing.assert_close(matrix.values[row], one.values[0])
        assert matrix.values[row, at:].abs().max() < 1e-4  # a causal model has not read these
    every = iw.attribute(prompt, targets="all")
    assert every.targets == [1, 2, 3, 4, 5, 6]
    assert every.rerun().targets == every.targets


def test_a_foil_contrasts_two_tokens_and_the_difference_is_that_of_their_logits(session):
    prompt = session.prompt(IDS)
    contrast = iw.attribute(prompt, target=17, foil=8)
    own, other = (iw.attribute(prompt, target=t) for t in (17, 8))
    torch.testing.assert_close(contrast.values, own.values - other.values, rtol=1e-3, atol=1e-5)
    assert contrast.meta["target"] == "logit difference of '17' over '8'"
    assert (
        iw.attribute(session.prompt(IDS, answer=17), foil=8).meta["target"]
        == contrast.meta["target"]
    )
    share = iw.attribute(prompt, target=17, metric="log_probability")
    assert share.quantity == "attribution in nats"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"targets": [0]}, "positions from 1 to 6"),
        ({"targets": []}, "positions from 1 to 6"),
        ({"targets": [7]}, "positions from 1 to 6"),
        ({"targets": [2], "target": 3}, "either target, one token, or targets"),
        ({"target": 8, "foil": 8}, "same token"),
        ({"method": "attention_rollout", "foil": 8}, "no particular target"),
    ],
)
def test_targets_that_cannot_be_explained_are_refused(session, arguments, why):
    with pytest.raises(ValueError, match=why):
        iw.attribute(session.prompt(IDS), **arguments)
