"""A jet in the plane of η and φ, with what one head attends to drawn between its particles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.particle import kinematics
from interp_widgets.methods.particle.heads import Heads
from interp_widgets.methods.particle.scan import PAPER
from interp_widgets.results.scatter import ScatterResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site


@method(
    "particle_jet",
    result="scatter",
    title="Jet",
    paper=PAPER,
    family="attention",
    unit="attention head",
    cost="1 forward pass",
    tags="mechanistic, observational, local, hypothesis generation, head, token",
)
def jet(
    run: Run,
    prompt: Prompt,
    layer: int = 0,
    head: int = 0,
    *,
    threshold: float | None = None,
    most: int = 60,
) -> ScatterResult:
    """Show a jet's particles where they are, and the strongest attention of a head between them.

    Points lie at Δη and Δφ from the jet's axis, their area is pT; a line joins two particles of
    which one attends to the other with at least ``threshold``, wider for more, coloured by ln kT of
    the pair. In a class block lines come from the class token, drawn on the axis.

    Parameters
    ----------
    prompt
        One jet: ``session.prompt(jets[:1])``.
    layer, head
        Which head; layers count on through particle and class blocks.
    threshold
        Least attention weight that is drawn (the larger of both directions); None takes twice what
        even attention gives.
    most
        Most lines, strongest first.

    Returns
    -------
    ScatterResult
        ``x`` and ``y`` ``[particle]``, ``size`` in GeV; ``link [line, 2]``, ``link_weight`` and
        ``link_value`` (ln kT).

    Raises
    ------
    ValueError
        When there is no such head, or the prompt is no jet.

    Examples
    --------
    >>> iw.particle.jet(session.prompt(jets[:1]), layer=1, head=3).figure()
    """
    if prompt.values is None:
        raise ValueError("the prompt is no jet: session.prompt(jets[:1])")
    heads = Heads(run.session, prompt.values.float())
    if not (0 <= layer < len(heads.layers) and 0 <= head < heads.heads):
        raise ValueError(
            f"there is no head {layer}.{head}: layers go to {len(heads.layers) - 1} and heads to "
            f"{heads.heads - 1}"
        )
    where = heads.layers[layer]
    site = Site(f"{where.path}.pattern") if where.of_class else Site("pattern", layer)
    pattern = run.session.capture(prompt, site)[site][head].float().cpu()
    one = prompt.values[:1].float().cpu()
    count = int(kinematics.real(one).sum())
    x, y = (part[0, :count] for part in kinematics.around_axis(one))
    size = kinematics.pt(one)[0, :count]
    kt = kinematics.pairs(one)["ln kT"][0]
    names = [f"{i}" for i in range(count)]
    if where.of_class:
        x, y, size = (torch.cat([part, part.new_zeros(1)]) for part in (x, y, size))
        names.append("class")
        weight = pattern[0, 1 : count + 1]
        pairs = torch.stack([torch.full((count,), count), torch.arange(count)], 1)
        value = kinematics.pt(one)[0, :count].log()
    else:
        square = pattern[:count, :count]
        i, j = torch.triu_indices(count, count, offset=1)
        weight, pairs = torch.maximum(square[i, j], square[j, i]), torch.stack([i, j], 1)
        value = kt[i, j]
    if threshold is None:
        threshold = 2 / pattern.shape[-1]
    order = weight.argsort(descending=True)[:most]
    order = order[weight[order] >= threshold]
    meta: dict[str, Any] = {
        "dims": ["position"],
        "labels": {"position": names},
        "x": {"title": "Δη", "quantity": "value"},
        "y": {"title": "Δφ", "quantity": "value"},
        "map": True,
        "links": {
            "weight": "attention",
            "value": "ln pT" if where.of_class else "ln kT",
            "size": "pT",
        },
        "title": f"Attention of head {layer}.{head} in a jet",
        "note": f"{len(order)} lines of attention {threshold:.2g} or more",
    }
    arrays: dict[str, Tensor] = {
        "x": x,
        "y": y,
        "cell": torch.arange(len(names))[:, None],
        "size": size,
        "link": pairs[order],
        "link_weight": weight[order],
        "link_value": value[order],
    }
    return ScatterResult({name: array.numpy() for name, array in arrays.items()}, meta)
