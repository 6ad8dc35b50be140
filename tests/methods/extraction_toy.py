"""A small model that repeats a sequence, for the tests of circuit extraction; and how it was made.

``python -m tests.methods.extraction_toy`` trains it again (about 20 s) and writes the file beside.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

FILE = Path(__file__).with_name("extraction_toy.safetensors")
VOCABULARY, COPY, BOS = 40, 8, 0
LENGTH = 2 * COPY
"""Tokens of a prompt: BOS, 8 random tokens, the first 7 of them again."""


def empty() -> GPT2LMHeadModel:
    """A GPT-2 of 3 layers of 8 heads, width 64, MLPs of 128 units."""
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=2 * COPY + 1,
        n_embd=64,
        n_layer=3,
        n_head=8,
        n_inner=128,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=BOS,
        eos_token_id=BOS,
    )
    return GPT2LMHeadModel(config)


def sequences(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw BOS and 8 random tokens, twice the same 8 ``[sequence, 17]``."""
    tokens = torch.randint(1, VOCABULARY, (count, COPY), generator=generator)
    start = torch.full((count, 1), BOS)
    return torch.cat([start, tokens, tokens], 1)


def train(seed: int = 0) -> tuple[GPT2LMHeadModel, int]:
    """Train until the loss of the second copy is below 0.02; return model and steps."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = empty().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    steps = 0
    while steps < 3000:
        steps += 1
        ids = sequences(64, generator)
        logits = model(ids).logits[:, COPY:-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, COPY + 1 :].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss.item() < 0.02:
            break
    return model.eval(), steps


def load() -> GPT2LMHeadModel:
    """Return the trained model."""
    from safetensors.torch import load_file

    model = empty()
    state = {name: value.float() for name, value in load_file(FILE).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model.eval()


def prompts(session, count: int, seed: int) -> list:
    """Make prompts that end before the eighth token of the second copy, which is the answer."""
    ids = sequences(count, torch.Generator().manual_seed(seed)).tolist()
    return [session.prompt(row[:-1], answer=row[-1]) for row in ids]


if __name__ == "__main__":
    from safetensors.torch import save_file

    trained, steps = train()
    weights = {k: v.half() for k, v in trained.state_dict().items() if k != "lm_head.weight"}
    save_file(weights, FILE, metadata={"steps": str(steps)})
    print(f"{steps} steps, {FILE.stat().st_size:,} bytes")
