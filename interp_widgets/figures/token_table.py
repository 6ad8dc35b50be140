"""A token table for a paper: the surest rows with the tokens they read and write."""

from __future__ import annotations

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.labels import token_label
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.token_table import TokenTable

MOST_ROWS = 20
SIGNS = {"+": OKABE_ITO["vermilion"], "−": OKABE_ITO["blue"]}


@renderer("token_table")
def draw(
    result: TokenTable,
    style: Style,
    notes: list[str],
    *,
    rows: int = 10,
    words: int = 3,
    row: int | None = None,
    column: int | str = 0,
    sort: str = "confidence",
    layer: int | None = None,
    query: str = "",
) -> matplotlib.figure.Figure:
    """Draw the first rows of an order as a table of tokens with a bar of their confidence.

    Parameters
    ----------
    rows, words
        How many rows, at most 20, and tokens in each cell.
    row
        A row to mark; it comes first when it is not among those drawn.
    column, sort, layer, query
        As in the view: the matrix that decides, the order, one layer only, a token to look for.
    """
    order = result.order(column, sort)
    if query:
        order = order[np.isin(order, result.find(query, column))]
    if layer is not None:
        order = order[result.numpy("layer")[order] == layer]
    shown = [int(i) for i in order[: max(1, min(rows, MOST_ROWS))]]
    if row is not None and row not in shown:
        shown = [row, *shown[: max(0, len(shown) - 1)]]
    line = style.small / 72 * 1.7
    height = line * (len(shown) + 1.4)
    figure = new_figure(style, height)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set(xlim=(0, style.width), ylim=(len(shown) + 1.3, 0))
    names = result.columns
    start = style.small / 72 * 5.2
    bar = min(0.8, style.width * 0.16)
    room = (style.width - start - bar - 0.1) / len(names)
    letters = max(4, int(room * 72 / style.small / 0.56) - 2)
    roles = result.meta.get("roles", [""] * len(names))
    heads = [
        result.unit_name,
        *(f"{n}, {r}s" if r else n for n, r in zip(names, roles, strict=True)),
    ]
    for i, text in enumerate(heads):
        x = 0.04 if i == 0 else start + room * (i - 1)
        ax.text(x, 0.6, text, fontsize=style.small, color="#555555", va="center")
    score = "p" if result.has_probability else "score"
    ax.text(
        style.width - 0.04,
        0.6,
        score,
        fontsize=style.small,
        color="#555555",
        va="center",
        ha="right",
    )
    ax.plot([0.04, style.width - 0.04], [1.1, 1.1], color="#222222", linewidth=style.line)
    scores = result.numpy("probability" if result.has_probability else "logits")
    ids, main = result.numpy("ids"), result.column(column)
    top = 1.0 if result.has_probability else max(float(result.best(column).max(initial=1e-9)), 1e-9)
    for i, at in enumerate(shown):
        y = i + 1.7
        weight = "bold" if at == row else "normal"
        ax.text(0.04, y, result.name(at), fontsize=style.small, va="center", fontweight=weight)
        for c in range(len(names)):
            sign = int(scores[at, c, :, 0].argmax())
            text = _words(result.texts(ids[at, c, sign, :words]), letters)
            x, mark = start + room * c, result.signs[sign]
            ax.text(x, y, mark, fontsize=style.small, va="center", color=SIGNS[mark])
            ax.text(x + style.small / 72, y, text, fontsize=style.small, va="center")
        value = float(scores[at, main, :, 0].max())
        left = style.width - bar - 0.04
        ax.barh(y, bar * min(1, max(0, value / top)), left=left, height=0.7, color="#a9cde5")
        ax.text(
            style.width - 0.07, y, f"{value:.2g}", fontsize=style.small, va="center", ha="right"
        )
    total = len(order)
    notes.append(f"{len(shown)} of {total:,} {result.unit_name}s by {sort} of {names[main]}")
    if query:
        notes.append(f"With the token {query!r} among the first five")
    return figure


def _words(tokens: np.ndarray, letters: int) -> str:
    text = "  ".join(token_label(str(t), 14) for t in tokens)
    return text if len(text) <= letters else text[: letters - 1] + "…"
