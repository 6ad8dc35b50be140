"""Numbers beside their nulls: a strip for each, with a scale of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from interp_widgets.figures.screen import number as told_apart
from interp_widgets.figures.screen import wrapped
from interp_widgets.figures.style import OKABE_ITO, Style

GREY = "#8a8a8a"
LEFT, RIGHT = 0.46, 0.17
"""Shares of the width for the words before the strips and the numbers behind them."""


def row_height(style: Style) -> float:
    """Inches of a strip."""
    return 3.4 * style.small / 72 + 0.1


def key_height(style: Style) -> float:
    """Inches of the line that explains the marks."""
    return 2.0 * style.small / 72


def key(figure: matplotlib.figure.Figure, style: Style, *, top: float) -> None:
    """Say below a height of the figure (a share of it) what the marks of the strips are."""
    common: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 1}
    red, blue = OKABE_ITO["vermilion"], OKABE_ITO["blue"]
    handles = [
        Line2D([], [], marker="D", color=red, markersize=4.5, label="above its null", **common),
        Line2D(
            [], [], marker="o", markerfacecolor="white", markeredgecolor=blue, markersize=5,
            label="not above", **common,
        ),
        Line2D([], [], marker="o", color=GREY, markersize=2.5, label="null", **common),
    ]  # fmt: skip
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(LEFT - 0.02, top),
        ncols=3,
        fontsize=style.small,
        frameon=False,
        handletextpad=0.1,
        columnspacing=0.9,
        borderpad=0.2,
        borderaxespad=0,
    )


def strips(
    figure: matplotlib.figure.Figure,
    findings: Sequence[Mapping[str, Any]],
    style: Style,
    *,
    top: float = 1.0,
    bottom: float = 0.0,
    alpha: float = 0.05,
) -> None:
    """Draw findings between two heights of a figure (shares of its height)."""
    width = float(figure.get_size_inches()[0])
    each = (top - bottom) / max(1, len(findings))
    rng = np.random.default_rng(0)
    for i, found in enumerate(findings):
        y = top - (i + 1) * each
        ax = figure.add_axes((LEFT, y + 0.42 * each, 1 - LEFT - RIGHT, 0.4 * each))
        null = np.array(found["null"], float)
        ax.scatter(
            null, rng.uniform(-0.6, 0.6, len(null)), s=6, color=GREY, alpha=0.6, linewidths=0
        )
        above = found["p"] <= alpha
        colour = OKABE_ITO["vermilion" if above else "blue"]
        value = found["value"]
        if found.get("low") is not None and found.get("high") is not None:
            ax.plot([found["low"], found["high"]], [0, 0], color=colour, linewidth=1.2)
        ax.scatter(
            [value],
            [0],
            s=26,
            marker="D" if above else "o",
            color=colour if above else "white",
            edgecolors=colour,
            linewidths=1,
            zorder=3,
        )
        low, high = min(null.min(), value), max(null.max(), value)
        if found.get("low") is not None:
            low, high = min(low, found["low"]), max(high, found["high"])
        room = 0.06 * (high - low) or 0.1 * max(abs(high), 0.1)
        ax.set(xlim=(low - room, high + room), ylim=(-1, 1), yticks=[])
        _ticks(ax, value)
        ax.tick_params(axis="x", labelsize=max(5.0, style.small - 1), length=2, pad=1.5)
        for side in ("top", "left", "right"):
            ax.spines[side].set_visible(False)
        words = f"{found['hypothesis']}  {found['statistic']}"
        figure.text(
            0.005,
            y + 0.56 * each,
            wrapped(words, (LEFT - (0.09 if style.screen else 0.04)) * width, style.small),
            fontsize=style.small,
            va="center",
            linespacing=1.1,
        )
        unit = f" {found['unit']}" if found.get("unit") else ""
        figure.text(
            1 - RIGHT + 0.015,
            y + 0.56 * each,
            f"{number(value)}{unit}\np = {found['p']:.2g}",
            fontsize=style.small,
            va="center",
            color="black",
            fontweight="bold" if above else "normal",
            linespacing=1.1,
        )


def _ticks(ax: Axes, value: float) -> None:
    """Mark a strip with two to four round numbers."""
    low, high = ax.get_xlim()
    locator = MaxNLocator(nbins=3, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2)
    places = np.asarray(locator.tick_values(low, high), dtype=float)
    places = places[(places >= low) & (places <= high)]
    if len(places) < 2:
        places = np.array([value])
    ax.set_xticks(places.tolist(), [told_apart(x, places) for x in places])


def number(value: float) -> str:
    """Write a number shortly, with a true minus sign."""
    size = abs(value)
    if size >= 100 or 0 < size < 0.01:
        text = f"{value:.2g}"
    else:
        text = f"{value:.2f}" if size >= 1 or not value else f"{value:.3f}"
    return text.replace("-", "\N{MINUS SIGN}")
