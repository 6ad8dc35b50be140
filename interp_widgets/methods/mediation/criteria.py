"""Generality and selectivity: the same mediators on held-out pairs and on control prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.mediation.alignment import (
    AlignedGroup,
    aligned_groups,
    from_end,
    listed,
)
from interp_widgets.methods.mediation.composed import Path, Together
from interp_widgets.methods.mediation.estimate import Estimator
from interp_widgets.methods.mediation.mediators import Mediator
from interp_widgets.methods.mediation.network import Network
from interp_widgets.methods.mediation.sources import Kind
from interp_widgets.methods.prompt_pairs import Prompts
from interp_widgets.methods.target import Metric
from interp_widgets.session.prompts import Prompt

if TYPE_CHECKING:
    from interp_widgets.session.session import Session


@dataclass(frozen=True)
class Divergence:
    """KL divergence of the last position's output from the unchanged one, in nats."""

    reference: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        """Return ``[row]`` for logits ``[row, position, vocabulary]``."""
        last = logits[:, -1] if logits.ndim == 3 else logits
        own = last.double().log_softmax(-1)
        reference = self.reference.to(own)
        return (reference.exp() * (reference - own)).sum(-1)


def held_out(
    run: Run,
    pairs: tuple[Prompts, Prompts | None],
    mediators: Sequence[Mediator],
    groups: Sequence[AlignedGroup],
    *,
    metric: Metric,
    kind: Kind,
    strength: float,
    vector: Any,
    seed: int,
) -> dict[str, Tensor]:
    """Score the same mediators on other pairs; return ``held_ends`` and ``held_patched``."""
    theirs = aligned_groups(run.session, *pairs, metric)
    estimator = Estimator(run, theirs, kind=kind, vector=vector, seed=seed, strength=strength)
    moved = moved_to(mediators, groups, theirs)
    found = estimator.estimate(moved)
    return {"held_ends": found.ends, "held_patched": found.patched}


def control_divergence(
    run: Run,
    controls: Prompts,
    mediators: Sequence[Mediator],
    groups: Sequence[AlignedGroup],
    *,
    kind: Kind,
    strength: float,
    vector: Any,
    seed: int,
) -> Tensor:
    """Change the same mediators, the same way, in unrelated prompts ``[mediator, control]``.

    For an interchange every control prompt gets the value of the next one, aligned from the end.

    Raises
    ------
    ValueError
        When an interchange has one control prompt only, or a path is among the mediators.
    """
    if any(isinstance(m, Path) for m in mediators):
        raise ValueError("edges and paths have no control prompts: leave controls out for them")
    theirs = control_groups(run.session, listed(controls))
    estimator = Estimator(run, theirs, kind=kind, vector=vector, seed=seed, strength=strength)
    found = estimator.estimate(moved_to(mediators, groups, theirs))
    return found.patched[0]


def control_groups(session: Session, prompts: Sequence[Prompt]) -> list[AlignedGroup]:
    """Pair each control prompt with the next one; what is measured is the divergence."""
    if len(prompts) < 2:
        raise ValueError("give at least two control prompts, so that one can lend to another")
    groups: dict[Any, list[int]] = {}
    others = [*prompts[1:], prompts[0]]
    for i, (a, b) in enumerate(zip(prompts, others, strict=True)):
        groups.setdefault((len(a), len(b)), []).append(i)
    made = []
    for members in groups.values():
        clean = tuple(prompts[i] for i in members)
        corrupted = tuple(others[i] for i in members)
        plain = AlignedGroup(tuple(members), clean, corrupted, ())
        logits = Network(Run(session), [plain]).logits(clean, [])
        last = logits[:, -1] if logits.ndim == 3 else logits
        targets: Any = tuple(Divergence(row) for row in last.double().log_softmax(-1))
        alignment = from_end(clean[0].tokens, corrupted[0].tokens)
        made.append(AlignedGroup(tuple(members), clean, corrupted, targets, alignment))
    return made


def moved_to(
    mediators: Sequence[Mediator], groups: Sequence[AlignedGroup], theirs: Sequence[AlignedGroup]
) -> list[Mediator]:
    """Return mediators for prompts of other templates: positions count from the end there."""
    same = {g.length for g in groups} == {g.length for g in theirs}
    return list(mediators) if same else [_moved(m, groups[0].length) for m in mediators]


def _moved(mediator: Mediator, length: int) -> Mediator:
    if isinstance(mediator, Together):
        return replace(mediator, members=[_moved(m, length) for m in mediator.members])
    position = mediator.position
    if position is None:
        return mediator
    if not isinstance(position, int):
        raise ValueError(
            f"{mediator.label} has a position of its own in each pair, so that there is none in "
            "other prompts; leave held_out and controls out, or give one position from the end"
        )
    name = mediator.name or mediator.label
    return replace(mediator, position=position if position < 0 else position - length, name=name)
