"""All heads of an attention figure as small multiples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.collections
import matplotlib.figure
import matplotlib.patches
import numpy as np
from matplotlib.colors import Normalize

from interp_widgets.figures.figure import new_figure
from interp_widgets.figures.heatmap import add_colorbar
from interp_widgets.figures.screen import show_cells
from interp_widgets.figures.style import Style
from interp_widgets.figures.ticks import Named, mark
from interp_widgets.results.attention import HEAD_SCORES, AttentionResult
from interp_widgets.results.attention_math import pooled_part
from interp_widgets.results.attention_scores import given_scores
from interp_widgets.results.base import to_numpy

THUMB = 64
"""Longest side, in cells, of a small multiple; longer patterns are pooled to it."""


def grid(
    result: AttentionResult, style: Style, notes: list[str], sort: str, scores: Any = None
) -> matplotlib.figure.Figure:
    """Draw every head as a thumbnail, in layer order or by a score, row by row."""
    layers, heads = result.n_layers, result.n_heads
    count = max(result.n_queries, result.positions)
    pool = 1
    while count / pool > THUMB:
        pool *= 2
    if result.quick:
        thumbs = np.stack(
            [[_thumb(result, a, h, pool) for h in range(heads)] for a in result.layers]
        )
    else:
        thumbs = np.stack([to_numpy(result.sketch(a, THUMB)) for a in result.layers])
    size = max(thumbs.shape[2:])
    tall, wide = thumbs.shape[2:]
    if sort != "layer":
        thumbs, names = _sorted(result, thumbs, sort, scores, notes)
    gap = max(1, size // 12)
    down, across = tall + gap, wide + gap
    canvas = np.full((layers * down - gap, heads * across - gap), np.nan)
    for a in range(layers):
        for h in range(heads):
            canvas[a * down : a * down + tall, h * across : h * across + wide] = thumbs[a, h]
    square = (style.width - 1.0) / canvas.shape[1]
    figure = new_figure(style, min(square * canvas.shape[0], style.width * 1.3) + 0.5)
    ax = figure.add_subplot()
    cmap = style.cmap(signed=False).with_extremes(bad="#ffffff")
    extent = (-0.5, canvas.shape[1] - 0.5, canvas.shape[0] - 0.5, -0.5)
    shown = np.ma.masked_invalid(canvas)
    artist = show_cells(ax, style, shown, extent, cmap=cmap, norm=Normalize(0, 1))
    ax.set_aspect("equal")
    boxes = [
        matplotlib.patches.Rectangle((h * across - 0.5, a * down - 0.5), wide, tall)
        for a in range(layers)
        for h in range(heads)
    ]
    ax.add_collection(
        matplotlib.collections.PatchCollection(
            boxes, facecolor="none", edgecolor="#bbbbbb", linewidth=0.5
        )
    )
    ax.set_xlim(-1, canvas.shape[1])
    ax.set_ylim(canvas.shape[0], -1)
    for side in ax.spines.values():
        side.set_visible(False)
    if sort == "layer":
        columns = range(0, heads, max(1, -(-heads // 16)))
        rows = range(0, layers, max(1, -(-layers // 24)))
        below = [h * across + (wide - 1) / 2 for h in columns], [str(h) for h in columns]
        beside = [a * down + (tall - 1) / 2 for a in rows], [str(result.layers[a]) for a in rows]
        mark(ax, style, Named(*below, ticks=False), Named(*beside, ticks=False))
        ax.set_xlabel("head")
        ax.set_ylabel("layer")
    else:
        ax.set_xticks([])
        ax.set_yticks([])
        for i, name in enumerate(names):
            a, h = divmod(i, heads)
            ax.text(
                h * across + wide - 1,
                a * down,
                name,
                ha="right",
                va="top",
                fontsize=style.small * 0.8,
            )
    if not result.quick:
        notes.append(f"Patterns of {count} tokens: a row is one query, a cell its largest weight")
    elif size < count:
        notes.append(f"Patterns of {count} tokens are max-pooled, {pool} × {pool} to a cell")
    add_colorbar(ax, artist, style, "attention")
    return figure


def _thumb(result: AttentionResult, layer: int, head: int, pool: int) -> np.ndarray:
    def part(rows: range | Sequence[int], cols: range) -> Any:
        return result.queries(layer, head, rows, slice(cols.start, cols.stop))

    rows, cols = range(result.n_queries), range(result.positions)
    return to_numpy(pooled_part(part, rows, cols, pool, "max"))


def _sorted(
    result: AttentionResult, thumbs: np.ndarray, sort: str, scores: Any, notes: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Return thumbnails and names of heads by falling score, row by row."""
    if sort == "given":
        given = given_scores(result, scores)
        key, name = -np.abs(np.asarray(given["values"])), f"magnitude of {given['name']}"
    elif sort in HEAD_SCORES:
        score = result.head_score(sort).reshape(-1)
        key, name = score if sort == "entropy" else -score, sort.replace("_", " ")
    else:
        raise ValueError(f"sort is layer, given or one of {', '.join(HEAD_SCORES)}, not {sort!r}")
    order = np.argsort(np.where(np.isnan(key), np.inf, key), kind="stable")
    notes.append(f"Heads by {name}, row by row")
    flat = thumbs.reshape(-1, *thumbs.shape[2:])[order]
    names = [f"{result.layers[i // result.n_heads]}.{i % result.n_heads}" for i in order]
    return flat.reshape(thumbs.shape), names
