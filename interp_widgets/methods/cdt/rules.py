"""How the two parts of an activation go through each kind of layer.

An activation is ``relevant + rest``: what is due to the chosen sources, and everything else. Every
rule keeps the sum what the model computes (arXiv 2407.00886, §3; details as in the authors' code).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from interp_widgets.methods.frozen_norm import FrozenNorm

TINY = 1e-8
"""Keeps a bias' shares finite where both parts are zero; the authors' value."""


class Parts(NamedTuple):
    """The relevant part and the rest of an activation, of equal shape."""

    relevant: Tensor
    rest: Tensor

    @property
    def total(self) -> Tensor:
        """The activation."""
        return self.relevant + self.rest

    def __add__(self, other: object) -> Parts:
        """Add part to part."""
        assert isinstance(other, Parts)
        return Parts(self.relevant + other.relevant, self.rest + other.rest)

    def each(self, change: Callable[[Tensor], Tensor]) -> Parts:
        """Apply a linear map to both parts."""
        return Parts(change(self.relevant), change(self.rest))


def with_bias(parts: Parts, bias: Tensor | None, by: Parts | None = None) -> Parts:
    """Add a bias, split element by element in proportion to the magnitudes of ``by``.

    Default: of the parts themselves. Where both are zero, the rest gets the bias.
    """
    if bias is None:
        return parts
    ours, theirs = (x.abs() for x in (by or parts))
    own = bias * (ours / (ours + theirs).clamp_min(TINY))
    return Parts(parts.relevant + own, parts.rest + (bias - own))


def through_norm(parts: Parts, module: nn.Module) -> Parts:
    """Normalise by the scale of the whole, which counts as a constant.

    The bias is split by the parts as they come in, not as they go out: so in the authors' code.
    """
    frozen = FrozenNorm(module, parts.total)
    dtype = parts.relevant.dtype
    linear = parts.each(lambda x: frozen.linear(x).to(dtype))
    return with_bias(linear, frozen.bias.to(dtype) if bool(frozen.bias.any()) else None, parts)


def through_activation(parts: Parts, act: Callable[[Tensor], Tensor]) -> Parts:
    """Give the rest its own activation and the relevant part what is left of the whole's."""
    rest = act(parts.rest)
    return Parts(act(parts.total) - rest, rest)


def through_gate(gate: Parts, up: Parts, act: Callable[[Tensor], Tensor]) -> Parts:
    """Multiply a gated MLP's two branches: the rest is what the two rests make together."""
    rest = act(gate.rest) * up.rest
    return Parts(act(gate.total) * up.total - rest, rest)


def clean_signs(parts: Parts) -> Parts:
    """Where the parts have opposite signs, give the whole to the larger one and 0 to the other."""
    ours, theirs = parts
    opposite = ours * theirs < 0
    larger = ours.abs() >= theirs.abs()
    total = parts.total
    zero = torch.zeros_like(total)
    relevant = torch.where(opposite, torch.where(larger, total, zero), ours)
    rest = torch.where(opposite, torch.where(larger, zero, total), theirs)
    return Parts(relevant, rest)
