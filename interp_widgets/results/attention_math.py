"""Attention patterns from q and k: exact, in float32, without holding all of `query × key`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 32 << 20
"""Largest block of scores worked on at once."""


@dataclass(frozen=True)
class HeadScores:
    """One head's q and k with all that turns them into a pattern.

    Parameters
    ----------
    q, k
        `[position, d_head]`, any float dtype; rotary embeddings already applied.
    scaling
        Factor of q·k.
    softcap
        Scores s become `softcap * tanh(s / softcap)`; None leaves them.
    window
        A query sees keys at a distance below this; None sees all.
    causal
        Whether keys after the query are hidden.
    valid
        Which keys are real, bool `[position]`; None if all are.
    bias
        Added to the scores by distance `key - query`: entry `positions - 1 + distance` of `[2 *
        positions - 1]`.
    sink
        Extra logit in the softmax's sum, whose share goes to no key.
    """

    q: Tensor
    k: Tensor
    scaling: float = 1.0
    softcap: float | None = None
    window: int | None = None
    causal: bool = True
    valid: Tensor | None = None
    bias: Tensor | None = None
    sink: float | None = None

    @property
    def queries(self) -> int:
        """Number of queries."""
        return int(self.q.shape[0])

    @property
    def keys(self) -> int:
        """Number of keys."""
        return int(self.k.shape[0])

    def reach(self, rows: range) -> range:
        """Return the keys that any of these queries can see."""
        start, stop = 0, self.keys
        if self.window is not None:
            start = max(0, rows.start - self.window + 1)
            stop = min(stop, rows.stop - 1 + self.window)
        if self.causal:
            stop = min(stop, rows.stop)
        return range(start, max(start, stop))

    def scores(self, rows: range, cols: range) -> Tensor:
        """Return float32 scores before the softmax `[row, col]`; hidden keys are minus infinity."""
        q = self.q[rows.start : rows.stop].float()
        k = self.k[cols.start : cols.stop].float()
        scores = q @ k.T * self.scaling
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        i = torch.arange(rows.start, rows.stop, device=scores.device)[:, None]
        j = torch.arange(cols.start, cols.stop, device=scores.device)[None]
        if self.bias is not None:
            scores = scores + self.bias.float().to(scores.device)[self.keys - 1 + j - i]
        if self.causal:
            scores = scores.masked_fill(j > i, -math.inf)
        if self.window is not None:
            scores = scores.masked_fill((i - j).abs() >= self.window, -math.inf)
        if self.valid is not None:
            keep = self.valid[cols.start : cols.stop].to(scores.device)
            scores = scores.masked_fill(~keep[None], -math.inf)
        return scores

    def normaliser(self, rows: range) -> Tensor:
        """Return the log of each query's softmax sum, `[row]`; -inf if it sees nothing."""
        total = torch.logsumexp(self.scores(rows, self.reach(rows)), dim=-1)
        if self.sink is not None:
            total = torch.logaddexp(total, torch.full_like(total, self.sink))
        return total

    def weights(self, rows: range, cols: range, normaliser: Tensor) -> Tensor:
        """Return attention weights `[row, col]`; a query that sees nothing has zeros."""
        seen = self.reach(rows)
        inner = range(max(cols.start, seen.start), min(cols.stop, seen.stop))
        if len(inner) == 0:
            return torch.zeros(len(rows), len(cols), device=self.q.device)
        safe = torch.where(normaliser == -math.inf, torch.zeros_like(normaliser), normaliser)
        part = torch.exp(self.scores(rows, inner) - safe[:, None])
        before, after = inner.start - cols.start, cols.stop - inner.stop
        return torch.nn.functional.pad(part, (before, after)) if before or after else part

    def blocks(self, rows: range | None = None) -> Iterator[range]:
        """Split queries into blocks whose scores fit `BLOCK_BYTES`."""
        rows = range(self.queries) if rows is None else rows
        height = max(1, BLOCK_BYTES // (4 * max(1, self.keys)))
        for start in range(rows.start, rows.stop, height):
            yield range(start, min(start + height, rows.stop))


def attention_pattern(q: Tensor, k: Tensor, **facts: object) -> Tensor:
    """Return one head's whole pattern, float32 `[query, key]`.

    Parameters
    ----------
    q, k
        `[position, d_head]`.
    **facts
        The other parameters of `HeadScores`.

    Examples
    --------
    >>> attention_pattern(q, k, scaling=8**-0.5).sum(-1)      # ones
    """
    head = HeadScores(q, k, **facts)  # type: ignore[arg-type]
    cols = range(head.keys)
    return torch.cat([head.weights(rows, cols, head.normaliser(rows)) for rows in head.blocks()])


def pool_columns(values: Tensor, bins: int, how: str) -> Tensor:
    """Pool the last dimension to `bins` cells by `"max"` or `"mean"`.

    Cell c holds entries `c*n//bins` to `(c+1)*n//bins`.
    """
    n = values.shape[-1]
    if bins >= n:
        return values
    if n % bins == 0:
        cells = values.unflatten(-1, (bins, n // bins))
        return cells.amax(-1) if how == "max" else cells.mean(-1)
    edges = torch.tensor([c * n // bins for c in range(bins + 1)], device=values.device)
    cell = torch.repeat_interleave(torch.arange(bins, device=values.device), edges.diff())
    out = values.new_zeros(*values.shape[:-1], bins)
    return out.scatter_reduce(
        -1, cell.expand_as(values), values, "amax" if how == "max" else "mean", include_self=False
    )
