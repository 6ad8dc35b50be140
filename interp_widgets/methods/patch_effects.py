"""What patches change: every patch run, or all of them estimated from one gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.prompt_pairs import PairGroup, in_order
from interp_widgets.methods.readout import COARSE, TOLERANCE
from interp_widgets.methods.rows import Cell, in_chunks, replace_cells
from interp_widgets.methods.short_runs import ShortRun
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site, SiteError

Ablation = Literal["interchange", "zero", "mean"]
HEADS = ("z", "q", "k", "v", "pattern")
Neurons = Mapping[Site, Sequence[int]]


class Patches:
    """Pairs of prompts, the sites to patch, and what is put there.

    Parameters
    ----------
    run
        Its session's interventions apply.
    groups
        The pairs.
    sites
        One site of each layer to patch.
    noise
        Whether the clean run is changed (else the corrupted one).
    ablation
        What is put in place.
    per_position
        Whether every position is patched by itself.
    """

    def __init__(
        self,
        run: Run,
        groups: Sequence[PairGroup],
        sites: Sequence[Site],
        *,
        noise: bool,
        ablation: Ablation,
        per_position: bool,
    ) -> None:
        self.run, self.session = run, run.session
        self.groups, self.sites = groups, list(sites)
        self.noise, self.ablation, self.per_position = noise, ablation, per_position
        self.name = self.sites[0].name
        self._means: dict[Site, Tensor] | None = None

    def into(self, group: PairGroup) -> tuple[Prompt, ...]:
        """Return the prompts whose runs are changed."""
        return group.clean if self.noise else group.corrupted

    def ends(self) -> Tensor:
        """Return the metric of clean and corrupted prompts ``[pair, 2]``; NaN without."""
        rows = []
        for group in self.groups:
            sides = [group.clean, group.corrupted] if group.corrupted else [group.clean]
            values = [group.score(self._capture(side)[Site("logits")]).double() for side in sides]
            values += [torch.full_like(values[0], torch.nan)] * (2 - len(sides))
            rows.append(torch.stack(values, 1))
        return in_order(self.groups, rows)

    def absent(self) -> Tensor | None:
        """Return where layers have no such head, bool ``[layer, head]``; None where all have.

        Layers of a pruned model keep different numbers of heads.
        """
        if self.name not in HEADS:
            return None
        group = self.groups[0]
        own = self._capture(self.into(group))
        counts = torch.tensor([own[s].shape[1 + _head_axis(s)] for s in self.sites])
        absent = torch.arange(int(counts.max())) >= counts[:, None]
        return absent if bool(absent.any()) else None

    def exact(self, neurons: Neurons | None = None) -> Tensor:
        """Run every patch; return changes of the metric ``[pair, layer, …]``."""
        return in_order(self.groups, [self._exact(i, neurons) for i in range(len(self.groups))])

    def estimated(self) -> Tensor:
        """Estimate the same to first order from a gradient, ``[pair, layer, …]``."""
        return in_order(self.groups, [self._estimated(i) for i in range(len(self.groups))])

    # Inside

    def _capture(self, prompts: Sequence[Prompt], *more: Site) -> Mapping[Site, Tensor]:
        """Read the sites and logits in one forward pass, from the cache if they are there."""
        wanted = [*self.sites, *more, Site("logits")]
        return self.session.capture(PromptBatch(tuple(prompts)), wanted)

    def _values(self, group: PairGroup) -> dict[Site, Tensor]:
        """Return what is put in place ``[pair, …]``."""
        if self.ablation == "interchange":
            source = self._capture(group.corrupted if self.noise else group.clean)
            return {site: source[site] for site in self.sites}
        own = self._capture(self.into(group))
        if self.ablation == "zero":
            return {site: torch.zeros_like(own[site]) for site in self.sites}
        means = self._mean()
        return {site: means[site].expand_as(own[site]) for site in self.sites}

    def _mean(self) -> dict[Site, Tensor]:
        """Return means over the corrupted (else the clean) prompts and their positions."""
        if self._means is None:
            total: dict[Site, Tensor] = {}
            count = 0
            over = [0] if self.name == "pattern" else [0, 1 + self.sites[0].dims.index("position")]
            for group in self.groups:
                found = self._capture(group.corrupted or group.clean)
                for site in self.sites:
                    part = found[site].sum(over, keepdim=True)
                    total[site] = total[site] + part if site in total else part
                count += len(group.at) * (1 if self.name == "pattern" else group.length)
            self._means = {site: value / count for site, value in total.items()}
        return self._means

    def _exact(self, index: int, neurons: Neurons | None) -> Tensor:
        group = self.groups[index]
        prompts = self.into(group)
        values = self._values(group)
        short = ShortRun.of(self.session, prompts[0])
        layers = [int(site.layer or 0) for site in self.sites]
        starts = [Site("resid_pre", layer) for layer in layers if layer] if short.blocks else []
        own = self._capture(prompts, *starts)
        sites = self.sites
        if self.name == "pattern":
            sites = [Site("z", layer) for layer in layers]
            values = self._mixed(prompts, values)
        before = group.score(own[Site("logits")])
        found = []
        for part, (site, read) in enumerate(zip(sites, self.sites, strict=True)):
            chosen = None if neurons is None else neurons[read]
            cells, shape = self._cells(site, own[read], group.length, chosen)
            stream = own.get(Site("resid_pre", site.layer)) if short.blocks else None
            rows = [(pair, cell) for pair in range(len(prompts)) for cell in cells]

            def work(
                chunk: range,
                rows: list[tuple[int, Cell]] = rows,
                stream: Tensor | None = stream,
            ) -> Tensor:
                some = rows[chunk.start : chunk.stop]
                pairs = [pair for pair, _ in some]
                return replace_cells(
                    self.session,
                    prompts,
                    some,
                    values,
                    lambda logits: group.score(logits, pairs),
                    short,
                    stream,
                )

            steps = (index * len(sites) + part, len(self.groups) * len(sites))
            scores = in_chunks(self.run, len(rows), group.length, work, steps)
            change = scores.reshape(len(prompts), -1) - before[:, None]
            found.append(change.reshape(len(prompts), *shape).float())
        return by_layer(found)

    def _cells(
        self, site: Site, value: Tensor, length: int, neurons: Sequence[int] | None
    ) -> tuple[list[Cell], list[int]]:
        """Return the cells of one layer, and their shape."""
        heads: Sequence[int | None] = [None]
        units: Sequence[int | None] = [None] if neurons is None else neurons
        if self.name in HEADS:
            heads = range(value.shape[1 + _head_axis(self.sites[0])])
        places: Sequence[int | None] = range(length) if self.per_position else [None]
        cells = [Cell(site, p, h, u) for h in heads for u in units for p in places]
        return cells, [len(dim) for dim in (heads, units, places) if list(dim) != [None]]

    def _mixed(
        self, prompts: Iterable[Prompt], patterns: Mapping[Site, Tensor]
    ) -> dict[Site, Tensor]:
        """Return what heads give, ``z``, with other patterns over their own values."""
        layers = [site.layer for site in self.sites]
        names = [Site(name, layer) for name in ("v", "z", "pattern") for layer in layers]
        own = self.session.capture(PromptBatch(tuple(prompts)), names)
        made = {}
        for layer in layers:
            z, v = own[Site("z", layer)], own[Site("v", layer)]
            v = v.repeat_interleave(z.shape[2] // v.shape[1], 1)
            mixed, again = (
                torch.einsum("bhqk,bhkd->bqhd", pattern.to(v.dtype), v)
                for pattern in (patterns[Site("pattern", layer)], own[Site("pattern", layer)])
            )
            limit = TOLERANCE.get(z.dtype, COARSE) * float(z.abs().max().clamp_min(1e-6))
            if float((again - z).abs().max()) > limit:
                raise SiteError(
                    f"layer {layer}: what its heads give is not their pattern times their values, "
                    'so patterns alone cannot be patched; patch site="z", "q" or "k"'
                )
            made[Site("z", layer)] = mixed
        return made

    def _estimated(self, index: int) -> Tensor:
        group = self.groups[index]
        self.run.progress(index, len(self.groups))
        values = self._values(group)
        batch = PromptBatch(self.into(group))
        sites = self.sites
        if self.name == "pattern":
            sites = [Site("z", site.layer) for site in sites]
            values = self._mixed(batch, values)
        slopes = self.session.gradients(batch, lambda logits: group.score(logits).sum(), sites)
        rows = []
        for site in sites:
            row = (values[site] - slopes.values[site]).float() * slopes.grads[site].float()
            dims = ["pair", *site.dims]
            if dims[-1] != "d_mlp":
                row = row.sum(-1)
            place = dims.index("position")
            rows.append(row.movedim(place, -1) if self.per_position else row.sum(place))
        return by_layer(rows)


def by_layer(parts: Sequence[Tensor]) -> Tensor:
    """Stack the layers' ``[pair, head, …]`` to ``[pair, layer, head, …]``; NaN for absent heads."""
    if all(part.shape == parts[0].shape for part in parts):
        return torch.stack(list(parts), 1)
    most = max(part.shape[1] for part in parts)
    whole = parts[0].new_full((len(parts[0]), len(parts), most, *parts[0].shape[2:]), torch.nan)
    for layer, part in enumerate(parts):
        whole[:, layer, : part.shape[1]] = part
    return whole


def _head_axis(site: Site) -> int:
    """Return which dimension of a site of heads is the head."""
    return next(i for i, dim in enumerate(site.dims) if dim in ("head", "kv_head"))


def largest(changes: Tensor, sites: Sequence[Site], count: int) -> dict[Site, list[int]]:
    """Choose each layer's neurons of largest mean |change|, ``[pair, layer, unit, …]``."""
    mean = changes.float().mean(0)
    size = mean.reshape(*mean.shape[:2], -1).abs().amax(-1)
    top = size.topk(min(count, size.shape[1]), dim=1).indices.tolist()
    return dict(zip(sites, top, strict=True))
