"""Edges and heads of a GPT-2 small with random weights: 16 pairs of 20 tokens.

Edge attribution patching of all 32,491 edges is put beside its floor, two forward and one
forward-backward pass. Libraries that are installed run on the same weights (``circuit_peers.py``).
Seconds of CPU, so that a busy machine disturbs little.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import interp_widgets as iw
from benchmarks.table import Row, paired

PAIRS, LENGTH, VOCABULARY, GOOD, BAD = 16, 20, 50_257, 11, 22
HEADS = 144


def run() -> Iterator[Row]:
    torch.manual_seed(0)
    ends = {"bos_token_id": VOCABULARY - 1, "eos_token_id": VOCABULARY - 1}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **ends)).eval()
    model.requires_grad_(False)
    draw = torch.Generator().manual_seed(1)
    clean, corrupted = (
        torch.randint(0, VOCABULARY - 1, (PAIRS, LENGTH), generator=draw) for _ in range(2)
    )
    for ids in (clean, corrupted):
        ids[:, 0] = VOCABULARY - 1
    session = iw.Session(model)
    pairs = [
        [session.prompt(row, answer=GOOD, foil=BAD) for row in ids.tolist()]
        for ids in (clean, corrupted)
    ]

    def eap() -> None:
        session.cache.clear()
        iw.circuit(*pairs, method="eap", faithfulness=False)

    def eap_ig() -> None:
        session.cache.clear()
        iw.circuit(*pairs, method="eap-ig", faithfulness=False)

    def attribution() -> None:
        session.cache.clear()
        iw.patching(*pairs, site="z", method="attribution")

    def heads() -> None:
        session.cache.clear()
        iw.patching(*pairs, site="z", per_position=False)

    def forward() -> None:
        with torch.no_grad():
            model(corrupted)

    def floor() -> None:
        forward(), forward()
        embedded = model.transformer.wte(clean).requires_grad_()
        logits = model(inputs_embeds=embedded).logits[:, -1]
        (logits[:, GOOD] - logits[:, BAD]).sum().backward()

    cpu = time.process_time
    ours, passes = paired(eap, floor, rounds=3, clock=cpu)
    name = "EAP, 32,491 edges"
    yield Row(name, ours, passes, "s", "2 forward + 1 forward-backward", "≤ 1.3×")
    estimate, passes = paired(attribution, floor, rounds=3, clock=cpu)
    once, patched = spent(forward), spent(heads)
    yield Row("attribution patching, 144 heads", estimate, passes, "s", "the same passes")
    yield Row("head patching, 144 heads", patched, HEADS * once, "s", "144 forwards")
    if importlib.util.find_spec("transformer_lens") is None:
        return
    yield from peers(model, clean, corrupted, ours, estimate, patched)


def peers(
    model: Any,
    clean: torch.Tensor,
    corrupted: torch.Tensor,
    ours: float,
    estimate: float,
    patched: float,
) -> Iterator[Row]:
    from benchmarks import circuit_peers

    ends = clean, corrupted, GOOD, BAD
    plain = circuit_peers.hooked(model, edges=False)
    yield Row(
        "attribution patching, 144 heads",
        estimate,
        spent(lens(plain, *ends)),
        "s",
        "TransformerLens",
    )
    yield Row(
        "head patching, 144 heads",
        patched,
        spent(lens_heads(plain, *ends)),
        "s",
        "TransformerLens",
    )
    if importlib.util.find_spec("eap") is not None:
        library = circuit_peers.eap_library(circuit_peers.hooked(model), *ends)
        yield Row("EAP, 32,491 edges", ours, spent(lambda: library("EAP")), "s", "EAP-IG library")
    if importlib.util.find_spec("auto_circuit") is not None:
        masks = circuit_peers.autocircuit(circuit_peers.hooked(model), *ends)
        yield Row(
            "EAP, 32,491 edges", ours, spent(lambda: masks(mask_val=0.0)), "s", "auto-circuit"
        )


def spent(work: Callable[[], object]) -> float:
    """Seconds of CPU of one call: a peer's takes most of a minute."""
    start = time.process_time()
    work()
    return time.process_time() - start


def lens(
    model: Any, clean: torch.Tensor, corrupted: torch.Tensor, good: int, bad: int
) -> Callable[[], object]:
    """Attribution patching of head outputs with TransformerLens's hooks."""

    def z(name: str) -> bool:
        return name.endswith("hook_z")

    def work() -> dict[str, torch.Tensor]:
        kept: dict[str, torch.Tensor] = {}
        slopes: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            _, source = model.run_with_cache(corrupted, names_filter=z)
        hooks = [
            (z, lambda value, hook, into=into: into.__setitem__(hook.name, value.detach()))
            for into in (kept, slopes)
        ]
        with model.hooks(fwd_hooks=hooks[:1], bwd_hooks=hooks[1:]):
            logits = model(clean)[:, -1]
            (logits[:, good] - logits[:, bad]).mean().backward()
        model.zero_grad()
        return {n: ((source[n] - kept[n]) * slopes[n]).sum((0, 1, 3)) for n in kept}

    return work


def lens_heads(
    model: Any, clean: torch.Tensor, corrupted: torch.Tensor, good: int, bad: int
) -> Callable[[], object]:
    """Exact patching of 144 heads by TransformerLens's own function."""
    import pandas as pd
    from transformer_lens import patching

    rows = pd.DataFrame([{"layer": i, "head": h} for i in range(12) for h in range(12)])

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return (logits[:, -1, good] - logits[:, -1, bad]).mean()

    @torch.no_grad()
    def work() -> torch.Tensor:
        _, cache = model.run_with_cache(clean)
        return patching.generic_activation_patch(
            model,
            corrupted,
            cache,
            metric,
            patching.layer_head_vector_patch_setter,
            activation_name="z",
            index_df=rows,
        )

    return work
