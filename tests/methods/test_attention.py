"""Patterns from q and k are the patterns that eager attention uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.session.session import Session
from interp_widgets.session.sites import SiteError
from tests.families import build
from tests.methods.conftest import IDS, long_llama, open_session
from tests.models import tiny_t5


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "bert", "t5_encoder", "gpt_oss"])
def test_every_head_of_a_family_equals_eager_attention(family):
    session = open_session(family)
    prompt = session.prompt(IDS)
    result = iw.attention(prompt)
    eager = build(family, "eager")
    with torch.no_grad():
        ids = torch.tensor([IDS])
        expected = eager(
            input_ids=ids, attention_mask=torch.ones_like(ids), output_attentions=True
        ).attentions
    assert (result.n_layers, result.n_heads, result.positions) == (3, 4, 7)
    for layer in range(3):
        for head in range(4):
            pattern = result.pattern(layer=layer, head=head)
            assert pattern.dtype == torch.float32
            torch.testing.assert_close(
                pattern, expected[layer][0, head].float(), rtol=1e-4, atol=1e-5
            )


def test_nothing_of_the_size_queries_by_keys_is_kept(session, prompt):
    result = iw.attention(prompt)
    assert set(result.arrays) == {"q", "k", "value_norm"}
    assert tuple(result.arrays["value_norm"].shape) == (3, 4, 7)
    assert result.tokens == [str(i) for i in IDS]
    assert result.meta["ids"] == IDS


def test_a_long_prompt_costs_memory_by_its_length_not_its_square():
    session = Session(long_llama(8192))
    result = iw.attention(session.prompt([5, 9] * 4096))
    stored = sum(a.numel() * a.element_size() for a in result.arrays.values())
    assert stored == 3 * ((4 + 2) * 8 + 4) * 8192 * 4
    tile = result.tile(1, 3, query=slice(8190, 8192))
    torch.testing.assert_close(tile.sum(-1), torch.ones(2))


def test_some_layers_only(prompt):
    result = iw.attention(prompt, layers=[2, 0])
    assert result.layers == [2, 0]
    torch.testing.assert_close(
        result.pattern(layer=2, head=1), iw.attention(prompt).pattern(layer=2, head=1)
    )
    with pytest.raises(ValueError, match="layer 1"):
        result.pattern(layer=1, head=1)
    with pytest.raises(SiteError, match="no layer 5"):
        iw.attention(prompt, layers=[5])
    with pytest.raises(SiteError, match="layers is empty"):
        iw.attention(prompt, layers=[])


def test_an_ablated_head_changes_the_patterns_of_later_layers_and_only_those(session, prompt):
    before = iw.attention(prompt)
    session.ablate("z", layer=1, head=2)
    after = before.rerun()
    for layer in (0, 1):
        torch.testing.assert_close(
            after.pattern(layer=layer, head=2), before.pattern(layer=layer, head=2)
        )
    assert not torch.allclose(after.pattern(layer=2, head=2), before.pattern(layer=2, head=2))


def test_an_intervention_on_the_pattern_itself_is_shown(session, prompt):
    before = iw.attention(prompt)
    session.ablate("pattern", layer=1, head=3, unit=0)
    after = before.rerun()
    assert set(after.arrays) == {"pattern", "value_norm"}
    assert not after.pattern(layer=1, head=3)[:, 0].any()
    torch.testing.assert_close(
        after.pattern(layer=1, head=2), before.pattern(layer=1, head=2), rtol=1e-4, atol=1e-5
    )


def test_several_views_of_one_prompt_cost_one_forward_pass():
    session = Session(build("llama"))
    prompt = session.prompt(IDS)
    iw.attention(prompt)
    iw.attention(prompt, layers=[1])
    iw.logit_lens(prompt, k=3)
    assert session.forward_passes == 1
    session.close()


def test_a_model_without_attention_says_so():
    prompt = open_session("mamba").prompt(IDS)
    with pytest.raises(SiteError, match=r"no site 'pattern.0'.*attention function"):
        iw.attention(prompt)


def test_cross_attention_of_an_encoder_decoder_equals_eager_attention():
    from transformers import T5ForConditionalGeneration

    model = tiny_t5()
    session = Session(model, name="t5")
    source, target = session.prompt([3, 5, 7, 9, 11]), session.prompt([0, 8, 6])
    result = iw.attention(source, decoder=target)
    assert (result.n_queries, result.positions, result.cross) == (3, 5, True)
    assert result.query_tokens == list(target.tokens)
    eager = T5ForConditionalGeneration(model.config)
    eager.load_state_dict(model.state_dict())
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        expected = eager.eval()(
            input_ids=torch.tensor([source.ids]),
            decoder_input_ids=torch.tensor([target.ids]),
            output_attentions=True,
        ).cross_attentions
    for layer in range(3):
        for head in range(4):
            torch.testing.assert_close(
                result.pattern(layer=layer, head=head), expected[layer][0, head]
            )
    assert np.isnan(result.induction()).all()
    session.ablate("z", layer=0, head=1)
    after = result.rerun().pattern(layer=2, head=0)
    assert not torch.allclose(after, result.pattern(layer=2, head=0), atol=1e-4)
    session.close()


def test_a_model_without_a_decoder_says_that_there_is_no_cross_attention(prompt):
    with pytest.raises(SiteError, match="no cross-attention"):
        iw.attention(prompt, decoder=prompt)
