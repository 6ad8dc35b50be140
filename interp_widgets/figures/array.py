"""Any labelled array as a heatmap, or as a line when one dim is left."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap, limits
from interp_widgets.figures.labels import token_labels
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.array import ArrayResult

TOKEN_DIMS = {"position", "query", "key"}


def names_of(result: ArrayResult, dim: str) -> list[str]:
    """Labels of a dim, shortened and made visible where they are tokens."""
    labels = result.labels(dim)
    return token_labels(labels) if dim in TOKEN_DIMS and dim in result.meta["labels"] else labels


@renderer("array")
def draw(
    result: ArrayResult,
    style: Style,
    notes: list[str],
    *,
    rows: str | None = None,
    cols: str | None = None,
    outline: list[tuple[int, int]] | None = None,
    **at: Any,
) -> matplotlib.figure.Figure:
    """Draw two dims of the array.

    Parameters
    ----------
    rows, cols
        Which dims; the last two by default.
    outline
        Cells (row, column) to frame, for example the heads a text talks about.
    **at
        Index into each remaining dim, for example ``layer=3``; the first entry by default.
    """
    dims = result.dims
    if rows is None or cols is None:
        free = [d for d in dims if d not in at and d not in {rows, cols}]
        cols = cols or (free.pop() if free else None)
        rows = rows or (free.pop() if free else None)
    fixed = {d: int(at.get(d, 0)) for d in dims if d not in {rows, cols}}
    for dim, i in fixed.items():
        if result.sizes[dim] > 1:
            notes.append(f"{dim.capitalize()} {result.labels(dim)[i]} of {result.sizes[dim]}")
    values = result.sel(**fixed).astype(np.float64)
    if rows is None or cols is None:
        return _line(result, style, values, cols or rows or dims[-1])
    if dims.index(rows) > dims.index(cols):
        values = values.T
    n_rows, n_cols = values.shape
    height = float(np.clip(style.width * 0.86 * n_rows / n_cols, 0.22 * style.width, style.width))
    figure = new_figure(style, max(height, min(n_rows, 12) * style.small / 72 * 1.25) + 0.55)
    ax = figure.add_subplot()
    whole = result.numpy("values").astype(np.float64)
    artist = draw_heatmap(
        ax,
        values,
        style,
        signed=result.signed,
        vlim=limits(whole, signed=result.signed),
        rows=names_of(result, rows),
        cols=names_of(result, cols),
        notes=notes,
    )
    for r, c in outline or []:
        ax.add_patch(
            matplotlib.patches.Rectangle((c, r), 1, 1, fill=False, edgecolor="black", linewidth=1.4)
        )
    ax.set_xlabel(cols)
    ax.set_ylabel(rows)
    add_colorbar(ax, artist, style, result.quantity)
    if fixed:
        notes.append("The colour scale spans the whole array")
    return figure


def _line(
    result: ArrayResult, style: Style, values: np.ndarray, dim: str
) -> matplotlib.figure.Figure:
    figure = new_figure(style, style.width * 0.5)
    ax = figure.add_subplot()
    values = np.atleast_1d(values)
    ax.plot(values, color=OKABE_ITO["blue"], linewidth=1.2, marker="o", markersize=2.5)
    names = names_of(result, dim)
    step = -(-len(names) // 24)
    ax.set_xticks(
        range(0, len(names), step),
        names[::step],
        rotation=90 if max(map(len, names), default=0) > 3 else 0,
    )
    ax.axhline(0, color="#999999", linewidth=style.line)
    ax.set_xlabel(dim)
    ax.set_ylabel(result.quantity)
    return figure
