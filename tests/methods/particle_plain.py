"""A tagger of plain pre-norm blocks, and jets whose width gives them away.

``python -m tests.methods.particle_plain`` trains it and writes the weights beside this file.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from interp_widgets.methods.particle.kinematics import momenta
from interp_widgets.methods.particle.model import ParticleTransformer
from interp_widgets.session.session import Session

FILE = Path(__file__).with_suffix(".safetensors")
GEV = 576.0
PARTICLES = 16


def jets(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw ``2n`` jets: 3 prongs of spread 0.08 at a radius of 0.35, or one of 0.08 to 0.20."""
    g = torch.Generator().manual_seed(seed)
    labels = (torch.arange(2 * n) < n).long()[torch.randperm(2 * n, generator=g)]
    share = 0.1 + torch.rand(2 * n, PARTICLES, generator=g)
    turn = 2 * math.pi * torch.rand(2 * n, 3, generator=g)
    radius = 0.35 * (0.9 + 0.2 * torch.rand(2 * n, 3, generator=g))
    prongs = torch.stack([radius * turn.cos(), radius * turn.sin()], -1) * labels[:, None, None]
    of = torch.randint(3, (2 * n, PARTICLES), generator=g)[..., None].expand(-1, -1, 2)
    broad = 0.08 + 0.12 * torch.rand(2 * n, generator=g)
    spread = torch.where(labels == 1, torch.tensor(0.08), broad)[:, None, None]
    place = torch.randn(2 * n, PARTICLES, 2, generator=g) * spread + prongs.gather(1, of)
    share = share / share.sum(1, keepdim=True)
    place = place - (place * share[..., None]).sum(1, keepdim=True)
    order = share.argsort(1, descending=True)
    place = place.gather(1, order[..., None].expand(-1, -1, 2))
    return momenta(GEV * share.gather(1, order), place[..., 0], place[..., 1]), labels


def untrained() -> ParticleTransformer:
    """Return 3 particle blocks and 1 class block of 4 heads without the added norms."""
    model = ParticleTransformer(
        embed=[32], pair_embed=[], heads=4, layers=3, cls_layers=1, ratio=4,
        scale_resids=False, dropout=0.0,
    )  # fmt: skip
    for block in (*model.blocks, *model.cls_blocks):
        block.c_attn = block.post_attn_norm = block.post_fc_norm = nn.Identity()
    return model


def train() -> ParticleTransformer:
    """Train for 200 steps of 128 jets with AdamW at 2e-3."""
    some, labels = jets(3000, seed=0)
    torch.manual_seed(0)
    model = untrained()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(200):
        batch = torch.randint(len(some), (128,))
        loss = nn.functional.cross_entropy(model(some[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


@cache
def plain() -> Session:
    """One session on the trained tagger."""
    model = untrained()
    model.load_state_dict(load_file(FILE))
    return Session(model.eval())


if __name__ == "__main__":
    save_file({k: v.contiguous() for k, v in train().state_dict().items()}, FILE)
