"""In which inputs a concept is: a heatmap of concept × input, and the examples on one axis."""

from __future__ import annotations

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap, room_below
from interp_widgets.figures.labels import escape, token_label
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.figures.ticks import Named, mark
from interp_widgets.results.concepts import ConceptResult

MOST_INPUTS = 30
PRESENCE = "presence (1: mean with, −1: mean without)"
LANES = (
    (1, "with", "o", OKABE_ITO["vermilion"], True),
    (-1, "without", "o", OKABE_ITO["blue"], False),
    (0, "other", "D", "#444444", False),
)


def heatmap(
    result: ConceptResult,
    style: Style,
    notes: list[str],
    layer: int,
    concepts: list[int],
    chosen: int,
) -> matplotlib.figure.Figure:
    """Draw inputs down and concepts across, ordered by the chosen concept; of many the ends."""
    presence = result.numpy("presence")[:, layer]
    order = np.argsort(-np.nan_to_num(presence[chosen], nan=-np.inf), kind="stable")
    if len(order) > MOST_INPUTS:
        notes.append(
            f"The {MOST_INPUTS // 2} highest and {MOST_INPUTS // 2} lowest of {len(order)} inputs "
            f"by {result.concepts[chosen]!r}"
        )
        order = np.concatenate([order[: MOST_INPUTS // 2], order[-MOST_INPUTS // 2 :]])
    room = max(12, int(style.width * 72 * 0.5 / (style.small * 0.46)))
    names = [_short(result.inputs[i], room) for i in order]
    columns = [token_label(result.concepts[c], 16) for c in concepts]
    row = style.small / 72 * 1.6
    figure = new_figure(style, len(order) * row + 0.5 + room_below(columns, style))
    ax = figure.add_subplot()
    shown = np.ix_(np.asarray(concepts), order)
    values = presence[shown].T
    top = float(np.clip(np.nanmax(np.abs(values), initial=1.0), 1.0, 3.0))
    artist = draw_heatmap(
        ax,
        values,
        style,
        signed=True,
        vlim=(-top, top),
        rows=names,
        cols=columns,
        notes=notes,
    )
    member = result.numpy("member")[shown].T
    for sign, face in ((1, "black"), (-1, "white")):
        y, x = np.nonzero(member == sign)
        ax.scatter(
            x + 0.16, y + 0.5, s=style.small, c=face, edgecolors="black", linewidths=style.line
        )
    if member.any():
        notes.append("Dots are examples with the concept, rings examples without")
    notes.append(f"Layer {result.layers[layer]}")
    add_colorbar(ax, artist, style, PRESENCE, notes)
    return figure


def strip(
    result: ConceptResult, style: Style, notes: list[str], layer: int, chosen: int
) -> matplotlib.figure.Figure:
    """Draw every input of a concept as a dot on the axis of its presence."""
    presence = result.numpy("presence")[chosen, layer].astype(float)
    member = result.numpy("member")[chosen]
    lanes = [lane for lane in LANES if (member == lane[0]).any()]
    figure = new_figure(style, 0.42 * len(lanes) + 0.6)
    ax = figure.add_subplot()
    spread = np.random.default_rng(0)
    for y, (sign, _name, marker, colour, filled) in enumerate(lanes):
        x = presence[(member == sign) & np.isfinite(presence)]
        ax.scatter(
            x,
            y + spread.uniform(-0.26, 0.26, len(x)),
            s=style.small * 1.4,
            marker=marker,
            facecolors=colour if filled else "none",
            edgecolors=colour,
            linewidths=0.8,
            alpha=0.85,
        )
        if sign and len(x):
            ax.plot([x.mean()] * 2, [y - 0.36, y + 0.36], color="black", linewidth=1.1)
    counts = [int((member == sign).sum()) for sign, *_ in lanes]
    ax.set_ylim(len(lanes) - 0.5, -0.5)
    ax.axvline(0, color="#222222", linewidth=style.line, zorder=0)
    names = [f"{name} ({n})" for (_, name, *_), n in zip(lanes, counts, strict=True)]
    mark(ax, style, y=Named(range(len(lanes)), names, ticks=False))
    ax.set_xlabel(f"presence of {escape(result.concepts[chosen])}")
    notes.append(
        f"Layer {result.layers[layer]}; 1 is the mean of the examples with the concept and −1 of "
        "those without; examples are projected on a vector fitted without them; bars are means"
    )
    return figure


def _short(text: str, room: int) -> str:
    """Return the text with its middle cut out: prompts differ at both ends."""
    shown = " ".join(text.split())
    if len(shown) > room:
        shown = f"{shown[: room - room // 2 - 1]}…{shown[-(room // 2) :]}"
    return escape(shown)
