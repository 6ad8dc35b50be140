"""Attention patterns: a few heads large, as matrices or lines, or all as small multiples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.collections
import matplotlib.figure
import matplotlib.patches
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm, LogNorm, Normalize

from interp_widgets.figures.attention_axes import paper_axes, repeats, screen_axes
from interp_widgets.figures.attention_grid import grid
from interp_widgets.figures.attention_panel import Panel, difference
from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap
from interp_widgets.figures.labels import token_labels
from interp_widgets.figures.style import Style
from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.base import to_numpy

CELLS, CELLS_SCREEN = 512, 256
"""Side, in cells, of a large pattern on paper and beside a view; longer ones are pooled to it."""

LINES = 1500
"""Lines drawn between tokens, the strongest."""

LOG_FLOOR = 1e-4
"""Smallest weight of the logarithmic scale."""


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
    sort: str | None = None,
    scores: Any = None,
    lines: bool = False,
    by_value: bool = False,
    against: bool = False,
    contrast: bool = False,
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
        Of the grid: ``"layer"``, a head score (the strongest comes first, of ``"entropy"`` the
        sharpest), or ``"given"``: the magnitude of ``scores``. Default ``"given"`` with ``scores``,
        else ``"layer"``.
    scores
        A number per head: an :class:`ArrayResult` of the dims ``layer, head`` (from ``iw.patch``,
        for example) or an array ``[layer, head]``.
    lines
        Draw lines between the tokens in the place of a matrix.
    by_value
        Weights times the norm of what the head writes, ``‖v W_O‖``.
    against
        Draw the second prompt of the result beside each head.
    contrast
        Of two panels (two heads, or one head with ``against``): draw the first minus the second
        too, on a scale of its own, symmetric about zero.
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
        sort = sort or ("layer" if scores is None else "given")
        if sort == "given" and scores is None:
            raise ValueError("sort='given' needs scores, an array [layer, head]")
        return grid(result, style, notes, sort, scores)
    panels = []
    for a, h in heads:
        panels.append(_panel(result, minus, a, h, window, by_value, ""))
        other = result.against if against else None
        if other is not None:
            base = minus.against if minus is not None else None
            panels.append(_panel(other, base, a, h, None, by_value, ", other prompt"))
    if contrast:
        panels.append(difference(panels))
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
    place = screen_axes if style.screen and style.region is None else paper_axes
    axes, across = place(style, panels, values, rows, cols)
    figure: Any = axes[0].get_figure()
    again = repeats(rows, across)
    plain = [v for v, panel in zip(values, panels, strict=True) if panel.less is None]
    by_value = panels[0].by_value
    norms = {False: _norm(plain, scale, signed=panels[0].signed, by_value=by_value)}
    artists: dict[bool, tuple[Any, list[Axes]]] = {}
    for i, (ax, panel, shown) in enumerate(zip(axes, panels, values, strict=False)):
        differs = panel.less is not None
        if differs:
            norms[True] = _norm([shown], scale, signed=True, by_value=by_value)
        norm = norms[differs]
        names = [""] * len(rows[i]) if style.screen and again[i] else rows[i]
        artist = draw_heatmap(
            ax,
            shown,
            style,
            signed=panel.signed,
            vlim=(min(norm.vmin or 0.0, 0.0), norm.vmax or 1.0),
            rows=names if len(names) == shown.shape[0] else None,
            cols=cols[i] if len(cols[i]) == shown.shape[1] else None,
            notes=notes,
        )
        artist.set_norm(norm)
        artists.setdefault(differs, (artist, []))[1].append(ax)
        ax.set_aspect("equal")
        if len(panels) > 1:
            ax.set_title(panel.title, fontsize=style.small)
        ax.set_xlabel("key")
        if i % across == 0:
            ax.set_ylabel("query")
    for ax in axes[len(panels) :]:
        ax.axis("off")
    if scale != "linear":
        log = f"Logarithmic scale; weights below {LOG_FLOOR:g} have its lowest colour"
        notes.append(log if scale == "log" and not panels[0].signed else "Square-root scale")
    for differs, (artist, drawn) in artists.items():
        alone = len(artists) == 1 and len(panels) > 1
        where: Any = axes if alone else drawn[0] if len(drawn) == 1 else drawn
        add_colorbar(
            where,
            artist,
            style,
            ("difference" if style.screen else f"difference of {label}") if differs else label,
        )
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
    for ax, panel, shown in zip(axes, panels, values, strict=True):
        _draw_lines(ax, panel, shown, style, style.cmap(signed=panel.signed), notes)
    notes.append(f"Lines from query (left) to key (right); width and opacity: {label}")
    return figure


def _draw_lines(
    ax: Axes, panel: Panel, shown: np.ndarray, style: Style, cmap: Any, notes: list[str]
) -> None:
    top = float(np.abs(shown).max()) if panel.signed or panel.by_value else 1.0
    order = np.argsort(np.abs(shown), axis=None)[::-1][:LINES]
    at = np.linspace(0, 1, 24)
    ease = at * at * (3 - 2 * at)
    for flat in order[::-1]:
        q, k = np.unravel_index(int(flat), shown.shape)
        share = min(1.0, abs(float(shown[q, k])) / (top or 1.0))
        if share < 0.01:
            continue
        colour = cmap(0.85 if shown[q, k] >= 0 else 0.15) if panel.signed else cmap(0.7)
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
