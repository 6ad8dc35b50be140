"""What stands along the axes: in a paper matplotlib's ticks, on the screen a few light artists.

matplotlib makes five artists for every tick and measures each of them several times; here all names
of an axis are one artist and all its ticks another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from interp_widgets.figures.screen import Words, number, width_of
from interp_widgets.figures.style import Style

LENGTH = 2.5
"""Points of a tick."""


@dataclass(frozen=True)
class Named:
    """Names at places along an axis, with or without ticks; upright or turned by 90 degrees."""

    places: Sequence[float]
    names: Sequence[str]
    ticks: bool = True
    upright: bool = True


def mark(ax: Axes, style: Style, x: Named | None = None, y: Named | None = None) -> None:
    """Mark both axes, with round numbers where nothing is named.

    Call it when everything is drawn: the numbers are those of the limits of now.
    """
    for axis, named in ((ax.xaxis, x), (ax.yaxis, y)):
        if style.screen:
            _light(ax, style, named, across=axis is ax.xaxis)
        elif named is not None:
            axis.set_ticks(named.places, named.names, rotation=0 if named.upright else 90)
            if not named.ticks:
                axis.set_tick_params(length=0)


def _light(ax: Axes, style: Style, named: Named | None, *, across: bool) -> None:
    limits = ax.get_xlim() if across else ax.get_ylim()
    axis = ax.xaxis if across else ax.yaxis
    named = named or _numbers(ax, style, limits, across=across)
    axis.set_ticks([])
    if not len(named.places):
        return
    length = LENGTH if named.ticks else 0.0
    places = np.asarray(named.places, dtype=float)
    zeros = np.zeros(len(places))
    points = np.column_stack([places, zeros] if across else [zeros, places])
    transform = ax.get_xaxis_transform() if across else ax.get_yaxis_transform()
    words = Words(
        points,
        named.names,
        transform,
        size=style.small,
        align=("center", "top") if across else ("right", "center"),
        upright=named.upright,
        shift=(0.0, -3.0 - length) if across else (-3.0 - length, 0.0),
    )
    ax.add_artist(words).set_clip_on(False)
    family = tuple(words.font.get_family())
    sizes = [width_of(word, style.small, family) for word in words.words]
    high = style.small * 1.1 if across and named.upright else max(sizes, default=0.0)
    axis.labelpad = 6.0 + length + high
    if named.ticks:
        ticks = Line2D(
            *points.T,
            transform=transform,
            linestyle="none",
            marker=3 if across else 0,  # down, left
            markersize=LENGTH,
            markeredgewidth=style.line,
            color="black",
        )
        ticks.set_clip_on(False)
        ticks.set_in_layout(False)
        ax.add_artist(ticks)


def _numbers(ax: Axes, style: Style, limits: tuple[float, float], *, across: bool) -> Named:
    """Find round numbers, as many as there is room for."""
    inches = ax.get_window_extent().size[0 if across else 1] / ax.get_figure().dpi  # type: ignore[union-attr]
    room = int(inches * 72 / (style.small * (5 if across else 2.5)))
    low, high = sorted(limits)
    locator = MaxNLocator(nbins=min(max(room, 1), 8), steps=[1, 2, 2.5, 5, 10])
    places = np.asarray(locator.tick_values(low, high), dtype=float)
    slack = 1e-9 * (high - low)
    places = places[(places >= low - slack) & (places <= high + slack)]
    return Named(places.tolist(), [number(place, places) for place in places])
