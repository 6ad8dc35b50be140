"""The module tree as text in a figure."""

from __future__ import annotations

import matplotlib.figure

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.labels import escape
from interp_widgets.figures.style import Style
from interp_widgets.results.modules import ModulesResult


@renderer("modules")
def draw(
    result: ModulesResult, style: Style, notes: list[str], *, depth: int = 3, most: int = 40
) -> matplotlib.figure.Figure:
    """Draw the first ``most`` modules down to ``depth``, with output shapes and parameters."""
    rows = [(d, node) for d, node in result.walk() if d <= depth]
    if len(rows) > most:
        notes.append(f"The first {most} of {len(rows)} modules")
        rows = rows[:most]
    step = style.small / 72 * 1.6
    figure = new_figure(style, (len(rows) + 1) * step, fixed=True)
    figure.set_layout_engine("none")
    height = figure.get_size_inches()[1]
    for i, (d, node) in enumerate([(0, None), *rows]):
        y = 1 - (i + 0.5) * step / height
        cells = (
            ("module", "output shape", "parameters")
            if node is None
            else (
                f"{node['name']}  ({node['class']})",
                str(node.get("shape") or ""),
                f"{node['parameters']:,}",
            )
        )
        weight = "bold" if node is None else "normal"
        places = ((0.01 + 0.02 * d, "left"), (0.62, "left"), (0.99, "right"))
        for text, (x, align) in zip(cells, places, strict=True):
            figure.text(
                x, y, escape(text), ha=align, va="center", fontsize=style.small, weight=weight
            )
    return figure
