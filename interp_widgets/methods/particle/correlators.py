"""Energy correlators and energy flow polynomials: sums over pairs, triples, … of particles."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from interp_widgets.methods.particle import kinematics

MOST = 24
"""Hardest particles that enter sums over triples and quadruples with ordered distances."""
CELLS = 2**22


def shares(jets: Tensor) -> Tensor:
    """Return each particle's share of the jet's scalar transverse momentum ``[jet, particle]``."""
    t = kinematics.pt(jets) * kinematics.real(jets)
    return t / t.sum(-1, keepdim=True).clamp(min=kinematics.TINY)


def correlators(jets: Tensor, beta: float = 1.0, most: int = MOST) -> dict[str, Tensor]:
    """Return energy correlators of each jet.

    With shares z of transverse momentum and distances ΔR: ``e2 = Σ z z ΔR^β`` over pairs, ``e3``
    and ``e4`` over triples and quadruples with the product of all their distances (Larkoski, Salam
    & Thaler 2013, arXiv:1305.0007); ``1e3`` with the smallest of the three distances, ``2e3`` and
    ``2e4`` with the product of the two smallest (Moult, Necib & Thaler 2016, arXiv:1609.07483).

    Parameters
    ----------
    jets
        ``[jet, particle, 4]``.
    beta
        Power of the distances.
    most
        Hardest particles used in all but ``e2`` and ``e3``, which take all.

    Returns
    -------
    dict of str to Tensor
        ``e2``, ``e3``, ``1e3``, ``2e3``, ``e4``, ``2e4``, each ``[jet]``, float64.
    """
    jets = jets.double()
    z, d = shares(jets), kinematics.distances(jets) ** beta
    pair = z[:, :, None] * d
    found = {
        "e2": torch.einsum("bi,bij,bj->b", z, d, z) / 2,
        "e3": torch.einsum("bij,bji->b", pair @ pair, pair) / 6,
    }
    hard = z.argsort(-1, descending=True)[:, :most]
    z = z.gather(1, hard)
    rows = torch.arange(len(jets), device=jets.device)[:, None, None]
    d = d[rows, hard[:, :, None], hard[:, None, :]]
    for n in (3, 4):
        sums = _over_sets(z, d, n)
        found |= {"1e3": sums["least"], "2e3": sums["two"]} if n == 3 else {}
        found |= {"e4": sums["all"], "2e4": sums["two"]} if n == 4 else {}
    return found


def _over_sets(z: Tensor, d: Tensor, n: int) -> dict[str, Tensor]:
    """Sum over all sets of n particles, with the least distance, the two least, and all."""
    sums = {name: z.new_zeros(len(z)) for name in ("least", "two", "all")}
    if z.shape[1] < n:
        return sums
    sets = torch.combinations(torch.arange(z.shape[1], device=z.device), n)
    sides = torch.tensor(list(itertools.combinations(range(n), 2)), device=z.device)
    step = max(1, CELLS // max(1, len(z) * len(sides)))
    for part in sets.split(step):
        weight = z[:, part].prod(-1)
        lengths = d[:, part[:, sides[:, 0]], part[:, sides[:, 1]]]
        least = lengths.topk(2, dim=-1, largest=False).values
        sums["least"] += (weight * least[..., 0]).sum(-1)
        sums["two"] += (weight * least.prod(-1)).sum(-1)
        sums["all"] += (weight * lengths.prod(-1)).sum(-1)
    return sums


def efp(jets: Tensor, edges: Iterable[Sequence[int]], beta: float = 1.0) -> Tensor:
    """Return an energy flow polynomial ``Σ z_a z_b … Π ΔR^β``, a product over a multigraph's edges.

    Parameters
    ----------
    jets
        ``[jet, particle, 4]``.
    edges
        Pairs of vertices; ``[(0, 1), (0, 1), (1, 2)]`` has a double edge.
    beta
        Power of the distances.

    Returns
    -------
    Tensor
        ``[jet]``, float64. The sum is over all particles at every vertex, so one edge gives 2 e2
        (Komiske, Metodiev & Thaler 2018, arXiv:1712.07124, eq. 1.1).

    Raises
    ------
    ValueError
        Without edges, or with an edge from a vertex to itself.

    Examples
    --------
    >>> iw.particle.efp(jets, [(0, 1), (1, 2), (2, 0)])       # 6 e3
    """
    pairs = [(int(a), int(b)) for a, b in edges]
    if not pairs or any(a == b for a, b in pairs):
        raise ValueError("edges are pairs of different vertices, and at least one")
    jets = jets.double()
    z, d = shares(jets), kinematics.distances(jets) ** beta
    name = {v: string.ascii_letters[1 + i] for i, v in enumerate(dict.fromkeys(sum(pairs, ())))}
    terms = ["a" + name[v] for v in name] + [f"a{name[a]}{name[b]}" for a, b in pairs]
    return torch.einsum(f"{','.join(terms)}->a", *[z] * len(name), *[d] * len(pairs))
