"""The heatmap that arrays, attention and lens grids are drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from interp_widgets.figures.labels import thin
from interp_widgets.figures.style import HATCH_NEGATIVE, Style

VECTOR_CELLS = 10_000
"""Up to this many cells are vector shapes; more are one embedded image."""
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


def pool(values: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Shrink to at most ``rows × cols`` by keeping the value of largest magnitude in each block."""
    step_r = -(-values.shape[0] // rows)
    step_c = -(-values.shape[1] // cols)
    pad = (-values.shape[0] % step_r, -values.shape[1] % step_c)
    padded = np.pad(values, ((0, pad[0]), (0, pad[1])), constant_values=np.nan)
    blocks = padded.reshape(
        padded.shape[0] // step_r, step_r, padded.shape[1] // step_c, step_c
    ).transpose(0, 2, 1, 3)
    flat = blocks.reshape(*blocks.shape[:2], -1)
    pick = np.nanargmax(np.where(np.isnan(flat), -1.0, np.abs(flat)), axis=-1)
    return np.take_along_axis(flat, pick[..., None], axis=-1)[..., 0]


def draw_heatmap(
    ax: Axes,
    values: np.ndarray,
    style: Style,
    *,
    signed: bool,
    vlim: tuple[float, float] | None = None,
    rows: Sequence[str] | None = None,
    cols: Sequence[str] | None = None,
    marks: bool = True,
    notes: list[str] | None = None,
) -> Any:
    """Draw ``values [row, column]``; returns the artist for a colour bar.

    NaN is grey and crossed, infinities are marked with ∞, negative cells carry a minus sign (few
    cells) or hatching (many), so that the sign survives printing in grey.
    """
    notes = notes if notes is not None else []
    values = np.asarray(values, dtype=np.float64)
    box = ax.get_position()
    width_in = style.width * max(box.width, 0.05)
    most = int(width_in * 300)
    if max(values.shape) > 2 * most:
        shape = values.shape
        values = pool(values, most, most)
        notes.append(
            f"{shape[0]} × {shape[1]} cells pooled to {values.shape[0]} × {values.shape[1]}, "
            "keeping the largest magnitude"
        )
        rows = cols = None
    low, high = vlim or limits(values, signed=signed)
    norm = Normalize(low, high, clip=True)
    cmap = style.cmap(signed=signed)
    shown = np.ma.masked_invalid(values)
    if values.size <= VECTOR_CELLS:
        artist: Any = ax.pcolormesh(shown, cmap=cmap, norm=norm, edgecolors="none", linewidth=0)
        ax.set_xlim(0, values.shape[1])
    else:
        extent = (0, values.shape[1], 0, values.shape[0])
        artist = ax.imshow(
            shown,
            cmap=cmap,
            norm=norm,
            origin="lower",
            extent=extent,
            aspect="auto",
            interpolation="nearest",
        )
    ax.set_ylim(values.shape[0], 0)
    for side in ax.spines.values():
        side.set_visible(True)
        side.set_linewidth(style.line)
    ax.tick_params(length=0, pad=2)
    _mark_nonfinite(ax, values, style, notes)
    if marks and signed and (values < 0).any() and low < 0 < high:
        _mark_negative(ax, values, high, style, notes)
    _ticks(ax, style, rows, cols, values.shape)
    return artist


def _mark_nonfinite(ax: Axes, values: np.ndarray, style: Style, notes: list[str]) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    words = []
    if np.isnan(values).any():
        words.append(f"{int(np.isnan(values).sum())} cells are not a number (×)")
    if np.isinf(values).any():
        words.append(f"{int(np.isinf(values).sum())} cells are infinite (∞)")
    notes.append(" and ".join(words))
    for r, c in np.argwhere(bad)[:GLYPH_CELLS]:
        sign = "×" if np.isnan(values[r, c]) else ("∞" if values[r, c] > 0 else "-∞")
        ax.text(
            c + 0.5,
            r + 0.5,
            sign,
            ha="center",
            va="center",
            fontsize=style.small,
            color="#555555",
            clip_on=True,
        )


def _mark_negative(
    ax: Axes, values: np.ndarray, high: float, style: Style, notes: list[str]
) -> None:
    strong = np.nan_to_num(values) < -0.25 * high
    if not strong.any():
        notes.append("Negative cells are weaker than a quarter of the scale and carry no mark")
        return
    if values.size <= GLYPH_CELLS:
        for r, c in np.argwhere(strong):
            dark = values[r, c] < -0.55 * high
            ax.text(
                c + 0.5,
                r + 0.5,
                "\N{MINUS SIGN}",
                ha="center",
                va="center",
                fontsize=style.small,
                color="white" if dark else "black",
                clip_on=True,
            )
        notes.append("Negative cells beyond a quarter of the scale carry a minus sign")
        return
    y = np.arange(values.shape[0]) + 0.5
    x = np.arange(values.shape[1]) + 0.5
    ax.contourf(
        x, y, strong.astype(float), levels=[0.5, 1.5], colors="none", hatches=[HATCH_NEGATIVE]
    )
    notes.append("Negative cells beyond a quarter of the scale are hatched")


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
    at = thin(shape[1], max(room_x, 2))
    ax.set_xticks(
        [i + 0.5 for i in at], [cols[i] if cols else str(i) for i in at], rotation=90 if wide else 0
    )
    at = thin(shape[0], max(room_y, 2))
    ax.set_yticks([i + 0.5 for i in at], [rows[i] if rows else str(i) for i in at])


def add_colorbar(ax: Any, artist: Any, style: Style, label: str) -> None:
    """Put a slim colour bar beside ``ax``; the scale is always shown."""
    figure = np.ravel(ax)[0].get_figure()
    bar = figure.colorbar(artist, ax=ax, fraction=0.05, pad=0.02, aspect=24)
    bar.outline.set_linewidth(style.line)
    bar.ax.tick_params(length=2, width=style.line, labelsize=style.small)
    bar.set_label(label, fontsize=style.small)
