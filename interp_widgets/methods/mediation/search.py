"""The search for mediators: every candidate, a gradient, or an optimiser; then exact effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.mediation.alignment import aligned_groups, listed
from interp_widgets.methods.mediation.estimate import Direction, Estimator, Scale, result_of
from interp_widgets.methods.mediation.finders import Found, How, Search
from interp_widgets.methods.mediation.method import Places, facts
from interp_widgets.methods.mediation.names import Given
from interp_widgets.methods.mediation.network import Network
from interp_widgets.methods.prompt_pairs import Prompts
from interp_widgets.methods.target import Metric
from interp_widgets.results.mediation import MediationResult

LEARNED = ("das", "mask", "probe", "difference", "pca")
"""Searches that fit something: the pairs are split, effects are of the pairs not fitted on."""

WORDS = {
    "exhaustive": "every candidate run",
    "attribution": "estimated from gradients, the best run",
    "das": "subspaces learned by interchanges (DAS)",
    "mask": "gates learned for all candidates at once",
    "probe": "normals of logistic regressions",
    "difference": "differences of class means",
    "pca": "directions of most variance",
    "sae": "features of a dictionary, estimated from gradients, the best run",
}


@method(
    "mediator_search",
    result="mediation",
    title="Search for mediators",
    paper="Mueller et al. 2024, arXiv:2408.01416; Geiger et al. 2023, arXiv:2303.02536 (das); "
    "Syed et al. 2023, arXiv:2310.10348 (attribution); Davies et al. 2023, arXiv:2307.15054 (mask)",
    family="patching",
    unit="neuron, head, layer and position, submodule, subspace or feature",
    cost="exhaustive: 2 forward passes per candidate and pair; attribution, sae: 2 forward, "
    "1 backward (× steps); das, mask: 1 forward and backward per step; then 2 forward passes per "
    "mediator found and pair",
    tags="mechanistic, interventional, global, hypothesis generation, neuron, head, layer, feature",
)
def mediator_search(
    run: Run,
    clean: Prompts,
    corrupted: Prompts,
    mediators: Given = "heads",
    *,
    method: How = "attribution",
    top: int = 10,
    k: int = 1,
    steps: int | None = None,
    rate: float | None = None,
    batch: int = 32,
    price: float = 1.0,
    held_back: float = 0.3,
    dictionary: Mapping[str, Tensor] | None = None,
    metric: Metric = "logit_difference",
    direction: Direction = "noising",
    positions: Places | None = None,
    layers: Sequence[int] | None = None,
    scale: Scale = "difference",
    seed: int = 0,
) -> MediationResult:
    """Search for the mediators that carry an effect, and measure those found exactly.

    Parameters
    ----------
    clean, corrupted, metric, direction, positions, layers, scale
        As in :func:`mediation`.
    mediators
        The candidates: a grid, ``"neurons"`` (attribution and mask), or a list. For ``das``,
        ``probe``, ``difference`` and ``pca`` they are places, in each of which a subspace is found;
        for ``sae`` one place.
    method
        ``"exhaustive"``; ``"attribution"``: first-order estimates; ``"das"``: learned subspaces;
        ``"mask"``: learned gates; ``"probe"``, ``"difference"``: directions from the answers alone;
        ``"pca"``; ``"sae"``: features of a ``dictionary``, whose error term stays as it is.
    top
        How many are measured exactly, the best first.
    k
        Dimensions of each subspace.
    steps
        ``attribution`` and ``sae``: points at which the gradient is taken (default 0, the clean
        prompt; 5 to 10 average it on the way). ``das``, ``mask``: optimiser steps (default 300).
    rate
        Learning rate of Adam; default 0.01 for ``das`` (1e-3, usual for thousands of steps, turns
        a direction by too little in 300), 0.1 for ``mask``.
    batch
        Pairs per optimiser step.
    price
        Of ``mask``: what all gates open cost, in nats of cross-entropy.
    held_back
        Share of the pairs that a fit does not see and on which its effects are measured; 0 measures
        on the pairs of the fit.
    dictionary
        ``encoder [feature, d]``, ``decoder [feature, d]``, and if there ``bias [feature]``,
        ``threshold [feature]``, ``centre [d]``.
    seed
        Of the split, the starts and the batches.

    Returns
    -------
    MediationResult
        The mediators found, best first, with exact effects; ``score [mediator]`` is what ranked
        them (estimated effect, interchange accuracy, gate). ``candidate_score`` has all of them,
        :meth:`MediationResult.candidates` as a heatmap. Bases are ``basis.<i> [k, d]``.

    Raises
    ------
    ValueError
        When method, candidates and options do not go together.

    Examples
    --------
    >>> iw.mediator_search(clean, corrupted, "neurons", method="attribution", top=20)
    >>> iw.mediator_search(clean, corrupted, "resid_post", method="das", positions=[-1])
    """
    if top < 1:
        raise ValueError(f"top={top}: give at least one")
    if not 0 <= held_back < 1:
        raise ValueError(f"held_back={held_back} is not a share below 1")
    ours, theirs = listed(clean), listed(corrupted)
    fit, test = _split(len(ours), held_back if method in LEARNED else 0.0, seed)
    groups = aligned_groups(run.session, *_some(ours, theirs, fit), metric)
    searcher = Search(
        Network(run, groups),
        method=method,
        top=top,
        k=k,
        steps=steps,
        rate=rate,
        batch=batch,
        price=price,
        denoise=direction == "denoising",
        seed=seed,
    )
    found = searcher.find(mediators, layers, positions, dictionary)
    if method in LEARNED:
        groups = aligned_groups(run.session, *_some(ours, theirs, test), metric)
    estimator = Estimator(run, groups, seed=seed)
    result = result_of(
        estimator,
        found.mediators,
        metric=metric,
        direction=direction,
        scale=scale,
        meta={
            "search": method,
            "searched": WORDS[method],
            "candidate_dims": list(found.dims),
            "candidate_labels": found.labels,
            "fitted_on": len(fit) if method in LEARNED else 0,
            **facts(run),
        },
    )
    return _finished(result, found, top)


def _finished(result: MediationResult, found: Found, top: int) -> MediationResult:
    """Put scores into the result, best first."""
    scores = found.scores
    if scores is None:
        measured = result.accuracy if found.by_accuracy else None
        if measured is None or not bool(torch.isfinite(torch.as_tensor(measured)).all()):
            measured = result.mean("effect")
        scores = torch.as_tensor(measured)
        result.arrays["candidate_score"] = scores
        order = scores.abs().argsort(descending=True, stable=True)[:top].tolist()
    else:
        if found.candidates is not None:
            result.arrays["candidate_score"] = found.candidates
        order = list(range(len(found.mediators)))
    result = result.subset(order)
    result.arrays["score"] = scores[order]
    result.arrays |= found.arrays
    for i, at in enumerate(order):
        basis = getattr(found.mediators[at], "basis", None)
        if basis is not None:
            result.arrays[f"basis.{i}"] = basis
    return result


def _split(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the pairs to fit on and those to measure on."""
    test = round(count * share)
    if not test:
        return list(range(count)), list(range(count))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    if test == count:
        test -= 1
    return sorted(order[test:]), sorted(order[:test])


def _some(ours: list[Any], theirs: list[Any], at: list[int]) -> tuple[list[Any], list[Any]]:
    if len(ours) != len(theirs):
        return ours, theirs  # aligned_groups says what is wrong
    return [ours[i] for i in at], [theirs[i] for i in at]
