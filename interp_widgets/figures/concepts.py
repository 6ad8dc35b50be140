"""Concept effects as bars with intervals, and over layers as lines."""

from __future__ import annotations

from typing import Literal

import matplotlib.figure
import numpy as np

from interp_widgets.figures import concept_inputs
from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.labels import escape
from interp_widgets.figures.screen import wrapped
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.figures.ticks import Named, mark
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
    result: ConceptResult,
    style: Style,
    notes: list[str],
    *,
    layer: int | None = None,
    show: Literal["effects", "inputs", "examples"] = "effects",
    sort: Literal["effect", "p", "name"] = "effect",
    filter: str = "",  # noqa: A002
    concept: int | str | None = None,
    target: int | str | None = None,
    input: int | None = None,  # noqa: A002, ARG001
) -> matplotlib.figure.Figure:
    """Draw each concept's effect with its interval, or the inputs that hold it.

    Parameters
    ----------
    layer
        Index into the result's layers; by default each concept at the layer of its largest effect.
    show
        ``"effects"``: bars; ``"inputs"``: a heatmap of concept × input; ``"examples"``: the
        chosen concept's examples on one axis.
    sort, filter
        Order of the concepts, and a text that their names must contain.
    concept
        The concept whose order and examples are drawn, by name or index; default: the first.
    target
        One of several targets, by name or index; None draws a bar for each.
    input
        The input that a view has open; it changes nothing here.
    """
    parts = [result]
    if len(result.targets) > 1:
        chosen = range(len(result.targets)) if target is None else [target]
        parts = [result.of_target(t) for t in chosen]
    order = _order(parts, layer, sort, filter)
    if not order:
        raise ValueError(f"no concept's name contains {filter!r}")
    if len(order) > BUDGET:
        notes.append(f"The {BUDGET} largest effects of {len(order)} concepts")
        order = order[:BUDGET]
    if show != "effects":
        first = order[0] if concept is None else _index(result, concept)
        at = layer if layer is not None else _best(result, first)
        if "presence" not in result.arrays:
            raise ValueError("this result does not say how much of a concept is in its inputs")
        if show == "examples":
            return concept_inputs.strip(result, style, notes, at, first)
        return concept_inputs.heatmap(result, style, notes, at, order, first)
    return _bars(parts, style, notes, order, layer)


def _bars(
    parts: list[ConceptResult],
    style: Style,
    notes: list[str],
    order: list[int],
    layer: int | None,
) -> matplotlib.figure.Figure:
    result = parts[0]
    grouped = len(parts) > 1
    several = layer is None and not grouped and len(result.layers) > 1 and style.width >= 5
    row = style.small / 72 * 2.0
    lines = len(order) * (len(parts) + (0.4 if grouped else 0))
    figure = new_figure(style, max(lines * row + 0.8, style.width * (0.42 if several else 0.3)))
    axes = figure.subplots(1, 2, width_ratios=(1.1, 1)) if several else [figure.add_subplot()]
    ax = axes[0]
    seen, names, places = [], [], []
    for i, c in enumerate(order):
        for t, part in enumerate(parts):
            at = layer if layer is not None else _best(part, c)
            y = i * (len(parts) + (0.4 if grouped else 0)) + t
            value, low, high = (float(part.numpy(n)[c, at]) for n in ("effect", "low", "high"))
            flag = part.flag(c, at)
            seen.append(flag)
            face, hatch = FACES[flag]
            ax.barh(
                y,
                value,
                height=0.66,
                color=face,
                hatch=hatch,
                edgecolor="#222222",
                linewidth=style.line,
            )
            ax.plot([low, high], [y, y], color="black", linewidth=1.1)
            name = escape(part.concepts[c])
            if grouped:
                name = f"{name}: {escape(part.targets[0])}" if t == 0 else escape(part.targets[0])
            if layer is None and len(part.layers) > 1 and (several or grouped):
                name = f"{name} ({escape(part.layers[at])})"
            names.append(name)
            places.append(y)
    ax.set_ylim(places[-1] + 0.6, -0.6)
    ax.axvline(0, color="#222222", linewidth=style.line)
    mark(ax, style, y=Named(places, names, ticks=False))
    quantity = "removal effect (logits)" if grouped else escape(result.quantity)
    inches = style.width * (0.36 if several else 0.7)
    ax.set_xlabel(wrapped(quantity, inches, style.venue.fonts["axes.labelsize"]))
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
        _over_layers(axes[1], result, style, order[:6], result.numpy("effect").astype(float))
        if len(order) > 6:
            notes.append("The right panel shows the six largest")
    if layer is not None and len(result.layers) > 1:
        notes.append(f"Layer {result.layers[layer]}")
    notes.append("Lines are intervals")
    return figure


def _order(parts: list[ConceptResult], layer: int | None, sort: str, wanted: str) -> list[int]:
    """Return the concepts to draw, in order: with several targets by the strongest."""
    names = parts[0].concepts
    effect = np.max([np.abs(np.nan_to_num(p.numpy("effect"))) for p in parts], axis=0)
    key = effect.max(axis=1) if layer is None else effect[:, layer]
    order = [int(i) for i in np.argsort(-key, kind="stable")]
    if sort == "name":
        order.sort(key=lambda c: names[c].casefold())
    elif sort == "p" and "p_corrected" in parts[0].arrays:
        p = np.min([np.nan_to_num(q.numpy("p_corrected"), nan=np.inf) for q in parts], axis=0)
        least = p.min(axis=1) if layer is None else p[:, layer]
        order.sort(key=lambda c: least[c])
    return [c for c in order if wanted.strip().casefold() in names[c].casefold()]


def _index(result: ConceptResult, concept: int | str) -> int:
    if isinstance(concept, str):
        if concept not in result.concepts:
            raise KeyError(f"no concept {concept!r}; there are {', '.join(result.concepts)}")
        return result.concepts.index(concept)
    return concept


def _best(result: ConceptResult, concept: int) -> int:
    return int(np.argmax(np.abs(np.nan_to_num(result.numpy("effect")[concept]))))


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
    ax.axhline(0, color="#222222", linewidth=style.line)
    mark(ax, style, x=Named(range(len(result.layers)), result.layers))
    ax.set_xlabel("layer")
    ax.get_figure().legend(  # type: ignore[union-attr]
        *ax.get_legend_handles_labels(),
        loc="outside right center",
        fontsize=style.small,
        handlelength=2.4,
    )
