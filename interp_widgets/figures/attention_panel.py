"""One pattern of an attention figure, and the difference of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from interp_widgets.results.attention import QUICK, AttentionResult
from interp_widgets.results.attention_math import pooled_part
from interp_widgets.results.base import to_numpy


@dataclass
class Panel:
    """One pattern of a figure: what is drawn where."""

    result: AttentionResult
    minus: AttentionResult | None
    layer: int
    head: int
    title: str
    queries: range
    keys: range
    by_value: bool
    less: Panel | None = None
    """What is taken away: the panel is then a difference, with a colour scale of its own."""

    @property
    def signed(self) -> bool:
        """Whether its numbers are differences."""
        return self.less is not None or self.minus is not None

    def values(self, notes: list[str], most: int) -> np.ndarray:
        """Return the weights shown, pooled to at most this many cells along a side."""
        longest = max(len(self.queries), len(self.keys))
        pool = 1
        while longest / pool > most:
            pool *= 2
        sampled = pool > 1 and len(self.queries) * len(self.keys) > QUICK
        if pool > 1:
            rows = f"one query in {pool}" if sampled else f"the largest of {pool} × {pool}"
            note = f"A cell is {rows}{f', the largest of {pool} keys' if sampled else ''}"
            if note not in notes:
                notes.append(note)

        shown = pooled_part(
            self.part, self.queries, self.keys, pool, "max", sampled=sampled, signed=self.signed
        )
        return to_numpy(shown)

    def part(self, rows: range | Sequence[int], cols: range) -> Any:
        """Return the numbers of some queries on a range of keys, not pooled."""
        some, keys = list(rows), slice(cols.start, cols.stop)
        found = self.result.queries(self.layer, self.head, some, keys, by_value=self.by_value)
        if self.minus is not None:
            found = found - self.minus.queries(
                self.layer, self.head, some, keys, by_value=self.by_value
            )
        return found if self.less is None else found - self.less.part(rows, cols)


def difference(panels: list[Panel]) -> Panel:
    """Return the panel of the first minus the second.

    Raises
    ------
    ValueError
        Where there are not two, or they differ in size.
    """
    if len(panels) != 2:
        raise ValueError(
            f"contrast=True is the difference of two panels, not of {len(panels)}: give two heads, "
            "or one head and against=True"
        )
    one, other = panels
    if (one.queries, one.keys) != (other.queries, other.keys):
        raise ValueError("a difference needs prompts of one length, and the same window of both")
    names = [panel.title.replace("head ", "") for panel in panels]
    same = (one.layer, one.head) == (other.layer, other.head)
    title = f"{names[0]}, this − other" if same else f"{names[0]} − {names[1]}"
    return replace(one, title=title, less=other)
