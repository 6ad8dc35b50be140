"""CD-T: both parts of every activation add up to the model's own, on every family."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from interp_widgets.methods.cdt import Source, decompose
from interp_widgets.methods.circuits import CircuitError
from interp_widgets.session.session import Session
from tests import families

SOURCES = [
    Source(0, words=True, positions=(1, 2)),
    Source(1, words=True, positions=(0,)),
    Source(0, head=1, positions=(3,)),
    Source(1, head=2),
    Source(1),
]


def opened(name):
    if name != "classifier":
        return Session(families.build(name).double())
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=61,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=56,
    )
    return Session(BertForSequenceClassification(config).eval().double())


@pytest.mark.parametrize("rule", ["relative", "frozen"])
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("gpt2", 1e-9),
        ("gpt_neox", 1e-9),
        ("bert", 1e-9),
        ("classifier", 1e-9),
        ("llama", 1e-5),  # RMS norms compute in float32 whatever the model's dtype is
        ("qwen3", 1e-5),
        ("gemma2", 1e-5),
        ("gemma3", 1e-5),
        ("phi3", 1e-5),
    ],
)
def test_the_parts_add_up_to_the_logits(name, limit, rule):
    session = opened(name)
    parts = decompose(session, session.prompt([5, 9, 23, 7, 11, 4]), SOURCES, attention=rule)
    assert parts.check() < limit
    assert bool((parts.relevant.abs().flatten(1).amax(1) > 1e-9).all())


def test_all_words_leave_only_shares_of_biases_and_no_source_is_nothing():
    session = opened("gpt2")
    prompt = session.prompt([5, 9, 23, 7, 11, 4])
    parts = decompose(session, prompt, [Source(0, words=True), Source(0, words=True, positions=())])
    assert float(parts.rest[0].abs().max()) < 1e-7
    assert float(parts.relevant[1].abs().max()) == 0


def test_a_model_whose_queries_are_not_known_says_what_works():
    session = opened("olmo2")
    prompt = session.prompt([5, 9, 23])
    with pytest.raises(CircuitError, match='attention="frozen"'):
        decompose(session, prompt, SOURCES[3:4])
    assert decompose(session, prompt, SOURCES[3:4], attention="frozen").check() < 1e-5
    with pytest.raises(CircuitError, match="there is no"):
        decompose(session, prompt, [Source(9, head=1)], attention="frozen")
