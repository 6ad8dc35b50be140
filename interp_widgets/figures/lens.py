"""The logit-lens grid: layers × positions, each cell the token that layer would predict."""

from __future__ import annotations

from typing import Literal

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap, limits, write_cells
from interp_widgets.figures.labels import token_label, token_labels
from interp_widgets.figures.style import Style, ink_on
from interp_widgets.results.lens import LensResult

QUANTITIES = {
    "probability": "probability of the top token",
    "entropy": "entropy (nats)",
    "kl": "KL to the final distribution (nats)",
    "answer_prob": "probability of the answer",
    "answer_rank": "rank of the answer",
    "logit_difference": "logit difference, answer − foil",
}


@renderer("lens")
def draw(
    result: LensResult,
    style: Style,
    notes: list[str],
    *,
    color: Literal[
        "probability", "entropy", "kl", "answer_prob", "answer_rank", "logit_difference"
    ] = "probability",
    positions: slice | None = None,
) -> matplotlib.figure.Figure:
    """Draw layers from bottom (embedding) to top (output).

    Parameters
    ----------
    color
        What the colour shows.
    positions
        Which positions; by default as many of the last ones as can be read at this width.
    """
    if color not in QUANTITIES:
        raise ValueError(f"color is one of {', '.join(QUANTITIES)}, not {color!r}")
    if color != "probability" and color not in result.arrays:
        raise ValueError(f"this lens holds no {color}: give the prompt an answer and a foil")
    ids = result.numpy("ids")[..., 0]
    cells = result.numpy("probs")[..., 0] if color == "probability" else result.numpy(color)
    limit = 8
    cell = style.small / 72 * limit * 0.56
    count = max(3, int((style.width - 1.3) / cell))
    where = positions or slice(max(0, ids.shape[1] - count), None)
    shown = range(ids.shape[1])[where]
    if len(shown) < ids.shape[1]:
        notes.append(f"Positions {shown[0]} to {shown[-1]} of {ids.shape[1]}")
    ids, cells = ids[::-1, where], cells[::-1, where].astype(np.float64)
    signed = color == "logit_difference"
    figure = new_figure(style, ids.shape[0] * style.small / 72 * 1.75 + 0.95)
    ax = figure.add_subplot()
    vlim = (0.0, 1.0) if color in {"probability", "answer_prob"} else limits(cells, signed=signed)
    names = token_labels(result.tokens)
    artist = draw_heatmap(
        ax,
        cells,
        style,
        signed=signed,
        vlim=vlim,
        rows=result.layers[::-1],
        cols=[names[i] for i in shown],
        marks="corner",
        notes=notes,
    )
    colors = artist.cmap(artist.norm(np.ma.masked_invalid(cells)))
    write_cells(
        ax,
        style,
        np.argwhere(np.ones_like(ids)),
        [token_label(result.string(i), limit) for i in ids.ravel()],
        [ink_on(color) for color in colors.reshape(-1, 4)],
    )
    ax.set_ylabel("layer")
    ax.set_xlabel("position")
    add_colorbar(ax, artist, style, QUANTITIES[color])
    return figure
