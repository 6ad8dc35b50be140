"""Uniform gradient sampling: learn how often each edge has to be whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from interp_widgets.methods.circuits.engine import Engine
from interp_widgets.methods.circuits.gates import Gates, Trial

Progress = Callable[[int, int], None]
START = 2.0
"""Log odds that an edge is whole at first: 88 %."""


def gradient_sampling(
    engine: Engine,
    trials: Sequence[Trial],
    gates: Gates,
    *,
    steps: int = 300,
    price: float = 1e-3,
    rate: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Learn the probability that each edge is whole (Li and Janson 2024, arXiv 2409.09951).

    An edge is whole with probability θ. Its gate is drawn as 1, as 0, or, with probability
    θ (1 − θ), uniformly between them; the mean slope of the loss over the uniform draws estimates
    what θ does, ``L(whole) − L(cut) = ∫₀¹ dL/dα dα``, without the bias of a smooth mask. Descent is
    on that loss plus ``price`` per edge.

    Parameters
    ----------
    engine
        Runs the network, and differentiates it.
    trials
        The batches, one a step in turn; the loss is the KL divergence from the clean run.
    gates
        What is learned: edges or nodes, of all positions together or of each.
    steps
        Steps of Adam on the log odds of θ.
    price
        What keeping one edge costs, in units of the loss; 0.001 as in the MIB benchmark.
    rate
        Learning rate.
    seed
        Of the draws; every pair of a batch draws its own gates.
    progress
        Called with (done, total) steps.

    Returns
    -------
    numpy.ndarray
        θ of the units' shape, from 0 to 1.

    Raises
    ------
    ValueError
        For less than one step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    draw = torch.Generator().manual_seed(seed)
    device = trials[0].values.device
    odds = torch.full(gates.shape, START, device=device, requires_grad=True)
    descent = torch.optim.Adam([odds], lr=rate)
    for step in range(steps):
        trial = trials[step % len(trials)]
        whole = torch.sigmoid(odds.detach())
        width = whole * (1 - whole)
        uniform = torch.rand(len(trial.clean), *gates.shape, generator=draw).to(device)
        # From 1 at the left to 0 at the right, with a ramp of that width in between.
        drawn = ((whole + width / 2 - uniform) / width.clamp_min(1e-9)).clamp(0, 1)
        between = (drawn > 0) & (drawn < 1)
        with torch.enable_grad():
            drawn.requires_grad_()
            logits = engine.cut(trial.clean, trial.values, gates.cut(drawn), grad=True)
            (slope,) = torch.autograd.grad(trial.loss(logits).sum(), drawn)
        count = between.sum(0)
        mean = (slope * between).sum(0) / count.clamp_min(1)
        odds.grad = torch.where(count > 0, (mean + price) * width, torch.zeros_like(width))
        descent.step()
        if progress is not None:
            progress(step + 1, steps)
    return gates.numpy(torch.sigmoid(odds.detach()))
