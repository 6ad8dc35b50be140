"""Concept effects as bars with intervals, and over layers as lines."""

from __future__ import annotations

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.labels import escape
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.concepts import BUDGET, ConceptResult

FACES = {
    "relevant": (OKABE_ITO["blue"], ""),
    "significant but negligible": ("#ffffff", "////"),
    "not significant": ("#d9d9d9", ""),
    "undefined": ("#ffffff", "xx"),
}
DASHES = ["solid", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1))]


@renderer("concepts")
def draw(
    result: ConceptResult, style: Style, notes: list[str], *, layer: int | None = None
) -> matplotlib.figure.Figure:
    """Draw each concept's effect with its interval.

    Parameters
    ----------
    layer
        Index into the result's layers; by default each concept at the layer of its largest effect.
    """
    order = result.order(layer)
    if len(order) > BUDGET:
        notes.append(f"The {BUDGET} largest effects of {len(order)} concepts")
        order = order[:BUDGET]
    effect, low, high = (result.numpy(n).astype(float) for n in ("effect", "low", "high"))
    best = {
        c: layer if layer is not None else int(np.argmax(np.abs(np.nan_to_num(effect[c]))))
        for c in order
    }
    several = layer is None and len(result.layers) > 1 and style.width >= 5
    row = style.small / 72 * 2.0
    figure = new_figure(
        style, max(len(order) * row + 0.8, style.width * (0.42 if several else 0.3))
    )
    axes = figure.subplots(1, 2, width_ratios=(1.1, 1)) if several else [figure.add_subplot()]
    ax = axes[0]
    seen = []
    for y, c in enumerate(order):
        at = best[c]
        flag = result.flag(c, at)
        seen.append(flag)
        face, hatch = FACES[flag]
        value = effect[c, at]
        ax.barh(
            y,
            value,
            height=0.66,
            color=face,
            hatch=hatch,
            edgecolor="#222222",
            linewidth=style.line,
        )
        ax.plot([low[c, at], high[c, at]], [y, y], color="black", linewidth=1.1)
    names = [escape(result.concepts[c]) for c in order]
    if several:
        names = [
            f"{n} ({escape(result.layers[best[c]])})" for n, c in zip(names, order, strict=True)
        ]
    ax.set_yticks(range(len(order)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.axvline(0, color="#222222", linewidth=style.line)
    ax.set_xlabel(result.quantity)
    handles = [
        matplotlib.patches.Patch(
            facecolor=FACES[f][0],
            hatch=FACES[f][1],
            edgecolor="#222222",
            linewidth=style.line,
            label=f,
        )
        for f in FACES
        if f in seen
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=style.small
    )
    if several:
        _over_layers(axes[1], result, style, order[:6], effect)
        if len(order) > 6:
            notes.append("The right panel shows the six largest")
    notes.append("Lines are intervals")
    return figure


def _over_layers(
    ax: matplotlib.axes.Axes,
    result: ConceptResult,
    style: Style,
    order: list[int],
    effect: np.ndarray,
) -> None:
    colours = [OKABE_ITO[n] for n in ("blue", "vermilion", "green", "purple", "black", "sky")]
    for i, c in enumerate(order):
        ax.plot(
            effect[c],
            color=colours[i],
            linestyle=DASHES[i % len(DASHES)],
            linewidth=1.1,
            marker="osD^vP"[i],
            markersize=2.8,
            label=escape(result.concepts[c]),
        )
    ax.set_xticks(range(len(result.layers)), result.layers)
    ax.axhline(0, color="#222222", linewidth=style.line)
    ax.set_xlabel("layer")
    ax.get_figure().legend(  # type: ignore[union-attr]
        *ax.get_legend_handles_labels(),
        loc="outside right center",
        fontsize=style.small,
        handlelength=2.4,
    )
