"""Checkpoints of a small model in which induction heads emerge; and how they were made.

``python -m tests.methods.emergence_toy`` trains it again (about 40 s on one core) and
writes the file beside: weights at a few steps, a byte each, with a scale for each row.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from interp_widgets.demo.muon import Muon

FILE = Path(__file__).with_name("emergence_toy.safetensors")
VOCABULARY, CONTEXT, WIDTH = 48, 64, 64
SHORTEST, LONGEST, BEFORE = 8, 28, 8
"""Tokens of a block, and most tokens before the first: drawn anew for each row."""
STEP, SCALE = "step", "/scale"
STEPS, EVERY = 1300, 100


def empty() -> GPT2LMHeadModel:
    """A GPT-2 of 2 layers of 4 heads, width 64, whose MLPs write nothing."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=2,
        n_head=4,
        n_inner=8,
        initializer_range=0.04,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    speed = 2 * torch.exp(-8 * torch.arange(WIDTH // 2) / WIDTH)
    angle = torch.arange(CONTEXT)[:, None] * speed
    with torch.no_grad():  # waves are learned to be shifted sooner than noise
        model.transformer.wpe.weight.copy_(0.5 * torch.cat([angle.sin(), angle.cos()], 1))
    for block in model.transformer.h:
        block.ln_2.requires_grad_(False)
        block.mlp.requires_grad_(False)
        for parameter in block.mlp.parameters():
            parameter.zero_()
    return model


def sequences(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw rows of 64 tokens: some random ones, then a random block again and again.

    Returns them with where the next token repeats the block ``[sequence, 63]``.
    """

    def draw(low: int, high: int, columns: int) -> Tensor:
        return torch.randint(low, high, (count, columns), generator=generator)

    length, start = draw(SHORTEST, LONGEST + 1, 1), draw(0, BEFORE + 1, 1)
    before, block = draw(0, VOCABULARY, CONTEXT), draw(0, VOCABULARY, LONGEST)
    at = torch.arange(CONTEXT) - start
    ids = torch.where(at < 0, before, block.gather(1, at.clamp_min(0) % length))
    return ids, at[:, 1:] >= length


def train() -> dict[int, dict[str, Tensor]]:
    """Train, and return the weights at each of the saved steps."""
    torch.set_num_threads(1)
    model, generator = empty(), torch.Generator().manual_seed(0)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    matrices = {n: p for n, p in trained.items() if ".attn." in n and p.ndim == 2}
    others = [p for n, p in trained.items() if n not in matrices]
    optimisers = [
        Muon(matrices.values(), lr=0.02),
        torch.optim.AdamW(others, lr=5e-3, betas=(0.9, 0.98), weight_decay=0.05),
    ]
    rates = [group["lr"] for optimiser in optimisers for group in optimiser.param_groups]
    saved = {}
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            saved[step] = {n: p.detach().clone() for n, p in trained.items()}
        late = max(0, 2 * step / STEPS - 1)
        cooled = 0.02 + 0.49 * (1 + math.cos(math.pi * late))
        for optimiser, rate in zip(optimisers, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * min(1, (step + 1) / 50) * cooled
        ids, again = sequences(16, generator)
        logits = model(input_ids=ids[:, :-1]).logits
        losses = torch.nn.functional.cross_entropy(logits.mT, ids[:, 1:], reduction="none")
        model.zero_grad()
        losses[again].mean().backward()
        torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)
        for optimiser in optimisers:
            optimiser.step()
    return saved


def save(saved: dict[int, dict[str, Tensor]]) -> None:
    """Write all checkpoints into the file; tensors are ``[checkpoint, …]``."""
    from safetensors.torch import save_file

    tensors = {STEP: torch.tensor(list(saved))}
    for name in saved[0]:
        weights = torch.stack([weights[name] for weights in saved.values()])
        scale = weights.abs().amax(-1, keepdim=True).clamp_min(1e-5) / 127
        tensors[name] = (weights / scale).round().to(torch.int8)
        tensors[name + SCALE] = scale
    save_file(tensors, FILE)


def checkpoints(folder: Path) -> tuple[list[int], list[str]]:
    """Write the checkpoints as files of their own; return their steps and paths."""
    from safetensors.torch import load_file, save_file

    packed, state, files = load_file(FILE), empty().state_dict(), []
    del state["lm_head.weight"]
    steps = packed[STEP].tolist()
    for i, step in enumerate(steps):
        for name in state:
            if name in packed:
                state[name] = packed[name][i] * packed[name + SCALE][i]
        files.append(str(folder / f"step{step:05}.safetensors"))
        save_file(state, files[-1])
    return steps, files


if __name__ == "__main__":
    save(train())
    print(f"{FILE.stat().st_size:,} bytes")
