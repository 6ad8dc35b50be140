"""What is put in a mediator's place: the kinds of intervention."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from interp_widgets.methods.mediation.mediators import Mediator
from interp_widgets.methods.mediation.network import Change, Network, embedding_scale, take
from interp_widgets.session.sites import Site

Kind = Literal["interchange", "zero", "mean", "resample", "noise", "add", "constant"]

KINDS: dict[str, str] = {
    "interchange": "its value on the other prompt of the pair",
    "zero": "zero",
    "mean": "its mean over the counterfactual prompts",
    "resample": "its value on another pair's counterfactual prompt",
    "noise": "its own value with Gaussian noise",
    "add": "its own value plus a vector",
    "constant": "a vector",
}
NOISE = 3.0
"""Standard deviations of the embeddings, as in causal tracing (Meng et al. 2022)."""


@dataclass
class Source:
    """One kind of intervention on the pairs of a network, for one side.

    Parameters
    ----------
    network
        The pairs.
    kind
        A key of ``KINDS``.
    side
        Whether clean (0) or counterfactual (1) prompts are run.
    vector
        For ``"add"`` and ``"constant"``: as many numbers as the mediator has dimensions, or one.
    seed
        Of noise and of the pairs to resample from.
    """

    network: Network
    kind: Kind
    side: int
    vector: Any = None
    seed: int = 0
    _means: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, part: Mediator, g: int) -> Change:
        """Return what is put in place of a part in the runs of a group."""
        if self.kind == "interchange":
            return Change(self.value(part, g, 1 - self.side))
        own = self.value(part, g, self.side)
        if self.kind == "zero":
            return Change(torch.zeros_like(own))
        if self.kind == "mean":
            return Change(self._mean(part).expand_as(own))
        if self.kind == "resample":
            return Change(self._other(part, g))
        if self.kind == "noise":
            return Change(self._noise(own, part, g), add=True)
        return Change(self._vector(own, part).expand_as(own), add=self.kind == "add")

    def own(self, part: Mediator, g: int) -> Change:
        """Return the part's own values: putting them in place has to change nothing."""
        return Change(self.value(part, g, self.side))

    def value(self, part: Mediator, g: int, side: int) -> Tensor:
        """Return a part's values on a side of a group ``[pair, position, m]``."""
        group = self.network.groups[g]
        site = part.reads_at
        found = self.network.capture(group.side(side), [site])[site]
        return part.encode(take(found, part, group.positions(side, part.position)))

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the noise."""
        return NOISE * embedding_scale(self.network.session, self.network.groups[0].clean)

    @property
    def _from(self) -> int:
        """Which side means and resampled values come from: the counterfactual, where there is."""
        return 1 if self.network.groups[0].corrupted else 0

    def _mean(self, part: Mediator) -> Tensor:
        if id(part) not in self._means:
            groups = range(len(self.network.groups))
            values = [self.value(part, g, self._from).flatten(0, 1) for g in groups]
            self._means[id(part)] = torch.cat(values).float().mean(0)
        return self._means[id(part)]

    def _other(self, part: Mediator, g: int) -> Tensor:
        values = self.value(part, g, self._from)
        if len(values) < 2:
            raise ValueError(
                "resampling needs at least two pairs of the same lengths; give more pairs, or "
                'kind="interchange"'
            )
        draw = torch.Generator().manual_seed(self.seed * 7919 + g)
        order = torch.randperm(len(values), generator=draw)
        partner = torch.empty_like(order)
        partner[order] = order.roll(1)
        return values[partner]

    def _noise(self, own: Tensor, part: Mediator, g: int) -> Tensor:
        name = str(part.reads_at).encode() + str(part.head).encode()
        mix = int.from_bytes(name[-8:], "little") % 1_000_003
        draw = torch.Generator().manual_seed(self.seed * 7919 + 31 * g + mix)
        return torch.randn(own.shape, generator=draw).to(own) * self.deviation

    def _vector(self, own: Tensor, part: Mediator) -> Tensor:
        if self.vector is None:
            raise ValueError(f'kind="{self.kind}" needs vector=, what is put in place')
        vector = torch.as_tensor(self.vector).to(own).reshape(-1)
        if vector.numel() not in (1, own.shape[-1]):
            raise ValueError(
                f"the vector has {vector.numel()} numbers; {part.label} has {own.shape[-1]} "
                "dimensions"
            )
        if not bool(torch.isfinite(vector).all()):
            raise ValueError("the vector has numbers that are not finite")
        return vector


def prefetch(network: Network, mediators: list[Mediator]) -> None:
    """Read all that mediators need in one forward pass per group and side, into the cache."""
    sites: dict[Site, None] = {}
    for mediator in mediators:
        for part in mediator.parts:
            sites |= dict.fromkeys((part.where, part.reads_at))
            if part.where.layer:
                sites[Site("resid_pre", part.where.layer)] = None
    there = set(network.session.anatomy.sites)
    wanted = [s for s in sites if s.name != "resid_pre" or "resid_pre" in there]
    for group in network.groups:
        for side in (0, 1):
            if group.side(side):
                network.capture(group.side(side), wanted)
