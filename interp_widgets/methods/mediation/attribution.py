"""Indirect effects estimated from gradients: all mediators in a few passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interp_widgets.methods.mediation.alignment import AlignedGroup
from interp_widgets.methods.mediation.composed import Path
from interp_widgets.methods.mediation.mediators import Mediator
from interp_widgets.methods.mediation.network import Network, axes_of, restored, take, tensor_of
from interp_widgets.methods.mediation.sources import Source
from interp_widgets.session.capture import frozen
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.sites import Site

Slopes = dict[Site, Tensor]


def estimated(
    network: Network, mediators: Sequence[Mediator], source: Source, steps: int = 0
) -> Tensor:
    """Estimate (M(x′) − M(x)) · dY/dM of every mediator ``[mediator, pair]``.

    Parameters
    ----------
    steps
        0: gradient at the clean prompt (attribution patching). More: mean gradient over as many
        points on the way from the clean embeddings to the counterfactual ones, at the middles of
        equal steps.

    Raises
    ------
    ValueError
        When edges or paths are among the mediators.
    """
    if any(isinstance(m, Path) for m in mediators):
        raise ValueError("edges are scored by iw.circuit(…, method='eap-ig'); run paths exactly")
    found = torch.zeros(len(mediators), network.pairs, dtype=torch.float64)
    sites = list(dict.fromkeys(part.where for m in mediators for part in m.parts))
    reads = list(dict.fromkeys(part.reads_at for m in mediators for part in m.parts))
    for g, group in enumerate(network.groups):
        network.run.progress(g, len(network.groups))
        slopes = _slopes(network, group, sites, steps)
        values = network.capture(group.clean, [*sites, *reads])
        for i, mediator in enumerate(mediators):
            for part in mediator.parts:
                index = group.positions(0, part.position)
                h, slope = (take(x[part.where], part, index) for x in (values, slopes))
                seen = (
                    h if part.reads_at == part.where else take(values[part.reads_at], part, index)
                )
                new = source(part, g).apply(part, h, seen, range(len(group.at)), 1.0)
                change = ((new - h).double() * slope.double()).sum((1, 2))
                found[i, list(group.at)] += change.cpu()
    return found


def estimated_units(
    network: Network, sites: Sequence[Site], source: Source, steps: int = 0
) -> list[Tensor]:
    """Estimate the same of every unit of some sites: ``[unit, pair]`` for each site."""
    wholes = [Mediator(site=site.name, layer=site.layer) for site in sites]
    found: list[list[Tensor]] = [[] for _ in sites]
    order: list[int] = []
    for g, group in enumerate(network.groups):
        network.run.progress(g, len(network.groups))
        slopes = _slopes(network, group, sites, steps)
        values = network.capture(group.clean, sites)
        order += group.at
        for i, (site, whole) in enumerate(zip(sites, wholes, strict=True)):
            index = group.positions(0, None)
            h, slope = (take(x[site], whole, index) for x in (values, slopes))
            new = source(whole, g).apply(whole, h, h, range(len(group.at)), 1.0)
            found[i].append(((new - h).double() * slope.double()).sum(1).T.cpu())
    back = torch.tensor(order).argsort()
    return [torch.cat(parts, 1)[:, back] for parts in found]


def _slopes(network: Network, group: AlignedGroup, sites: Sequence[Site], steps: int) -> Slopes:
    """Return dY / d activation ``[pair, position, …]`` at the clean prompts, or on the way."""
    if steps < 0:
        raise ValueError(f"steps={steps}: 0 is the gradient at the clean prompt, 5 to 10 are usual")
    if steps == 0:
        batch = PromptBatch(group.clean)
        session = network.session
        if "logits" not in session.anatomy.sites:
            return _traced(network, group, sites, None)
        found = session.gradients(batch, lambda logits: group.score(logits).sum(), list(sites))
        return {site: axes_of(found.grads[site], site) for site in sites}
    embed = Site("embed")
    ours = network.capture(group.clean, [embed])[embed]
    theirs = network.capture(group.corrupted, [embed])[embed]
    mine, other = (list(t) for t in zip(*group.alignment, strict=True))
    change = torch.zeros_like(ours)
    change[:, mine] = theirs[:, other] - ours[:, mine]
    total: Slopes = {}
    for k in range(steps):
        point = ours + (k + 0.5) / steps * change
        for site, slope in _traced(network, group, sites, point).items():
            total[site] = total[site] + slope / steps if site in total else slope / steps
    return total


def _traced(
    network: Network, group: AlignedGroup, sites: Sequence[Site], start: Tensor | None
) -> Slopes:
    """Run forward and backward with other embeddings, or with what is read first as a start."""
    session = network.session
    anatomy = session.anatomy
    places = sorted({anatomy.locate(site) for site in sites}, key=anatomy.order)
    embed = anatomy.locate("embed") if start is not None else places[0]
    watched: dict[object, Tensor] = {}
    ends: list[Tensor] = []
    end = network.end

    def begin() -> None:
        raw: Any = embed.read(session.model)
        leaf = (tensor_of(raw) if start is None else start).detach().clone().requires_grad_()
        embed.write(session.model, restored(raw, leaf))
        watched[embed] = leaf

    def watch() -> None:
        for place in places:
            if place not in watched:
                watched[place] = tensor_of(place.read(session.model))

    batch = PromptBatch(group.clean)
    lock = session.worker.locked()
    with lock, torch.enable_grad(), frozen(anatomy.root), session.trace(batch):
        begin()
        watch()
        ends.append(tensor_of(end.read(session.model)))
    tensors = [watched[place] for place in places]
    with torch.enable_grad():
        grads = torch.autograd.grad(
            group.score(ends[0]).sum(), tensors, allow_unused=True, materialize_grads=True
        )
    by_place = dict(zip(places, grads, strict=True))
    return {
        site: axes_of(anatomy.locate(site).to_heads(by_place[anatomy.locate(site)]), site)
        for site in sites
    }
