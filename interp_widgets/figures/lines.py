"""A few rows of an array as lines over the columns, with the intervals that the array holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import to_numpy
from interp_widgets.results.planes import plane

STYLES = tuple(
    (OKABE_ITO[color], mark)
    for color, mark in zip(
        ("blue", "vermilion", "green", "purple", "black"), ("o", "s", "^", "D", "v"), strict=True
    )
)
MOST = 15
ENDS = (", low", ", high")


def draw_lines(
    result: ArrayResult,
    style: Style,
    notes: list[str],
    dims: tuple[str, str],
    fixed: Mapping[str, int],
    groups: Mapping[str, Sequence[str]] | None,
) -> matplotlib.figure.Figure:
    """Draw a line for each row, or for each group of rows their mean, over the columns.

    A group's band spans its rows; a row's band is its interval, where the entry of another dim that
    is shown is followed by two of the same name with ``, low`` and ``, high``.

    Raises
    ------
    ValueError
        For more than 15 lines, or a group of rows that there are not.
    """
    rows, cols = dims
    names, across = result.labels(rows), result.labels(cols)
    values = _plane(result, dims, fixed)
    low, high = _ends(result, dims, fixed)
    if groups is not None:
        at = {name: [names.index(x) for x in some if x in names] for name, some in groups.items()}
        empty = next((name for name, some in at.items() if not some), None)
        if empty is not None:
            raise ValueError(f"the group {empty!r} has no row of {rows}")
        parts = {f"{name} ({len(some)})": values[some] for name, some in at.items()}
        lines = {name: part.mean(0) for name, part in parts.items()}
        bands = {name: (part.min(0), part.max(0)) for name, part in parts.items()}
        notes.append(f"Lines: mean over each group's {rows}s; bands: their range")
    else:
        lines = dict(zip(names, values, strict=True))
        bands = {}
        if low is not None and high is not None:
            bands = {name: (low[i], high[i]) for i, name in enumerate(names)}
            notes.append("Bands: 95 % intervals")
    if len(lines) > MOST:
        raise ValueError(f"{len(lines)} lines cannot be told apart; group them, or show cells")
    figure = new_figure(style, min(style.width * 0.6, 4.0))
    ax = figure.add_subplot()
    x = np.arange(len(across))
    for i, (name, line) in enumerate(lines.items()):
        color, marker = STYLES[i % len(STYLES)]
        dash = ("-", (0, (5, 2)), (0, (1.5, 1.5)))[i // len(STYLES)]
        ax.plot(x, line, color=color, marker=marker, markersize=3.5, label=name, linestyle=dash)
        if name in bands:
            ax.fill_between(x, *bands[name], color=color, alpha=0.15, linewidth=0)
    ax.set_xticks(x, across)
    ax.set_xlabel(cols)
    ax.set_ylabel(result.quantity)
    ax.legend(frameon=False, fontsize=style.small)
    return figure


def _plane(result: ArrayResult, dims: tuple[str, str], fixed: Mapping[str, int]) -> np.ndarray:
    return to_numpy(plane(result.values, result.dims, *dims, dict(fixed))).astype(np.float64)


def _ends(
    result: ArrayResult, dims: tuple[str, str], fixed: Mapping[str, int]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the limits that stand beside the entry shown, where there are any."""
    for dim, i in fixed.items():
        labels = result.labels(dim)
        wanted = [f"{labels[i]}{end}" for end in ENDS]
        if all(name in labels for name in wanted):
            found = [_plane(result, dims, {**fixed, dim: labels.index(n)}) for n in wanted]
            return found[0], found[1]
    return None, None
