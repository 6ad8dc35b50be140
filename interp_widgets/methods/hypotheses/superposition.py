"""H1: more features than dimensions, at an angle (Elhage et al. 2022, arXiv:2209.10652)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.methods.mlp_parts import MlpParts
from interp_widgets.methods.weights.space import some_prompt
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session

PAPER = "Elhage et al. 2022, arXiv:2209.10652; Bereska and Gavves 2024, arXiv:2404.14082 §3"
MOST_FEATURES = 8192
"""Features compared pair by pair: a matrix of 256 MB in float32."""


@method(
    "superposition",
    result="array",
    title="Superposition (H1)",
    paper=PAPER,
    family="hypotheses",
    unit="feature",
    cost="no forward pass; features² · d_model operations, as many for each draw of the null",
    tags="mechanistic, observational, global, hypothesis generation, feature, neuron",
)
def superposition(
    run: Run,
    session: Session | None = None,
    dictionary: Tensor | None = None,
    *,
    layer: int = 0,
    cutoff: float = 0.1,
    draws: int = 20,
    seed: int = 0,  # noqa: ARG001 - the run has it
) -> ArrayResult:
    """Count directions that hardly overlap, and measure how much the others do.

    Parameters
    ----------
    session
        Whose MLP neurons are the features when no ``dictionary`` is given: what each writes.
    dictionary
        Features ``[feature, d]``, for example the decoder of a sparse autoencoder.
    layer
        Layer of the neurons.
    cutoff
        Largest |cosine| of two features that count as hardly overlapping.
    draws, seed
        Null: as many random directions, drawn so many times.

    Returns
    -------
    ArrayResult
        ``[quantity, feature]``: ``dimensionality`` (the share of a dimension that a feature has to
        itself, ‖w‖² / Σ (ŵ · w')², 0 to 1), ``interference`` (mean squared cosine with the others)
        and ``nearest`` (largest |cosine|). ``meta["findings"]``: size of a set of features that
        pairwise overlap less than ``cutoff`` (found greedily, so a lower bound) per dimension, and
        interference left out against random directions.

    Raises
    ------
    ValueError
        With neither session nor dictionary, or fewer than two features.

    Examples
    --------
    >>> iw.hypotheses.superposition(session, layer=3).meta["findings"]
    """
    features = _features(session, dictionary, layer)
    count, width = features.shape
    run.progress(0, draws + 1)
    own = _overlaps(features)
    alone = _set_of(own, cutoff)
    interference = _interference(own)
    sets, spread = [], []
    generator = run.generator()
    for i in range(draws):
        run.progress(i + 1, draws + 1)
        drawn = _overlaps(torch.randn(count, width, generator=generator))
        sets.append(_set_of(drawn, cutoff) / width)
        spread.append(-float(_interference(drawn).mean()))
    welch = math.sqrt(max(0.0, (count - width) / (width * (count - 1))))
    lengths = features.norm(dim=1)
    dimensionality = lengths.square() / (own.square() * lengths.square()[None]).sum(1)
    found = [
        finding(
            "H1",
            f"features that pairwise overlap less than {cutoff:g}, per dimension",
            alone / width,
            sets,
            "random directions, as many",
            note=f"{alone} of {count} features in {width} dimensions, found greedily",
        ),
        finding(
            "H1",
            "interference kept below that of random directions (minus mean squared cosine)",
            -float(interference.mean()),
            spread,
            "random directions, as many",
            note=f"the least possible largest |cosine| is {welch:.3f} (Welch)",
        ),
    ]
    off = own.clone()
    off.fill_diagonal_(0)
    rows = torch.stack([dimensionality, interference, off.abs().max(1).values])
    meta = _meta(["quantity", "feature"], ["dimensionality", "interference", "nearest"])
    return ArrayResult({"values": rows}, {**meta, "findings": found, "n": count, "d": width})


@method(
    "toy_superposition",
    result="array",
    title="Superposition in a toy model (H1)",
    paper=PAPER,
    family="hypotheses",
    unit="feature",
    cost="training a model of features × dimensions numbers for each sparsity and copy",
    tags="mechanistic, developmental, interventional, global, verification, feature",
)
def toy_superposition(
    run: Run,
    *,
    features: int = 20,
    dimensions: int = 5,
    sparsities: Sequence[float] = (0.0, 0.9, 0.99),
    steps: int = 1500,
    copies: int = 4,
    batch: int = 512,
    importance: float = 1.0,
    seed: int = 0,  # noqa: ARG001 - the run has it
) -> ArrayResult:
    """Train ReLU(WᵀW x + b) to give back sparse features, and see how many it keeps.

    Parameters
    ----------
    features, dimensions
        Features n and the dimensions m < n they must pass through.
    sparsities
        Chance that a feature is zero; the features are uniform on 0 to 1 where they are not. The
        first is the null: with dense features a model keeps about as many as it has dimensions.
    steps, batch
        Training steps (Adam, rate 1e-2 with a cosine to 0) and examples of each.
    copies
        Models for each sparsity, each with its own beginning and data.
    importance
        Weight of feature i in the loss is ``importance ** i``; 1 is uniform.
    seed
        Of beginnings and data.

    Returns
    -------
    ArrayResult
        ``[sparsity, feature, other]``: WᵀW of the copy of least loss. ``represented`` and
        ``per_dimension`` ``[sparsity, copy]``: ‖W‖²_F, which is about how many features are
        represented, and ‖W‖²_F / m; ``loss [sparsity, copy]``. ``meta["findings"]`` compares each
        sparsity with the first.

    Raises
    ------
    ValueError
        For a sparsity outside 0 to 1, or not fewer dimensions than features.

    Examples
    --------
    >>> iw.hypotheses.toy_superposition().numpy("represented").mean(1)
    """
    if not 0 < dimensions < features or len(sparsities) < 2:
        raise ValueError(
            "a toy of superposition needs fewer dimensions than features, and two sparsities"
        )
    if not all(0 <= s < 1 for s in sparsities):
        raise ValueError(f"sparsities are chances from 0 to below 1, not {list(sparsities)}")
    chance = torch.tensor([1 - s for s in sparsities]).repeat_interleave(copies)
    with torch.enable_grad():
        weight, loss = _train(run, chance, features, dimensions, steps, batch, importance)
    lengths = weight.square().sum(1)
    shape = (len(sparsities), copies)
    represented = lengths.sum(1).reshape(shape)
    per_dimension = represented / dimensions
    loss = loss.reshape(shape)
    best = weight.unflatten(0, shape)[torch.arange(len(sparsities)), loss.argmin(1)]
    found = [
        finding(
            "H1",
            f"features per dimension ‖W‖² / m at sparsity {sparsity:g}",
            float(per_dimension[i].mean()),
            per_dimension[0].numpy(),
            f"the same model on features of sparsity {sparsities[0]:g}",
            note=f"{represented[i].mean():.1f} features represented in {dimensions} dimensions, "
            f"{represented[0].mean():.1f} at sparsity {sparsities[0]:g}",
        )
        for i, sparsity in enumerate(sparsities)
        if i
    ]
    meta = _meta(["sparsity", "feature", "other"], [f"{s:g}" for s in sparsities])
    meta |= {"quantity": "WᵀW", "title": "Superposition in a toy model", "findings": found}
    return ArrayResult(
        {
            "values": torch.einsum("smf,smg->sfg", best, best),
            "per_dimension": per_dimension,
            "represented": represented,
            "loss": loss,
        },
        {**meta, "signed": True},
    )


def _train(
    run: Run,
    chance: Tensor,
    features: int,
    dimensions: int,
    steps: int,
    batch: int,
    importance: float,
) -> tuple[Tensor, Tensor]:
    """Return weights ``[model, m, n]`` and the last losses ``[model]``; all models in one batch."""
    generator = run.generator()
    models = len(chance)
    weight = torch.randn(models, dimensions, features, generator=generator)
    weight = (weight / math.sqrt(features)).requires_grad_()
    bias = torch.zeros(models, 1, features, requires_grad=True)
    optimiser = torch.optim.Adam([weight, bias], lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    matter = importance ** torch.arange(features)
    loss = torch.zeros(models)
    for step in range(steps):
        run.progress(step, steps)
        x = torch.rand(models, batch, features, generator=generator)
        x = x * (torch.rand(x.shape, generator=generator) < chance[:, None, None])
        out = torch.relu(x @ weight.transpose(1, 2) @ weight + bias)
        # divided by the share of features that are on, so that sparse models learn as fast
        loss = ((out - x).square() * matter).mean((1, 2)) / chance
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        schedule.step()
    return weight.detach(), loss.detach()


def _features(session: Session | None, dictionary: Tensor | None, layer: int) -> Tensor:
    if dictionary is not None:
        features = torch.as_tensor(dictionary).detach().float().cpu()
    elif session is not None:
        mlps = MlpParts.of(session, some_prompt(session))
        if not 0 <= layer < len(mlps):
            raise ValueError(f"there is no layer {layer}: the model has {len(mlps)}")
        features = mlps[layer].rows("down").detach().float().cpu()
    else:
        raise ValueError("superposition needs a session (its neurons) or a dictionary of features")
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            f"a dictionary is [feature, d] of two or more, not {tuple(features.shape)}"
        )
    if len(features) > MOST_FEATURES:
        step = len(features) / MOST_FEATURES
        features = features[[int(i * step) for i in range(MOST_FEATURES)]]
    return features[features.norm(dim=1) > 0]


def _overlaps(features: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(features, dim=1)
    return unit @ unit.T


def _interference(overlaps: Tensor) -> Tensor:
    return (overlaps.square().sum(1) - 1).clamp_min(0) / (len(overlaps) - 1)


def _set_of(overlaps: Tensor, cutoff: float) -> int:
    """Return the size of a set that overlaps little: those with the fewest conflicts first."""
    conflict = (overlaps.abs() >= cutoff).numpy()
    np.fill_diagonal(conflict, val=False)
    free = np.ones(len(conflict), bool)
    left = conflict.sum(1).astype(float)
    count = 0
    while free.any():
        chosen = int(np.where(free, left, np.inf).argmin())
        gone = free & conflict[chosen]
        gone[chosen] = True
        left -= conflict[:, gone].sum(1)
        free &= ~gone
        count += 1
    return count


def _meta(dims: list[str], names: list[str]) -> dict[str, Any]:
    return {
        "dims": dims,
        "labels": {dims[0]: names},
        "quantity": "cosine",
        "signed": False,
        "title": "Superposition",
    }
