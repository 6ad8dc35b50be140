"""Directions and subspaces as mediators: learned by interchanges, from labels, or from variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods import cav
from interp_widgets.methods.mediation.alignment import AlignedGroup
from interp_widgets.methods.mediation.mediators import Mediator
from interp_widgets.methods.mediation.network import Network, Write, begin_of, take
from interp_widgets.methods.rows import MOST_ROWS

Fitted = Literal["difference", "probe", "pca"]


def values_of(network: Network, part: Mediator, group: AlignedGroup, side: int) -> Tensor:
    """Return activations at a mediator's place ``[pair, position, d]``."""
    site = part.where
    found = network.capture(group.side(side), [site])[site]
    return take(found, part, group.positions(side, part.position))


def fitted(network: Network, part: Mediator, how: Fitted, k: int) -> Tensor:
    """Return a basis ``[k, d]`` from the activations of all prompts, without any interchange.

    Parameters
    ----------
    how
        ``"difference"`` of the class means, ``"probe"``: the normal of a logistic regression, both
        one direction; ``"pca"``: the ``k`` directions of most variance. The classes are the
        prompts whose answer is the first clean prompt's, and the others.

    Raises
    ------
    ValueError
        When there is one class only, or ``k`` does not fit.
    """
    rows, labels = [], []
    first = network.groups[0].clean[0].answer
    for group in network.groups:
        for side in (0, 1):
            if not group.side(side):
                continue
            values = values_of(network, part, group, side).double().mean(1)
            rows.append(values.cpu())
            for j, prompt in enumerate(group.side(side)):
                own = prompt.answer
                if side == 1 and own is None:
                    own = group.clean[j].foil
                labels.append(own == first)
    x, positive = torch.cat(rows).numpy(), np.array(labels)
    if how == "pca":
        if not 1 <= k <= min(x.shape):
            raise ValueError(f"k={k}: {len(x)} activations have at most {min(x.shape)} components")
        _, _, axes = np.linalg.svd(x - x.mean(0), full_matrices=False)
        return torch.from_numpy(axes[:k].copy())
    if k != 1:
        raise ValueError(f'method="{how}" finds one direction: leave k=1')
    if positive.all() or not positive.any():
        raise ValueError(
            f'method="{how}" needs prompts of two answers: all of these have the same; give '
            "counterfactual prompts, or prompts with other answers"
        )
    kind: cav.Filter = "pattern" if how == "difference" else "logistic"
    return torch.from_numpy(cav.direction(x[positive], x[~positive], kind))[None]


def labels_of(network: Network) -> list[Tensor]:
    """Return the counterfactual's answer of each pair ``[pair]``, for each group.

    Raises
    ------
    ValueError
        When neither the counterfactual has an answer nor the clean prompt a foil.
    """
    found = []
    for group in network.groups:
        own = []
        for clean, other in zip(group.clean, group.corrupted, strict=True):
            label = clean.foil if other.answer is None else other.answer
            if label is None:
                raise ValueError(
                    "learning from interchanges needs to know what becomes right: give the "
                    'counterfactual prompts an answer, session.prompt(text, answer=" John")'
                )
            own.append(label)
        found.append(torch.tensor(own))
    return found


def das(
    network: Network,
    places: Sequence[Mediator],
    k: int,
    *,
    steps: int,
    rate: float,
    batch: int,
    seed: int,
) -> tuple[list[Tensor], Tensor]:
    """Learn a subspace at each place whose interchange gives the counterfactual's answer.

    Distributed alignment search (Geiger et al. 2023, arXiv:2303.02536): for a basis R with
    orthonormal rows, ``h + Rᵀ R (h′ − h)`` is put in place of h, and the cross-entropy of the
    counterfactual's answer, over the whole vocabulary, is minimised by Adam. R is the Q of a QR
    decomposition. All places learn side by side, each in rows of its own.

    Returns
    -------
    (list of Tensor, Tensor)
        A basis ``[k, d]`` for each place, and losses ``[step, place]``.
    """
    if k < 1 or steps < 1:
        raise ValueError(f"k={k} and steps={steps}: both have to be at least 1")
    labels = labels_of(network)
    sources = [[values_of(network, p, g, 1) for g in network.groups] for p in places]
    draw = torch.Generator().manual_seed(seed)
    free = []
    for source in sources:
        width = source[0].shape[-1]
        if k > width:
            raise ValueError(f"k={k} is more than the {width} dimensions of the activation")
        start = torch.linalg.qr(torch.randn(width, k, generator=draw)).Q
        free.append(start.to(source[0].device, torch.float32).requires_grad_())
    optimiser = torch.optim.Adam(free, lr=rate)
    weights = torch.tensor([float(len(group.at)) for group in network.groups])
    losses = []
    for step in range(steps):
        network.run.progress(step, steps)
        g = int(torch.multinomial(weights, 1, generator=draw))
        group = network.groups[g]
        pick = torch.randperm(len(group.at), generator=draw)[:batch].tolist()
        optimiser.zero_grad()
        losses.append(_das_step(network, g, pick, places, free, sources, labels[g]))
        optimiser.step()
    bases = [torch.linalg.qr(a.detach()).Q.T.contiguous() for a in free]
    return bases, torch.stack(losses)


def _das_step(
    network: Network,
    g: int,
    pick: list[int],
    places: Sequence[Mediator],
    free: Sequence[Tensor],
    sources: Sequence[Sequence[Tensor]],
    labels: Tensor,
) -> Tensor:
    """Add the gradients of one batch; return the loss at each place ``[place]``."""
    group = network.groups[g]
    found = []
    at_once = max(1, MOST_ROWS // len(pick))
    for start in range(0, len(places), at_once):
        some = range(start, min(start + at_once, len(places)))
        writes = []
        with torch.enable_grad():
            for n, i in enumerate(some):
                index = group.positions(0, places[i].position)
                q = torch.linalg.qr(free[i]).Q
                source = sources[i][g][pick]

                def new(h: Tensor, _seen: Tensor, q: Tensor = q, source: Tensor = source) -> Tensor:
                    return h + ((source - h).to(q) @ q @ q.T).to(h)

                writes.append(
                    Write(
                        places[i],
                        n * len(pick),
                        (n + 1) * len(pick),
                        [index[pair] for pair in pick],
                        new,
                    )
                )
            prompts = [group.clean[pair] for _ in some for pair in pick]
            begin = min(begin_of(places[i]) for i in some)
            pairs = [pair for _ in some for pair in pick]
            logits = network.logits(prompts, writes, network.start(g, 0, begin, pairs), grad=True)
            last = logits[:, -1] if logits.ndim == 3 else logits
            wanted = labels[pick].repeat(len(some)).to(last.device)
            loss = torch.nn.functional.cross_entropy(last.float(), wanted, reduction="none")
            each = loss.reshape(len(some), len(pick)).mean(1)
            each.sum().backward()
        found.append(each.detach().cpu())
    return torch.cat(found)
