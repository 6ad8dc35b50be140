"""Attention patterns from q and k: exact, in float32, without holding all of `query × key`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Part = Callable[[range | Sequence[int], range], Tensor]
    """Weights of some queries over a range of keys, `[row, col]`."""

BLOCK_BYTES = 8 << 20
"""Largest block of scores worked on at once."""


@dataclass(frozen=True)
class HeadScores:
    """One head's q and k with all that turns them into a pattern; or those of several heads.

    What is `[row, col]` for one head is `[head, row, col]` for several.

    Parameters
    ----------
    q, k
        `[position, d_head]`, any float dtype; rotary embeddings already applied. Of several heads
        they begin with `head`, and so do `bias` and `sink`.
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
        positions - 1]`; or for each pair `[query, key]`.
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
    sink: float | Sequence[float] | None = None

    @property
    def queries(self) -> int:
        """Number of queries."""
        return int(self.q.shape[-2])

    @property
    def keys(self) -> int:
        """Number of keys."""
        return int(self.k.shape[-2])

    def reach(self, rows: range | Sequence[int]) -> range:
        """Return the keys that any of these queries can see."""
        start, stop = 0, self.keys
        if len(rows) == 0:
            return range(0)
        if self.window is not None:
            start = max(0, min(rows) - self.window + 1)
            stop = min(stop, max(rows) + self.window)
        if self.causal:
            stop = min(stop, max(rows) + 1)
        return range(start, max(start, stop))

    def scores(self, rows: range | Sequence[int], cols: range) -> Tensor:
        """Return float32 scores before the softmax `[row, col]`; hidden keys are minus infinity."""
        some = slice(rows.start, rows.stop) if isinstance(rows, range) else list(rows)
        q = self.q[..., some, :].float() * self.scaling
        scores = q @ self.k[..., cols.start : cols.stop, :].float().mT
        if self.softcap is not None:
            scores.div_(self.softcap).tanh_().mul_(self.softcap)
        i = torch.as_tensor(rows, device=scores.device)[:, None]
        j = torch.arange(cols.start, cols.stop, device=scores.device)[None]
        if self.bias is not None and self.bias.ndim == self.q.ndim:
            scores += self.bias[..., some, cols.start : cols.stop].float().to(scores.device)
        elif self.bias is not None and len(cols):
            by_first_key = self.bias.float().to(scores.device).unfold(-1, len(cols), 1)
            scores += by_first_key[..., self.keys - 1 + cols.start - i[:, 0], :]
        if self.causal and len(rows):
            edge = max(0, min(rows) - cols.start)
            scores[..., edge:].masked_fill_(j[:, edge:] > i, -math.inf)
        if self.window is not None:
            scores.masked_fill_((i - j).abs_() >= self.window, -math.inf)
        if self.valid is not None:
            hidden = ~self.valid[cols.start : cols.stop].to(scores.device)
            scores.masked_fill_(hidden[None], -math.inf)
        return scores

    def normaliser(self, rows: range | Sequence[int]) -> Tensor:
        """Return the log of each query's softmax sum, `[row]`; -inf if it sees nothing."""
        return self._normaliser_of(self.scores(rows, self.reach(rows)))

    def _normaliser_of(self, scores: Tensor) -> Tensor:
        if scores.shape[-1] == 0:
            total = scores.new_full(scores.shape[:-1], -math.inf)
        else:
            total = torch.logsumexp(scores, dim=-1)
        if self.sink is None:
            return total
        return torch.logaddexp(total, total.new_tensor(self.sink)[..., None])

    def weights(
        self, rows: range | Sequence[int], cols: range, normaliser: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return attention weights `[row, col]` and the normaliser `[row]`.

        Parameters
        ----------
        rows, cols
            Queries and keys.
        normaliser
            What `normaliser(rows)` returned, if it is known already.

        Returns
        -------
        tuple of Tensor
            Float32; a query that sees nothing has zeros.
        """
        seen = self.reach(rows)
        inner = range(max(cols.start, seen.start), min(cols.stop, seen.stop))
        inner = range(inner.start, max(inner.start, inner.stop))
        if len(inner) == len(seen):
            part = self.scores(rows, seen)
            normaliser = self._normaliser_of(part) if normaliser is None else normaliser
        else:
            normaliser = self.normaliser(rows) if normaliser is None else normaliser
            part = self.scores(rows, inner)
        part.sub_(normaliser.masked_fill(normaliser == -math.inf, 0.0)[..., None]).exp_()
        if len(inner) == 0:
            return part.new_zeros(*part.shape[:-1], len(cols)), normaliser
        before, after = inner.start - cols.start, cols.stop - inner.stop
        full = torch.nn.functional.pad(part, (before, after)) if before or after else part
        return full, normaliser

    @property
    def block_height(self) -> int:
        """Number of queries whose scores fit `BLOCK_BYTES`."""
        return max(1, BLOCK_BYTES // (4 * max(1, self.keys)))

    def blocks(self, rows: range | None = None) -> Iterator[range]:
        """Split queries along multiples of `block_height`."""
        rows = range(self.queries) if rows is None else rows
        start = rows.start
        while start < rows.stop:
            stop = min(rows.stop, (start // self.block_height + 1) * self.block_height)
            yield range(start, stop)
            start = stop


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
    return torch.cat([head.weights(rows, cols)[0] for rows in head.blocks()])


def cells_of(n: int, cells: int) -> Tensor:
    """Return the cell of each of `n` entries; cell c starts at entry `c * n // cells`."""
    edges = torch.tensor([c * n // cells for c in range(cells + 1)])
    return torch.repeat_interleave(torch.arange(cells), edges.diff())


def pool_columns(values: Tensor, cells: int, how: str) -> Tensor:
    """Pool the last dimension to `cells` entries by `"max"` or `"mean"`."""
    n = values.shape[-1]
    if cells >= n:
        return values
    if n % cells == 0:
        grouped = values.unflatten(-1, (cells, n // cells))
        return grouped.amax(-1) if how == "max" else grouped.mean(-1)
    index = cells_of(n, cells).to(values.device).expand_as(values)
    out = values.new_zeros(*values.shape[:-1], cells)
    reduce = "amax" if how == "max" else "mean"
    return out.scatter_reduce(-1, index, values, reduce, include_self=False)


def pool_steps(values: Tensor, rows: int, cols: int, how: str, *, signed: bool = False) -> Tensor:
    """Pool `[row, col]` by blocks of `rows × cols` entries; the last blocks may be smaller.

    `"max"` keeps the largest entry, of signed values the one of largest magnitude.
    """
    height, width = values.shape
    if rows == 1 and cols == 1:
        return values
    pad = (0, -width % cols, 0, -height % rows)

    def largest(part: Tensor) -> Tensor:
        full = torch.nn.functional.pad(part, pad, value=-math.inf) if any(pad) else part
        return full.unflatten(1, (-1, cols)).amax(-1).unflatten(0, (-1, rows)).amax(1)

    if how == "max":
        high = largest(values)
        if not signed:
            return high
        low = -largest(-values)
        return torch.where(high >= -low, high, low)
    full = torch.nn.functional.pad(values, pad) if any(pad) else values
    total = full.unflatten(1, (-1, cols)).sum(-1).unflatten(0, (-1, rows)).sum(1)
    tall = torch.full((total.shape[0], 1), float(rows), device=values.device)
    wide = torch.full((1, total.shape[1]), float(cols), device=values.device)
    tall[-1], wide[0, -1] = rows - pad[3], cols - pad[1]
    return total / (tall * wide)


STRIP = 4_000_000
"""Weights held at once while a long pattern is pooled."""


def pooled_part(
    part: Part,
    rows: range,
    cols: range,
    pool: int,
    how: str,
    *,
    sampled: bool = False,
    signed: bool = False,
) -> Tensor:
    """Pool a part of a pattern to cells of `pool × pool`, a strip of queries at a time.

    Parameters
    ----------
    part
        Gives the weights of some queries and keys.
    rows, cols
        Queries and keys.
    pool
        Queries and keys of a cell.
    how
        `"max"` or `"mean"`.
    sampled
        The last query of each cell stands for all of them, so that a `pool`-th of the work is done.
    signed
        Weights may be negative (differences).
    """
    if sampled:
        last = [min(i + pool, rows.stop) - 1 for i in range(rows.start, rows.stop, pool)]
        return pool_steps(part(last, cols), 1, pool, how, signed=signed)
    height = max(pool, STRIP // max(1, len(cols)) // pool * pool)
    strips = [rows[i : i + height] for i in range(0, len(rows), height)]
    parts = [pool_steps(part(strip, cols), pool, pool, how, signed=signed) for strip in strips]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
