"""Four-momenta of particles: transverse momentum, angles, masses, distances.

Jets are tensors ``[jet, particle, 4]`` of (px, py, pz, E) in GeV; rows of zeros are padding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TINY = 1e-8


def real(jets: Tensor) -> Tensor:
    """Return which rows are particles and not padding ``[jet, particle]``."""
    return jets[..., 3] > 0


def pt(p: Tensor) -> Tensor:
    """Return the transverse momentum."""
    return p[..., :2].norm(dim=-1)


def eta(p: Tensor) -> Tensor:
    """Return the pseudorapidity; 0 for padding."""
    return torch.asinh(p[..., 2] / pt(p).clamp(min=TINY))


def rapidity(p: Tensor) -> Tensor:
    """Return the rapidity ½ log((E + pz) / (E − pz)); 0 for padding."""
    return 0.5 * torch.log1p(2 * p[..., 2] / (p[..., 3] - p[..., 2]).clamp(min=1e-20))


def phi(p: Tensor) -> Tensor:
    """Return the azimuth in radians."""
    return torch.atan2(p[..., 1], p[..., 0])


def mass(p: Tensor) -> Tensor:
    """Return the invariant mass; rounding below zero counts as zero."""
    return (p[..., 3].square() - p[..., :3].square().sum(-1)).clamp(min=0).sqrt()


def wrapped(angle: Tensor) -> Tensor:
    """Return an angle between −π and π."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def momenta(pt: Tensor, eta: Tensor, phi: Tensor, mass: Tensor | float = 0.0) -> Tensor:
    """Return (px, py, pz, E); a transverse momentum of zero makes padding."""
    pz = pt * torch.sinh(eta)
    energy = (pt.square() + pz.square() + torch.as_tensor(mass).square()).sqrt()
    there = pt > 0
    return torch.stack([pt * phi.cos(), pt * phi.sin(), pz, energy * there], -1)


def around_axis(jets: Tensor) -> tuple[Tensor, Tensor]:
    """Return Δη and Δφ of every particle from the axis of its jet; 0 for padding."""
    whole = jets.sum(-2, keepdim=True)
    there = real(jets)
    return (eta(jets) - eta(whole)) * there, wrapped(phi(jets) - phi(whole)) * there


def distances(jets: Tensor) -> Tensor:
    """Return ΔR of every pair of particles ``[jet, particle, particle]``, from rapidities."""
    y, f = rapidity(jets), phi(jets)
    across = wrapped(f[..., :, None] - f[..., None, :])
    return ((y[..., :, None] - y[..., None, :]).square() + across.square()).sqrt()


def pairs(jets: Tensor) -> dict[str, Tensor]:
    """Return ``ln kT``, ``ln z``, ``ln Δ``, ``ln m²`` of every pair ``[jet, particle, particle]``.

    Δ is the distance, kT = min(pT) Δ, z = min(pT) / (pTa + pTb), m² the squared invariant mass.
    """
    t, delta = pt(jets), distances(jets)
    low = torch.minimum(t[..., :, None], t[..., None, :])
    z = low / (t[..., :, None] + t[..., None, :]).clamp(min=TINY)
    both = jets[..., :, None, :] + jets[..., None, :, :]
    m2 = both[..., 3].square() - both[..., :3].square().sum(-1)
    named = {"ln kT": low * delta, "ln z": z, "ln Δ": delta, "ln m²": m2}
    return {name: value.clamp(min=TINY).log() for name, value in named.items()}
