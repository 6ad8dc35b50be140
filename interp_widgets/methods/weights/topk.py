"""The top tokens of many vectors over a whole vocabulary, without the matrix of all logits."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

TILE = 1024
"""Vectors at a time; with the chunk of tokens the largest matrix that is ever held."""
CHUNK = 4096
GROUP = 32
"""Tokens of a group: only groups whose largest logit is among the best are looked into."""
EXTRA = 12
"""Further candidates of a half-precision product, which are computed again in float32."""
BITS = 1 / math.log(2)
LOWEST = -1e30
"""Stands for padding: finite, so that zero times it is zero."""
PLAIN = 75.0
"""Exponentials of smaller logits, and sums of them, fit into float32 without a shift."""


@dataclass(frozen=True)
class Top:
    """The best tokens of every vector, and what a softmax over the vocabulary needs.

    Attributes
    ----------
    ids, logits
        ``[row, sign, k]``, largest first; of the sign −1 the logits are those of −vector.
    lse, entropy
        ``[row, sign]``: log of the sum of exponentials, and entropy of the softmax in nats.
    """

    ids: Tensor
    logits: Tensor
    lse: Tensor
    entropy: Tensor

    @property
    def probability(self) -> Tensor:
        """Softmax probability of the best tokens ``[row, sign, k]``."""
        return (self.logits - self.lse[..., None]).exp()


def top_tokens(
    rows: Tensor,
    table: Tensor,
    k: int = 20,
    *,
    signs: Sequence[int] = (1, -1),
    column_scale: Tensor | None = None,
    finish: Callable[[Tensor], Tensor] | None = None,
    chunk: int = CHUNK,
    tile: int = TILE,
    half: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Top:
    """Find the tokens with the largest logits ``table @ row``, and the most negative ones.

    Parameters
    ----------
    rows
        Vectors ``[row, d]``.
    table
        A vector for each token ``[vocabulary, d]``.
    k
        Tokens to keep, at most the vocabulary.
    signs
        1: the largest logits; −1: the largest of the negated vector.
    column_scale
        Factor of each token's logits ``[vocabulary]``.
    finish
        Applied to the logits, such as a soft cap; it has to be odd and to keep their order.
    chunk, tile
        Tokens and vectors at a time: memory is ``tile × chunk`` whatever the vocabulary.
    half
        Whether to multiply in bfloat16 and compute the best tokens again in float32. None: where
        that is at least 1.5 times as fast as float32 on this device, which is measured once. A row
        whose best tokens the rounding may have changed is computed again in float32, so that ids
        and logits are those of float32; ``lse`` then comes from rounded logits.
    progress
        Called with rows done and rows in all.

    Returns
    -------
    Top
        On the device of ``table``.

    Raises
    ------
    ValueError
        When shapes do not fit or ``k`` is not between 1 and the vocabulary.

    Examples
    --------
    >>> top_tokens(torch.randn(4, 8), torch.randn(50, 8), k=3).ids.shape
    torch.Size([4, 2, 3])
    """
    if rows.ndim != 2 or table.ndim != 2 or rows.shape[1] != table.shape[1]:
        raise ValueError(f"rows {tuple(rows.shape)} do not fit a table {tuple(table.shape)}")
    if not 1 <= k <= len(table):
        raise ValueError(f"k={k} must be between 1 and the vocabulary's {len(table):,} tokens")
    if not torch.isfinite(rows).all():
        raise ValueError("a vector holds NaN or infinity, so it has no order of tokens")
    device = table.device
    if half is None:
        half = half_is_fast(str(device))
    search = _Search(table, k, tuple(signs), column_scale, finish, chunk, half)
    found: list[tuple[Tensor, ...]] = []
    for start in range(0, len(rows), tile):
        if progress is not None:
            progress(start, len(rows))
        found.append(search.of(rows[start : start + tile].to(device, torch.float32)))
    if not found:
        found = [tuple(search.empty())]
    return Top(*(torch.cat(part) for part in zip(*found, strict=True)))


@functools.cache
def half_is_fast(device: str) -> bool:
    """Whether bfloat16 products are at least 1.5 times as fast as float32 ones on a device."""

    def seconds(dtype: torch.dtype) -> float:
        a = torch.ones(256, 512, device=device, dtype=dtype)
        best = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            float((a @ a.T)[0, 0])
            best = min(best, time.perf_counter() - start)
        return best

    return seconds(torch.float32) > 1.5 * seconds(torch.bfloat16)


class _Search:
    """One table and how it is searched."""

    def __init__(
        self,
        table: Tensor,
        k: int,
        signs: tuple[int, ...],
        column_scale: Tensor | None,
        finish: Callable[[Tensor], Tensor] | None,
        chunk: int,
        half: bool,  # noqa: FBT001
    ) -> None:
        self.table, self.k, self.signs = table, k, signs
        self.column_scale, self.finish = column_scale, finish
        self.chunk, self.half = max(GROUP, chunk - chunk % GROUP), half

    def empty(self) -> Sequence[Tensor]:
        count = len(self.signs)
        at = self.table.new_zeros
        ids = at((0, count, self.k), dtype=torch.int32)
        best = at((0, count, self.k), dtype=torch.float32)
        return ids, best, at((0, count), dtype=torch.float32), at((0, count), dtype=torch.float32)

    def of(self, rows: Tensor) -> tuple[Tensor, ...]:
        if not self.half:
            return _joined(self._scan(rows, torch.float32, self.k))
        more = min(len(self.table), self.k + EXTRA)
        rough = self._scan(rows, torch.bfloat16, more)
        unsure = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        for sign, running in zip(self.signs, rough, strict=True):
            unsure |= self._rescore(rows, sign, running, complete=more == len(self.table))
        answer = _joined(rough)
        again = unsure.nonzero()[:, 0]
        if len(again):
            exact = _joined(self._scan(rows[again], torch.float32, self.k))
            for part, better in zip(answer, exact, strict=True):
                part[again] = better
        return answer

    def _scan(self, rows: Tensor, dtype: torch.dtype, k: int) -> list[_Running]:
        running = [_Running(rows, sign, k) for sign in self.signs]
        left = rows.to(dtype)
        size = (len(rows), min(self.chunk, -(-len(self.table) // GROUP) * GROUP))
        work = torch.empty(2, *size, device=rows.device)
        space = torch.empty(size, device=rows.device, dtype=dtype)
        for start in range(0, len(self.table), self.chunk):
            part = self.table[start : start + self.chunk].to(dtype)
            width = len(part)
            logits = torch.mm(left, part.T, out=_shaped(space, width)).float()
            logits = self._finished(logits, slice(start, start + width))
            full = -(-width // GROUP) * GROUP
            peaks = []
            for one in running:
                whole = logits
                if full > width:
                    whole = nn.functional.pad(logits, (0, full - width), value=one.sign * LOWEST)
                peaks.append(one.take(whole, start))
            _weigh(running, logits, peaks, [_shaped(w, width) for w in work])
        return running

    def _finished(self, logits: Tensor, at: slice | Tensor) -> Tensor:
        if self.column_scale is not None:
            logits = logits * self.column_scale[at].to(logits)
        return logits if self.finish is None else self.finish(logits)

    def _rescore(self, rows: Tensor, sign: int, running: _Running, *, complete: bool) -> Tensor:
        """Give the candidates their float32 logits; return which rows may lack one."""
        assert running.best is not None
        ids = running.ids.long()
        exact = torch.einsum("nd,nkd->nk", rows, self.table[ids].float())
        if self.column_scale is not None:
            exact = exact * self.column_scale[ids].to(exact)
        exact = (exact if self.finish is None else self.finish(exact)) * sign
        error = (exact - running.best).abs().amax(1)
        last = running.best[:, -1]
        running.correct(exact)
        best, order = exact.topk(self.k, dim=1)
        running.best, running.ids = best, running.ids.gather(1, order)
        return (
            torch.zeros_like(error, dtype=torch.bool)
            if complete
            else best[:, -1] < last + 2 * error
        )


class _Running:
    """The best so far of one sign, and its sums for softmax and entropy."""

    def __init__(self, rows: Tensor, sign: int, k: int) -> None:
        self.sign, self.k = sign, k
        self.best: Tensor | None = None
        self.ids = torch.empty(0)
        self.top = rows.new_full((len(rows),), LOWEST)
        self.mass = torch.zeros_like(self.top)
        self.mean = torch.zeros_like(self.top)

    def take(self, logits: Tensor, start: int) -> Tensor:
        """Look at the logits ``[row, chunk]`` of tokens from ``start`` on; return their peaks."""
        rows, width = logits.shape
        groups = logits.view(rows, GROUP, width // GROUP)
        peaks = groups.amax(1) if self.sign > 0 else -groups.amin(1)
        found = self._first(groups, peaks) if self.best is None else self._above(groups, peaks)
        if found is not None:
            values, ids = found[0], found[1].int() + start
            if self.best is not None:
                values, ids = torch.cat([self.best, values], 1), torch.cat([self.ids, ids], 1)
            self.best, order = values.topk(min(self.k, values.shape[1]), dim=1)
            self.ids = ids.gather(1, order)
        return peaks.amax(1)

    def _first(self, groups: Tensor, peaks: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and places of each row's groups with the largest logits."""
        which = peaks.topk(min(self.k, peaks.shape[1]), dim=1, sorted=False).indices
        inside = which[:, None, :].expand(-1, GROUP, -1)
        values = groups.gather(2, inside).flatten(1) * self.sign
        steps = torch.arange(GROUP, device=which.device)[:, None] * groups.shape[2]
        return values, (which[:, None, :] + steps).flatten(1)

    def _above(self, groups: Tensor, peaks: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return logits and places of what is above each row's worst of the best, padded."""
        assert self.best is not None
        worst = self.best[:, -1]
        row, group = (peaks > worst[:, None]).nonzero(as_tuple=True)
        if not len(row):
            return None
        values = groups[row, :, group] * self.sign
        pair, step = (values > worst[row, None]).nonzero(as_tuple=True)
        rows = row[pair]
        count = torch.bincount(rows, minlength=len(peaks))
        rank = torch.arange(len(rows), device=rows.device) - (count.cumsum(0) - count)[rows]
        shape = (len(peaks), int(count.max()))
        padded = values.new_full(shape, LOWEST)
        places = torch.zeros(shape, dtype=torch.long, device=rows.device)
        padded[rows, rank] = values[pair, step]
        places[rows, rank] = group[pair] + step * groups.shape[2]
        return padded, places

    def add(self, shift: Tensor, mass: Tensor, mean: Tensor) -> None:
        """Add sums ``[row]`` of ``exp(x - shift)`` and of ``(x - shift) exp(x - shift)``."""
        top = torch.maximum(self.top, shift)
        both = ((self.top, self.mass, self.mean), (shift, mass, mean))
        moved = [_moved((old - top).clamp_min(-1e4), *sums) for old, *sums in both]
        self.top = top
        self.mass, self.mean = (a + b for a, b in zip(*moved, strict=True))

    def correct(self, exact: Tensor) -> None:
        """Put exact logits in the place of the candidates' rounded ones in the sums."""
        assert self.best is not None
        for values, way in ((self.best, -1), (exact, 1)):
            below = values - self.top[:, None]
            share = below.exp()
            self.mass = self.mass + way * share.sum(1)
            self.mean = self.mean + way * (share * below).sum(1)


def _moved(fall: Tensor, mass: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Express sums by a shift that is larger by ``-fall``."""
    return mass * fall.exp(), (mean + fall * mass) * fall.exp()


def _weigh(
    running: list[_Running], logits: Tensor, peaks: list[Tensor], work: Sequence[Tensor]
) -> None:
    """Add a chunk's exponentials; those of the other sign are reciprocals where nothing is large.

    Products with a vector of ones add up rows in half the time of ``sum``, and a power of two takes
    half the time of ``exp``.
    """
    share, weighted = work
    ones = logits.new_ones(logits.shape[1])
    plain = all(float(peak.max()) < PLAIN for peak in peaks) and len(peaks) == 2
    for i, (one, peak) in enumerate(zip(running, peaks, strict=True)):
        shift = torch.zeros_like(peak) if plain else peak
        below = torch.mul(logits, one.sign * BITS, out=weighted)
        if not plain:
            below -= (peak * BITS)[:, None]
        if plain and i:
            share.reciprocal_()
        else:
            torch.exp2(below, out=share)
        one.add(shift, share @ ones, (below.mul_(share) @ ones) / BITS)


def _shaped(space: Tensor, width: int) -> Tensor:
    """Return the beginning of a work space as a contiguous matrix of as many rows."""
    return space.view(-1)[: len(space) * width].view(len(space), width)


def _joined(running: list[_Running]) -> tuple[Tensor, ...]:
    best = [one.best for one in running if one.best is not None]
    lse = torch.stack([one.top + one.mass.log() for one in running], 1)
    entropy = torch.stack([one.mass.log() - one.mean / one.mass for one in running], 1)
    ids = torch.stack([one.ids for one in running], 1)
    return ids, torch.stack(best, 1), lse, entropy.clamp_min(0)
