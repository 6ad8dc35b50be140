"""Which mediators together carry an effect: gates learned for all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_widgets.methods.mediation.mediators import Mediator
from interp_widgets.methods.mediation.network import Network, Write
from interp_widgets.methods.mediation.subspaces import labels_of, values_of

HOT, COLD = 1.0, 0.05
"""Temperature of the gates at the first and at the last step; between them it falls by a factor."""


def learn(
    network: Network,
    mediators: Sequence[Mediator],
    sizes: Sequence[int],
    *,
    denoise: bool,
    price: float,
    steps: int,
    rate: float,
    batch: int,
    seed: int,
) -> tuple[list[Tensor], Tensor]:
    """Learn a gate for each mediator, or for each unit of it, by gradient descent.

    A gate ``g = sigmoid(θ / T)`` takes its mediator that share of the way to the value on the other
    prompt; T falls from 1 to 0.05, so that gates end at 0 or 1 (desiderata-based masking, Davies et
    al. 2023, arXiv:2307.15054). The loss is the cross-entropy of the answer that the interchange
    should give, plus ``price`` × the mean gate.

    Parameters
    ----------
    sizes
        Gates of each mediator: 1, or as many as it has units.
    denoise
        Whether clean values go into counterfactual runs (gates choose what suffices for the clean
        answer); else counterfactual values into clean runs.

    Returns
    -------
    (list of Tensor, Tensor)
        Final gates ``[gate]`` of each mediator, and losses ``[step]``.
    """
    if steps < 1 or price < 0:
        raise ValueError(
            f"steps={steps} and price={price}: give at least 1 step, no negative price"
        )
    side = 1 if denoise else 0
    labels = labels_of(network)
    if denoise:
        labels = [torch.tensor([p.answer for p in g.clean]) for g in network.groups]
    other = [[values_of(network, m, g, 1 - side) for g in network.groups] for m in mediators]
    draw = torch.Generator().manual_seed(seed)
    device = other[0][0].device
    free = [torch.zeros(size, device=device, requires_grad=True) for size in sizes]
    optimiser = torch.optim.Adam(free, lr=rate)
    weights = torch.tensor([float(len(group.at)) for group in network.groups])
    losses = []
    for step in range(steps):
        network.run.progress(step, steps)
        heat = HOT * (COLD / HOT) ** (step / max(1, steps - 1))
        g = int(torch.multinomial(weights, 1, generator=draw))
        group = network.groups[g]
        pick = torch.randperm(len(group.at), generator=draw)[:batch].tolist()
        with torch.enable_grad():
            gates = [torch.sigmoid(theta / heat) for theta in free]
            writes = []
            for i, mediator in enumerate(mediators):
                index = group.positions(side, mediator.position)
                value = other[i][g][pick]

                def new(
                    h: Tensor,
                    _seen: Tensor,
                    mediator: Mediator = mediator,
                    value: Tensor = value,
                    gate: Tensor = gates[i],
                ) -> Tensor:
                    return mediator.move(h, value, gate.to(h))

                places = [index[pair] for pair in pick]
                writes.append(Write(mediator, 0, len(pick), places, new))
            prompts = [group.side(side)[pair] for pair in pick]
            logits = network.logits(prompts, writes, grad=True)
            last = logits[:, -1] if logits.ndim == 3 else logits
            wanted = labels[g][pick].to(last.device)
            loss = torch.nn.functional.cross_entropy(last.float(), wanted)
            total = loss + price * torch.cat(gates).mean()
            optimiser.zero_grad()
            total.backward()
        optimiser.step()
        losses.append(total.detach().cpu())
    return [torch.sigmoid(theta.detach() / COLD) for theta in free], torch.stack(losses)
