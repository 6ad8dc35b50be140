"""What the model says next, compared with its own forward pass, while heads are ablated."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from tests.methods.conftest import ANSWER, FOIL, IDS


def own(session, position=-1):
    with torch.no_grad():
        logits = session.anatomy.root(input_ids=torch.tensor([IDS])).logits[0, position]
    return logits.softmax(-1)


def test_the_bars_are_the_models_probabilities_and_add_up_to_one(session, prompt):
    result = iw.next_tokens(prompt, k=5)
    ids = result.arrays["ids"].tolist()
    expected = own(session)
    torch.testing.assert_close(result.values[:-1], expected[ids])
    assert ids[:5] == expected.topk(5).indices.tolist()
    assert {ANSWER, FOIL} <= set(ids)
    assert float(result.values.sum()) == pytest.approx(1, abs=1e-5)
    assert result.labels("next token")[-1] == "all others"
    early = iw.next_tokens(prompt, k=3, position=2)
    torch.testing.assert_close(early.values[0], own(session, 2).max())


def test_the_tokens_stay_while_an_ablation_changes_the_numbers(session, prompt):
    before = iw.next_tokens(prompt, k=4)
    for layer in range(3):
        session.ablate("z", layer=layer)
        session.ablate("mlp_out", layer=layer)
    after = before.rerun()
    session.interventions.clear()
    assert after.labels("next token") == before.labels("next token")
    assert not torch.allclose(after.values, before.values, atol=1e-3)
    torch.testing.assert_close(iw.next_tokens(prompt, k=4).values, before.values)


def test_its_figure_has_a_bar_for_each_token(prompt):
    result = iw.next_tokens(prompt, k=6)
    axes = result.figure("icml").mpl.axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(result.values.tolist())
    assert axes.get_yticklabels()[-1].get_text() == "all others"


def test_numbers_out_of_range_are_told(prompt):
    with pytest.raises(ValueError, match="k=0: give 1 to 61"):
        iw.next_tokens(prompt, k=0)
    with pytest.raises(ValueError, match="position=7: the prompt has 7 tokens"):
        iw.next_tokens(prompt, position=7)
