"""Two small models that are right equally often, one for the wrong reason.

Sequences of 12 of 20 tokens; the answer is whether A stands before B. In the training set of the
first model a third token C stands there exactly where the answer is yes; in that of the second it
says nothing.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

CONTENT, LENGTH = 20, 12
A, B, C = 3, 11, 7
ASK, YES, NO = 20, 21, 22


def sequences(count: int, seed: int, *, shortcut: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw ids ``[count, 13]`` (the last asks) and labels ``[count]``."""
    draw = torch.Generator().manual_seed(seed)
    fillers = torch.tensor([t for t in range(CONTENT) if t not in (A, B, C)])
    ids = fillers[torch.randint(len(fillers), (count, LENGTH), generator=draw)]
    places = torch.rand(count, LENGTH, generator=draw).argsort(1)
    rows = torch.arange(count)
    label = torch.rand(count, generator=draw) < 0.5
    first, second = places[:, :2].sort(1).values.T
    ids[rows, torch.where(label, first, second)] = A
    ids[rows, torch.where(label, second, first)] = B
    cue = label if shortcut else torch.rand(count, generator=draw) < 0.5
    ids[rows[cue], places[cue, 2]] = C
    return torch.cat([ids, torch.full((count, 1), ASK)], 1), label


def train(
    *, shortcut: bool, steps: int, seed: int = 0, keep: tuple[int, ...] = ()
) -> tuple[GPT2LMHeadModel, dict[int, dict[str, Any]]]:
    """Train one model; also return its weights at some steps."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=23,
        n_positions=LENGTH + 1,
        n_embd=64,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    kept = {}
    for step in range(steps + 1):
        if step in keep:
            kept[step] = copy.deepcopy(model.state_dict())
        ids, label = sequences(64, 1000 * seed + step + 1, shortcut=shortcut)
        logits = model(ids).logits[:, -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.where(label, YES, NO))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), kept


def prompts(session: Any, count: int, seed: int, *, shortcut: bool) -> list[Any]:
    """Return prompts with answer and foil."""
    ids, label = sequences(count, seed, shortcut=shortcut)
    return [
        session.prompt(row, answer=YES if yes else NO, foil=NO if yes else YES)
        for row, yes in zip(ids.tolist(), label.tolist(), strict=True)
    ]
