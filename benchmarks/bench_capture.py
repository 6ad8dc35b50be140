"""Capturing everything in one trace beside plain PyTorch hooks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import interp_widgets as iw
from benchmarks.table import Row, paired

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "z", "mlp_post", "mlp_out")


def run() -> Iterator[Row]:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=5003, bos_token_id=0, eos_token_id=0)).eval()
    for length in (32, 256):
        ids = torch.randint(0, 5003, (length,), generator=torch.Generator().manual_seed(1))
        session = iw.Session(model)
        prompt = session.prompt(ids.tolist())

        def ours(session=session, prompt=prompt) -> None:
            session.cache.clear()
            session.capture(prompt, SITES, interventions="none")

        def hooks(ids=ids) -> None:
            kept: dict[str, torch.Tensor] = {}

            def keep(name):
                def hook(_module, args, output):
                    kept[name] = (output[0] if isinstance(output, tuple) else output).detach()
                    kept[f"{name}.in"] = args[0].detach() if args else None

                return hook

            handles = [
                part.register_forward_hook(keep(f"{i}.{name}"))
                for i, block in enumerate(model.transformer.h)
                for name, part in (
                    ("block", block),
                    ("ln_2", block.ln_2),
                    ("attn", block.attn.c_proj),
                    ("mlp", block.mlp.c_proj),
                )
            ]
            with torch.no_grad():
                model(ids[None])
            for handle in handles:
                handle.remove()

        mine, plain = paired(ours, hooks)
        yield Row(
            f"capture 7 sites × 12 layers, {length} tokens",
            mine,
            plain,
            "s",
            "plain hooks",
            "1.10×",
        )
        session.close()
