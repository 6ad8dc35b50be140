"""Searching a circuit backwards: what the logits read, what that reads, and so on to the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.methods.cdt.relevance import (
    Means,
    Progress,
    Relevance,
    means,
    relevance_to_logits,
    relevance_to_targets,
    within_layers,
)
from interp_widgets.methods.cdt.sources import Rule, Slot, Source
from interp_widgets.methods.circuits.pairs import Pairs, Prompts

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt

Measure = Callable[[Sequence[Source]], float]
"""From the nodes of a circuit to its faithfulness."""


@dataclass(frozen=True)
class Found:
    """The nodes of a circuit in the order they were found.

    Attributes
    ----------
    sources
        Heads and MLPs, or these at positions.
    rounds
        In which round each was found: 1 read by the logits, 2 by the nodes of round 1, ….
    relevance
        Share of the targets' relevance within the source's layer; for those that the logits read,
        logits, the mean over prompts.
    """

    sources: tuple[Source, ...]
    rounds: tuple[int, ...]
    relevance: tuple[float, ...]

    @property
    def nodes(self) -> list[str]:
        """Names of the components, ``a3.h7``."""
        return list(dict.fromkeys(source.name for source in self.sources))

    def only(self, kept: Sequence[Source]) -> Found:
        """Return the nodes that are in ``kept``."""
        rows = [i for i, source in enumerate(self.sources) if source in kept]
        pick = [tuple(x[i] for i in rows) for x in (self.sources, self.rounds, self.relevance)]
        return Found(*pick)  # type: ignore[arg-type]


def discover(
    clean: Prompts,
    corrupted: Prompts,
    *,
    per_round: int = 2,
    positions: bool = False,
    mlps: bool = False,
    slot: Slot = "z",
    how: Relevance = "dot",
    attention: Rule = "relative",
    most_rounds: int = 16,
) -> Found:
    """Search backwards: heads that the logits read, then heads that those read (arXiv 2407.00886).

    ``iw.circuit(method="cdt-search", level="node")`` does this with MLPs, stops by faithfulness,
    prunes, and returns a circuit with a view.

    Parameters
    ----------
    clean
        Prompts with answer and foil.
    corrupted
        As many and as long; they give the means that components are compared with.
    per_round
        Nodes kept in each round; 2 as in the authors' notebook.
    positions
        Whether a head at each position is a node of its own (prompts of one length).
    mlps
        Whether MLPs are nodes; the authors search heads only.
    slot
        Where targets are read: ``"z"``, their output, or ``"q"``, ``"k"`` or ``"v"``.
    how
        Relevance to heads: ``"dot"`` or ``"l1"``.
    attention
        ``"relative"``, ``"frozen"`` or ``"difference"``, see :func:`decompose`.
    most_rounds
        The search ends when all new nodes are in layer 0, or after so many rounds.

    Raises
    ------
    CircuitError
        When prompts do not fit together or the model is of a form that is not known.

    Examples
    --------
    >>> found = iw.cdt.discover(clean, corrupted); found.nodes
    """
    pairs = Pairs.of(clean, corrupted)

    def work() -> Found:
        return search(
            pairs,
            every(pairs, positions=positions, mlps=mlps),
            per_round=per_round,
            slot=slot,
            how=how,
            attention=attention,
            most_rounds=most_rounds,
            progress=pairs.session.progress,
        )

    found: Found = pairs.session.run(work, label="Search by contextual decomposition")
    return found


def every(pairs: Pairs, *, positions: bool, mlps: bool) -> list[Source]:
    """Return all heads, and MLPs, as sources; with positions, one by one."""
    anatomy = pairs.session.anatomy
    where: list[tuple[int, ...] | None] = [None]
    if positions:
        where = [(p,) for p in range(len(pairs.first[0]))]
    heads: list[int | None] = [*range(anatomy.n_heads)]
    if mlps and anatomy.has_mlp:
        heads.append(None)
    return [Source(i, head, at) for i in range(anatomy.n_layers) for head in heads for at in where]


def search(
    pairs: Pairs,
    nodes: Sequence[Source],
    *,
    per_round: int = 2,
    slot: Slot = "z",
    how: Relevance = "dot",
    attention: Rule = "relative",
    most_rounds: int = 16,
    enough: float = np.inf,
    measure: Measure | None = None,
    progress: Progress | None = None,
) -> Found:
    """Do what :func:`discover` does, where the model is held already.

    With ``measure`` the search ends when the nodes found are faithful to ``enough``; where it
    reaches layer 0 before, it begins again with the nodes that matter next for the logits.
    """
    reference = means(pairs, (slot,))
    found: dict[Source, tuple[int, float]] = {}
    targets: list[Source] = []
    for number in range(1, most_rounds + 1):
        top = max((t.depth for t in targets), default=(pairs.session.anatomy.n_layers, 0))
        sources = [s for s in nodes if s not in found and s.depth < top]
        if not sources:
            break
        prompts = [prompt for clean, _ in pairs for prompt in clean]
        scores = np.zeros(len(sources))
        for i, prompt in enumerate(prompts):
            here = reference[len(prompt)]
            scores += _scores(prompt, sources, targets, here, slot, how, attention)
            if progress is not None:
                progress((number - 1) * len(prompts) + i + 1, most_rounds * len(prompts))
        scores = within_layers(scores, sources) if targets else scores / len(prompts)
        order = np.argsort(-scores, kind="stable")[:per_round]
        targets = [sources[i] for i in order if scores[i] > 0]
        found |= {sources[i]: (number, float(scores[i])) for i in order if scores[i] > 0}
        at_input = all(s.layer == 0 for s in targets)
        if measure is None and at_input:
            break
        if measure is not None and measure(list(found)) >= enough:
            break
        targets = [] if at_input else targets
    return Found(
        tuple(found), tuple(n for n, _ in found.values()), tuple(r for _, r in found.values())
    )


def _scores(
    prompt: Prompt,
    sources: Sequence[Source],
    targets: Sequence[Source],
    reference: Means,
    slot: Slot,
    how: Relevance,
    attention: Rule,
) -> np.ndarray:
    session = prompt.session
    if targets:
        return relevance_to_targets(
            session,
            prompt,
            sources,
            targets,
            slot=slot,
            how=how,
            reference=reference,
            attention=attention,
        )
    return relevance_to_logits(session, prompt, sources, reference=reference, attention=attention)


def prune(
    found: Found, measure: Measure, *, tolerance: float = 0.01, progress: Progress | None = None
) -> Found:
    """Drop nodes, the last found first, whose removal does not lower faithfulness.

    Parameters
    ----------
    tolerance
        A loss of faithfulness that counts as none; one per cent, below what pairs can tell.
    """
    kept = list(found.sources)
    best = measure(kept)
    for i, source in enumerate(reversed(found.sources)):
        less = [s for s in kept if s != source]
        value = measure(less) if less else -np.inf
        if value >= best - tolerance:
            kept, best = less, max(best, value)
        if progress is not None:
            progress(i + 1, len(found.sources))
    return found.only(kept)
