"""Attention patterns: a few heads large, as matrices or lines, or all as small multiples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.collections
import matplotlib.figure
import matplotlib.patches
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm, LogNorm, Normalize

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap
from interp_widgets.figures.labels import token_labels
from interp_widgets.figures.screen import show_cells
from interp_widgets.figures.style import Style
from interp_widgets.figures.ticks import Named, mark
from interp_widgets.results.attention import HEAD_SCORES, QUICK, AttentionResult
from interp_widgets.results.attention_math import pooled_part
from interp_widgets.results.base import to_numpy

THUMB = 64
"""Longest side, in cells, of a small multiple; longer patterns are pooled to it."""

CELLS, CELLS_SCREEN = 512, 256
"""Side, in cells, of a large pattern on paper and beside a view; longer ones are pooled to it."""

LINES = 1500
"""Lines drawn between tokens, the strongest."""

LOG_FLOOR = 1e-4
"""Smallest weight of the logarithmic scale."""


@dataclass
class Panel:
    """One pattern of a figure: what is drawn where."""

    result: AttentionResult
    minus: AttentionResult | None
    layer: int
    head: int
    title: str
    queries: range
    keys: range
    by_value: bool

    def values(self, notes: list[str], most: int) -> np.ndarray:
        """Return the weights shown, pooled to at most this many cells along a side."""
        longest = max(len(self.queries), len(self.keys))
        pool = 1
        while longest / pool > most:
            pool *= 2
        sampled = pool > 1 and len(self.queries) * len(self.keys) > QUICK
        if pool > 1:
            rows = f"one query in {pool}" if sampled else f"the largest of {pool} × {pool}"
            note = f"A cell is {rows}{f', the largest of {pool} keys' if sampled else ''}"
            if note not in notes:
                notes.append(note)

        def part(rows: range | Sequence[int], cols: range) -> Any:
            some, keys = list(rows), slice(cols.start, cols.stop)
            found = self.result.queries(self.layer, self.head, some, keys, by_value=self.by_value)
            if self.minus is None:
                return found
            base = self.minus.queries(self.layer, self.head, some, keys, by_value=self.by_value)
            return found - base

        signed = self.minus is not None
        shown = pooled_part(
            part, self.queries, self.keys, pool, "max", sampled=sampled, signed=signed
        )
        return to_numpy(shown)


@renderer("attention")
def draw(
    result: AttentionResult,
    style: Style,
    notes: list[str],
    *,
    layer: int | None = None,
    head: int | None = None,
    heads: Sequence[tuple[int, int]] | None = None,
    window: Sequence[int] | None = None,
    scale: str = "linear",
    sort: str = "layer",
    lines: bool = False,
    by_value: bool = False,
    against: bool = False,
    minus: AttentionResult | None = None,
    patch: int | None = None,
) -> matplotlib.figure.Figure:
    """Draw attention, query rows and key columns.

    Parameters
    ----------
    layer, head
        One head, drawn large with its tokens.
    heads
        A few heads as (layer, head), drawn side by side with their tokens. With neither, all heads
        as a grid of small multiples.
    window
        Only a part, as (first query, end, first key, end), ends exclusive.
    scale
        ``"linear"``, ``"sqrt"`` or ``"log"`` colours.
    sort
        Of the grid: ``"layer"`` or a head score; the strongest comes first (of ``"entropy"`` the
        sharpest).
    lines
        Draw lines between the tokens in the place of a matrix.
    by_value
        Weights times the norm of what the head writes, ``‖v W_O‖``.
    against
        Draw the second prompt of the result beside each head.
    minus
        Draw the change from this result (base → intervened).
    patch
        Draw the attention of this patch over the image.

    Raises
    ------
    ValueError
        For a head, scale or order that is not there.
    """
    if layer is not None and head is not None:
        heads = [(layer, head)]
    if scale not in ("linear", "sqrt", "log"):
        raise ValueError(f"scale is linear, sqrt or log, not {scale!r}")
    notes.append(f"Patterns {result.source}")
    if heads is None:
        return _grid(result, style, notes, sort)
    panels = []
    for a, h in heads:
        panels.append(_panel(result, minus, a, h, window, by_value, ""))
        other = result.against if against else None
        if other is not None:
            base = minus.against if minus is not None else None
            panels.append(_panel(other, base, a, h, None, by_value, ", other prompt"))
    if patch is not None and "image" in result.arrays:
        return _picture(result, panels[0], patch, style, notes)
    if len(panels) == 1:
        notes.append(panels[0].title.replace("head", "Head"))
    most = CELLS_SCREEN if style.screen and not lines else CELLS
    values = [panel.values(notes, most) for panel in panels]
    label = ("change of " if minus is not None else "") + (
        "attention × ‖v W_O‖" if by_value else "attention"
    )
    return (_lines if lines else _matrices)(panels, values, style, notes, scale, label)


def _panel(
    result: AttentionResult,
    minus: AttentionResult | None,
    layer: int,
    head: int,
    window: Sequence[int] | None,
    by_value: bool,  # noqa: FBT001
    extra: str,
) -> Panel:
    q0, q1, k0, k1 = window or (0, result.n_queries, 0, result.positions)
    queries = range(max(0, q0), min(q1, result.n_queries))
    keys = range(max(0, k0), min(k1, result.positions))
    if not queries or not keys:
        raise ValueError(f"the window {list(window or [])} holds no queries or no keys")
    title = f"head {layer}.{head}{extra}"
    return Panel(result, minus, layer, head, title, queries, keys, by_value)


def _matrices(
    panels: list[Panel],
    values: list[np.ndarray],
    style: Style,
    notes: list[str],
    scale: str,
    label: str,
) -> matplotlib.figure.Figure:
    rows, cols = zip(*[_names(panel) for panel in panels], strict=True)
    signed = panels[0].minus is not None
    shared = len({tuple(names) for names in rows}) == 1
    across = min(len(panels), 3 if style.width > 5 else 2 if shared else 1)
    down = -(-len(panels) // across)
    longest = max((len(n) for names in cols for n in names), default=0)
    ticks = min(longest, 12) * style.small / 72 * 0.55
    side = max((style.width - 0.85 - ticks) / across, 0.6)
    tall = max(min(v.shape[0] / v.shape[1], 1.6) for v in values)
    height = down * (side * tall + 0.2 * (len(panels) > 1) + ticks + 0.2) + 0.1
    figure = new_figure(style, height)
    figure.set_layout_engine("compressed")
    axes = np.atleast_1d(figure.subplots(down, across, sharey=shared, squeeze=False)).ravel()
    norm = _norm(values, scale, signed=signed, by_value=panels[0].by_value)
    artist = None
    for i, (ax, panel, shown) in enumerate(zip(axes, panels, values, strict=False)):
        artist = draw_heatmap(
            ax,
            shown,
            style,
            signed=signed,
            vlim=(norm.vmin or 0.0, norm.vmax or 1.0),
            rows=rows[i] if len(rows[i]) == shown.shape[0] else None,
            cols=cols[i] if len(cols[i]) == shown.shape[1] else None,
            notes=notes,
        )
        artist.set_norm(norm)
        ax.set_aspect("equal")
        if len(panels) > 1:
            ax.set_title(panel.title, fontsize=style.small)
        ax.set_xlabel("key")
        if i % across == 0:
            ax.set_ylabel("query")
    for ax in axes[len(panels) :]:
        ax.axis("off")
    if scale != "linear":
        notes.append({"sqrt": "Square-root scale", "log": "Logarithmic scale"}[scale])
    add_colorbar(axes if len(panels) > 1 else axes[0], artist, style, label)
    return figure


def _names(panel: Panel) -> tuple[list[str], list[str]]:
    queries = token_labels(panel.result.query_tokens)
    keys = token_labels(panel.result.tokens)
    return [queries[i] for i in panel.queries], [keys[i] for i in panel.keys]


def _norm(values: list[np.ndarray], scale: str, *, signed: bool, by_value: bool) -> Normalize:
    top = max((float(np.abs(v[np.isfinite(v)]).max(initial=0)) for v in values), default=1) or 1.0
    if not signed and not by_value:
        top = 1.0
    if scale == "log" and not signed:
        return LogNorm(min(LOG_FLOOR, top / 10), top, clip=True)
    if scale != "linear":
        bend: Callable[[Any], Any] = lambda x: np.sign(x) * np.sqrt(np.abs(x))  # noqa: E731
        back: Callable[[Any], Any] = lambda x: np.sign(x) * np.square(x)  # noqa: E731
        return FuncNorm((bend, back), -top if signed else 0.0, top, clip=True)
    return Normalize(-top if signed else 0.0, top, clip=True)


def _lines(
    panels: list[Panel],
    values: list[np.ndarray],
    style: Style,
    notes: list[str],
    scale: str,  # noqa: ARG001  # lines show weights by opacity and width, always linear
    label: str,
) -> matplotlib.figure.Figure:
    if any(v.shape != (len(p.queries), len(p.keys)) for p, v in zip(panels, values, strict=True)):
        raise ValueError(f"lines are drawn for up to {CELLS} tokens: give a window, or lines=False")
    longest = max(max(v.shape) for v in values)
    pitch = style.small / 72 * 1.25
    across = len(panels) if style.width > 5 else 1
    down = -(-len(panels) // across)
    figure = new_figure(style, down * (longest * pitch + 0.35))
    axes = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel()
    cmap = style.cmap(signed=False)
    for ax, panel, shown in zip(axes, panels, values, strict=True):
        _draw_lines(ax, panel, shown, style, cmap, notes)
    notes.append(f"Lines from query (left) to key (right); width and opacity: {label}")
    return figure


def _draw_lines(
    ax: Axes, panel: Panel, shown: np.ndarray, style: Style, cmap: Any, notes: list[str]
) -> None:
    top = float(np.abs(shown).max()) if panel.minus is not None or panel.by_value else 1.0
    order = np.argsort(np.abs(shown), axis=None)[::-1][:LINES]
    at = np.linspace(0, 1, 24)
    ease = at * at * (3 - 2 * at)
    for flat in order[::-1]:
        q, k = np.unravel_index(int(flat), shown.shape)
        share = min(1.0, abs(float(shown[q, k])) / (top or 1.0))
        if share < 0.01:
            continue
        colour = cmap(0.7) if shown[q, k] >= 0 else "#c0562a"
        style_of = "-" if shown[q, k] >= 0 else (0, (3, 2))
        ax.plot(
            at,
            q + (k - q) * ease,
            color=colour,
            alpha=0.06 + 0.94 * share,
            linewidth=0.5 + 1.5 * share,
            linestyle=style_of,
            solid_capstyle="butt",
        )
    dropped = int((np.abs(shown) >= 0.01 * top).sum()) - LINES
    if dropped > 0:
        notes.append(f"{dropped} weaker lines are not drawn")
    queries, keys = _names(panel)
    for x, names, side in ((-0.03, queries, "right"), (1.03, keys, "left")):
        for i, name in enumerate(names):
            ax.text(x, i, name, ha=side, va="center", fontsize=style.small)
    ax.set_xlim(-0.6, 1.6)
    ax.set_ylim(max(shown.shape) - 0.5, -0.5)
    ax.set_title(panel.title, fontsize=style.small)
    ax.axis("off")


def _picture(
    result: AttentionResult, panel: Panel, patch: int, style: Style, notes: list[str]
) -> matplotlib.figure.Figure:
    cut = result.meta["patches"]
    extra, rows, columns = cut["extra"], cut["rows"], cut["columns"]
    image = result.numpy("image")
    weights = to_numpy(result.queries(panel.layer, panel.head, [patch], by_value=panel.by_value)[0])
    grid = weights[extra : extra + rows * columns].reshape(rows, columns)
    figure = new_figure(style, (style.width - 0.7) / 2 * image.shape[0] / image.shape[1] + 0.4)
    left, right = figure.subplots(1, 2)
    extent = (0, columns, rows, 0)
    for ax in (left, right):
        ax.imshow(image, extent=extent)
        ax.set_xticks([])
        ax.set_yticks([])
    artist = right.imshow(
        grid,
        extent=extent,
        cmap=style.cmap(signed=False),
        vmin=0,
        vmax=float(grid.max()) or 1.0,
        alpha=0.8,
        interpolation="nearest",
    )
    if patch >= extra:
        r, c = divmod(patch - extra, columns)
        for ax in (left, right):
            ax.add_patch(
                matplotlib.patches.Rectangle((c, r), 1, 1, fill=False, edgecolor="#d9622b", lw=1.2)
            )
    left.set_title("image", fontsize=style.small)
    right.set_title(f"{panel.title} from {result.tokens[patch]}", fontsize=style.small)
    if extra:
        rest = ", ".join(
            f"{t} {w:.2f}" for t, w in zip(result.tokens[:extra], weights, strict=False)
        )
        notes.append(f"Not in the picture: {rest}")
    add_colorbar([left, right], artist, style, "attention")
    return figure


def _grid(
    result: AttentionResult, style: Style, notes: list[str], sort: str
) -> matplotlib.figure.Figure:
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
        thumbs, names = _sorted(result, thumbs, sort, notes)
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
    result: AttentionResult, thumbs: np.ndarray, sort: str, notes: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Return thumbnails and names of heads by falling score, row by row."""
    if sort not in HEAD_SCORES:
        raise ValueError(f"sort is layer or one of {', '.join(HEAD_SCORES)}, not {sort!r}")
    score = result.head_score(sort).reshape(-1)
    key = score if sort == "entropy" else -score
    order = np.argsort(np.where(np.isnan(key), np.inf, key), kind="stable")
    notes.append(f"Heads by {sort.replace('_', ' ')}, row by row")
    flat = thumbs.reshape(-1, *thumbs.shape[2:])[order]
    names = [f"{result.layers[i // result.n_heads]}.{i % result.n_heads}" for i in order]
    return flat.reshape(thumbs.shape), names
