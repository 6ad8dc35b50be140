"""Where the matrices of an attention figure stand: in a paper laid out, on the screen placed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from interp_widgets.figures.attention_panel import Panel
from interp_widgets.figures.figure import new_figure
from interp_widgets.figures.style import Style

Names = Sequence[Sequence[str]]

TALLEST = 1.6
"""Most height of a matrix in parts of its width."""

BAR, SIGNED_BAR = 0.72, 0.84
"""Inches that a colour bar on the screen takes, with its numbers and its name."""

MARGIN = 0.1
"""Inches at the right where no colour bar stands."""


def paper_axes(
    style: Style, panels: Sequence[Panel], values: Sequence[np.ndarray], rows: Names, cols: Names
) -> tuple[list[Axes], int]:
    """Return axes that matplotlib lays out, more than panels maybe, and how many are in a row."""
    shared = len({tuple(names) for names in rows}) == 1
    across = min(len(panels), 3 if style.width > 5 else 2 if shared else 1)
    down = -(-len(panels) // across)
    ticks = _inches(cols, style, 12)
    side = max((style.width - 0.85 - ticks) / across, 0.6)
    height = down * (side * _tall(values) + 0.2 * (len(panels) > 1) + ticks + 0.2) + 0.1
    figure = new_figure(style, height)
    figure.set_layout_engine("compressed")
    axes = figure.subplots(down, across, sharey=shared, squeeze=False)
    return list(axes.ravel()), across


def screen_axes(
    style: Style, panels: Sequence[Panel], values: Sequence[np.ndarray], rows: Names, cols: Names
) -> tuple[list[Axes], int]:
    """Return axes of one size each, placed by hand, which is ten times as fast."""
    across = min(len(panels), 3)
    down = -(-len(panels) // across)
    names, below = _inches(rows, style, 16) + 0.1, _inches(cols, style, 16) + 0.32
    repeated = repeats(rows, across)
    before = [
        names + 0.22 if i == 0 else 0.14 if all(repeated[i::across]) else names
        for i in range(across)
    ]
    after = [_bar(panels, i) for i in range(across)]
    after[-1] = max(after[-1], MARGIN)
    side = min(max((style.width - sum(before) - sum(after)) / across, 0.4), 4.2)
    high = side * _tall(values)
    title = 0.24 if len(panels) > 1 else 0.08
    figure = new_figure(style, down * (title + high + below), fixed=True)
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    axes = []
    for i in range(len(panels)):
        row, column = divmod(i, across)
        left = sum(before[: column + 1]) + sum(after[:column]) + side * column
        bottom = height - (row + 1) * (title + high + below) + below
        axes.append(figure.add_axes((left / width, bottom / height, side / width, high / height)))
    return axes, across


def repeats(rows: Names, across: int) -> list[bool]:
    """Say of each panel whether one before it in its row has the same names."""
    return [
        any(list(rows[j]) == list(names) for j in range(i - i % across, i))
        for i, names in enumerate(rows)
    ]


def _bar(panels: Sequence[Panel], i: int) -> float:
    """Return the inches that a colour bar behind this panel takes."""
    weights = [j for j, panel in enumerate(panels) if panel.less is None]
    if panels[i].less is None and i != weights[-1]:
        return 0.0
    return SIGNED_BAR if panels[i].signed else BAR


def _inches(names: Names, style: Style, most: int) -> float:
    longest = max((len(name) for some in names for name in some), default=0)
    return float(min(longest, most) * style.small / 72 * 0.55)


def _tall(values: Sequence[np.ndarray]) -> float:
    return max(min(v.shape[0] / v.shape[1], TALLEST) for v in values)
