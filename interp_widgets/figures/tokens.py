"""Values on tokens as coloured text, the way it stands in a paper."""

from __future__ import annotations

import matplotlib.figure
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import limits
from interp_widgets.figures.labels import token_label
from interp_widgets.figures.screen import width_of, write
from interp_widgets.figures.style import Style, ink_on
from interp_widgets.results.tokens import TokensResult

MOST_TOKENS = 400


@renderer("tokens")
def draw(
    result: TokensResult, style: Style, notes: list[str], *, channel: int | str = 0
) -> matplotlib.figure.Figure:
    """Draw one channel's values as coloured text, wrapped to the width.

    Parameters
    ----------
    channel
        Index or name of the values to show when tokens carry several.
    """
    if isinstance(channel, str):
        if channel not in result.channels:
            raise ValueError(f"no channel {channel!r}; there are {', '.join(result.channels)}")
        channel = result.channels.index(channel)
    values = result.numpy("values")[channel].astype(np.float64)
    tokens = result.tokens
    if len(tokens) > MOST_TOKENS:
        notes.append(f"The last {MOST_TOKENS} of {len(tokens)} tokens")
        values, tokens = values[-MOST_TOKENS:], tokens[-MOST_TOKENS:]
    if len(result.channels) > 1:
        notes.append(f"Channel {result.channels[channel]}")
    size = float(style.rc["font.size"])
    em = size / 72
    line = em * 2.1
    boxes = _wrap(tokens, style, size)
    n_lines = boxes[-1][1] + 1 if boxes else 1
    bar = 0.5
    height = n_lines * line + bar
    figure = new_figure(style, height, fixed=True)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, style.width)
    ax.set_ylim(0, height)
    ax.axis("off")
    vlim = limits(values, signed=result.signed)
    norm = Normalize(*vlim, clip=True)
    cmap = style.cmap(signed=result.signed)
    finite = np.isfinite(values)
    faces = [cmap(norm(v)) if ok else "#d9d9d9" for v, ok in zip(values, finite, strict=True)]
    bottoms = [height - (row + 1) * line + line * 0.2 for _, row, _, _ in boxes]
    ax.add_collection(
        PatchCollection(
            [
                Rectangle((x, y), width, line * 0.72)
                for (x, _, width, _), y in zip(boxes, bottoms, strict=True)
            ],
            facecolors=faces,
            edgecolors="#cccccc",
            linewidths=0.5,
        ),
        autolim=False,
    )
    write(
        ax,
        style,
        [
            (x + width / 2, y + line * 0.36)
            for (x, _, width, _), y in zip(boxes, bottoms, strict=True)
        ],
        [text if ok else f"{text}×" for (*_, text), ok in zip(boxes, finite, strict=True)],
        [ink_on(face) for face in faces],
        size,
    )
    negative = result.signed & finite & (np.nan_to_num(values) < -0.1 * vlim[1])
    dashes = [
        [(x, y - 0.012), (x + width, y - 0.012)]
        for (x, _, width, _), y, minus in zip(boxes, bottoms, negative, strict=True)
        if minus
    ]
    marked = bool(dashes)
    ax.add_collection(
        LineCollection(dashes, colors="black", linewidths=0.9, linestyles=[(0, (2, 1.2))]),
        autolim=False,
    )
    if result.meta.get("note"):
        notes.append(f"Note: {result.meta['note']}")
    if marked:
        notes.append("Negative tokens are underlined with dashes")
    bar_ax = figure.add_axes((0.04, 0.26 / height, 0.4, 0.08 / height))
    scale = figure.colorbar(ScalarMappable(norm, cmap), cax=bar_ax, orientation="horizontal")
    scale.outline.set_linewidth(style.line)
    bar_ax.tick_params(length=2, width=style.line, labelsize=style.small, pad=1)
    figure.text(0.47, 0.3 / height, result.quantity, fontsize=style.small, va="center")
    return figure


def _wrap(tokens: list[str], style: Style, size: float) -> list[tuple[float, int, float, str]]:
    """Place every token: (x, line, width, text) in inches."""
    family = tuple(style.rc["font.family"])
    x, row = 0.04, 0
    boxes = []
    for token in tokens:
        text = token_label(token, 24)
        long = width_of(text.replace(r"\$", "$"), size, family)
        width = max(long / 72, size / 72 * 0.3) + size / 72 * 0.5
        if x + width > style.width - 0.04 and x > 0.04:
            x, row = 0.04, row + 1
        boxes.append((x, row, width, text))
        x += width + size / 72 * 0.12
        if "\n" in token:
            x, row = 0.04, row + 1
    return boxes
