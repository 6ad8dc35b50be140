"""Muon: momentum with orthogonalised updates for the matrices of a transformer."""

from __future__ import annotations

from collections.abc import Iterable

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def _orthogonalise(update: torch.Tensor, steps: int = 4) -> torch.Tensor:
    """Bring the singular values near one by a quintic Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    tall = update.shape[0] > update.shape[1]
    x = update.T if tall else update
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Muon in float32, which is fast on a processor without bfloat16.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter
        Matrices of shape [inputs, outputs]; a fused query-key-value matrix is split in three.
    lr, momentum, weight_decay : float
        Step size, Nesterov momentum and decoupled weight decay.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Take one step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("momentum", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(mean, group["momentum"])
                fused = p.shape[1] == 3 * p.shape[0]
                parts = update.split(p.shape[0], 1) if fused else (update,)
                scale = max(1.0, parts[0].shape[1] / parts[0].shape[0]) ** 0.5
                step = torch.cat([_orthogonalise(part) for part in parts], 1)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(step, alpha=-group["lr"] * scale)
