"""Edge Pruning: learn which edges may be cut, all at once, under a target of sparsity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import Engine
from interp_widgets.methods.circuits.gates import Gates, Trial

Progress = Callable[[int, int], None]

TEMPERATURE, LOW, HIGH = 2 / 3, -0.1, 1.1
"""The hard concrete distribution: its temperature and the interval that it is stretched to."""
SHIFT = -TEMPERATURE * math.log(-LOW / HIGH)
"""A gate is not shut with the probability sigmoid(log alpha + SHIFT) (arXiv 1712.01312, eq. 12)."""
START = 3.0
STEPS, EDGES, PUSH = 3000, 32_491, 0.8
"""The paper's steps, the edges of its network (GPT-2 small), the multipliers' learning rate."""
WARM, RAISE = 200 / STEPS, 2500 / STEPS
"""Shares of the steps in which the learning rate, and the target, rise to their full size."""


def edge_pruning(
    engine: Engine,
    trials: Sequence[Trial],
    gates: Gates,
    *,
    steps: int = 300,
    sparsity: float = 0.95,
    rate: float = 0.2,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Learn gates of edges by gradient descent (Bhaskar et al. 2024, arXiv 2406.16778).

    Every edge has a gate drawn from a hard concrete distribution, ``s = sigmoid((logit u + log α) /
    (2/3))`` stretched to [−0.1, 1.1] and clamped; a gate between 0 and 1 mixes what the edge
    carries with its ablated value. The loss is ``L + λ₁ (sparsity − target) + λ₂ (sparsity −
    target)²``: gates descend, the multipliers λ ascend, so that the target is met.

    Parameters
    ----------
    engine
        Runs the network, and differentiates it.
    trials
        The batches, one a step in turn; the paper's loss L is the KL divergence from the clean run.
    gates
        What is learned: edges or nodes, of all positions together or of each.
    steps
        The paper's 3,000 are for GPT-2; its schedules are kept as shares: the learning rate warms
        up over 1/15, the target rises from 0 over 5/6 of the steps.
    sparsity
        Share of the gates to shut. The paper's targets are 0.94 to 1.1; more than can be reached
        keeps up the pressure.
    rate
        Learning rate of the gates. The paper's 0.8 is for ten times as many steps: with 300 the
        order of the gates is mostly noise. The multipliers' rate, 0.8 for 3,000 steps and 32,491
        edges, goes with both, so that the pressure on one edge rises to what it does in the paper.
    seed
        Of the draws; every pair of a batch draws its own gates.
    progress
        Called with (done, total) steps.

    Returns
    -------
    tuple
        Scores and gates of the units' shape: the score is −log of the probability that the gate is
        shut, in nats, which ranks as log α does and does not saturate; the gate is what it is
        without noise, from 0 to 1. The circuit of the paper are the ``round(sum of gates)`` units
        of largest score.

    Raises
    ------
    ValueError
        For less than one step or a sparsity of 0 or below.

    Notes
    -----
    Sparsity is taken in expectation, one minus the mean probability of a gate that is not shut, so
    that gates which every draw clamps have a gradient, too.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if sparsity <= 0:
        raise ValueError(f"sparsity is the share of gates to shut, above 0, got {sparsity}")
    draw = torch.Generator().manual_seed(seed)
    device = trials[0].values.device
    real = gates.real.to(device)
    odds = torch.full(gates.shape, START, device=device, requires_grad=True)
    force = torch.zeros(2, device=device, requires_grad=True)
    descent = torch.optim.Adam([odds], lr=rate)
    push = PUSH * STEPS / steps * int(real.sum()) / EDGES
    ascent = torch.optim.Adam([force], lr=push, maximize=True)
    for step in range(steps):
        trial = trials[step % len(trials)]
        target = sparsity * min(1.0, (step + 1) / (RAISE * steps))
        warm = min(1.0, (step + 1) / max(1.0, WARM * steps))
        for optimiser, full in ((descent, rate), (ascent, push)):
            optimiser.param_groups[0]["lr"] = full * warm
        noise = torch.rand(len(trial.clean), *gates.shape, generator=draw).clamp(1e-6, 1 - 1e-6)
        with torch.enable_grad():
            drawn = stretched((torch.logit(noise).to(device) + odds) / TEMPERATURE)
            logits = engine.cut(trial.clean, trial.values, gates.cut(drawn), grad=True)
            gap = 1 - torch.sigmoid(odds + SHIFT)[real].mean() - target
            loss = trial.loss(logits).mean() + force[0] * gap + force[1] * gap.square()
            odds.grad, force.grad = torch.autograd.grad(loss, [odds, force])
        descent.step()
        ascent.step()
        if progress is not None:
            progress(step + 1, steps)
    learned = odds.detach()
    scores = torch.nn.functional.softplus(learned + SHIFT)
    return gates.numpy(scores), gates.numpy(stretched(learned))


def stretched(log_odds: Tensor) -> Tensor:
    """Return the gate of a logistic value: stretched beyond 0 and 1, and clamped."""
    return (torch.sigmoid(log_odds) * (HIGH - LOW) + LOW).clamp(0, 1)
