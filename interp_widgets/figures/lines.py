"""A few rows of an array as lines over the columns, with the intervals that the array holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes

from interp_widgets.figures.figure import new_figure
from interp_widgets.figures.labels import escape, names_of, thin
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.array import MOST_DRAWN, ArrayResult
from interp_widgets.results.base import to_numpy
from interp_widgets.results.planes import plane

STYLES = tuple(
    (OKABE_ITO[color], mark)
    for color, mark in zip(
        ("blue", "vermilion", "green", "purple", "black"), ("o", "s", "^", "D", "v"), strict=True
    )
)
"""Colour and marker of each row, in the order of the live view (js/src/core/series.ts)."""
ENDS = (", low", ", high")
MOST_MARKED = 200
MOST_LABELS = 24
MOST_INSIDE = 6


@dataclass
class Curves:
    """A slice of an array whose rows are drawn over its columns."""

    result: ArrayResult
    rows: str | None
    cols: str
    fixed: Mapping[str, int]
    left: slice
    """The columns that are shown."""
    span: tuple[float, float] | None = None
    """Ends of the value axis where they are not those of the data."""
    outlined: list[tuple[int, int]] = field(default_factory=list)
    """Row and shown column of what is framed."""

    @property
    def names(self) -> list[str]:
        """Names of the rows; one empty name where there is one row only."""
        return self.result.labels(self.rows) if self.rows else [""]

    @property
    def across(self) -> list[str]:
        """Names of the columns that are shown."""
        return names_of(self.result, self.cols)[self.left] if self.cols else [""]

    @cached_property
    def values(self) -> np.ndarray:
        """``[row, column]`` in float64."""
        return self._plane(self.fixed)

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The limits that stand beside the entry shown, where there are any."""
        for dim, i in self.fixed.items():
            labels = self.result.labels(dim)
            wanted = [f"{labels[i]}{end}" for end in ENDS]
            if all(name in labels for name in wanted):
                low, high = (self._plane({**self.fixed, dim: labels.index(n)}) for n in wanted)
                return low, high
        return None

    @property
    def numbered(self) -> bool:
        """Whether the columns are numbers, so that between two of them there is something."""
        names = self.result.labels(self.cols) if self.cols else []
        try:
            return all(np.isfinite(float(name)) for name in names)
        except ValueError:
            return False

    def _plane(self, at: Mapping[str, int]) -> np.ndarray:
        found = plane(self.result.values, self.result.dims, self.rows or "", self.cols, dict(at))
        return to_numpy(found).astype(np.float64)[:, self.left]


def draw_lines(
    curves: Curves,
    style: Style,
    notes: list[str],
    groups: Mapping[str, Sequence[str]] | None = None,
) -> matplotlib.figure.Figure:
    """Draw a line for each row, or for each group of rows their mean, over the columns.

    A group's band spans its rows; a row's band is its interval, where the entry of another dim that
    is shown is followed by two of the same name with ``, low`` and ``, high``.

    Raises
    ------
    ValueError
        For more than 15 lines, or a group of rows that there are not.
    """
    values, names = curves.values, curves.names
    if groups:
        at = {name: [names.index(x) for x in some if x in names] for name, some in groups.items()}
        empty = next((name for name, some in at.items() if not some), None)
        if empty is not None:
            raise ValueError(f"the group {empty!r} has no row of {curves.rows}")
        parts = {f"{name} ({len(some)})": values[some] for name, some in at.items()}
        lines = {name: part.mean(0) for name, part in parts.items()}
        bands = {name: (part.min(0), part.max(0)) for name, part in parts.items()}
        notes.append(f"Lines: mean over each group's {curves.rows}s; bands: their range")
    else:
        lines, bands = dict(zip(names, values, strict=True)), {}
        if curves.ends:
            low, high = curves.ends
            bands = {name: (low[i], high[i]) for i, name in enumerate(names)}
            notes.append("Bands: 95 % intervals")
    few_enough(len(lines), "lines")
    one = len(lines) == 1
    figure = new_figure(style, style.width * 0.5 if one else min(style.width * 0.6, 4.0))
    ax = figure.add_subplot()
    x = np.arange(values.shape[1])
    many = len(x) > MOST_MARKED
    for i, (name, line) in enumerate(lines.items()):
        color, marker = STYLES[i % len(STYLES)]
        dash = ("-", (0, (5, 2)), (0, (1.5, 1.5)))[i // len(STYLES)]
        ax.plot(
            x, line, color=color, marker="" if many else marker, label=escape(name), linestyle=dash,
            markersize=2.5 if one else 3.5, linewidth=0.6 if many else 1.2,
        )  # fmt: skip
        if name in bands:
            ax.fill_between(x, *bands[name], color=color, alpha=0.15, linewidth=0)
    for row, col in [] if groups else curves.outlined:
        ax.plot(col, values[row, col], "o", markersize=8, mfc="none", color="#000000")
    name_columns(ax, curves, style)
    bottom, top = ax.get_ylim()
    if one or bottom < 0 < top:
        ax.axhline(0, color="#999999", linewidth=style.line)
    if curves.span:
        ax.set_ylim(*curves.span)
    ax.set_ylabel(curves.result.quantity)
    if not one or names != [""]:
        name_rows(ax, len(lines), style)
    return figure


def few_enough(count: int, what: str) -> None:
    """Refuse what cannot be told apart.

    Raises
    ------
    ValueError
        For more than 15 rows.
    """
    if count > MOST_DRAWN:
        raise ValueError(f"{count} {what} cannot be told apart; group them, or show cells")


def name_rows(ax: Axes, count: int, style: Style) -> None:
    """Say which line or bar is which row: inside the axes where there are few, else beside them."""
    if count > MOST_INSIDE:
        ax.legend(frameon=False, fontsize=style.small, loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        ax.legend(frameon=False, fontsize=style.small)


def name_columns(ax: Axes, curves: Curves, style: Style) -> None:
    """Name the columns below the axis, thinned where they are many, upright where they are long."""
    names = curves.across
    if curves.cols in curves.result.meta["labels"]:
        at = thin(len(names), MOST_LABELS)
        longest = max((len(names[i]) for i in at), default=0)
        wide = longest * len(at) * 0.6 * style.small / 72 > 0.8 * style.width
        ax.set_xticks(at, [escape(names[i]) for i in at], rotation=90 if wide else 0)
    ax.set_xlabel(curves.cols)
