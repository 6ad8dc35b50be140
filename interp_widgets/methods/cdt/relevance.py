"""Reading relevance off a decomposition: for the logits, and for heads and MLPs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.cdt.decompose import split
from interp_widgets.methods.cdt.propagate import at_target
from interp_widgets.methods.cdt.sources import Rule, Slot, Source, check_positions, target_of
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.methods.circuits.pairs import Pairs
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Progress = Callable[[int, int], None]
Relevance = Literal["dot", "l1"]
Means = dict[Site, Tensor]


def means(pairs: Pairs, slots: Sequence[Slot] = ("z",)) -> dict[int, Means]:
    """Return what components write on average on the corrupted prompts, by prompt length.

    Of every layer ``z`` ``[position, head, d_head]``, ``mlp_out`` and ``resid_pre``
    ``[position, d_model]``; on demand ``q``, ``k`` and ``v`` ``[head, position, d_head]``.
    """
    session = pairs.session
    names = dict.fromkeys(["resid_pre", "z", *(s for s in slots if s != "mlp")])
    if session.anatomy.has_mlp:
        names["mlp_out"] = None
    sites = [Site(name, i) for i in range(session.anatomy.n_layers) for name in names]
    sums: dict[int, Means] = {}
    counts: dict[int, int] = {}
    for _, corrupted in pairs:
        acts = session.capture(corrupted, sites, interventions="none")
        length = len(corrupted[0])
        own = sums.setdefault(length, {})
        for site in sites:
            value = acts[site].sum(0)
            own[site] = own[site] + value if site in own else value
        counts[length] = counts.get(length, 0) + len(corrupted)
    return {
        length: {site: value / counts[length] for site, value in own.items()}
        for length, own in sums.items()
    }


def difference(logits: Tensor, prompt: Prompt) -> Tensor:
    """Return answer minus foil at the last position ``[row]``, or the answer's logit alone."""
    last = logits[:, -1] if logits.ndim == 3 else logits
    if prompt.answer is None:
        raise CircuitError(f"{prompt!r} has no answer whose logit could be split")
    answer = last[:, prompt.answer]
    return answer if prompt.foil is None else answer - last[:, prompt.foil]


def relevance_to_logits(
    session: Session,
    prompt: Prompt,
    sources: Sequence[Source],
    *,
    reference: Means | None = None,
    attention: Rule = "relative",
    progress: Progress | None = None,
) -> np.ndarray:
    """Return what each source adds to the logit difference at the last position ``[source]``.

    In logits; the metric of the relevant part. The paper's share is this by the metric of the
    whole.
    """
    parts = split(
        session,
        prompt,
        sources,
        attention=attention,
        reference=reference,
        position=-1,
        progress=progress,
    )
    return difference(parts.relevant, prompt).double().cpu().numpy()


def relevance_to_targets(
    session: Session,
    prompt: Prompt,
    sources: Sequence[Source],
    targets: Sequence[Source],
    *,
    slot: Slot = "z",
    how: Relevance = "dot",
    reference: Mapping[Site, Tensor] | None = None,
    attention: Rule = "relative",
    progress: Progress | None = None,
) -> np.ndarray:
    """Return what each source contributes to the targets ``[source]``, summed over targets.

    Parameters
    ----------
    targets
        Heads or MLPs, at their positions.
    slot
        Where heads are read: ``"q"``, ``"k"``, ``"v"`` or their output ``"z"``.
    how
        ``"dot"``: relevant part · deviation of the target from its mean in ``reference``; ``"l1"``:
        the relevant part's share of the absolute sum, 0 to 1.

    Raises
    ------
    CircuitError
        For sources and targets that the model or the prompt does not have.

    Notes
    -----
    Not yet normalised within layers, see :func:`within_layers`.
    """
    for target in targets:
        check_positions(prompt, *target.positions or ())
    read = [target_of(target, slot) for target in targets]
    parts = split(
        session,
        prompt,
        sources,
        attention=attention,
        targets=list(dict.fromkeys(read)),
        reference=dict(reference or {}),
        position=-1,
        progress=progress,
    )
    total = torch.zeros(len(sources), dtype=torch.float64)
    for target, place in zip(targets, read, strict=True):
        at = slice(None) if target.positions is None else list(target.positions)
        relevant, rest = (x[:, at].double() for x in parts.targets[place])
        if how == "l1":
            ours, theirs = (x.abs().mean((1, 2)) for x in (relevant, rest))
            total += (ours / (ours + theirs).clamp_min(1e-12)).cpu()
            continue
        deviation = relevant + rest
        if reference:
            deviation = deviation - at_target(session, reference, place)[at].double()
        total += (relevant * deviation).sum((1, 2)).cpu()
    return total.numpy()


def within_layers(scores: np.ndarray, sources: Sequence[Source]) -> np.ndarray:
    """Divide by the sum of |score| of the source's layer: deep layers would dominate otherwise."""
    layers = np.array([s.layer for s in sources])
    out = np.zeros_like(scores)
    for layer in np.unique(layers):
        own = layers == layer
        out[own] = scores[own] / max(np.abs(scores[own]).sum(), 1e-12)
    return out
