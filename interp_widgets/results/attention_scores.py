"""Scores of heads: what kind of attention a head pays, one number each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.attention_heads import SMALL
from interp_widgets.results.base import to_numpy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interp_widgets.results.attention import AttentionResult
    from interp_widgets.results.attention_heads import Heads, Index

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
) -> tuple[dict[str, Tensor], Tensor]:
    """Walk through the patterns of some heads once; return their scores and queries' entropies.

    Parameters
    ----------
    strips
        Queries and their weights `[head, row, col]`; columns after the last one are zero.
    ids
        Token ids of the keys.
    real
        Which keys are tokens, not padding, bool `[key]`.
    same_text
        Whether queries and keys are the same tokens.

    Returns
    -------
    tuple
        Scores by name, float64 `[head]`, and the entropies in nats `[head, query]`, NaN for
        padding.
    """
    first = int(torch.nonzero(real)[0]) if bool(real.any()) else 0
    sums: dict[str, Any] = dict.fromkeys(HEAD_SCORES, 0.0)
    counts = dict.fromkeys(HEAD_SCORES, 0)
    entropies = []
    for rows, weights in strips:
        columns = weights.shape[2]
        i, j = torch.arange(rows.start, rows.stop), torch.arange(columns)
        here = real[rows.start : rows.stop] if same_text else torch.ones(len(rows)).bool()
        entropy = -torch.special.xlogy(weights, weights).sum(-1)
        entropies.append(torch.where(here, entropy, torch.nan))
        later = here & (i > first) if same_text else here
        measured = {"first_token": (weights[:, :, first], later), "entropy": (entropy, here)}
        if same_text:
            copies = (ids[i][:, None] == ids[:columns]) & real[:columns]
            copies &= j < i[:, None]
            after = torch.nn.functional.pad(copies[:, :-1], (1, 0))
            before = (i - 1).clamp(0, columns - 1)
            measured |= {
                "previous_token": (weights[:, torch.arange(len(rows)), before], later),
                "duplicate_token": ((weights * copies).sum(-1), here & copies.any(-1)),
                "induction": ((weights * after).sum(-1), here & after.any(-1)),
            }
        for name, (value, defined) in measured.items():
            sums[name] = sums[name] + value[:, defined].double().sum(-1)
            counts[name] += int(defined.sum())
    entropies_of = torch.cat(entropies, 1)
    missing = torch.full((len(entropies_of),), torch.nan, dtype=torch.float64)
    scores = {n: sums[n] / counts[n] if counts[n] else missing for n in HEAD_SCORES}
    return scores, entropies_of


class Scans:
    """The scores of every head, each head's pattern walked through once.

    Parameters
    ----------
    heads
        Where the weights come from.
    shape
        How many layers, heads, queries and keys there are.
    """

    def __init__(self, heads: Heads, shape: tuple[int, int, int, int]) -> None:
        self.heads = heads
        self.shape = shape
        self._scores: dict[Index, dict[str, float]] = {}
        self._entropies: dict[Index, Tensor] = {}

    def scores(self, index: Index) -> dict[str, float]:
        """Return one head's scores by name."""
        if index not in self._scores:
            together = math.prod(self.shape) <= SMALL
            self._walk([*np.ndindex(self.shape[:2])] if together else [index])
        return self._scores[index]

    def entropies(self, index: Index) -> Tensor:
        """Return the entropy of each query of one head in nats, `[query]`."""
        self.scores(index)
        return self._entropies[index]

    def _walk(self, indices: list[Index]) -> None:
        """Walk through the patterns of several heads, a block of queries at a time."""
        blocks = self.heads.blocks(indices[0], range(self.shape[2]))
        if len(indices) > 1:
            blocks = [range(self.shape[2])]
        strips = (
            (rows, _stacked([self.heads.seen(index, rows) for index in indices])) for rows in blocks
        )
        scores, entropies = scan(strips, self._identities(), self._real(), same_text=self._same)
        for i, index in enumerate(indices):
            self._scores[index] = {name: float(values[i]) for name, values in scores.items()}
            self._entropies[index] = entropies[i]

    @property
    def _same(self) -> bool:
        return "query_tokens" not in self.heads.meta

    def _identities(self) -> Tensor:
        meta = self.heads.meta
        if "ids" in meta:
            return torch.as_tensor(meta["ids"])
        numbers: dict[str, int] = {}
        return torch.tensor([numbers.setdefault(token, len(numbers)) for token in meta["tokens"]])

    def _real(self) -> Tensor:
        valid = self.heads.arrays.get("valid")
        if valid is None:
            return torch.ones(self.shape[3], dtype=torch.bool)
        return torch.as_tensor(valid).cpu().bool()


def _stacked(parts: list[Tensor]) -> Tensor:
    """Stack weights of heads, of which some may reach fewer keys."""
    most = max(part.shape[1] for part in parts)
    return torch.stack([torch.nn.functional.pad(part, (0, most - part.shape[1])) for part in parts])


def given_scores(result: AttentionResult, scores: Any) -> dict[str, Any]:
    """Return a reader's own scores of the heads as JSON: their name, and all values in order.

    Parameters
    ----------
    result
        Whose heads.
    scores
        An `ArrayResult` of the dims `layer, head`, or an array `[layer, head]`.

    Raises
    ------
    ValueError
        If they are not one number per head.
    """
    name = "given score"
    if isinstance(scores, ArrayResult):
        dims = list(scores.meta["dims"])
        if sorted(dims) != ["head", "layer"]:
            raise ValueError(f"scores have the dims layer and head, not {', '.join(dims)}")
        name = str(scores.meta.get("quantity") or scores.title)
        values = scores.numpy("values")
        values = values if dims[0] == "layer" else values.T
    else:
        values = np.asarray(to_numpy(scores) if hasattr(scores, "detach") else scores)
    wanted = (result.n_layers, result.n_heads)
    if values.shape != wanted:
        raise ValueError(f"scores are [layer, head] = {wanted} here, not {values.shape}")
    return {"name": name, "values": [float(v) for v in values.reshape(-1)]}
