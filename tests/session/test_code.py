"""session.code() is plain nnsight that gives the same logits: run in a fresh namespace for every kind at every site."""

from __future__ import annotations

import itertools
import linecache
from types import SimpleNamespace

import pytest
import torch

import interp_widgets as iw
from interp_widgets.session.errors import PromptError
from interp_widgets.session.session import Session
from tests.families import build
from tests.models import tiny_t5
from tests.session.cases import CASES, IDS, KINDS, OTHER, case, session

_count = itertools.count()


def run(code: str, model) -> torch.Tensor:
    """Run code the way a notebook cell does: source on record, nothing but ``model`` in scope."""
    name = f"<code {next(_count)}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    scope = {"model": model}
    exec(compile(code, name, "exec"), scope)
    return scope["logits"]


@pytest.fixture
def live():
    made = session("gpt2")
    yield made
    made.reset()


@pytest.mark.parametrize(("family", "site"), CASES)
def test_the_code_gives_the_logits_of_the_session(family, site):
    live = session(family)
    prompt = live.prompt(IDS)
    for kind in KINDS:
        found = case(family, site, kind)
        if found is None:
            continue
        live.interventions.load([found.item])
        try:
            expected = live.capture(prompt, "logits")["logits"]
            logits = run(live.code(prompt), live.model)
        finally:
            live.reset()
        assert torch.allclose(logits[0], expected, atol=1e-5), kind


def test_code_of_many_interventions_keeps_their_order_and_skips_those_that_are_off(live):
    prompt = live.prompt(IDS)
    live.scale("resid_post", 2.0, layer=0)
    live.ablate("pattern", layer=1, head=3)
    live.clamp("resid_post", 0.1, layer=0, unit=5)
    live.ablate("z", layer=1, head=[0, 2], method="mean")
    live.scale("v", 3.0, layer=1, position=-1)
    live.interventions.switch(live.ablate("mlp_out", layer=2), on=False)
    code = live.code(prompt)
    assert "interp_widgets" not in code
    assert (
        code.index("scale resid_post 0")
        < code.index("clamp resid_post 0")
        < code.index("scale v 1")
    )
    assert "1 more are off" in code
    expected = live.capture(prompt, "logits")["logits"]
    assert torch.allclose(run(code, live.model)[0], expected, atol=1e-5)


def test_code_of_a_padded_batch(live):
    batch = live.prompts([IDS, OTHER[:4], [7, 8, 9, 10, 11]])
    live.ablate("z", layer=1, head=2, position=-1, method="mean")
    live.patch("resid_post", live.prompt(OTHER), layer=0, position=[0, -2], source_position=[6, 1])
    live.steer("q", [0.5] * 8, layer=2, head=[0, 3], position=[0, 2])
    logits = run(live.code(batch), live.model)
    expected = live.capture(batch, "logits")["logits"]
    for row, length in enumerate(batch.lengths):
        assert torch.allclose(logits[row, :length], expected[row, :length], atol=1e-5)


def test_code_of_a_model_without_a_language_head():
    live = Session(build("vit"))
    image = live.prompt(torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(3)))
    live.ablate("z", layer=1, head=2)
    live.ablate("pattern", layer=2, head=0)
    expected = live.capture(image, "logits")["logits"]
    assert torch.allclose(run(live.code(image), live.model)[0], expected, atol=1e-5)


def test_code_needs_a_prompt_and_writes_token_strings_as_comments_only(live):
    fresh = Session(build("gpt2"))
    with pytest.raises(PromptError, match="needs a prompt"):
        fresh.code()
    fresh.capture(fresh.prompt(IDS), "logits")
    assert fresh.code() == fresh.code(fresh.prompt(IDS))
    evil = SimpleNamespace(tokens=('x\n"""\nraise SystemExit #',))
    from interp_widgets.session.export_code import _prompt_comment

    assert all(
        "\n" not in line for line in _prompt_comment(SimpleNamespace(**vars(evil), is_batch=False))
    )


def encoder_decoder(source, target, model):
    """Return the logits of the model itself."""
    with torch.no_grad():
        return model._module(
            input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])
        ).logits


def test_code_of_an_encoder_decoder_says_what_its_decoder_reads():
    live = Session(tiny_t5(), name="t5")
    source, target = [3, 5, 7, 9, 11], [0, 8, 6]
    code = live.code(live.prompt(source), decoder=live.prompt(target))
    assert "[[0, 8, 6]]" in code
    plain = encoder_decoder(source, target, live.model)
    assert torch.allclose(run(code, live.model), plain, atol=1e-5)
    live.close()


def test_an_encoder_decoder_that_is_given_one_prompt_says_how_to_give_both():
    session = Session(tiny_t5())
    prompt = session.prompt([3, 4, 5])
    with pytest.raises(PromptError, match="what its decoder reads"):
        session.capture(prompt, "resid_post")
    with session.trace(prompt, decoder_input_ids=torch.tensor([[0, 7]])):
        logits = session.model.output.logits.save()
    assert logits.shape[:2] == (1, 2)
    session.close()


def test_code_after_a_trace_takes_the_decoders_prompt_and_its_positions_from_there():
    live = Session(tiny_t5(), name="t5")
    prompt, target = live.prompt([3, 5, 7, 9, 11]), [0, 8, 6]
    live.ablate("cross_z", layer=1, head=2, position=-1)
    live.clamp("resid_post", 5.0, layer=2, position=0, unit=3)
    with torch.no_grad(), live.trace(prompt, decoder_input_ids=torch.tensor([target])):
        logits = live.model.output.logits.save()
    assert torch.allclose(run(live.code(), live.model), logits, atol=1e-5)
    assert live.code(prompt) == live.code(), "the prompt that was traced last"
    plain = encoder_decoder(prompt.ids, target, live.model)
    moved = (logits - plain).abs().amax(-1)[0] > 1e-4
    assert moved.tolist() == [True, False, True], "positions are those of the decoder"
    assert "decoder_input_ids" not in live.code(live.prompt([3, 4])), "another prompt"
    live.close()


def test_a_view_of_cross_attention_copies_code_with_both_prompts():
    live = Session(tiny_t5(), name="t5")
    source, target = live.prompt([3, 5, 7, 9, 11]), live.prompt([0, 8, 6])
    view = iw.attention(source, decoder=target).view(layer=1)
    live.trace(live.prompt([4, 4]))  # whatever was used since
    code = view.on_code({})["code"]
    assert torch.allclose(
        run(code, live.model), encoder_decoder(source.ids, target.ids, live.model), atol=1e-5
    )
    live.close()
