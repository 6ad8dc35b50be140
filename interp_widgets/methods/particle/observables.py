"""What physicists measure of a jet: energy correlators, N-subjettiness, mass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interp_widgets.methods.particle import kinematics
from interp_widgets.methods.particle.correlators import correlators, shares

if TYPE_CHECKING:
    import pandas as pd

FAMILIES: dict[str, tuple[str, ...]] = {
    "energy correlators": ("log e2", "log e3", "C2", "D2", "M2", "N2", "C3", "D3", "N3"),
    "N-subjettiness": ("tau1", "tau2", "tau3", "tau4", "tau21", "tau32", "tau43"),
}
PRONGS: dict[str, tuple[str, ...]] = {
    "2-prong": ("C2", "D2", "N2", "tau21"),
    "3-prong": ("C3", "N3", "tau32"),
}
OTHERS = ("mass", "pT", "particles")
LLOYD = 10


def observables(
    jets: Tensor, names: Sequence[str] | None = None, *, beta: float = 1.0
) -> pd.DataFrame:
    """Return observables of jets, a row each.

    ``log e2``, ``log e3``, ``C2 = e3 / e2²``, ``D2 = e3 / e2³``, ``C3 = e4 e2 / e3²``,
    ``D3 = e4 e2³ / e3³`` (the first of its three terms), ``M2 = 1e3 / e2``, ``N2 = 2e3 / e2²``,
    ``N3 = 2e4 / (1e3)²``; ``tau1`` to ``tau4`` and the ratios ``tau21``, ``tau32``, ``tau43``;
    ``mass`` and ``pT`` in GeV, ``particles``. References are in :func:`correlators` and
    :func:`subjettiness`.

    Parameters
    ----------
    jets
        ``[jet, particle, 4]`` of (px, py, pz, E); zeros are padding.
    names
        Which; None for all.
    beta
        Power of the distances.

    Returns
    -------
    DataFrame
        ``[jet, observable]``.

    Raises
    ------
    ValueError
        For an unknown name, or another shape.

    Examples
    --------
    >>> iw.particle.observables(jets, ["C2", "tau32"])
    """
    import pandas as pd

    every = [*(name for family in FAMILIES.values() for name in family), *OTHERS]
    wanted = every if names is None else list(names)
    unknown = [name for name in wanted if name not in every]
    if unknown:
        raise ValueError(f"no observable {unknown[0]!r}; there are {', '.join(every)}")
    check_jets(jets)
    found: dict[str, Tensor] = {}
    least = 1e-12
    if set(wanted) & set(FAMILIES["energy correlators"]):
        e = {name: value.clamp(min=least) for name, value in correlators(jets, beta).items()}
        found |= {
            "log e2": e["e2"].log(),
            "log e3": e["e3"].log(),
            "C2": e["e3"] / e["e2"] ** 2,
            "D2": e["e3"] / e["e2"] ** 3,
            "M2": e["1e3"] / e["e2"],
            "N2": e["2e3"] / e["e2"] ** 2,
            "C3": e["e4"] * e["e2"] / e["e3"] ** 2,
            "D3": e["e4"] * (e["e2"] / e["e3"]) ** 3,
            "N3": e["2e4"] / e["1e3"] ** 2,
        }
    if set(wanted) & set(FAMILIES["N-subjettiness"]):
        taus = [subjettiness(jets, n, beta) for n in (1, 2, 3, 4)]
        found |= {f"tau{n + 1}": tau for n, tau in enumerate(taus)}
        ratios = {f"tau{n + 1}{n}": taus[n] / taus[n - 1].clamp(min=least) for n in (1, 2, 3)}
        found |= ratios
    whole = jets.double().sum(1)
    found |= {"mass": kinematics.mass(whole), "pT": kinematics.pt(whole)}
    found["particles"] = kinematics.real(jets).sum(1).double()
    return pd.DataFrame({name: found[name].cpu().numpy() for name in wanted})


def subjettiness(jets: Tensor, n: int, beta: float = 1.0) -> Tensor:
    """Return N-subjettiness, ``Σ z min_k ΔR_k^β`` over the particles (arXiv:1011.2268, eq. 2.1).

    Axes start at particles that are hard and far from one another, or simply hard, and move to the
    centres of what is nearest to them (arXiv:1108.2701); the best axes met count.

    Parameters
    ----------
    jets
        ``[jet, particle, 4]``.
    n
        Number of axes.
    beta
        Power of the distances.

    Returns
    -------
    Tensor
        ``[jet]``, float64; 0 where a jet has no more than ``n`` particles.
    """
    jets = jets.double()
    z = shares(jets)
    at = torch.stack(kinematics.around_axis(jets), -1)
    best: Tensor | None = None
    for start in (_spread(z, at, n), at.gather(1, _hardest(z, n))):
        axes = start
        for _ in range(LLOYD):
            apart = (at[:, :, None] - axes[:, None]).norm(dim=-1)
            near, nearest = apart.min(-1)
            tau = (z * near**beta).sum(-1)
            best = tau if best is None else torch.minimum(best, tau)
            weight = torch.nn.functional.one_hot(nearest, axes.shape[1]) * z[..., None]
            total = weight.sum(1)[..., None]
            centre = torch.einsum("bpk,bpd->bkd", weight, at) / total.clamp(min=1e-12)
            axes = torch.where(total > 0, centre, axes)
    assert best is not None
    return best


def _hardest(z: Tensor, n: int) -> Tensor:
    order = z.argsort(-1, descending=True)[:, : min(n, z.shape[1])]
    return order[..., None].expand(-1, -1, 2)


def _spread(z: Tensor, at: Tensor, n: int) -> Tensor:
    """Return axes at the hardest particle, then each time where share times distance is largest."""
    rows = torch.arange(len(z), device=z.device)
    axes = [at[rows, z.argmax(-1)]]
    for _ in range(n - 1):
        near = (at[:, :, None] - torch.stack(axes, 1)[:, None]).norm(dim=-1).amin(-1)
        axes.append(at[rows, (z * near).argmax(-1)])
    return torch.stack(axes, 1)


def check_jets(jets: Tensor) -> None:
    """Raise ValueError unless the tensor holds jets."""
    if jets.ndim != 3 or jets.shape[-1] != 4 or not len(jets):
        raise ValueError(f"jets are [jet, particle, 4] of (px, py, pz, E), not {tuple(jets.shape)}")
    if not bool(torch.isfinite(jets).all()):
        raise ValueError("the jets hold NaN or infinity")
    if not bool(kinematics.real(jets).any(1).all()):
        raise ValueError("a jet has no particle with an energy above 0")
