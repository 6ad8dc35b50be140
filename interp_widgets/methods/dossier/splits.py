"""Halves of inputs: what is chosen on one is measured on the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from interp_widgets.session.prompts import Prompt, PromptBatch

Inputs = PromptBatch | Sequence[Prompt]
T = TypeVar("T")

FEWEST = 8
"""Fewer pairs than this cannot be split into something to choose on and something to measure on."""


class DossierError(ValueError):
    """A dossier cannot be made of these inputs; the message says why."""


def checked(positives: Inputs, negatives: Inputs, *, paired: bool) -> None:
    """Raise where inputs are too few, or are not pairs where pairs are needed.

    Raises
    ------
    DossierError
        The message says which.
    """
    for name, some in (("positives", positives), ("negatives", negatives)):
        if len(some) < FEWEST:
            raise DossierError(
                f"{len(some)} {name}: give at least {FEWEST}, half to choose on and half to "
                "measure on; hundreds where a false-positive rate of 1 % is to mean something"
            )
    if not paired:
        return
    if len(positives) != len(negatives):
        raise DossierError(
            f"{len(positives)} positives and {len(negatives)} negatives: a mechanism is looked for "
            "in pairs, each positive with the same prompt without the behaviour"
        )
    off = next((i for i, (a, b) in enumerate(_zip(positives, negatives)) if len(a) != len(b)), None)
    if off is not None:
        raise DossierError(
            f"pair {off} differs in length: replace words by words of as many tokens"
        )
    lacking = next((p for p in positives if p.answer is None or p.foil is None), None)
    if lacking is not None:
        raise DossierError(
            f"{lacking!r} needs an answer (what the behaviour says) and a foil (what is said "
            "without it): session.prompt(text, answer=…, foil=…)"
        )


def halves(count: int, seed: int, share: float = 0.5) -> tuple[list[int], list[int]]:
    """Return which to choose on and which to measure on, the same for the same count and seed."""
    order = np.random.default_rng(seed).permutation(count).tolist()
    cut = min(max(round(share * count), 2), count - 2)
    return sorted(order[:cut]), sorted(order[cut:])


def take(some: Iterable[T], indices: Sequence[int]) -> list[T]:
    """Return some of a sequence."""
    found = list(some)
    return [found[i] for i in indices]


def _zip(a: Inputs, b: Inputs) -> zip[tuple[Prompt, Prompt]]:
    return zip(a, b, strict=True)
