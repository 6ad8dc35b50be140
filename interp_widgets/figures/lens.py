"""The logit-lens grid: layers × positions, each cell the token that layer would predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import (
    add_colorbar,
    draw_heatmap,
    frame_cells,
    limits,
    write_cells,
)
from interp_widgets.figures.labels import thin, token_label, token_labels
from interp_widgets.figures.style import OKABE_ITO, Style, ink_on
from interp_widgets.results.lens import LensResult

QUANTITIES = {
    "probability": "probability of the top token",
    "entropy": "entropy (nats)",
    "kl": "KL to the final distribution (nats)",
    "answer_prob": "probability of the answer",
    "answer_rank": "rank of the answer",
    "logit_difference": "logit difference, answer − foil",
}
COLORS = [OKABE_ITO[name] for name in ("blue", "vermilion", "green", "purple", "black")]
DASHES: list[Any] = ["solid", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (2, 2))]
FLOOR = 1e-6
"""The lowest probability on a logarithmic axis."""


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
    pins: Sequence[Any] | None = None,
    over: Literal["layers", "positions"] = "layers",
    cell: Sequence[int] | None = None,
    axis: Literal["linear", "log"] = "linear",
) -> matplotlib.figure.Figure:
    """Draw layers from bottom (embedding) to top (output), and the course of pinned tokens.

    Parameters
    ----------
    color
        What the colour shows.
    positions
        Which positions; by default as many of the last ones as can be read at this width.
    pins
        Groups of tokens (text or id) whose probability is drawn below the grid; none by default.
    over, cell, axis
        Whether they are followed through the layers or the positions; the cell (row and column,
        counted from 0) that they are followed from, by default the last; ``"linear"`` or ``"log"``.
    """
    if color not in QUANTITIES:
        raise ValueError(f"color is one of {', '.join(QUANTITIES)}, not {color!r}")
    if color != "probability" and color not in result.arrays:
        raise ValueError(f"this lens holds no {color}: give the prompt an answer and a foil")
    groups = result.groups(pins or [])
    n_rows, n_cols = result.arrays["ids"].shape[:2]
    row, col = cell if cell is not None else (n_rows - 1, n_cols - 1)
    pitch, around = style.small / 72 * 1.75, 0.95
    below_it = 1.6 if groups else 0.0
    layers = _layers(n_rows, int((style.venue.height - around - below_it) / pitch), row)
    height = len(layers) * pitch + around
    figure = new_figure(style, height + below_it)
    if groups:
        ratio = {"height_ratios": [height, below_it]}
        ax, below = figure.subplots(2, 1, gridspec_kw=ratio)
        _course(below, result, style, groups, over, row, col, axis)
    else:
        ax = figure.add_subplot()
    where = positions or _readable(style, n_cols, col if cell is not None else n_cols - 1)
    _grid(ax, result, style, notes, color, where, layers)
    if groups and cell is not None:
        at = [(len(layers) - 1 - layers.index(row), col - range(n_cols)[where][0])]
        frame_cells(ax, [(r, c) for r, c in at if 0 <= c < len(range(n_cols)[where])])
    return figure


def _layers(count: int, room: int, chosen: int) -> list[int]:
    """Return the layers that fit on the page: all, or evenly spaced ones with both ends."""
    if count <= room:
        return list(range(count))
    step = -(-(count - 1) // max(room - 2, 1))
    return sorted({*range(0, count, step), count - 1, chosen})


def _readable(style: Style, count: int, chosen: int) -> slice:
    """Return as many columns as can be read, the last ones unless the chosen one lies before."""
    room = max(3, int((style.width - 1.3) / (style.small / 72 * 8 * 0.56)))
    start = max(0, min(count - room, chosen))
    return slice(start, start + room)


def _grid(
    ax: Axes,
    result: LensResult,
    style: Style,
    notes: list[str],
    color: str,
    where: slice,
    layers: list[int],
) -> None:
    limit = 8
    changed = result.arrays.get("difference")
    if changed is not None:
        cells = result.numpy("difference")
    else:
        cells = result.numpy("probs")[..., 0] if color == "probability" else result.numpy(color)
    ids = result.numpy("ids")[..., 0]
    shown = range(ids.shape[1])[where]
    if len(shown) < ids.shape[1]:
        notes.append(f"Positions {shown[0]} to {shown[-1]} of {ids.shape[1]}")
    if len(layers) < len(ids):
        notes.append(f"{len(layers)} of {len(ids)} layers, evenly spaced")
    top = layers[::-1]
    ids, cells = ids[top, where], cells[top, where].astype(np.float64)
    signed = color == "logit_difference" or changed is not None
    share = color in {"probability", "answer_prob"} and not signed
    vlim = (0.0, 1.0) if share else limits(cells, signed=signed)
    names = token_labels(result.tokens)
    artist = draw_heatmap(
        ax,
        cells,
        style,
        signed=signed,
        vlim=vlim,
        rows=[result.layers[i] for i in top],
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
    change = "change of " if changed is not None else ""
    add_colorbar(ax, artist, style, f"{change}{QUANTITIES[color]}")


def _course(
    ax: Axes,
    result: LensResult,
    style: Style,
    groups: list[list[int]],
    over: str,
    row: int,
    col: int,
    axis: str,
) -> None:
    names = token_labels(result.tokens)
    layers = over == "layers"
    steps = result.layers if layers else names
    for i, group in enumerate(groups):
        probs = result.probability(group)
        values = probs[:, col] if layers else probs[row]
        ax.plot(
            np.maximum(values, FLOOR) if axis == "log" else values,
            color=COLORS[i % len(COLORS)],
            linestyle=DASHES[i % len(DASHES)],
            linewidth=1.2,
            label=" + ".join(token_label(result.string(t)) for t in group),
        )
    at = thin(len(steps), max(2, int(style.width * (3.2 if layers else 1.9))))
    ax.set_xticks(at, [steps[i] for i in at])
    ax.set_xlim(0, max(1, len(steps) - 1))
    ax.set_xlabel("layer" if layers else "position")
    where = f"at {names[col]}" if layers else f"in layer {result.layers[row]}"
    ax.set_ylabel(f"probability\n{where}")
    if axis == "log":
        ax.set_yscale("log")
        ax.set_ylim(FLOOR, 1.2)
    else:
        ax.set_ylim(0, None)
    columns = min(len(groups), max(2, int(style.width / 1.3)))
    ax.legend(
        fontsize=style.small,
        handlelength=2.4,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=columns,
    )
