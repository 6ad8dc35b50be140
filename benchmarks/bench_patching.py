"""Patching all 144 heads beside plain hooks that run only the blocks from the patched one on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import interp_widgets as iw
from benchmarks.table import Row, paired

PAIRS = 2


def run() -> Iterator[Row]:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50257, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(1)
    clean, corrupted = (torch.randint(0, 5003, (PAIRS, 20), generator=draw) for _ in range(2))
    session = iw.Session(model)
    cleans = [session.prompt(ids.tolist(), answer=7, foil=8) for ids in clean]
    others = [session.prompt(ids.tolist()) for ids in corrupted]
    found = {}

    def ours() -> None:
        session.cache.clear()
        found["ours"] = iw.patching(cleans, others, "z", normalise=False).values

    def hooks() -> None:
        found["hooks"] = by_hooks(model, clean, corrupted)

    mine, plain = paired(ours, hooks, rounds=1)
    gap = float((found["ours"] - found["hooks"]).abs().max())
    assert gap < 1e-4, f"ours and plain hooks differ by {gap}"
    yield Row(
        f"patching 144 heads, GPT-2 small shape, {PAIRS} pairs of 20 tokens",
        mine,
        plain,
        "s",
        "plain hooks, from the patched block on",
    )
    session.close()


@torch.no_grad()
def by_hooks(model: GPT2LMHeadModel, clean: torch.Tensor, corrupted: torch.Tensor) -> torch.Tensor:
    """The fastest plain way: cached residuals, all pairs in a batch, the last position's logits."""
    blocks, size = model.transformer.h, 64

    def read(ids):
        seen, streams, handles = [], [], []
        for block in blocks:
            for module, into in ((block.attn.c_proj, seen), (block, streams)):
                hook = module.register_forward_pre_hook(lambda _m, a, into=into: into.append(a[0]))
                handles.append(hook)
        logits = model(ids).logits[:, -1]
        for handle in handles:
            handle.remove()
        return seen, streams, logits[:, 7] - logits[:, 8]

    source, _, _ = read(clean)
    _, streams, before = read(corrupted)
    changes = torch.zeros(12, 12)
    for layer, head in ((i, j) for i in range(12) for j in range(12)):
        part = slice(head * size, (head + 1) * size)

        def patch(_m, args, layer=layer, part=part):
            args[0][..., part] = source[layer][..., part]

        handle = blocks[layer].attn.c_proj.register_forward_pre_hook(patch)
        x = streams[layer]
        for block in blocks[layer:]:
            x = block(x)
        handle.remove()
        logits = model.lm_head(model.transformer.ln_f(x[:, -1]))
        changes[layer, head] = (logits[:, 7] - logits[:, 8] - before).mean()
    return changes
