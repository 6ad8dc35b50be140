"""Train the embedded tagger: ``python -m interp_widgets.methods.particle.train``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from interp_widgets.methods.particle.jets import toy_jets
from interp_widgets.methods.particle.model import ParticleTransformer

FILE: Final = Path(__file__).parent / "tagger.safetensors"
SIZES: Final[dict[str, Any]] = {
    "embed": [32, 64, 32],
    "pair_embed": [16, 16],
    "heads": 4,
    "layers": 3,
    "cls_layers": 1,
    "ratio": 2,
    "scale_resids": False,
    "dropout": 0.0,
}
RATE: Final = 2e-3
STEPS: Final = 200
BATCH: Final = 128
LEFT_OUT: Final = 0.15
"""Share of heads left out at each step, so that few heads can do without the others."""
JETS: Final = 0
"""Seed of the training jets; tests draw theirs from other seeds."""
SEED: Final = 0
"""Of the weights and batches."""


def leave_out(heads: int, rate: float) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    """Return a hook on ``z`` that leaves out heads of a jet at random and scales up the others.

    DropHead, Zhou et al. 2020, arXiv:2004.13342.
    """

    def hook(_module: nn.Module, _args: Any, z: Tensor) -> Tensor:
        kept = (torch.rand(len(z), 1, heads, 1) > rate).float()
        scale = kept / kept.mean(2, keepdim=True).clamp(min=1 / heads)
        return (z.unflatten(-1, (heads, -1)) * scale).flatten(-2)

    return hook


def train(steps: int = STEPS, seed: int = SEED) -> ParticleTransformer:
    """Train a small particle transformer on 3,000 + 3,000 toy jets (about 20 s on one core)."""
    jets, labels = toy_jets(3000, seed=JETS)
    torch.manual_seed(seed)
    model = ParticleTransformer(**SIZES)
    hook = leave_out(SIZES["heads"], LEFT_OUT)
    blocks = (*model.blocks, *model.cls_blocks)
    hooks = [block.attn.z.register_forward_hook(hook) for block in blocks]
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    for _ in range(steps):
        batch = torch.randint(len(jets), (BATCH,))
        loss = nn.functional.cross_entropy(model(jets[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for handle in hooks:
        handle.remove()
    return model.eval()


def save(model: ParticleTransformer, path: Path = FILE) -> None:
    """Write weights and sizes into one file."""
    from safetensors.torch import save_file

    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, path, metadata={"sizes": json.dumps(SIZES)})


def load(path: Path = FILE) -> ParticleTransformer:
    """Read a tagger that :func:`save` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        model = ParticleTransformer(**json.loads(file.metadata()["sizes"]))
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return model.eval()


if __name__ == "__main__":
    save(train())
