"""A norm with its scale held fixed, which makes it a linear map."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FrozenNorm:
    """A LayerNorm or RMSNorm as it acts on ``x``: ``norm(x) = linear(x) + bias`` exactly.

    ``linear`` keeps the scale that the norm had at ``x``, position by position, so that the parts
    of ``x`` can be followed through it one by one and add up.

    Parameters
    ----------
    module
        The norm; None is no norm.
    x
        Where it is frozen ``[..., d_model]``.

    Examples
    --------
    >>> frozen = FrozenNorm(norm, residual)
    >>> frozen.linear(part)        # [..., d_model], for parts of the residual
    """

    def __init__(self, module: nn.Module | None, x: Tensor) -> None:
        self.module = module
        self.centred = False
        self.gain = self.bias = torch.zeros((), dtype=torch.float64, device=x.device)
        if module is None:
            self.gain = self.gain + 1
            return
        whole, zero = self._run(x), self._run(torch.zeros_like(x))
        moved = self._run(x + x.abs().mean())
        self.centred = bool((moved - whole).abs().max() < 1e-3 * whole.abs().max().clamp_min(1e-12))
        probe = torch.ones(x.shape[-1], dtype=x.dtype, device=x.device)
        if self.centred:
            probe[::2] = -1
            probe = probe - probe.mean()
        self.bias = zero.reshape(-1, x.shape[-1])[0]
        shape = (self._run(probe.expand(1, -1)) - self.bias)[0] / probe.double()
        shaped = self._centre(x.double()) * shape
        scale = ((whole - self.bias) * shaped).sum(-1, keepdim=True)
        self.gain = shape * scale / (shaped * shaped).sum(-1, keepdim=True).clamp_min(1e-30)

    def linear(self, part: Tensor) -> Tensor:
        """Return what a part of ``x`` becomes, in float64; leading dims are broadcast."""
        return self._centre(part.double()) * self.gain

    def _centre(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def _run(self, x: Tensor) -> Tensor:
        assert self.module is not None
        value: Tensor = type(self.module).forward(self.module, x)
        return value.detach().double()
