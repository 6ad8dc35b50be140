"""Where the cells of an attention view come from: which result, head, weighing, pooling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.attention_math import pooled_part

TILE = 256
"""Cells along the side of a tile; the same number stands in js/src/attention/window.ts."""

THUMB = 64
"""Longest side of a thumbnail in cells; up to this many tokens it is the pattern itself."""

SAMPLE_POOL, SAMPLE_TOKENS = 16, 1024
"""From this pooling on, in prompts longer than this, one query stands for ``pool`` of them:
pooling all of them would take as long as the whole pattern."""


class Cells(ABC):
    """Numbers ``[query, key]`` that a view shows, cut into tiles and pooled where they are many."""

    result: AttentionResult

    @property
    @abstractmethod
    def signed(self) -> bool:
        """Whether they are differences."""

    @abstractmethod
    def __call__(self, rows: range | Sequence[int], cols: range) -> Tensor:
        """Return the numbers of some queries on a range of keys ``[row, col]``."""

    def pooled(
        self, rows: range, cols: range, pool: int, how: str, *, sampled: bool = False
    ) -> Tensor:
        """Return cells of ``pool × pool`` numbers; see ``pooled_part``."""
        return pooled_part(self, rows, cols, pool, how, sampled=sampled, signed=self.signed)

    def tile(self, asked: Mapping[str, Any]) -> Tensor:
        """Return the tile ``row, column`` at a ``pool``, a power of two.

        Raises
        ------
        ValueError
            When there is no such tile.
        """
        pool, how = int(asked.get("pool", 1)), pooling(asked)
        queries, keys = size(self.result)
        if pool < 1 or pool & (pool - 1):
            raise ValueError(f"pool is a power of two, not {pool}")
        row, column = int(asked["row"]), int(asked["column"])
        span = TILE * pool
        rows = range(max(0, row * span), min(queries, (row + 1) * span))
        cols = range(max(0, column * span), min(keys, (column + 1) * span))
        if not rows or not cols:
            raise ValueError(f"there is no tile {row}, {column} of {queries} × {keys} weights")
        sampled = pool >= SAMPLE_POOL and max(queries, keys) > SAMPLE_TOKENS
        return self.pooled(rows, cols, pool, how, sampled=sampled)


@dataclass(frozen=True)
class Source(Cells):
    """The weights of one head that a view shows, or their change.

    Parameters
    ----------
    result
        Whose weights.
    minus
        What is taken away from them, for a difference.
    layer, head
        Which head.
    by_value
        Weigh each key by the norm of what the head writes for it.
    """

    result: AttentionResult
    minus: AttentionResult | None
    layer: int
    head: int
    by_value: bool = False

    @property
    def signed(self) -> bool:
        """Whether a base is taken away."""
        return self.minus is not None

    def __call__(self, rows: range | Sequence[int], cols: range) -> Tensor:
        """Return the weights of some queries on a range of keys ``[row, col]``."""
        values = self._of(self.result, rows, cols)
        return values if self.minus is None else values - self._of(self.minus, rows, cols)

    def of_layer(self) -> Tensor | None:
        """Return what all heads of the layer show `[head, query, key]`, where it is at hand."""
        values = self.result.held(self.layer, by_value=self.by_value)
        if self.minus is None or values is None:
            return values
        before = self.minus.held(self.layer, by_value=self.by_value)
        return None if before is None else values - before

    def _of(self, result: AttentionResult, rows: range | Sequence[int], cols: range) -> Tensor:
        keys = slice(cols.start, cols.stop)
        if isinstance(rows, range):
            part = slice(rows.start, rows.stop)
            return result.tile(self.layer, self.head, part, keys, by_value=self.by_value)
        return result.queries(self.layer, self.head, rows, keys, by_value=self.by_value)


@dataclass(frozen=True)
class Contrast(Cells):
    """What one head attends to more than another, or more than on the other prompt.

    Raises
    ------
    ValueError
        When the two have different numbers of queries or keys.
    """

    one: Source
    other: Source

    def __post_init__(self) -> None:
        here, there = size(self.one.result), size(self.other.result)
        if here != there:
            raise ValueError(
                f"the prompts have {here[0]} × {here[1]} and {there[0]} × {there[1]} weights; a "
                "difference needs prompts of one length"
            )

    @property
    def result(self) -> AttentionResult:  # type: ignore[override]
        """The result of the first."""
        return self.one.result

    @property
    def signed(self) -> bool:
        """Always."""
        return True

    def __call__(self, rows: range | Sequence[int], cols: range) -> Tensor:
        """Return the first's weights minus the other's ``[row, col]``."""
        return self.one(rows, cols) - self.other(rows, cols)


def pooling(asked: Mapping[str, Any]) -> str:
    """Return how a request pools.

    Raises
    ------
    ValueError
        For a word other than ``max`` and ``mean``.
    """
    how = str(asked.get("how", "max"))
    if how not in ("max", "mean"):
        raise ValueError(f"cells are pooled by 'max' or 'mean', not {how!r}")
    return how


def size(result: AttentionResult) -> tuple[int, int]:
    """Return the numbers of queries and keys."""
    return result.n_queries, result.positions


def thumb_pool(result: AttentionResult) -> int:
    """Return how many positions a cell of a thumbnail stands for, a power of two."""
    pool = 1
    while max(size(result)) / pool > THUMB:
        pool *= 2
    return pool


def coded(values: Tensor) -> Tensor:
    """Signed square roots, so that 8 bits keep small weights apart; the browser squares them."""
    return torch.sign(values) * torch.sqrt(torch.abs(values))
