"""The search for mediators: every candidate, a gradient, or an optimiser; then exact effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.mediation import attribution, masks, subspaces
from interp_widgets.methods.mediation.alignment import AlignedGroup, aligned_groups, listed
from interp_widgets.methods.mediation.estimate import Direction, Estimator, Scale, result_of
from interp_widgets.methods.mediation.mediators import (
    Feature,
    Mediator,
    Neurons,
    Path,
    Subspace,
    Together,
    mediator_of,
)
from interp_widgets.methods.mediation.method import Places, facts
from interp_widgets.methods.mediation.names import Chosen, Given, check, choose, sites_of
from interp_widgets.methods.mediation.network import Network
from interp_widgets.methods.mediation.sources import Source
from interp_widgets.methods.prompt_pairs import Prompts
from interp_widgets.methods.target import Metric
from interp_widgets.results.mediation import MediationResult

How = Literal["exhaustive", "attribution", "das", "mask", "probe", "difference", "pca", "sae"]
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


@dataclass
class Found:
    """What a search found.

    Parameters
    ----------
    mediators
        Those to measure.
    scores
        What ranks them ``[mediator]``; None: the measured effects do.
    candidates, dims, labels
        Scores of all candidates, and the grid that they fill.
    arrays
        What else the result keeps.
    """

    mediators: list[Mediator]
    scores: Tensor | None = None
    candidates: Tensor | None = None
    dims: tuple[str, ...] = ()
    labels: dict[str, list[str]] = field(default_factory=dict)
    arrays: dict[str, Tensor] = field(default_factory=dict)
    by_accuracy: bool = False


@dataclass
class Search:
    """One search on the pairs of a network; see :func:`mediator_search`."""

    network: Network
    method: How
    top: int
    k: int
    steps: int | None
    rate: float | None
    batch: int
    price: float
    denoise: bool
    seed: int

    def find(
        self,
        given: Given,
        layers: Sequence[int] | None,
        positions: Places | None,
        dictionary: Mapping[str, Tensor] | None,
    ) -> Found:
        """Search among the candidates."""
        session, groups = self.network.session, self.network.groups
        if self.method == "sae":
            return self._features(given, groups, dictionary)
        if dictionary is not None:
            raise ValueError('a dictionary goes with method="sae"')
        if given == "neurons":
            return self._neurons(sites_of(session, "mlp_post", layers))
        chosen = choose(session, given, groups, layers, positions)
        if any(isinstance(m, Path) for m in chosen.mediators) and self.method != "exhaustive":
            raise ValueError(f'edges and paths are searched with "exhaustive", not {self.method}')
        if self.method == "exhaustive":
            return Found(list(chosen.mediators), dims=chosen.dims, labels=chosen.labels)
        if self.method == "attribution":
            return self._attributed(chosen)
        if self.method == "mask":
            return self._masked(chosen)
        return self._subspaces(chosen)

    @property
    def _source(self) -> Source:
        return Source(self.network, "interchange", 0, seed=self.seed)

    def _attributed(self, chosen: Chosen) -> Found:
        all_of = attribution.estimated(
            self.network, chosen.mediators, self._source, self.steps or 0
        )
        return self._best(list(chosen.mediators), all_of, chosen.dims, chosen.labels)

    def _best(
        self,
        mediators: list[Mediator],
        estimates: Tensor,
        dims: tuple[str, ...] = (),
        labels: dict[str, list[str]] | None = None,
    ) -> Found:
        mean = estimates.mean(1)
        order = mean.abs().argsort(descending=True, stable=True)[: self.top].tolist()
        return Found(
            [mediators[i] for i in order],
            mean[order],
            mean,
            dims,
            labels or {},
            {"estimate": estimates[order]},
        )

    def _neurons(self, sites: Sequence[Any]) -> Found:
        if self.method == "mask":
            wholes = [Mediator(site=site.name, layer=site.layer) for site in sites]
            return self._masked(Chosen(tuple(wholes)), units=True)
        if self.method != "attribution":
            raise ValueError('neurons are searched with method="attribution" or "mask"')
        estimates = attribution.estimated_units(self.network, sites, self._source, self.steps or 0)
        mean = torch.cat([part.mean(1) for part in estimates])
        order = mean.abs().argsort(descending=True, stable=True)[: self.top].tolist()
        names = [
            (site, unit) for site, p in zip(sites, estimates, strict=True) for unit in range(len(p))
        ]
        chosen: list[Mediator] = [
            Neurons(site=site.name, layer=site.layer, units=[unit])
            for site, unit in (names[i] for i in order)
        ]
        same = len({len(part) for part in estimates}) == 1
        labels = {"layer": [str(site.layer) for site in sites]}
        return Found(
            chosen,
            mean[order],
            mean,
            ("layer", "neuron") if same else (),
            labels if same else {},
            {"estimate": torch.cat(estimates)[order]},
        )

    def _masked(self, chosen: Chosen, *, units: bool = False) -> Found:
        mediators = list(chosen.mediators)
        sizes = [1] * len(mediators)
        if units:
            group = self.network.groups[0]
            sizes = [
                int(subspaces.values_of(self.network, m, group, 0).shape[-1]) for m in mediators
            ]
        gates, losses = masks.learn(
            self.network,
            mediators,
            sizes,
            denoise=self.denoise,
            price=self.price,
            steps=300 if self.steps is None else self.steps,
            rate=0.1 if self.rate is None else self.rate,
            batch=self.batch,
            seed=self.seed,
        )
        whole = torch.cat(gates).double().cpu()
        if units:
            names = [(m, u) for m, n in zip(mediators, sizes, strict=True) for u in range(n)]
            mediators = [Neurons(site=m.site, layer=m.layer, units=[u]) for m, u in names]
        order = whole.argsort(descending=True, stable=True)[: self.top].tolist()
        kept = [i for i in range(len(whole)) if float(whole[i]) > 0.5]
        found = [mediators[i] for i in order]
        scores = whole[order]
        if kept:
            if units:
                members: list[Mediator] = []
                for m, gate in zip(chosen.mediators, gates, strict=True):
                    own = (gate > 0.5).nonzero()[:, 0].tolist()
                    if own:
                        members.append(Neurons(site=m.site, layer=m.layer, units=own))
            else:
                members = [mediators[i] for i in kept]
            name = f"all {len(kept)} chosen"
            found = [Together(members=members, name=name), *found]
            scores = torch.cat([torch.ones(1, dtype=scores.dtype), scores])
        dims, labels = chosen.dims, chosen.labels
        if units and len(set(sizes)) == 1:
            dims = ("layer", "neuron")
            labels = {"layer": [str(m.layer) for m in chosen.mediators]}
        return Found(found, scores, whole, dims, labels, {"loss": losses})

    def _subspaces(self, chosen: Chosen) -> Found:
        places = list(chosen.mediators)
        if any(len(p.parts) > 1 or type(p) is not Mediator for p in places):
            raise ValueError(
                f'method="{self.method}" finds subspaces at places: give a grid or sites such as '
                '"resid_post.3@-1"'
            )
        arrays: dict[str, Tensor] = {}
        if self.method == "das":
            bases, arrays["loss"] = subspaces.das(
                self.network,
                places,
                self.k,
                steps=300 if self.steps is None else self.steps,
                rate=0.01 if self.rate is None else self.rate,
                batch=self.batch,
                seed=self.seed,
            )
        else:
            how: Any = self.method
            bases = []
            for i, place in enumerate(places):
                self.network.run.progress(i, len(places))
                bases.append(subspaces.fitted(self.network, place, how, self.k))
        made: list[Mediator] = [
            Subspace(
                site=p.site,
                layer=p.layer,
                position=p.position,
                head=p.head,
                basis=basis.cpu(),
                name=f"{self.method} {self.k}-dim of {p.label}",
            )
            for p, basis in zip(places, bases, strict=True)
        ]
        return Found(
            made, None, None, chosen.dims, chosen.labels, arrays, by_accuracy=self.method == "das"
        )

    def _features(
        self,
        given: Given,
        groups: Sequence[AlignedGroup],
        dictionary: Mapping[str, Tensor] | None,
    ) -> Found:
        if dictionary is None or not {"encoder", "decoder"} <= set(dictionary):
            raise ValueError(
                'method="sae" needs dictionary={"encoder": [feature, d], "decoder": [feature, d]}, '
                "and bias, threshold, centre where it has them"
            )
        unknown = set(dictionary) - {"encoder", "decoder", "bias", "threshold", "centre"}
        if unknown:
            raise ValueError(f"a dictionary has no {sorted(unknown)}")
        if not isinstance(given, str | Mapping):
            raise ValueError("a dictionary belongs to one place: give one, 'resid_post.3'")
        place = check(self.network.session, mediator_of(given))
        parts = {name: torch.as_tensor(value) for name, value in dictionary.items()}
        encoder, decoder = parts["encoder"], parts["decoder"]
        if encoder.shape != decoder.shape or encoder.ndim != 2:
            raise ValueError(
                f"encoder and decoder are [feature, d] both, got {tuple(encoder.shape)} and "
                f"{tuple(decoder.shape)}"
            )
        count = len(encoder)
        zeros = torch.zeros(count)
        made: list[Mediator] = [
            Feature(
                site=place.site,
                layer=place.layer,
                position=place.position,
                encoder=encoder[i],
                decoder=decoder[i],
                bias=float(parts.get("bias", zeros)[i]),
                threshold=float(parts.get("threshold", zeros)[i]),
                centre=parts.get("centre"),
                name=f"feature {i} of {place.label}",
            )
            for i in range(count)
        ]
        del groups
        estimates = attribution.estimated(self.network, made, self._source, self.steps or 0)
        return self._best(
            made, estimates, ("feature",), {"feature": [str(i) for i in range(count)]}
        )


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
