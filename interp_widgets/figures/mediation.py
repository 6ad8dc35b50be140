"""Causal mediation for a paper: a grid or bars of effects, and the way x → M → Y of a mediator."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib.figure
import numpy as np
from matplotlib.patches import FancyArrowPatch
from matplotlib.transforms import blended_transform_factory

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap, frame_cells
from interp_widgets.figures.labels import escape, token_labels
from interp_widgets.figures.screen import wrapped
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.figures.ticks import Named, mark
from interp_widgets.results.mediation import MediationResult

MOST_BARS = 30
WIDE = 4.5
"""Inches from which on the indirect effect stands beside its arrow."""
NAMES = {"NIE_rev": "reverse indirect", "NIE": "indirect", "NDE": "direct", "TE": "total"}


@renderer("mediation")
def draw(
    result: MediationResult,
    style: Style,
    notes: list[str],
    *,
    quantity: str = "effect",
    mediator: int | str | None = None,
    show: Literal["effects", "compare"] = "effects",
    slice: int = 0,  # noqa: A002
    path: bool = True,
) -> matplotlib.figure.Figure:
    """Draw the effects of all mediators and the path of the chosen one.

    Parameters
    ----------
    quantity
        ``"effect"``, ``"TE"``, ``"NIE"``, ``"NDE"``, ``"NIE_rev"`` or ``"interaction"``.
    mediator
        Whose path is drawn, by name or number; default the largest.
    show
        ``"effects"``, or ``"compare"``: faithfulness against dimensions.
    slice
        Of a grid with three dims: the index in the last one.
    path
        Whether the drawing x → M → Y goes with the effects.
    """
    if show == "compare":
        return _compare(result, style, notes)
    chosen = result.ranked()[0] if mediator is None else mediator
    if isinstance(chosen, str):
        if chosen not in result.mediators:
            raise KeyError(f"no mediator {chosen!r}; there are {', '.join(result.mediators[:20])}")
        chosen = result.mediators.index(chosen)
    with_path = path and result.two_sided and result.interchange
    grid = len(result.shape) > 1
    rows = result.shape[0] if grid else min(MOST_BARS, len(result.mediators))
    line = style.small / 72
    body = min(style.width, max(rows * line * (1.6 if grid else 2.0), 0.26 * style.width)) + 0.9
    below = style.small / 72 * (9 if style.width >= WIDE else 13) if with_path else 0.0
    figure = new_figure(style, body + below)
    axes = (
        figure.subplots(2, 1, height_ratios=(body, below)) if with_path else [figure.add_subplot()]
    )
    if grid:
        _grid(axes[0], result, style, notes, quantity, chosen, slice)
    else:
        _bars(axes[0], result, style, notes, quantity, chosen)
    if with_path:
        _path(axes[1], result, style, chosen, notes)
        notes.append(f"Below: {result.mediators[chosen]}, mean of {result.pairs} pairs")
    if result.pairs > 1:
        notes.append("Brackets and lines: 95 % bootstrap intervals over pairs")
    notes.append(f"{result.meta['direction'].capitalize()}: {result.meta.get('put', '')}")
    return figure


def _grid(
    ax: Any,
    result: MediationResult,
    style: Style,
    notes: list[str],
    quantity: str,
    chosen: int,
    index: int,
) -> None:
    array = result.grid(quantity)
    values = array.numpy("values")
    names = [array.labels(dim) for dim in array.dims]
    at = np.unravel_index(chosen, result.shape)
    if values.ndim == 3:
        values = values[:, :, index]
        notes.append(f"{array.dims[2].capitalize()} {names[2][index]}")
    names = [
        token_labels(n) if d == "position" else n for d, n in zip(array.dims, names, strict=True)
    ]
    top = float(np.nanmax(np.abs(values))) or 1.0
    artist = draw_heatmap(
        ax,
        values,
        style,
        signed=True,
        vlim=(-top, top),
        mask=None,
        rows=names[0],
        cols=names[1],
        notes=notes,
    )
    if values.ndim == 2 and (len(at) < 3 or at[2] == index):
        frame_cells(ax, [(int(at[0]), int(at[1]))])
    ax.set_ylabel(array.dims[0])
    ax.set_xlabel(array.dims[1])
    add_colorbar([ax], artist, style, _short(result, quantity), notes)
    notes.append(f"Effects: {result.quantity}")


def _bars(
    ax: Any, result: MediationResult, style: Style, notes: list[str], quantity: str, chosen: int
) -> None:
    order = list(range(len(result.mediators)))
    if len(order) > MOST_BARS:
        order = sorted(result.ranked()[:MOST_BARS])
        notes.append(f"The {MOST_BARS} largest of {len(result.mediators)} mediators")
    mean, (low, high) = result.mean(quantity), result.interval(quantity)
    places = np.arange(len(order))
    colors = [OKABE_ITO[_color(mean[i])] for i in order]
    edges = ["black" if i == chosen else "none" for i in order]
    ax.barh(places, mean[order], height=0.64, color=colors, edgecolor=edges, linewidth=1.2)
    for y, i in zip(places, order, strict=True):
        if np.isfinite(low[i]):
            ax.plot([low[i], high[i]], [y, y], color="black", linewidth=1.1)
    ax.axvline(0, color="#222222", linewidth=style.line)
    ax.set_ylim(len(order) - 0.4, -0.6)
    mark(
        ax,
        style,
        y=Named(places.tolist(), [escape(result.mediators[i]) for i in order], ticks=False),
    )
    text = escape(_short(result, quantity))
    ax.set_xlabel(wrapped(text, 0.7 * style.width, style.venue.fonts["axes.labelsize"]))
    notes.append(f"Effects: {result.quantity}")


def _path(ax: Any, result: MediationResult, style: Style, chosen: int, notes: list[str]) -> None:
    """Draw x → M → Y and x → Y over the whole width, with the effects on the arrows."""
    ax.set_axis_off()
    figure = ax.get_figure(root=False)
    wide = style.width >= WIDE
    place = blended_transform_factory(figure.transSubfigure, ax.transAxes)
    spots = {"x": (0.14, 0.5), "m": (0.5, 0.9), "y": (0.86, 0.5)}
    name = result.mediators[chosen]
    most = 26 if wide else 18
    words = {
        "x": "x → x′",
        "m": escape(name if len(name) <= most else f"{name[: most - 1]}…"),
        "y": "Y",
    }
    means = {q: float(result.mean(q)[chosen]) for q in result.quantities}
    top = max(abs(means[q]) for q in ("TE", "NIE", "NDE")) or 1.0

    def arrow(a: str, b: str, quantity: str) -> None:
        patch = FancyArrowPatch(
            spots[a],
            spots[b],
            transform=place,
            arrowstyle="-|>",
            mutation_scale=9,
            shrinkA=2.2 * style.small,
            shrinkB=(3.4 if b == "m" else 1.8) * style.small,
            linewidth=0.7 + 2.6 * abs(means[quantity]) / top,
            color=OKABE_ITO[_color(means[quantity])],
            clip_on=False,
        )
        patch.set_in_layout(False)
        ax.add_patch(patch)

    def write(x: float, y: float, text: str, **more: Any) -> None:
        made = ax.text(x, y, text, transform=place, fontsize=style.small, **more)
        made.set_in_layout(False)

    arrow("x", "m", "NIE")
    arrow("m", "y", "NIE")
    arrow("x", "y", "NDE")
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "#333333"}
    for key, (x, y) in spots.items():
        write(x, y, words[key], ha="center", va="center", bbox=box, zorder=3)
    share = float(result.proportion[chosen])
    rest = f"interaction {_value(means['interaction'])}"
    if np.isfinite(share):
        rest += f", mediated {100 * share:.0f} %".replace("-", "\N{MINUS SIGN}")
    total = _said(result, "TE", chosen)
    if wide:
        write(0.99, 0.82, _said(result, "NIE", chosen), ha="right", va="center")
        write(0.5, 0.4, _said(result, "NDE", chosen), ha="center", va="top")
        write(0.5, 0.04, f"{total}, {rest}", ha="center", va="bottom")
        return
    for i, text in enumerate((_said(result, "NDE", chosen), _said(result, "NIE", chosen), total)):
        write(0.5, 0.38 - 0.15 * i, text, ha="center", va="top")
    notes.append(rest.capitalize())


def _said(result: MediationResult, quantity: str, chosen: int) -> str:
    low, high = (float(x) for x in result.interval(quantity)[:, chosen])
    limits = f" [{_value(low)}, {_value(high)}]" if np.isfinite(low) else ""
    return f"{NAMES[quantity]} {_value(float(result.mean(quantity)[chosen]))}{limits}"


def _short(result: MediationResult, quantity: str) -> str:
    unit = "ratio" if result.meta["scale"] == "ratio" else str(result.meta.get("unit", ""))
    return f"{quantity} ({unit})" if unit else quantity


def _color(value: float) -> str:
    """Return the colour of a sign, as in the colour scale: blue below zero."""
    return "blue" if value < 0 else "vermilion"


def _value(x: float) -> str:
    return f"{x:+.2f}".replace("-", "\N{MINUS SIGN}")


def _compare(result: MediationResult, style: Style, notes: list[str]) -> matplotlib.figure.Figure:
    if not result.two_sided:
        raise ValueError("mediators are compared by faithfulness, which needs counterfactuals")
    figure = new_figure(style, 0.62 * style.width)
    ax = figure.add_subplot()
    dims = np.array([m["dims"] for m in result.meta["mediators"]], float)
    values = result.faithfulness
    kinds = [m["type"] for m in result.meta["mediators"]]
    colors = [OKABE_ITO[n] for n in ("blue", "vermilion", "green", "purple", "black")]
    for i, kind in enumerate(dict.fromkeys(kinds)):
        at = [j for j, k in enumerate(kinds) if k == kind]
        ax.scatter(
            dims[at],
            values[at],
            s=16,
            color=colors[i % len(colors)],
            marker="osD^vP"[i % 6],
            label=escape(kind),
        )
    if dims.max() > 4 * dims.min():
        ax.set_xscale("log")
    ax.axhline(1, color="#666666", linewidth=0.8, linestyle=(0, (4, 3)))
    ax.axhline(0, color="#999999", linewidth=style.line)
    ax.set_xlabel("dimensions")
    ax.set_ylabel("faithfulness")
    middle = np.sqrt(dims.min() * dims.max())
    named: list[int] = []
    for i in result.ranked():
        near = [j for j in named if abs(values[i] - values[j]) < 0.06 and dims[i] == dims[j]]
        if near or len(named) == 6 or not np.isfinite(values[i]):
            continue
        named.append(i)
        right = dims[i] > middle
        ax.annotate(
            escape(result.mediators[i])[:28],
            (dims[i], values[i]),
            (-4 if right else 4, 4),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=style.small,
        )
    figure.legend(loc="outside lower center", ncols=4, fontsize=style.small)
    notes.append("Dashed: the whole effect")
    return figure
