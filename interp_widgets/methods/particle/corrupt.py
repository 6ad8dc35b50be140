"""Counterfactual jets that are still jets: where interchange interventions take values from."""

from __future__ import annotations

import math
import warnings
from typing import Literal, get_args

import torch
from torch import Tensor

from interp_widgets.methods.particle import kinematics
from interp_widgets.methods.particle.observables import check_jets

Corruption = Literal["matched_swap", "phi_scramble", "noise"]
NOISE = 0.1
TRIES = 32


def corrupt(
    jets: Tensor,
    how: Corruption = "phi_scramble",
    *,
    reference: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Change jets while they stay physical.

    Parameters
    ----------
    jets
        ``[jet, particle, 4]`` of (px, py, pz, E), sorted by pT; zeros are padding.
    how
        ``"matched_swap"``: another jet, the one of ``reference`` with the same number of particles
        and the nearest pT. ``"phi_scramble"``: each particle keeps its pT, its mass and its
        distance to the jet's axis, and turns around it by a random angle; that destroys prongs and
        keeps the radial profile. Of 32 draws the one whose axis stays in place best is taken.
        ``"noise"``: momenta times 1 + 0.1 · normal, which leaves the manifold of jets; it warns.
    reference
        Jets to swap with, for example background.
    seed
        Of the draws.

    Returns
    -------
    Tensor
        Like ``jets``, with the same padding, sorted by pT, so that particle i of both is the i-th
        hardest.

    Raises
    ------
    ValueError
        For another word, a swap without reference, or one where no jet has as many particles.

    Examples
    --------
    >>> swapped = iw.particle.corrupt(top, "matched_swap", reference=qcd)
    """
    check_jets(jets)
    if how == "matched_swap":
        return _by_pt(_swapped(jets, reference))
    g = torch.Generator().manual_seed(seed)
    if how == "phi_scramble":
        return _by_pt(_scrambled(jets, g))
    if how == "noise":
        warnings.warn(
            "Gaussian noise leaves the manifold of jets: what it shows may be how the model treats "
            'impossible inputs; prefer "phi_scramble" or "matched_swap"',
            UserWarning,
            stacklevel=2,
        )
        factor = 1 + NOISE * torch.randn(jets.shape[:-1], generator=g).to(jets)
        return _by_pt(jets * factor.abs()[..., None])
    raise ValueError(f"how is one of {', '.join(get_args(Corruption))}, not {how!r}")


def _swapped(jets: Tensor, reference: Tensor | None) -> Tensor:
    if reference is None:
        raise ValueError("matched_swap takes jets from a reference: give reference=background")
    check_jets(reference)
    width = max(jets.shape[1], reference.shape[1])
    theirs = torch.nn.functional.pad(reference, (0, 0, 0, width - reference.shape[1]))
    counts, others = (kinematics.real(x).sum(1) for x in (jets, theirs))
    mine = kinematics.pt(jets.sum(1))
    far = (mine[:, None] - kinematics.pt(theirs.sum(1))[None]).abs()
    far = far.masked_fill(counts[:, None] != others[None], math.inf)
    near, at = far.min(1)
    if bool(near.isinf().any()):
        n = int(counts[near.isinf()][0])
        raise ValueError(f"no jet of the reference has {n} particles, as one of the jets has")
    return theirs[at][:, : jets.shape[1]]


def _scrambled(jets: Tensor, g: torch.Generator) -> Tensor:
    across, around = kinematics.around_axis(jets)
    whole, t = jets.sum(1, keepdim=True), kinematics.pt(jets)
    radius = (across.square() + around.square()).sqrt()
    turn = 2 * math.pi * torch.rand((TRIES, *radius.shape), generator=g).to(radius)
    x, y = radius * turn.cos(), radius * turn.sin()
    best = ((x * t).sum(-1).square() + (y * t).sum(-1).square()).argmin(0)
    rows = torch.arange(len(jets), device=jets.device)
    return kinematics.momenta(
        t,
        x[best, rows] + kinematics.eta(whole),
        y[best, rows] + kinematics.phi(whole),
        kinematics.mass(jets),
    )


def _by_pt(jets: Tensor) -> Tensor:
    order = kinematics.pt(jets).argsort(1, descending=True)
    return jets.gather(1, order[..., None].expand(-1, -1, 4))
