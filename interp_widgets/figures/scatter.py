"""Two results against each other, with names on the points that stand out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.collections
import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.screen import Words, lay_out, wrapped
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.figures.ticks import mark
from interp_widgets.results.scatter import ScatterResult


@renderer("scatter")
def draw(
    result: ScatterResult,
    style: Style,
    notes: list[str],
    *,
    labels: int = 10,
    identity: bool = True,
    brushed: Sequence[int] = (),
) -> matplotlib.figure.Figure:
    """Draw the points.

    Parameters
    ----------
    labels
        How many of the points that stand out carry their name; brushed points always do.
    identity
        Whether the line y = x is drawn.
    brushed
        Points to ring, by their number in the result's frame.
    """
    figure = new_figure(style, min(style.width * 0.8, 5.0))
    ax = figure.add_subplot()
    ok = result.finite
    x, y = result.numpy("x"), result.numpy("y")
    ax.axhline(0, color="#999999", linewidth=style.line, zorder=0)
    ax.axvline(0, color="#999999", linewidth=style.line, zorder=0)
    many = ok.sum() > 400
    _draw_links(ax, result, style, notes)
    ax.scatter(
        x[ok],
        y[ok],
        s=_areas(result)[ok] if "size" in result.arrays else 6 if many else 14,
        color=OKABE_ITO["blue"],
        alpha=0.5 if many else 0.75,
        linewidths=0,
        rasterized=bool(ok.sum() > 5000),
    )
    ringed = [i for i in brushed if ok[i]]
    if ringed:
        ax.scatter(
            x[ringed],
            y[ringed],
            s=30,
            facecolors="none",
            edgecolors=OKABE_ITO["vermilion"],
            linewidths=1.1,
        )
        notes.append(f"{len(ringed)} points are ringed")
    ax.margins(0.08)
    if result.is_map and "size" in result.arrays:
        ax.set_aspect("equal", adjustable="datalim")
        notes.append(f"Area: {result.meta.get('links', {}).get('size', 'size')}")
    if identity and ok.any() and "size" not in result.arrays:
        low = max(ax.get_xlim()[0], ax.get_ylim()[0])
        high = min(ax.get_xlim()[1], ax.get_ylim()[1])
        if high > low:
            span = ax.get_xlim(), ax.get_ylim()
            ax.plot([low, high], [low, high], color="#666666", linewidth=0.8, linestyle=(0, (4, 3)))
            ax.set(xlim=span[0], ylim=span[1])
            notes.append("Dashed: y = x")
    if not result.is_map:
        ax.text(
            0.02,
            0.98,
            f"r = {_two(result.pearson)}, ρ = {_two(result.spearman)}, n = {int(ok.sum()):,}",
            transform=ax.transAxes,
            va="top",
            fontsize=style.small,
        )
        notes.append("r: Pearson, ρ: Spearman correlation over the n points")
    ends = result.meta["x"], result.meta["y"]
    one = ends[0]["quantity"] == ends[1]["quantity"]
    if one and ends[0]["quantity"] != "value":
        notes.append(f"Both axes: {ends[0]['quantity']}")
    size, points = figure.get_size_inches(), float(style.rc["axes.labelsize"])
    ax.set_xlabel(wrapped(_axis(ends[0], plain=one), 0.75 * size[0], points))
    ax.set_ylabel(wrapped(_axis(ends[1], plain=one), 0.75 * size[1], points))
    mark(ax, style)
    _lay_out(figure, style)  # the names need to know where the axes are
    apart = [] if result.is_map else result.outliers(labels)
    _name(ax, result, list(dict.fromkeys([*ringed[:40], *apart])), style)
    if not ok.all():
        notes.append(f"{int((~ok).sum())} points are not finite and left out")
    return figure


def _areas(result: ScatterResult) -> np.ndarray:
    size = result.numpy("size").astype(float)
    return np.asarray(6 + 90 * size / max(size.max(), 1e-12))


def _draw_links(ax: Any, result: ScatterResult, style: Style, notes: list[str]) -> None:
    """Draw lines between points: wider for more weight, coloured by their value."""
    links = result.arrays.get("link")
    if links is None or not len(links):
        return
    at = np.stack([result.numpy("x"), result.numpy("y")], -1)
    weight, value = result.numpy("link_weight"), result.numpy("link_value")
    drawn = matplotlib.collections.LineCollection(
        list(at[result.numpy("link")]), linewidths=0.6 + 3.2 * weight, cmap="viridis", alpha=0.85,
        zorder=1, capstyle="round",
    )  # fmt: skip
    drawn.set_array(value)
    ax.add_collection(drawn)
    named = result.meta.get("links", {})
    bar = ax.get_figure().colorbar(drawn, ax=ax, fraction=0.05, pad=0.03)
    bar.set_label(str(named.get("value", "value")))
    bar.outline.set_linewidth(style.line)
    notes.append(f"Width of a line: {named.get('weight', 'weight')}")


def _lay_out(figure: matplotlib.figure.Figure, style: Style) -> None:
    """Put the axes where they will be; a panel's place is known when all are drawn."""
    if style.screen:
        lay_out(figure)
    elif isinstance(figure, matplotlib.figure.Figure):
        figure.draw_without_rendering()


def _axis(end: dict[str, Any], *, plain: bool) -> str:
    if plain or end["quantity"] == "value":
        return str(end["title"])
    return f"{end['title']}: {end['quantity']}"


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if np.isfinite(value) else "undefined"


def _name(ax: Any, result: ScatterResult, points: list[int], style: Style) -> None:
    """Write names beside, above or below points, each where it covers no other name."""
    names = result.short_names
    x, y = result.numpy("x"), result.numpy("y")
    figure = ax.get_figure()
    box = ax.get_position()
    width, height = figure.get_size_inches() * 72 * (box.width, box.height)
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    em = style.small
    dots = np.stack([(x - x0) / (x1 - x0) * width, (y - y0) / (y1 - y0) * height], -1)
    dots = dots[result.finite][:400]
    taken = [(px - 2.5, py - 2.5, px + 2.5, py + 2.5) for px, py in dots.tolist()]
    placed = []
    for i in points:
        px, py = (x[i] - x0) / (x1 - x0) * width, (y[i] - y0) / (y1 - y0) * height
        w = 0.6 * em * len(names[i])
        spots = [
            (5, -em / 2),
            (-5 - w, -em / 2),
            (-w / 2, 5),
            (-w / 2, -5 - em),
            (4, 4),
            (4, -4 - em),
        ]
        for dx, dy in spots:
            rect = (px + dx, py + dy, px + dx + w, py + dy + em)
            free = all(
                rect[2] < t[0] or rect[0] > t[2] or rect[3] < t[1] or rect[1] > t[3] for t in taken
            )
            if free and rect[0] >= 0 and rect[2] <= width and rect[1] >= 0 and rect[3] <= height:
                placed.append((names[i].replace("$", r"\$"), (x[i], y[i]), (dx, dy)))
                taken.append(rect)
                break
    if style.screen and placed:
        words, at, shift = zip(*placed, strict=True)
        drawn = Words(
            at, words, ax.transData, size=em, align=("left", "bottom"), shift=np.asarray(shift)
        )
        drawn.set_in_layout(False)
        ax.add_artist(drawn)
        return
    for name, at, shift in placed:
        ax.annotate(name, at, shift, textcoords="offset points", fontsize=style.small)
