"""The heads of one result: from its arrays to weights, each query's normaliser worked out once."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import Tensor

from interp_widgets.results.attention_math import HeadScores, cells_of, pool_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Index = tuple[int, int]
"""A head: place of its layer among those held, number of the head."""

Pool = Literal["max", "mean"]

SMALL: Final = 2**20
"""Weights of all heads together that are worked out at once and kept."""


class Heads:
    """Weights of the heads in the arrays of an `AttentionResult`.

    Parameters
    ----------
    arrays, meta
        Those of the result.

    Attributes
    ----------
    normalisers
        Of long prompts the log of the softmax's sum of each query, `[query]` by head, NaN where it
        is not known yet: memory grows with the tokens.
    """

    def __init__(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        self.arrays = arrays
        self.meta = meta
        self.normalisers: dict[Index, Tensor] = {}

    @property
    def ready(self) -> bool:
        """Whether patterns are stored."""
        return "pattern" in self.arrays

    def head(self, index: tuple[int, int | slice]) -> HeadScores:
        """Return q and k of one head, or of several, with all that turns them into a pattern."""
        layer, head = index
        q, k = torch.as_tensor(self.arrays["q"]), torch.as_tensor(self.arrays["k"])
        facts = self.meta["facts"][layer] if "facts" in self.meta else {}
        scaling, sinks = facts.get("scaling"), facts.get("sinks")
        valid, bias = self.arrays.get("valid"), self.arrays.get("bias")
        group = q.shape[1] // k.shape[1]
        if isinstance(head, slice):
            keys = k[layer].repeat_interleave(group, 0)[head]
        else:
            keys = k[layer, head // group]
        return HeadScores(
            q[layer, head],
            keys,
            scaling=q.shape[-1] ** -0.5 if scaling is None else scaling,
            softcap=facts.get("softcap"),
            window=facts.get("window"),
            causal=facts.get("causal", True),
            valid=None if valid is None else torch.as_tensor(valid).bool(),
            bias=None if bias is None else torch.as_tensor(bias)[layer, head],
            sink=sinks[head] if sinks else None,
        )

    def height(self, index: Index) -> int:
        """Return how many queries are worked on at once."""
        return int(self.arrays["pattern"].shape[2]) if self.ready else self.head(index).block_height

    def blocks(self, index: Index, rows: range) -> list[range]:
        """Split queries into blocks that are worked on at once."""
        if self.ready:
            return [rows] if len(rows) else []
        return list(self.head(index).blocks(rows))

    def seen(self, index: Index, rows: range) -> Tensor:
        """Return the weights of queries on the keys up to the last that they can see."""
        keys = self.arrays["pattern" if self.ready else "k"].shape[3 if self.ready else 2]
        stop = keys if self.ready else max(1, self.head(index).reach(rows).stop)
        return self.weights(index, rows, range(stop)).cpu()

    @cached_property
    def patterns(self) -> Tensor | None:
        """All weights `[layer, head, query, key]` where they are stored or few, else None."""
        if self.ready:
            return torch.as_tensor(self.arrays["pattern"])
        q, k = (torch.as_tensor(self.arrays[name]) for name in "qk")
        shape = (*q.shape[:3], k.shape[2])
        if math.prod(shape) > SMALL:
            return None
        rows, cols = range(shape[2]), range(shape[3])
        every = [self.head((i, slice(None))).weights(rows, cols)[0] for i in range(shape[0])]
        return torch.stack(every) if every else q.new_zeros(shape)

    @torch.no_grad()
    def weights(self, index: Index, rows: range | Sequence[int], cols: range) -> Tensor:
        """Return weights of queries on keys, float32 `[row, col]`."""
        if self.patterns is not None:
            some = slice(rows.start, rows.stop) if isinstance(rows, range) else list(rows)
            return self.patterns[index][some, cols.start : cols.stop].float()
        head = self.head(index)
        known = self.normalisers.get(index)
        if known is None:
            known = torch.full((head.queries,), torch.nan, device=head.q.device)
            self.normalisers[index] = known
        at = torch.as_tensor(rows, device=known.device)
        if not bool(known[at].isnan().any()):
            return head.weights(rows, cols, known[at])[0]
        weights, known[at] = head.weights(rows, cols)
        return weights

    def part(
        self, index: Index, rows: range | Sequence[int], cols: range, *, by_value: bool
    ) -> Tensor:
        """Return weights `[row, col]`, times the norm of what the head writes if asked.

        Raises
        ------
        ValueError
            When the norms are asked for and not held.
        """
        weights = self.weights(index, rows, cols)
        return self._by_value(weights, index, cols) if by_value else weights

    def held(self, layer: int, *, by_value: bool = False) -> Tensor | None:
        """Return the weights of all heads of a layer `[head, query, key]`, or None; see `patterns`.

        Raises
        ------
        ValueError
            As :meth:`part`.
        """
        if self.patterns is None:
            return None
        weights = self.patterns[layer].float()
        return self._by_value(weights, layer, range(weights.shape[-1])) if by_value else weights

    def _by_value(self, weights: Tensor, index: Index | int, cols: range) -> Tensor:
        norm = self.arrays.get("value_norm")
        if norm is None:
            raise ValueError(
                "this result holds no value_norm: make it with iw.attention, on a model whose "
                "attention ends in a linear output projection"
            )
        norm = torch.as_tensor(norm)[index][..., None, cols.start : cols.stop]
        return weights * norm.to(weights)

    def some(
        self, index: Index, rows: Sequence[int], cols: range, *, by_value: bool = False
    ) -> Tensor:
        """Return the weights of any queries `[row, col]`, a block of memory at a time."""
        step = self.height(index)
        blocks = [rows[i : i + step] for i in range(0, len(rows), step)]
        parts = [self.part(index, block, cols, by_value=by_value) for block in blocks]
        return torch.cat(parts) if parts else torch.zeros(0, len(cols))

    def whole(self, index: Index, rows: range, cols: range, *, by_value: bool = False) -> Tensor:
        """Return the weights of a range of queries `[row, col]`, a block of memory at a time."""
        parts = [
            self.part(index, block, cols, by_value=by_value) for block in self.blocks(index, rows)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, len(cols))

    def pooled(
        self,
        index: Index,
        rows: range,
        cols: range,
        shape: tuple[int, int],
        pool: Pool,
        *,
        by_value: bool = False,
    ) -> Tensor:
        """Return weights pooled to at most `shape` cells, a block of queries at a time."""
        shape = (min(shape[0], len(rows)), min(shape[1], len(cols)))
        line = cells_of(len(rows), shape[0]) if shape[0] else torch.zeros(0)
        total: Tensor | None = None
        for block in self.blocks(index, rows):
            values = self.part(index, block, cols, by_value=by_value)
            cells = pool_columns(values, shape[1], pool)
            if total is None:
                total = cells.new_zeros(shape)
            at = line[block.start - rows.start : block.stop - rows.start].to(cells.device)
            if pool == "max":
                total.scatter_reduce_(0, at[:, None].expand_as(cells), cells, "amax")
            else:
                total.index_add_(0, at, cells)
        if total is None:
            return torch.zeros(shape)
        if pool == "mean":
            total /= torch.bincount(line, minlength=shape[0]).to(total)[:, None]
        return total
