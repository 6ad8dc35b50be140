"""How candidates are searched: each run, by gradients, by gates, by subspaces, by features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from interp_widgets.methods.mediation import attribution, masks, subspaces
from interp_widgets.methods.mediation.composed import Path, Together, mediator_of
from interp_widgets.methods.mediation.features import Feature
from interp_widgets.methods.mediation.mediators import Mediator, Neurons, Subspace
from interp_widgets.methods.mediation.names import Chosen, Given, Positions, check, choose, sites_of
from interp_widgets.methods.mediation.network import Network
from interp_widgets.methods.mediation.sources import Source

How = Literal["exhaustive", "attribution", "das", "mask", "probe", "difference", "pca", "sae"]


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
        positions: Positions,
        dictionary: Mapping[str, Tensor] | None,
    ) -> Found:
        """Search among the candidates."""
        session, groups = self.network.session, self.network.groups
        if self.method == "sae":
            return self._features(given, dictionary)
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
        estimates = attribution.estimated(self.network, made, self._source, self.steps or 0)
        return self._best(
            made, estimates, ("feature",), {"feature": [str(i) for i in range(count)]}
        )
