"""Pairs of a prompt and its counterfactual, and which token of one is which token of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from interp_widgets.methods.prompt_pairs import PairGroup, Prompts
from interp_widgets.methods.rows import MOST_ROWS, TOKENS
from interp_widgets.methods.target import Metric, Target
from interp_widgets.session.prompts import Prompt

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Alignment = tuple[tuple[int, int], ...]
"""(position in the prompt, position in its counterfactual), in order."""


def align(ours: Sequence[str], theirs: Sequence[str]) -> Alignment:
    """Say which token of one prompt stands for which of the other.

    Prompts of equal length are aligned position by position. Else equal runs of tokens are matched,
    and what was replaced between two runs is aligned from its end: the last token of a name has
    read all of it. Tokens that are left over have no counterpart.

    Examples
    --------
    >>> align(["The", " nurse", " said"], ["The", " fire", " fighter", " said"])
    ((0, 0), (1, 2), (2, 3))
    """
    if len(ours) == len(theirs):
        return tuple((i, i) for i in range(len(ours)))
    found: list[tuple[int, int]] = []
    matcher = SequenceMatcher(None, list(ours), list(theirs), autojunk=False)
    for _, start, stop, begin, end in matcher.get_opcodes():
        size = min(stop - start, end - begin)
        found += [(stop - size + i, end - size + i) for i in range(size)]
    return tuple(found)


def from_end(ours: Sequence[str], theirs: Sequence[str]) -> Alignment:
    """Align unrelated prompts by their distance from the last token."""
    size = min(len(ours), len(theirs))
    return tuple((len(ours) - size + i, len(theirs) - size + i) for i in range(size))


@dataclass(frozen=True)
class AlignedGroup(PairGroup):
    """Pairs of which every clean prompt has one length, and every counterfactual one.

    Parameters
    ----------
    alignment
        Which positions correspond; the same for all pairs of the group.
    """

    alignment: Alignment = ()

    def side(self, side: int) -> tuple[Prompt, ...]:
        """Return the clean prompts (0) or the counterfactual ones (1)."""
        return self.corrupted if side else self.clean

    def positions(self, side: int, position: int | Sequence[int] | None) -> list[list[int]]:
        """Return, for each pair of the group, where in the prompts of a side a mediator is.

        Parameters
        ----------
        side
            0 for the clean prompts, 1 for the counterfactual ones.
        position
            Of the clean prompt; negative ones count from the end of either prompt. None: every
            position that has a counterpart. A list has one position for each of all pairs.

        Raises
        ------
        ValueError
            When there is no such position, or it has no counterpart.
        """
        if position is None:
            return [[pair[side] for pair in self.alignment]] * len(self.at)
        if isinstance(position, int):
            return [[self._position(side, position, j)] for j in range(len(self.at))]
        return [[self._position(side, int(position[i]), j)] for j, i in enumerate(self.at)]

    def _position(self, side: int, position: int, pair: int) -> int:
        ours = self.clean[pair]
        own = self.side(side)[pair]
        if not -len(ours) <= position < len(ours) or not -len(own) <= position:
            raise ValueError(f"there is no position {position} in {ours!r}, of {len(ours)} tokens")
        if position < 0:
            return len(own) + position
        if side == 0:
            return position
        found = dict(self.alignment).get(position)
        if found is None:
            raise ValueError(
                f"position {position} ({ours.tokens[position]!r}) of {ours!r} has no counterpart "
                f"in {self.corrupted[pair]!r}; choose another, or count from the end (-1)"
            )
        return found


def aligned_groups(
    session: Session,
    clean: Prompts,
    corrupted: Prompts | None,
    metric: Metric,
    *,
    unrelated: bool = False,
) -> list[AlignedGroup]:
    """Pair prompts in order and put pairs of the same lengths and alignment together.

    Parameters
    ----------
    session, clean, corrupted, metric
        As in :func:`mediation`.
    unrelated
        Whether the prompts of a pair have nothing in common: then they are aligned from the end.

    Raises
    ------
    ValueError
        When the numbers differ, a clean prompt has no answer, a logit difference lacks a foil, or a
        pair has no token in common.
    """
    ours = listed(clean)
    theirs: Sequence[Prompt | None] = [None] * len(ours)
    if corrupted is not None:
        theirs = listed(corrupted)
    if len(ours) != len(theirs) or not ours:
        raise ValueError(
            f"{len(ours)} clean and {len(theirs)} counterfactual prompts make no pairs; give as "
            "many of one as of the other, at least one"
        )
    targets = []
    for prompt in ours:
        if prompt.answer is None:
            raise ValueError(
                'the clean prompt has no answer: session.prompt(text, answer=" Mary", foil=" John")'
            )
        targets.append(Target.of(session, prompt, metric=metric))
    how = from_end if unrelated else align
    groups: dict[tuple[int, int, Alignment], list[int]] = {}
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        other = a if b is None else b
        alignment = how(a.tokens, other.tokens)
        if not alignment:
            raise ValueError(f"pair {i}: {a!r} and {other!r} have no token in common to align by")
        groups.setdefault((len(a), len(other), alignment), []).append(i)
    made = []
    for (length, longer, alignment), members in groups.items():
        most = max(1, min(MOST_ROWS, TOKENS // max(length, longer, 1)))
        for start in range(0, len(members), most):
            at = tuple(members[start : start + most])
            made.append(
                AlignedGroup(
                    at,
                    tuple(ours[i] for i in at),
                    tuple(p for i in at if (p := theirs[i]) is not None),
                    tuple(targets[i] for i in at),
                    alignment,
                )
            )
    return made


def listed(prompts: Prompts) -> list[Prompt]:
    """Return one prompt, or several, as a list."""
    return [prompts] if isinstance(prompts, Prompt) else list(prompts)
