"""Edge attribution patching of all 32,491 edges beside its floor: 2 forward + 1 backward passes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import interp_widgets as iw
from benchmarks.table import Row, paired


def run() -> Iterator[Row]:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=5003, bos_token_id=0, eos_token_id=0)).eval()
    model.requires_grad_(False)
    draw = torch.Generator().manual_seed(1)
    clean, corrupted = (torch.randint(0, 5003, (20,), generator=draw) for _ in range(2))
    session = iw.Session(model)
    pair = [session.prompt(ids.tolist(), answer=7, foil=8) for ids in (clean, corrupted)]

    def ours() -> None:
        session.cache.clear()
        iw.circuit(*pair, method="eap", faithfulness=False)

    def floor() -> None:
        with torch.no_grad():
            model(corrupted[None])
            model(clean[None])
        embedded = model.transformer.wte(clean[None]).requires_grad_()
        logits = model(inputs_embeds=embedded).logits[0, -1]
        (logits[7] - logits[8]).backward()

    mine, passes = paired(ours, floor, rounds=5)
    yield Row(
        "EAP, GPT-2 small shape, 1 pair of 20 tokens",
        mine,
        passes,
        "s",
        "2 forward + 1 forward-backward",
    )
    session.close()
