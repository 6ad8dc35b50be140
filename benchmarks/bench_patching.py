"""Patching all 144 heads beside plain hooks that run only the blocks from the patched one on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import interp_widgets as iw
from benchmarks.table import Row, paired

PAIRS = 4


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
    yield beside_transformer_lens(model, session, cleans[0], others[0])
    session.close()


@torch.no_grad()
def beside_transformer_lens(model, session, clean, corrupted) -> Row:
    """The same heads of one pair with TransformerLens, where it is installed."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig, patching
    from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

    config = HookedTransformerConfig(
        n_layers=12,
        d_model=768,
        n_ctx=1024,
        d_head=64,
        n_heads=12,
        d_mlp=3072,
        d_vocab=50257,
        act_fn="gelu_new",
        normalization_type="LN",
    )
    theirs = HookedTransformer(config)
    theirs.load_state_dict(convert_gpt2_weights(model, config), strict=False)
    ids = [torch.tensor([prompt.ids]) for prompt in (clean, corrupted)]
    found = {}

    def difference(logits):
        return logits[0, -1, 7] - logits[0, -1, 8]

    def ours() -> None:
        session.cache.clear()
        found["ours"] = iw.patching(clean, corrupted, "z", normalise=False).values

    def lens() -> None:
        _, cache = theirs.run_with_cache(ids[0])
        patched = patching.get_act_patch_attn_head_out_all_pos(theirs, ids[1], cache, difference)
        found["lens"] = patched - difference(theirs(ids[1]))

    mine, peer = paired(ours, lens, rounds=1)
    gap = float((found["ours"] - found["lens"]).abs().max())
    assert gap < 1e-4, f"ours and TransformerLens differ by {gap}"
    name = "patching 144 heads, GPT-2 small shape, 1 pair of 20 tokens"
    return Row(name, mine, peer, "s", "TransformerLens")


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
