"""Any two dims of a labelled array as cells, lines or bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes

from interp_widgets.figures.bars import draw_bars
from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap, frame_cells, room_below
from interp_widgets.figures.labels import names_of
from interp_widgets.figures.lines import Curves, draw_lines
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.figures.ticks import Named, mark
from interp_widgets.results.array import ArrayResult, Draw
from interp_widgets.results.base import to_numpy
from interp_widgets.results.planes import Range, Reduction, plane, reduced

SCALES = {
    "slice": "",
    "trim": "The colour scale spans the middle 99 % of the values",
    "all": "The colour scale spans the whole array",
}


ROW = 5.5
"""Height of a row at most, in lines of text."""


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
    draw: Draw = "",
    bars: Literal["", "mean", "max", "min", "norm"] = "",
    scale: Literal["slice", "trim", "all"] = "slice",
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
    draw
        ``"cells"``, ``"lines"`` (a line for each row over the columns) or ``"bars"``, both with the
        intervals that stand beside them; by default what the result is made for, else what suits
        (:meth:`ArrayResult.drawing`).
    bars
        With cells: a reduction of each row and column, drawn beside the grid.
    scale
        What colours or the value axis span: the slice, its middle 99 %, or the whole array.
    groups
        Names of rows by group, as lines: a line is a group's mean, its band their range.

    Raises
    ------
    ValueError, IndexError
        For a dim, word or cell that there is not, or more lines or bars than can be told apart.
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
    if draw not in get_args(Draw):
        raise ValueError(f"draw is cells, lines or bars, not {draw!r}")
    if cols is None:
        rows, cols = None, rows
    values = plane(result.values, names, rows or "", cols or "", fixed)
    whole = result.range if scale == "all" or not fixed else Range.of(values)
    top, left = (_span(w, n) for w, n in zip(window or (None, None), values.shape, strict=True))
    drawn = "lines" if groups else draw or result.drawing(rows, cols)
    if drawn != "cells" or cols is None:
        if cols and left.stop - left.start < values.shape[1]:
            notes.append(f"{cols} {left.start} to {left.stop - 1} of {values.shape[1]:,}")
        if SCALES[scale]:
            notes.append(SCALES[scale].replace("colour scale", "axis"))
        ends = {"trim": (whole.trim_low, whole.trim_high), "all": (whole.low, whole.high)}
        size = len(values), left.stop - left.start
        framed = _outlined(result, outline, (rows, cols), fixed, (0, left.start), size)
        curves = Curves(result, rows, cols or "", fixed, left, ends.get(scale), framed)
        if drawn == "bars":
            return draw_bars(curves, style, notes)
        return draw_lines(curves, style, notes, groups)
    mask = result.mask
    if mask is not None:
        mask = to_numpy(plane(mask, names, rows or "", cols, fixed)[top, left])
    if window and values[top, left].shape != values.shape:
        notes.append(
            f"{rows} {top.start} to {top.stop - 1} and {cols} {left.start} to {left.stop - 1} of "
            f"{values.shape[0]:,} × {values.shape[1]:,}"
        )
    if bars:
        notes.append(f"Bars: {bars} of each row and column, NaN left out")
    if SCALES[scale]:
        notes.append(SCALES[scale])
    size = top.stop - top.start, left.stop - left.start
    framed = _outlined(result, outline, (rows, cols), fixed, (top.start, left.start), size)
    limits = _limits(whole, trim=scale == "trim", signed=result.signed)
    part = Part(rows, cols, top, left, values[top, left], mask)
    return _cells(result, style, notes, part, limits, framed, bars)


@dataclass
class Part:
    """The cells that are shown: dims, what of them, the numbers and where they are masked."""

    rows: str | None
    cols: str
    top: slice
    left: slice
    values: Any
    mask: np.ndarray | None


def _cells(
    result: ArrayResult,
    style: Style,
    notes: list[str],
    part: Part,
    limits: tuple[float, float],
    framed: list[tuple[int, int]],
    bars: Literal["", "mean", "max", "min", "norm"],
) -> matplotlib.figure.Figure:
    n_rows, n_cols = part.values.shape
    height = float(np.clip(style.width * 0.86 * n_rows / n_cols, 0.22 * style.width, style.width))
    height = min(height, max(n_rows * ROW * style.small / 72, 0.22 * style.width))
    height = max(height, min(n_rows, 12) * style.small / 72 * 1.25) + 0.55
    names = names_of(result, part.cols)[part.left]
    height += room_below(names, style) + (0.1 * style.width if bars else 0)
    figure = new_figure(style, height)
    ax, edges = _axes(figure, bars)
    artist = draw_heatmap(
        ax,
        part.values,
        style,
        signed=result.signed,
        vlim=limits,
        mask=part.mask,
        rows=names_of(result, part.rows)[part.top] if part.rows else [""],
        cols=names,
        notes=notes,
    )
    frame_cells(ax, framed)
    ax.set_xlabel(part.cols)
    ax.set_ylabel(part.rows or "")
    add_colorbar([ax, *edges], artist, style, result.quantity, notes)
    if bars:
        _bars(edges, reduced(part.values, bars), style, bars)
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
    shown: tuple[str | None, str | None],
    fixed: Mapping[str, int],
    first: tuple[int, int],
    size: tuple[int, int],
) -> list[tuple[int, int]]:
    """Return the outlined cells of this slice as (row, column) of the window."""
    found = []
    for place in result.places(outline, *(dim or "" for dim in shown)):
        where = dict(zip(result.dims, place, strict=True))
        if any(where[d] not in (None, i % result.sizes[d]) for d, i in fixed.items()):
            continue
        ranges = [
            [int(i) - start] if (i := where.get(d or "")) is not None else range(n)
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
