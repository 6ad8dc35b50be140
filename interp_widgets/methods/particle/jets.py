"""Toy jets: three hard prongs (signal) or one broad one (background)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from interp_widgets.methods.particle.kinematics import momenta

RADIUS = 0.35
SPREAD = 0.08
BROADER = 0.12
SCALE = 60.0
"""GeV of one unit of transverse momentum: jets so have about 576 GeV."""


def toy_jets(
    n: int = 3000, *, particles: int | tuple[int, int] = 16, scale: float = SCALE, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw jets of two kinds.

    Signal has 3 prongs at a radius of 0.35 (± 10 %) in random directions, with a spread of 0.08;
    background one prong with a spread of 0.08 + 0.12 · |normal|, drawn for each jet, so that the
    distance to the axis says little and the prongs do. Particles carry pT ~ U(0.1, 1.1) ·
    ``scale``, are centred by pT at η = φ = 0, have no mass, and are sorted by pT.

    Parameters
    ----------
    n
        Jets of each kind.
    particles
        Particles per jet, or from and to: then each jet has its own number, padded with zeros.
    scale
        GeV of one unit.
    seed
        Of the draw.

    Returns
    -------
    (Tensor, Tensor)
        Jets ``[2n, particle, 4]`` and labels ``[2n]``, 1 for signal; shuffled.

    Raises
    ------
    ValueError
        For fewer than 3 particles.

    Examples
    --------
    >>> jets, labels = iw.particle.toy_jets(100)
    """
    low, high = (particles, particles) if isinstance(particles, int) else particles
    if low < 3 or high < low:
        raise ValueError(f"a jet has 3 particles or more, not {particles}")
    g = torch.Generator().manual_seed(seed)
    total = 2 * n
    labels = (torch.arange(total) < n).long()[torch.randperm(total, generator=g)]
    counts = torch.randint(low, high + 1, (total, 1), generator=g)
    there = torch.arange(high) < counts
    t = (0.1 + torch.rand(total, high, generator=g)) * there
    turn = 2 * math.pi * torch.rand(total, 3, generator=g)
    far = RADIUS * (1 + 0.1 * torch.randn(total, 3, generator=g))
    prongs = torch.stack([far * turn.cos(), far * turn.sin()], -1) * labels[:, None, None]
    of = torch.randint(3, (total, high), generator=g)
    broad = SPREAD + BROADER * torch.randn(total, generator=g).abs()
    spread = torch.where(labels == 1, torch.tensor(SPREAD), broad)[:, None, None]
    place = torch.randn(total, high, 2, generator=g) * spread
    place = place + prongs.gather(1, of[..., None].expand(-1, -1, 2))
    place = place - (place * t[..., None]).sum(1, keepdim=True) / t.sum(1)[:, None, None]
    order = t.argsort(1, descending=True)
    place = place.gather(1, order[..., None].expand(-1, -1, 2)) * there[..., None]
    t = t.gather(1, order) * scale
    return momenta(t, place[..., 0], place[..., 1]), labels
