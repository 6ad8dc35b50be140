"""A few rows of an array as bars: a list of names, groups, or histograms over one another."""

from __future__ import annotations

import matplotlib.figure
import numpy as np
from matplotlib.colors import to_rgba

from interp_widgets.figures.figure import new_figure
from interp_widgets.figures.labels import escape, token_labels
from interp_widgets.figures.lines import STYLES, Curves, few_enough, name_columns, name_rows
from interp_widgets.figures.style import Style

WHISKER = "#333333"
FILLS = (1.0, 0.4, 0.0)
"""Bars of the same colour: full, tinted, hollow."""
SIDE_BY_SIDE = 12
"""Numbered columns whose bars stand side by side; more are histograms over one another."""


def draw_bars(curves: Curves, style: Style, notes: list[str]) -> matplotlib.figure.Figure:
    """Draw one row of names as a list, rows over numbers as histograms, others as groups.

    Whiskers are the intervals that the array holds.

    Raises
    ------
    ValueError
        For more than 15 rows.
    """
    few_enough(len(curves.names), "rows of bars")
    if curves.ends:
        notes.append("Whiskers: 95 % intervals")
    if not curves.rows and curves.result.named(curves.cols):
        return _list(curves, style)
    figure = new_figure(style, style.width * 0.5)
    ax = figure.add_subplot()
    values, names = curves.values, curves.names
    rows, count = values.shape
    x = np.arange(count)
    steps = rows > 1 and count > SIDE_BY_SIDE and curves.numbered and not curves.ends
    for i, (name, line) in enumerate(zip(names, values, strict=True)):
        color = STYLES[i % len(STYLES)][0]
        shown = np.nan_to_num(line, nan=0.0, posinf=0.0, neginf=0.0)
        if steps:
            edges = np.arange(count + 1) - 0.5
            ax.stairs(shown, edges, color=color, fill=True, alpha=0.35)
            ax.stairs(shown, edges, color=color, linewidth=1.2, label=escape(name))
            at = x.astype(float)
        else:
            width = (0.84 if count < 100 else 1.0) / rows
            at = x + (i - (rows - 1) / 2) * width
            inside = to_rgba(color, FILLS[i // len(STYLES) % len(FILLS)])
            drawn = ax.bar(
                at, shown, width, color=inside, edgecolor=color, linewidth=0.6, label=escape(name)
            )
            for row, col in curves.outlined:
                if row == i:
                    drawn.patches[col].set(edgecolor="#000000", linewidth=1.2)
        if curves.ends:
            low, high = (end[i] for end in curves.ends)
            ax.vlines(at, low, high, color=WHISKER, linewidth=1.5 * style.line)
    ax.axhline(0, color="#666666", linewidth=style.line)
    name_columns(ax, curves, style)
    if curves.span:
        ax.set_ylim(min(0.0, curves.span[0]), max(0.0, curves.span[1]))
    ax.set_ylabel(curves.result.quantity)
    if curves.rows:
        name_rows(ax, rows, style)
    return figure


def _list(curves: Curves, style: Style) -> matplotlib.figure.Figure:
    """Draw a bar with its number for each name, the first on top."""
    names = token_labels(curves.result.labels(curves.cols))[curves.left]
    values = curves.values[0]
    figure = new_figure(style, len(names) * 1.6 * style.small / 72 + 0.45)
    ax = figure.add_subplot()
    places = np.arange(len(names))
    ax.barh(
        places,
        np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0),
        color=STYLES[0][0],
        height=0.7,
    )
    ends = np.concatenate([values, *(end[0] for end in curves.ends or ())])
    low, high = (float(f(np.append(ends[np.isfinite(ends)], 0.0))) for f in (np.min, np.max))
    room = 0.16 * ((high - low) or 1.0)
    ax.set(xlim=(low - (room if low < 0 else 0), high + room), ylim=(len(names) - 0.4, -0.6))
    if curves.ends:
        left, right = (end[0] for end in curves.ends)
        ax.hlines(places, left, right, color=WHISKER, linewidth=1.5 * style.line)
    for i, (place, value) in enumerate(zip(places, values, strict=True)):
        end = value if np.isfinite(value) else 0.0
        if curves.ends and value >= 0:
            end = max(end, curves.ends[1][0, i])
        ax.annotate(
            "NaN" if np.isnan(value) else f"{value:.2g}".replace("-", "\N{MINUS SIGN}"),
            (end, place),
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
    ax.set_xlabel(curves.result.quantity)
    return figure
