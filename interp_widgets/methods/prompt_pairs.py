"""Pairs of clean and corrupted prompts, grouped by length, with the number read off each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interp_widgets.methods.rows import MOST_ROWS, TOKENS
from interp_widgets.methods.target import Metric, Target
from interp_widgets.session.prompts import Prompt, PromptBatch

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Prompts = Prompt | PromptBatch | Sequence[Prompt]


@dataclass(frozen=True)
class PairGroup:
    """Pairs of one length.

    Parameters
    ----------
    at
        Where each pair stands among all.
    clean, corrupted
        The prompts; no corrupted ones where the method needs none.
    targets
        What is measured for each pair.
    """

    at: tuple[int, ...]
    clean: tuple[Prompt, ...]
    corrupted: tuple[Prompt, ...]
    targets: tuple[Target, ...]

    @property
    def length(self) -> int:
        """Tokens of every prompt."""
        return len(self.clean[0])

    def score(self, logits: Tensor, pairs: Sequence[int] | None = None) -> Tensor:
        """Return each row's metric ``[row]`` from logits ``[row, position, vocabulary]``.

        ``pairs`` says which pair each row belongs to; default one row per pair, in order.
        """
        of_row = range(len(self.targets)) if pairs is None else pairs
        rows = [self.targets[pair](logits[i : i + 1]) for i, pair in enumerate(of_row)]
        return torch.cat(rows)

    @classmethod
    def of(
        cls,
        session: Session,
        clean: Prompts,
        corrupted: Prompts | None,
        metric: Metric,
        *,
        one_length: bool = False,
    ) -> list[PairGroup]:
        """Pair prompts in order, check that they fit, and group pairs of one length.

        Raises
        ------
        ValueError
            When the numbers or the lengths of a pair differ, a clean prompt has no answer (or no
            foil for a logit difference), or, with ``one_length``, pairs differ in length.
        """
        pairs = _pairs(clean, corrupted)
        groups: dict[int, list[int]] = {}
        for i, (prompt, _) in enumerate(pairs):
            groups.setdefault(len(prompt), []).append(i)
        if one_length and len(groups) > 1:
            raise ValueError(
                "the pairs have different lengths, so their positions have no mean; give pairs of "
                "one template"
            )
        targets = [Target.of(session, prompt, metric=metric) for prompt, _ in pairs]
        made = []
        for length, members in groups.items():
            most = max(1, min(MOST_ROWS, TOKENS // length))
            for start in range(0, len(members), most):
                at = tuple(members[start : start + most])
                other = tuple(p for i in at if (p := pairs[i][1]) is not None)
                made.append(
                    cls(at, tuple(pairs[i][0] for i in at), other, tuple(targets[i] for i in at))
                )
        return made


def _pairs(clean: Prompts, corrupted: Prompts | None) -> list[tuple[Prompt, Prompt | None]]:
    ours = _list(clean)
    theirs: Sequence[Prompt | None] = [None] * len(ours) if corrupted is None else _list(corrupted)
    if len(ours) != len(theirs) or not ours:
        raise ValueError(
            f"{len(ours)} clean and {len(theirs)} corrupted prompts make no pairs; give as "
            "many of one as of the other, at least one"
        )
    pairs = list(zip(ours, theirs, strict=True))
    for a, b in pairs:
        if b is not None and len(a) != len(b):
            raise ValueError(
                f"the clean prompt has {len(a)} tokens and the corrupted one {len(b)}; patching "
                "puts position i into position i, so give prompts of equal length "
                f"({'|'.join(a.tokens[:30])} and {'|'.join(b.tokens[:30])})"
            )
        if a.answer is None:
            raise ValueError(
                'the clean prompt has no answer: session.prompt(text, answer=" Mary", …)'
            )
    return pairs


def _list(prompts: Prompts) -> list[Prompt]:
    return [prompts] if isinstance(prompts, Prompt) else list(prompts)


def in_order(groups: Sequence[PairGroup], parts: Sequence[Tensor]) -> Tensor:
    """Join what was found for each group, ``[pair of the group, …]``, in the order of the pairs."""
    order = torch.tensor([i for group in groups for i in group.at])
    return torch.cat(list(parts))[order.argsort().to(parts[0].device)]


def position_labels(groups: Sequence[PairGroup]) -> list[str]:
    """Name positions by their tokens: by both where a pair differs, by three of many."""
    by_pair = {}
    for group in groups:
        for j, i in enumerate(group.at):
            by_pair[i] = [group.clean[j].tokens, *(p.tokens for p in group.corrupted[j : j + 1])]
    names = []
    for tokens in zip(*(t for i in sorted(by_pair) for t in by_pair[i]), strict=True):
        different = list(dict.fromkeys(tokens))
        names.append(" /".join(different[:3]) + " /…" * (len(different) > 3))
    return names


def interval(changes: Tensor, spans: Tensor | None, draws: int = 1000) -> Tensor:
    """Return the 95 % bootstrap interval over pairs of mean change ÷ mean span, ``[2, …]``.

    Parameters
    ----------
    changes
        ``[pair, …]``.
    spans
        ``[pair]``, or None for the mean change itself.
    draws
        Resamples of the pairs, drawn with seed 0.
    """
    pairs = len(changes)
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(pairs, (draws, pairs), generator=generator)
    counts = torch.zeros(draws, pairs).scatter_add_(1, picks, torch.ones(draws, pairs))
    flat = changes.reshape(pairs, -1).float().cpu()
    below = counts.sum(1) if spans is None else counts @ spans.float().cpu()
    ends = torch.tensor([0.025, 0.975])
    parts = [
        torch.quantile(counts @ some / below[:, None], ends, dim=0) for some in flat.split(4096, 1)
    ]
    return torch.cat(parts, 1).reshape(2, *changes.shape[1:])
