"""The map of methods on paper: a row for each method, a column for each answer."""

from __future__ import annotations

import textwrap

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.labels import escape
from interp_widgets.figures.screen import Words, width_of
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.methods import Answers, MethodMap

BAND = "#eef1f4"
GAP = 0.5
"""Columns between two questions."""


@renderer("methods")
def draw(
    result: MethodMap,
    style: Style,
    notes: list[str],
    *,
    answers: Answers | None = None,
    find: str = "",
    most: int = 80,
) -> matplotlib.figure.Figure:
    """Draw a dot where a method has an answer.

    Parameters
    ----------
    answers, find
        Which methods, as in :meth:`MethodMap.chosen`; all by default.
    most
        Methods that are drawn at most.

    Raises
    ------
    ValueError
        For a question or answer that there is not.
    """
    found = result.chosen(answers, find)
    shown = found[:most]
    columns, bands, x = [], [], 0.0
    for facet, some in result.facets.items():
        columns += [(facet, answer, x + i) for i, answer in enumerate(some)]
        bands.append((x - 0.5, len(some)))
        x += len(some) + GAP
    line = style.small / 72
    family = tuple(style.rc["font.family"])
    above = max(width_of(answer, style.small, family) for _, answer, _ in columns) / 72 + 0.1
    height = above + 1.4 * line * max(1, len(shown)) + 0.05
    figure = new_figure(style, height, fixed=True)
    figure.set_layout_engine("none")
    left = 0.36 if style.width > 4 else 0.44
    body = (height - above) / height
    ax = figure.add_axes((left, 0.02 / height, 1 - left - 0.01, body - 0.02 / height))
    ax.set(xlim=(-0.6, x - GAP - 0.4), ylim=(max(1, len(shown)) - 0.5, -0.5))
    ax.axis("off")
    for start, size in bands:
        ax.axvspan(start, start + size, color=BAND, linewidth=0)
    points = np.array(
        [
            (at, row)
            for row, method in enumerate(shown)
            for facet, answer, at in columns
            if answer in method["tags"][facet]
        ]
    )
    if len(points):
        x_of, y_of = points.T
        ax.scatter(x_of, y_of, s=(0.62 * style.small) ** 2, color=OKABE_ITO["blue"], linewidths=0)
    room = int(left * style.width * 72 / (0.5 * style.small))
    names = [textwrap.shorten(m["title"], room, placeholder="…") for m in shown]
    _write(ax, style, [(-0.012, row) for row in range(len(shown))], names, rows=True)
    ax.hlines(np.arange(1, len(shown)) - 0.5, *ax.get_xlim(), color="white", linewidth=style.line)
    start = -0.5 - 0.06 / (1.4 * line)
    heads = [answer for _, answer, _ in columns]
    _write(ax, style, [(at, start) for *_, at in columns], heads, rows=False)
    if not shown:
        ax.text(0, 0, "no method is all of this", va="center", fontsize=style.small)
    questions = ", ".join(facet.replace("_", " ") for facet in result.facets)
    notes.append(f"Bands, from the left: {questions}")
    if len(found) < len(result.methods):
        notes.append(f"{len(found)} of {len(result.methods)} methods")
    if len(shown) < len(found):
        notes.append(f"The first {len(shown)} of {len(found)} methods")
    return figure


def _write(
    ax: Axes, style: Style, points: list[tuple[float, float]], words: list[str], *, rows: bool
) -> None:
    """Write names left of the rows, or upwards above the columns; one artist on the screen."""
    transform = ax.get_yaxis_transform() if rows else ax.transData
    align = ("right", "center") if rows else ("center", "bottom")
    if style.screen:
        made = Words(points, words, transform, size=style.small, align=align, upright=rows)
        ax.add_artist(made).set_clip_on(False)
        return
    for (x, y), word in zip(points, words, strict=True):
        ax.text(
            x, y, escape(word), transform=transform, ha=align[0], va=align[1],
            rotation=0 if rows else 90, fontsize=style.small,
        )  # fmt: skip
