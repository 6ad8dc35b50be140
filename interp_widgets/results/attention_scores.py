"""Scores of heads: what kind of attention a head pays, one number each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD_SCORES: Final[dict[str, str]] = {
    "previous_token": "mean weight on the token just before",
    "first_token": "mean weight on the first token",
    "duplicate_token": "mean weight on earlier copies of the same token",
    "induction": "mean weight on what followed earlier copies of the token (arXiv:2209.11895)",
    "entropy": "mean entropy of a query's weights, in nats",
}
"""Scores of a head; each is a mean over the queries it is defined for, NaN if there are none."""

SAME_TEXT: Final = ("previous_token", "duplicate_token", "induction")
"""Scores that need queries and keys to be the same tokens."""


def scan(
    strips: Iterable[tuple[range, Tensor]], ids: Tensor, real: Tensor, *, same_text: bool
) -> tuple[dict[str, float], Tensor]:
    """Walk through one head's pattern once and return its scores and each query's entropy.

    Parameters
    ----------
    strips
        Queries and their weights `[row, col]`; columns after the last one are zero.
    ids
        Token ids of the keys.
    real
        Which keys are tokens, not padding, bool `[key]`.
    same_text
        Whether queries and keys are the same tokens.

    Returns
    -------
    tuple
        Scores by name, and the entropies in nats `[query]`, NaN for padding.
    """
    first = int(torch.nonzero(real)[0]) if bool(real.any()) else 0
    sums = dict.fromkeys(HEAD_SCORES, 0.0)
    counts = dict.fromkeys(HEAD_SCORES, 0)
    entropies = []
    for rows, weights in strips:
        columns = weights.shape[1]
        i, j = torch.arange(rows.start, rows.stop), torch.arange(columns)
        here = real[rows.start : rows.stop] if same_text else torch.ones(len(rows)).bool()
        entropy = -torch.special.xlogy(weights, weights).sum(-1)
        entropies.append(torch.where(here, entropy, torch.nan))
        later = here & (i > first) if same_text else here
        measured = {"first_token": (weights[:, first], later), "entropy": (entropy, here)}
        if same_text:
            copies = (ids[i][:, None] == ids[:columns]) & real[:columns]
            copies &= j < i[:, None]
            after = torch.nn.functional.pad(copies[:, :-1], (1, 0))
            before = (i - 1).clamp(0, columns - 1)
            measured |= {
                "previous_token": (weights.gather(1, before[:, None])[:, 0], later),
                "duplicate_token": ((weights * copies).sum(-1), here & copies.any(-1)),
                "induction": ((weights * after).sum(-1), here & after.any(-1)),
            }
        for name, (value, defined) in measured.items():
            sums[name] += float(value[defined].double().sum())
            counts[name] += int(defined.sum())
    scores = {n: sums[n] / counts[n] if counts[n] else float("nan") for n in HEAD_SCORES}
    return scores, torch.cat(entropies)
