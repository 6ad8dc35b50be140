"""Any labelled array as a heatmap; when one dim is left, as a line, or as bars of few names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap, frame_cells, room_below
from interp_widgets.figures.labels import token_labels
from interp_widgets.figures.lines import draw_lines
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.figures.ticks import Named, mark
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import to_numpy
from interp_widgets.results.planes import Range, Reduction, plane, reduced

TOKEN_DIMS = {"position", "query", "key"}
SCALES = {
    "slice": "",
    "trim": "The colour scale spans the middle 99 % of the values",
    "all": "The colour scale spans the whole array",
}


def names_of(result: ArrayResult, dim: str) -> list[str]:
    """Labels of a dim, shortened and made visible where they are tokens."""
    labels = result.labels(dim)
    return token_labels(labels) if dim in TOKEN_DIMS and dim in result.meta["labels"] else labels


ROW = 5.5
"""Height of a row at most, in lines of text."""
MOST_NAMES = 40
"""Named entries that are drawn as bars; more are a line."""


@renderer("array")
def draw(
    result: ArrayResult,
    style: Style,
    notes: list[str],
    *,
    rows: str | None = None,
    cols: str | None = None,
    at: Mapping[str, int] | None = None,
    window: tuple[tuple[float, float], tuple[float, float]] | None = None,
    outline: Any = (),
    bars: Literal["", "mean", "max", "min", "norm"] = "",
    scale: Literal["slice", "trim", "all"] = "slice",
    lines: bool = False,
    groups: Mapping[str, Sequence[str]] | None = None,
    **dims: int,
) -> matplotlib.figure.Figure:
    """Draw two dims of the array.

    Parameters
    ----------
    rows, cols
        Which dims; the last two by default.
    at, **dims
        Index into each remaining dim, for example ``layer=3``; the first entry by default.
    window
        Rows and columns that are shown, each from and to; all by default.
    outline
        Cells to frame, for example the heads a text talks about (:meth:`ArrayResult.places`).
    bars
        A reduction of each row and column, drawn beside the grid.
    scale
        What the colours span: the slice, its middle 99 %, or the whole array.
    lines
        Draw each row as a line over the columns, with the intervals that stand beside it.
    groups
        With ``lines``: names of rows by group; a line is a group's mean, its band their range.

    Raises
    ------
    ValueError, IndexError
        For a dim, word or cell that there is not.
    """
    given = {**(at or {}), **dims}
    names = result.dims
    if rows is None or cols is None:
        free = [d for d in names if d not in given and d not in {rows, cols}]
        cols = cols or (free.pop() if free else None)
        rows = rows or (free.pop() if free else None)
    fixed = {d: int(given.get(d, 0)) for d in names if d not in {rows, cols}}
    for dim, i in fixed.items():
        if result.sizes[dim] > 1:
            notes.append(f"{dim.capitalize()} {result.labels(dim)[i]} of {result.sizes[dim]}")
    if scale not in SCALES:
        raise ValueError(f"scale is one of {', '.join(SCALES)}, not {scale!r}")
    if bars and bars not in get_args(Reduction):
        raise ValueError(f"bars is one of {', '.join(get_args(Reduction))}, not {bars!r}")
    values = plane(result.values, names, rows or "", cols or "", fixed)
    if rows is None or cols is None:
        return _line(result, style, to_numpy(values)[0].astype(np.float64), cols or rows or "")
    if lines:
        return draw_lines(result, style, notes, (rows, cols), fixed, groups)
    whole = result.range if scale == "all" or not fixed else Range.of(values)
    top, left = (_span(w, n) for w, n in zip(window or (None, None), values.shape, strict=True))
    shown = values[top, left]
    mask = None
    if result.mask is not None:
        mask = to_numpy(plane(result.mask, names, rows, cols, fixed)[top, left])
    n_rows, n_cols = shown.shape
    height = float(np.clip(style.width * 0.86 * n_rows / n_cols, 0.22 * style.width, style.width))
    height = min(height, max(n_rows * ROW * style.small / 72, 0.22 * style.width))
    height = max(height, min(n_rows, 12) * style.small / 72 * 1.25) + 0.55
    names = names_of(result, cols)[left]
    height += room_below(names, style) + (0.1 * style.width if bars else 0)
    figure = new_figure(style, height)
    ax, edges = _axes(figure, bars)
    artist = draw_heatmap(
        ax,
        shown,
        style,
        signed=result.signed,
        vlim=_limits(whole, trim=scale == "trim", signed=result.signed),
        mask=mask,
        rows=names_of(result, rows)[top],
        cols=names,
        notes=notes,
    )
    first = top.start, left.start
    frame_cells(ax, _outlined(result, outline, (rows, cols), fixed, first, (n_rows, n_cols)))
    ax.set_xlabel(cols)
    ax.set_ylabel(rows)
    add_colorbar([ax, *edges], artist, style, result.quantity, notes)
    if bars:
        over = reduced(shown, bars)
        _bars(edges, over, style, bars)
        notes.append(f"Bars: {bars} of each row and column, NaN left out")
    if window and shown.shape != values.shape:
        notes.append(
            f"{rows} {top.start} to {top.stop - 1} and {cols} {left.start} to {left.stop - 1} of "
            f"{values.shape[0]:,} × {values.shape[1]:,}"
        )
    if SCALES[scale]:
        notes.append(SCALES[scale])
    return figure


def _span(window: tuple[float, float] | None, size: int) -> slice:
    if window is None:
        return slice(0, size)
    start = min(max(0, int(np.floor(window[0]))), size - 1)
    return slice(start, min(size, max(start + 1, int(np.ceil(window[1])))))


def _limits(found: Range, *, trim: bool, signed: bool) -> tuple[float, float]:
    low, high = (found.trim_low, found.trim_high) if trim else (found.low, found.high)
    if signed:
        top = max(abs(low), abs(high)) or 1.0
        return -top, top
    low = min(low, 0.0) if low < 0.5 * high else low
    return (low, high) if high > low else (low, low + 1.0)


def _outlined(
    result: ArrayResult,
    outline: Any,
    shown: tuple[str, str],
    fixed: Mapping[str, int],
    first: tuple[int, int],
    size: tuple[int, int],
) -> list[tuple[int, int]]:
    """Return the outlined cells of this slice as (row, column) of the window."""
    found = []
    for place in result.places(outline, *shown):
        where = dict(zip(result.dims, place, strict=True))
        if any(where[d] not in (None, i % result.sizes[d]) for d, i in fixed.items()):
            continue
        ranges = [
            range(n) if where[d] is None else [int(where[d] or 0) - start]
            for d, start, n in zip(shown, first, size, strict=True)
        ]
        found += [
            (r, c) for r in ranges[0] for c in ranges[1] if 0 <= r < size[0] and 0 <= c < size[1]
        ]
    return found


def _axes(figure: matplotlib.figure.Figure, bars: str) -> tuple[Axes, list[Axes]]:
    if not bars:
        return figure.add_subplot(), []
    grid = figure.add_gridspec(2, 2, width_ratios=(7, 1), height_ratios=(1, 5))
    ax = figure.add_subplot(grid[1, 0])
    return ax, [figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 1])]


def _bars(edges: list[Axes], over: tuple[np.ndarray, np.ndarray], style: Style, name: str) -> None:
    rows, cols = over
    top, right = edges
    finite = np.concatenate(over)[np.isfinite(np.concatenate(over))]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    color = OKABE_ITO["blue"]
    for fill, values in ((top.fill_between, cols), (right.fill_betweenx, rows)):
        edges_of = np.repeat(np.arange(len(values) + 1), 2)[1:-1]
        fill(edges_of, np.repeat(values, 2), color=color, linewidth=0)
    top.set(xlim=(0, len(cols)), ylim=(low, high))
    right.set(ylim=(len(rows), 0), xlim=(low, high))
    for ax in edges:
        ax.tick_params(length=2, width=style.line, labelsize=style.small)
        ax.locator_params(axis="y" if ax is top else "x", nbins=2)
    mark(top, style, x=Named([], []))
    mark(right, style, y=Named([], []))
    top.axhline(0, color="#666666", linewidth=style.line)
    right.axvline(0, color="#666666", linewidth=style.line)
    top.set_ylabel(name, fontsize=style.small)


def _line(
    result: ArrayResult, style: Style, values: np.ndarray, dim: str
) -> matplotlib.figure.Figure:
    named = dim in result.meta["labels"] and dim not in TOKEN_DIMS
    if named and len(values) <= MOST_NAMES and not _numbered(result.labels(dim)):
        return _named(result, style, values, dim)
    figure = new_figure(style, style.width * 0.5)
    ax = figure.add_subplot()
    many = len(values) > 200
    ax.plot(
        values, color=OKABE_ITO["blue"], linewidth=0.6 if many else 1.2, marker="" if many else "o",
        markersize=2.5,
    )  # fmt: skip
    if dim and dim in result.meta["labels"]:
        names = names_of(result, dim)
        step = -(-len(names) // 24)
        wide = max(map(len, names[::step]), default=0) > 3
        ax.set_xticks(range(0, len(names), step), names[::step], rotation=90 if wide else 0)
    ax.axhline(0, color="#999999", linewidth=style.line)
    ax.set_xlabel(dim)
    ax.set_ylabel(result.quantity)
    return figure


def _numbered(names: list[str]) -> bool:
    """Whether all names are numbers, so that between two of them there is something."""
    try:
        return all(np.isfinite(float(name)) for name in names)
    except ValueError:
        return False


def _named(
    result: ArrayResult, style: Style, values: np.ndarray, dim: str
) -> matplotlib.figure.Figure:
    """Draw a bar with its number for each name, the first on top."""
    names = token_labels(result.labels(dim))
    figure = new_figure(style, len(names) * 1.6 * style.small / 72 + 0.45)
    ax = figure.add_subplot()
    places = np.arange(len(names))
    ax.barh(places, values, color=OKABE_ITO["blue"], height=0.7)
    low, high = (float(f(np.append(values[np.isfinite(values)], 0.0))) for f in (np.min, np.max))
    room = 0.16 * ((high - low) or 1.0)
    ax.set(xlim=(low - (room if low < 0 else 0), high + room), ylim=(len(names) - 0.4, -0.6))
    for place, value in zip(places, values, strict=True):
        ax.annotate(
            f"{value:.2g}".replace("-", "\N{MINUS SIGN}"),
            (value if np.isfinite(value) else 0, place),
            xytext=(-3 if value < 0 else 3, 0),
            textcoords="offset points",
            ha="right" if value < 0 else "left",
            va="center",
            fontsize=style.small,
        )
    ax.set_yticks(places, names, fontsize=style.small)
    ax.tick_params(axis="y", length=0)
    ax.axvline(0, color="#666666", linewidth=style.line)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.set_xlabel(result.quantity)
    return figure
