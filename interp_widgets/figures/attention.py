"""Attention patterns: one head large, or many as small multiples."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap
from interp_widgets.figures.labels import token_labels
from interp_widgets.figures.style import Style
from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.base import to_numpy

THUMB = 48
"""Side, in cells, of a small multiple; longer patterns are max-pooled to it."""


@renderer("attention")
def draw(
    result: AttentionResult,
    style: Style,
    notes: list[str],
    *,
    layer: int | None = None,
    head: int | None = None,
    heads: Sequence[tuple[int, int]] | None = None,
) -> matplotlib.figure.Figure:
    """Draw attention, query rows and key columns.

    Parameters
    ----------
    layer, head
        One head, drawn large with its tokens.
    heads
        A few heads as (layer, head), drawn side by side with their tokens. With neither, all heads
        as a grid of small multiples.
    """
    if layer is not None and head is not None:
        heads = [(layer, head)]
    if heads is None:
        return _grid(result, style, notes)
    names = token_labels(result.tokens)
    across = min(len(heads), 3 if style.width > 5 else 2)
    down = -(-len(heads) // across)
    ticks = min(max(map(len, names), default=0), 12) * style.small / 72 * 0.55
    side = max((style.width - 0.85 - ticks) / across, 0.6)
    figure = new_figure(style, down * (side + 0.2 * (len(heads) > 1) + ticks + 0.3) + 0.25)
    axes = np.atleast_1d(figure.subplots(down, across, sharey=True, squeeze=False)).ravel()
    artist = None
    for i, (ax, (a, h)) in enumerate(zip(axes, heads, strict=False)):
        pattern = to_numpy(result.pattern(layer=a, head=h))
        artist = draw_heatmap(
            ax, pattern, style, signed=False, vlim=(0.0, 1.0), rows=names, cols=names, notes=notes
        )
        ax.set_aspect("equal")
        if len(heads) > 1:
            ax.set_title(f"head {a}.{h}", fontsize=style.small)
        ax.set_xlabel("key")
        if i % across == 0:
            ax.set_ylabel("query")
    for ax in axes[len(heads) :]:
        ax.axis("off")
    if len(heads) == 1:
        notes.append(f"Head {heads[0][0]}.{heads[0][1]}")
    add_colorbar(axes if len(heads) > 1 else axes[0], artist, style, "attention")
    return figure


def _grid(result: AttentionResult, style: Style, notes: list[str]) -> matplotlib.figure.Figure:
    layers, heads = result.n_layers, result.n_heads
    count = len(result.tokens)
    size = min(THUMB, count)
    thumbs = to_numpy(result.overview(size)).astype(np.float64)
    gap = max(1, size // 12)
    step = size + gap
    canvas = np.full((layers * step - gap, heads * step - gap), np.nan)
    for a in range(layers):
        for h in range(heads):
            canvas[a * step : a * step + size, h * step : h * step + size] = thumbs[a, h]
    square = (style.width - 1.0) / canvas.shape[1]
    figure = new_figure(style, min(square * canvas.shape[0], style.width * 1.3) + 0.5)
    ax = figure.add_subplot()
    cmap = style.cmap(signed=False).with_extremes(bad="#ffffff")
    artist = ax.imshow(
        np.ma.masked_invalid(canvas), cmap=cmap, vmin=0, vmax=1, interpolation="nearest"
    )
    for a in range(layers):
        for h in range(heads):
            ax.add_patch(
                matplotlib.patches.Rectangle(
                    (h * step - 0.5, a * step - 0.5),
                    size,
                    size,
                    fill=False,
                    edgecolor="#bbbbbb",
                    linewidth=0.5,
                )
            )
    ax.set_xlim(-1, canvas.shape[1])
    ax.set_ylim(canvas.shape[0], -1)
    centre = (size - 1) / 2
    every = max(1, -(-heads // 16))
    ax.set_xticks(
        [h * step + centre for h in range(0, heads, every)],
        [str(h) for h in range(0, heads, every)],
    )
    every = max(1, -(-layers // 24))
    ax.set_yticks(
        [a * step + centre for a in range(0, layers, every)],
        [str(a) for a in range(0, layers, every)],
    )
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set_xlabel("head")
    ax.set_ylabel("layer")
    if size < count:
        notes.append(f"Patterns of {count} tokens are max-pooled to {size} × {size}")
    add_colorbar(ax, artist, style, "attention")
    return figure
