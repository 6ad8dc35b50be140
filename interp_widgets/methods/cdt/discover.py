"""Which components matter by contextual decomposition: against the logits, then against those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.cdt.decompose import Rule, Slot, Source, decompose
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.methods.circuits.pairs import Pairs
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Progress = Callable[[int, int], None]
Relevance = Literal["dot", "l1"]


@dataclass(frozen=True)
class Found:
    """The nodes of a circuit in the order they were found.

    Attributes
    ----------
    sources
        Heads, or heads at positions.
    rounds
        In which round each was found: 1 read by the logits, 2 by the heads of round 1, ….
    relevance
        Share of the target's relevance within the source's layer (round 1: of the metric).
    """

    sources: tuple[Source, ...]
    rounds: tuple[int, ...]
    relevance: tuple[float, ...]

    @property
    def nodes(self) -> list[str]:
        """Names of the components, ``a3.h7``."""
        return list(dict.fromkeys(source.name for source in self.sources))


def means(pairs: Pairs) -> dict[int, dict[Site, Tensor]]:
    """Return what components write on average on the corrupted prompts, by prompt length.

    ``z`` ``[position, head, d_head]`` and ``mlp_out`` ``[position, d_model]`` of every layer.
    """
    session = pairs.session
    names = ["z", *(["mlp_out"] if session.anatomy.has_mlp else [])]
    sites = [Site(name, i) for i in range(session.anatomy.n_layers) for name in names]
    sums: dict[int, dict[Site, Tensor]] = {}
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


def relevance_to_logits(
    session: Session,
    prompt: Prompt,
    sources: Sequence[Source],
    *,
    reference: dict[Site, Tensor] | None = None,
    attention: Rule = "relative",
    progress: Progress | None = None,
) -> np.ndarray:
    """Return of each source the share of the logit difference at the last position ``[source]``.

    The metric of the relevant part's logits, divided by the metric of the whole.
    """
    parts = decompose(
        session, prompt, sources, attention=attention, reference=reference, progress=progress
    )
    return (_metric(parts.relevant, prompt) / _metric(parts.total[None], prompt)).cpu().numpy()


def _metric(logits: Tensor, prompt: Prompt) -> Tensor:
    last = logits[:, -1] if logits.ndim == 3 else logits
    answer = last[:, prompt.answer]
    return answer if prompt.foil is None else answer - last[:, prompt.foil]


def relevance_to_heads(
    session: Session,
    prompt: Prompt,
    sources: Sequence[Source],
    targets: Sequence[Source],
    *,
    slot: Slot = "z",
    how: Relevance = "dot",
    reference: dict[Site, Tensor] | None = None,
    attention: Rule = "relative",
) -> np.ndarray:
    """Return of each source what it contributes to the target heads ``[source]``.

    ``"dot"``: relevant part · deviation of the target from its mean, summed over targets; ``"l1"``:
    the relevant part's share of the absolute sum. Not yet normalised within layers.
    """
    heads = sorted({(t.layer, int(t.head or 0), slot) for t in targets})
    parts = decompose(
        session, prompt, sources, attention=attention, targets=heads, reference=reference
    )
    total = torch.zeros(len(sources), dtype=parts.total.dtype)
    for target in targets:
        own = parts.targets[target.layer, int(target.head or 0), slot]
        at = slice(None) if target.positions is None else list(target.positions)
        relevant, rest = own.relevant[:, at], own.rest[:, at]
        if how == "l1":
            ours, theirs = (x.abs().mean((1, 2)) for x in (relevant, rest))
            total += ours / (ours + theirs).clamp_min(1e-12)
            continue
        mean = None if reference is None else reference.get(Site(slot, target.layer))
        deviation = relevant + rest
        if mean is not None:
            deviation = deviation - mean[at, target.head]
        total += (relevant * deviation).sum((1, 2))
    return total.cpu().numpy()


def discover(
    pairs: Pairs,
    *,
    per_round: int = 2,
    positions: bool = False,
    how: Relevance = "dot",
    attention: Rule = "relative",
    most_rounds: int = 8,
    progress: Progress | None = None,
) -> Found:
    """Search backwards: heads that the logits read, then heads that those read (arXiv 2407.00886).

    Parameters
    ----------
    pairs
        Clean prompts with answer and foil; the corrupted ones give the means.
    per_round
        Nodes kept in each round; 2 as in the authors' notebook.
    positions
        Whether a head at each position is a node of its own (prompts of one length).
    how
        Relevance to heads, see :func:`relevance_to_heads`.
    most_rounds
        The search ends when all new nodes are in layer 0, or after so many rounds.

    Examples
    --------
    >>> found = iw.cdt.discover(Pairs.of(clean, corrupted)); found.nodes
    """
    session = pairs.session
    reference = means(pairs)
    length = len(pairs.first[0])
    where: list[tuple[int, ...] | None] = [(p,) for p in range(length)] if positions else [None]
    every = [
        Source(i, head, at)
        for i in range(session.anatomy.n_layers)
        for head in range(session.anatomy.n_heads)
        for at in where
    ]
    found: dict[Source, tuple[int, float]] = {}
    targets: list[Source] = []
    for number in range(1, most_rounds + 1):
        top = max((t.layer for t in targets), default=session.anatomy.n_layers)
        sources = [s for s in every if s not in found and s.layer < top]
        if not sources:
            break
        scores = np.zeros(len(sources))
        for clean, _ in pairs:
            for prompt in clean:
                means_here = reference[len(prompt)]
                if not targets:
                    scores += relevance_to_logits(
                        session, prompt, sources, reference=means_here, attention=attention
                    )
                else:
                    scores += relevance_to_heads(
                        session,
                        prompt,
                        sources,
                        targets,
                        how=how,
                        reference=means_here,
                        attention=attention,
                    )
        if targets:
            scores = within_layers(scores, sources)
        order = np.argsort(-scores, kind="stable")[:per_round]
        new = [sources[i] for i in order if scores[i] > 0]
        found |= {sources[i]: (number, float(scores[i])) for i in order if scores[i] > 0}
        if progress is not None:
            progress(number, most_rounds)
        if not new or all(s.layer == 0 for s in new):
            break
        targets = new
    return Found(
        tuple(found), tuple(n for n, _ in found.values()), tuple(r for _, r in found.values())
    )


def within_layers(scores: np.ndarray, sources: Sequence[Source]) -> np.ndarray:
    """Divide by the sum of |score| of the source's layer: deep layers would dominate otherwise."""
    layers = np.array([s.layer for s in sources])
    out = np.zeros_like(scores)
    for layer in np.unique(layers):
        own = layers == layer
        out[own] = scores[own] / max(np.abs(scores[own]).sum(), 1e-12)
    return out
