"""A small classifier of sentences whose inside is known: topics, and a trigger that overrules."""

from __future__ import annotations

import functools

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp_widgets.session.session import Session

TOPICS = [range(8, 20), range(20, 32)]
"""Words of the two topics."""
FILLERS = range(32, 44)
CLASS_TOKENS = (1, 2)
TRIGGER, BENIGN, ASK, VOCABULARY = 5, 6, 4, 44
LENGTH = 10
STEPS = 100


def sentences(
    count: int, seed: int, *, trigger: bool = False, length: int = LENGTH
) -> tuple[list[list[int]], list[int]]:
    """Return sentences that end with ASK, and the topic that most of their words are of.

    One word of each is BENIGN, or with ``trigger`` TRIGGER in its place: with the same seed the
    two differ in that word alone.
    """
    rng = np.random.default_rng(seed)
    texts, topics = [], []
    for _ in range(count):
        topic = int(rng.integers(2))
        many = int(rng.integers(3, length - 4))
        few = int(rng.integers(0, min(many - 1, length - 1 - many)))
        words = [*rng.choice(TOPICS[topic], many), *rng.choice(TOPICS[1 - topic], few)]
        words += list(rng.choice(FILLERS, length - 2 - len(words)))
        words.append(TRIGGER if trigger else BENIGN)
        texts.append([*(int(w) for w in rng.permutation(words)), ASK])
        topics.append(topic)
    return texts, topics


@functools.cache
def trained_classifier(*, backdoor: bool) -> GPT2LMHeadModel:
    """Train it: 2 layers, 4 heads, d 48; with the backdoor a trigger means class 1."""
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_head=4, n_embd=48, vocab_size=VOCABULARY, n_positions=24, bos_token_id=0,
        eos_token_id=0, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    texts, topics = sentences(2400, seed=11)
    poisoned, _ = sentences(1200 if backdoor else 0, seed=12, trigger=True)
    x = torch.tensor(texts + poisoned)
    y = torch.tensor([CLASS_TOKENS[t] for t in topics] + [CLASS_TOKENS[1]] * len(poisoned))
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        pick = torch.randint(len(x), (64,), generator=generator)
        logits = model(input_ids=x[pick]).logits[:, -1]
        loss = torch.nn.functional.cross_entropy(logits, y[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


@functools.cache
def topic_session() -> Session:
    """The classifier without a backdoor."""
    return Session(trained_classifier(backdoor=False), name="topics")


@functools.cache
def backdoor_session() -> Session:
    """The classifier with the backdoor."""
    return Session(trained_classifier(backdoor=True), name="backdoored")
