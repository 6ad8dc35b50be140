"""The heatmap that arrays, attention and lens grids are drawn with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Polygon, Rectangle

from interp_widgets.figures.labels import thin
from interp_widgets.figures.screen import ScaleBar, show_cells, wrapped, write
from interp_widgets.figures.style import HATCH_NEGATIVE, Style
from interp_widgets.figures.ticks import Named, mark
from interp_widgets.results.base import to_numpy
from interp_widgets.results.planes import pooled

VECTOR_CELLS = 10_000
"""Up to this many cells are vector shapes; more are one embedded image."""
DOTS, DOTS_SCREEN = 300, 50
"""Dots per inch that larger arrays are pooled to, on paper and in the picture beside a view."""
GLYPH_CELLS = 600
"""Up to this many cells carry a minus sign; more are hatched where negative."""


def limits(values: np.ndarray, *, signed: bool) -> tuple[float, float]:
    """Return the colour limits: symmetric about zero if signed, else from zero or the minimum."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return (-1.0, 1.0) if signed else (0.0, 1.0)
    if signed:
        top = float(np.abs(finite).max()) or 1.0
        return -top, top
    low, high = float(finite.min()), float(finite.max())
    low = min(low, 0.0) if low < 0 or low < 0.5 * high else low
    return (low, high) if high > low else (low, low + 1.0)


def draw_heatmap(
    ax: Axes,
    values: Any,
    style: Style,
    *,
    signed: bool,
    vlim: tuple[float, float] | None = None,
    mask: np.ndarray | None = None,
    rows: Sequence[str] | None = None,
    cols: Sequence[str] | None = None,
    marks: bool | Literal["corner"] = True,
    notes: list[str] | None = None,
) -> Any:
    """Draw ``values [row, column]``, a tensor or array; returns the artist for a colour bar.

    NaN is grey and crossed, infinities are marked with ∞, masked cells with a dot, cells beyond
    ``vlim`` have a marked corner, negative cells carry a minus sign (few cells) or hatching (many),
    so that the sign survives printing in grey.
    """
    notes = notes if notes is not None else []
    box = ax.get_position()
    width_in = style.width * max(box.width, 0.05)
    most = int(width_in * (DOTS_SCREEN if style.screen else DOTS))
    n_rows, n_cols = values.shape
    if max(values.shape) > 2 * most:
        steps = -(-n_rows // most), -(-n_cols // most)
        values = pooled(values, *steps, "max", signed=signed)
        kept = "the largest magnitude" if signed else "the maximum"
        notes.append(
            f"One dot is {kept} of {steps[0]} × {steps[1]} of {n_rows:,} × {n_cols:,} cells"
        )
        mask = None
    values = to_numpy(values).astype(np.float64)
    low, high = vlim or limits(values, signed=signed)
    if style.scale is not None:
        low, high = style.scale.limits(low, high, signed=signed)
    norm = Normalize(low, high, clip=True)
    cmap = style.cmap(signed=signed)
    shown = np.ma.masked_invalid(values)
    pooled_away = values.shape != (n_rows, n_cols)
    if values.size <= VECTOR_CELLS and not pooled_away and not style.screen:
        artist: Any = ax.pcolormesh(shown, cmap=cmap, norm=norm, edgecolors="none", linewidth=0)
    else:
        artist = show_cells(ax, style, shown, (0, n_cols, n_rows, 0), cmap=cmap, norm=norm)
    ax.set_xlim(0, n_cols)
    ax.set_ylim(n_rows, 0)
    for side in ax.spines.values():
        side.set_visible(True)
        side.set_linewidth(style.line)
    ax.tick_params(length=0, pad=2)
    if not pooled_away:
        _mark_nonfinite(ax, values, style, notes, mask)
        _mark_beyond(ax, values, (low, high), notes)
    if pooled_away and style.screen:
        marks = False
    if marks and signed and (values < 0).any() and low < 0 < high:
        _mark_negative(ax, values, high, style, notes, (n_rows, n_cols), corner=marks == "corner")
    _ticks(ax, style, rows, cols, (n_rows, n_cols))
    return artist


def _mark_nonfinite(
    ax: Axes, values: np.ndarray, style: Style, notes: list[str], mask: np.ndarray | None
) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    masked = np.zeros_like(bad) if mask is None else np.asarray(mask, dtype=bool)
    kinds = [
        ("masked", "·", masked),
        ("not a number", "×", np.isnan(values) & ~masked),
        ("infinite", "∞", np.isposinf(values) & ~masked),
        ("minus infinite", "−∞", np.isneginf(values) & ~masked),
    ]
    words = []
    for word, sign, where in kinds:
        count = int(where.sum())
        if not count:
            continue
        words.append(f"{count} {'cell is' if count == 1 else 'cells are'} {word} ({sign})")
        cells = np.argwhere(where)[:GLYPH_CELLS]
        write_cells(ax, style, cells, [sign] * len(cells), ["#555555"] * len(cells))
    notes.append(" and ".join(words))


def _mark_beyond(ax: Axes, values: np.ndarray, vlim: tuple[float, float], notes: list[str]) -> None:
    """Mark a corner of cells that the colour scale does not reach."""
    finite = np.isfinite(values)
    slack = 1e-6 * (vlim[1] - vlim[0])
    over, under = finite & (values > vlim[1] + slack), finite & (values < vlim[0] - slack)
    count = int(over.sum() + under.sum())
    if not count:
        return
    notes.append(f"{count} {'cell lies' if count == 1 else 'cells lie'} beyond the colour scale")
    if count > GLYPH_CELLS:
        return
    for where, top in ((over, True), (under, False)):
        for r, c in np.argwhere(where):
            y = r if top else r + 1
            inner = r + 0.35 if top else r + 0.65
            corner = [(c + 1, y), (c + 0.65, y), (c + 1, inner)]
            ax.add_patch(Polygon(corner, closed=True, facecolor="black", edgecolor="none"))
    notes[-1] += " (marked corner)"


def _mark_negative(
    ax: Axes,
    values: np.ndarray,
    high: float,
    style: Style,
    notes: list[str],
    shape: tuple[int, int],
    *,
    corner: bool,
) -> None:
    strong = np.nan_to_num(values) < -0.25 * high
    if not strong.any():
        notes.append("Negative cells are weaker than a quarter of the scale and carry no mark")
        return
    dark = np.nan_to_num(values) < -0.55 * high
    if values.size <= GLYPH_CELLS and values.shape == shape:
        cells = np.argwhere(strong)
        inks = ["white" if dark[r, c] else "black" for r, c in cells]
        at = cells + np.array([-0.25, -0.38]) if corner else cells
        write_cells(ax, style, at, ["\N{MINUS SIGN}"] * len(cells), inks)
        notes.append("Negative cells beyond a quarter of the scale carry a minus sign")
        return
    for where, ink in ((strong & ~dark, "#222222"), (dark, "#ffffff")):
        if where.any():
            _hatch(ax, where, ink, shape)
    notes.append("Negative cells beyond a quarter of the scale are hatched")


def _hatch(ax: Axes, where: np.ndarray, ink: str, shape: tuple[int, int]) -> None:
    """Hatch the chosen cells, exactly where they are few enough to be shapes."""
    edges = [np.linspace(0, n, m + 1) for n, m in zip(shape, where.shape, strict=True)]
    if where.size <= VECTOR_CELLS:
        sides = [np.column_stack([e[:-1] + 1e-6, e[1:] - 1e-6]).ravel() for e in edges]
        where = where.repeat(2, 0).repeat(2, 1)
    else:
        sides = [(e[:-1] + e[1:]) / 2 for e in edges]
    with mpl.rc_context({"hatch.color": ink}):
        ax.contourf(
            sides[1],
            sides[0],
            where.astype(float),
            levels=[0.5, 1.5],
            colors="none",
            hatches=[HATCH_NEGATIVE],
        )


def write_cells(
    ax: Axes, style: Style, cells: np.ndarray, words: Sequence[str], inks: Sequence[str]
) -> None:
    """Write a word into the middle of each cell (row, column)."""
    write(ax, style, np.asarray(cells, dtype=float).reshape(-1, 2)[:, ::-1] + 0.5, words, inks)


def _ticks(
    ax: Axes,
    style: Style,
    rows: Sequence[str] | None,
    cols: Sequence[str] | None,
    shape: tuple[int, ...],
) -> None:
    width, height = ax.get_figure().get_size_inches()  # type: ignore[union-attr]
    box = ax.get_position()
    em = style.small / 72
    longest = max(map(len, cols), default=0) if cols else len(str(shape[1] - 1))
    wide = cols is not None and longest > 3
    room_x = int(width * box.width / (em * (1.15 if wide else 0.62 * longest + 0.6)))
    room_y = int(height * box.height / (em * 1.15))
    along = thin(shape[1], max(room_x, 2))
    down = thin(shape[0], max(room_y, 2))
    below = [cols[i] if cols else str(i) for i in along]
    beside = [rows[i] if rows else str(i) for i in down]
    x, y = [i + 0.5 for i in along], [i + 0.5 for i in down]
    mark(ax, style, Named(x, below, ticks=False, upright=not wide), Named(y, beside, ticks=False))


def frame_cells(ax: Axes, cells: Iterable[tuple[int, int]]) -> None:
    """Frame cells (row, column): black on white, so that the frame is seen on every colour."""
    for row, col in cells:
        for color, width in (("white", 2.4), ("black", 1.2)):
            ax.add_patch(
                Rectangle((col, row), 1, 1, fill=False, edgecolor=color, linewidth=width, zorder=3)
            )


def add_colorbar(
    ax: Any, artist: Any, style: Style, label: str, notes: list[str] | None = None
) -> None:
    """Put a slim colour bar beside ``ax``, or let panels draw the one they share.

    A long name loses what it has in parentheses; that goes to ``notes``.
    """
    if notes is not None and len(label) > 40 and " (" in label:
        notes.append(f"Colour: {label}")
        label = label.split(" (", maxsplit=1)[0]
    if style.scale is not None:
        style.scale.bar(artist, label)
        return
    axes = np.ravel(ax)
    if style.screen:
        for one in np.atleast_1d(ax)[..., -1:].ravel():
            bar = ScaleBar(one, artist, label, style.small, style.line)
            one.add_artist(bar).set_clip_on(False)
        return
    figure = axes[0].get_figure()
    bar = figure.colorbar(artist, ax=ax, fraction=0.05, pad=0.02, aspect=24)
    bar.outline.set_linewidth(style.line)
    bar.ax.tick_params(length=2, width=style.line, labelsize=style.small)
    inches = figure.get_size_inches()[1] - 0.5
    bar.set_label(wrapped(label, inches, style.small), fontsize=style.small)


def room_below(names: Sequence[str], style: Style) -> float:
    """Return the inches that turned names of columns take more than numbers do."""
    longest = max(map(len, names), default=0)
    return max(0.0, longest * 0.52 - 1.0) * style.small / 72 if longest > 3 else 0.0
