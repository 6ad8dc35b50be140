"""A circuit as a layered graph: the input below, the logits above, heads with q, k and v ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.style import OKABE_ITO, Style, ink_on
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph, Node

POSITIVE, NEGATIVE = OKABE_ITO["vermilion"], OKABE_ITO["blue"]
CLASS_COLOURS = [OKABE_ITO[n] for n in ("sky", "orange", "green", "yellow", "purple")]
PORTS = {"q": -0.34, "k": 0.0, "v": 0.34}
"""Where on the lower edge of a head its inputs are, in box widths."""
BOX = (0.78, 0.42)
"""Largest width and height of a node, in columns and rows."""
WIDEST = 0.62
"""Widest node in inches."""


@renderer("circuit")
def draw(
    result: CircuitResult,
    style: Style,
    notes: list[str],
    *,
    edges: int | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> matplotlib.figure.Figure:
    """Draw the strongest edges.

    Parameters
    ----------
    edges
        How many edges, by |score|; by default the chosen circuit, at most 60.
    classes
        Names for groups of heads, for example ``{"name mover": ["a9.h9", "a10.h0"]}``; each gets
        a colour and a line in the legend.
    """
    graph = result.graph
    chosen = graph if graph.count else graph.top_n(60)
    count = chosen.count if edges is None else edges
    shown = _strongest(
        chosen if edges is None else graph, min(count, 60 if edges is None else count)
    )
    if shown.count < graph.count:
        notes.append(f"The {shown.count} strongest of {graph.count:,} edges")
    places = _layout(shown)
    columns = max((x for x, _ in places.values()), default=1.0) + 1
    rows = sorted({y for _, y in places.values()})
    margin = style.small / 72 * 3.6
    unit = (style.width - margin) / columns
    height = max(len(rows) * min(max(unit * 1.05, 0.38), 0.55) + 0.35, style.width * 0.3)
    figure = new_figure(style, height)
    ax = figure.add_subplot()
    ax.axis("off")
    left = -0.5 - margin / unit
    ax.set_xlim(left, columns - 0.5)
    ax.set_ylim(min(rows) - 0.4, max(rows) + 0.4)
    box = min(BOX[0], WIDEST / unit)
    _draw_edges(ax, shown, places, box)
    colours = {
        h: c
        for c, group in zip(CLASS_COLOURS, (classes or {}).values(), strict=False)
        for h in group
    }
    size = max(6.0, min(float(style.rc["font.size"]), unit * 72 * 0.24))
    for name, (x, y) in places.items():
        _draw_node(ax, name, (x, y), box, colours.get(name, "#ffffff"), size, style)
    for y in rows:
        layer = _layer_name(y, shown)
        ax.text(left, y, layer, ha="left", va="center", fontsize=style.small, color="#555555")
    _legend(figure, classes or {}, style)
    notes.append("Negative edges are dashed; width grows with the magnitude of the score")
    return figure


def _strongest(graph: Graph, count: int) -> Graph:
    names = graph.edges()[:count] if graph.count else graph.top_n(count).edges()
    return graph.with_edges(names)


def _components(graph: Graph) -> dict[str, Node]:
    rows, cols = np.nonzero(graph.in_graph)
    nodes = {graph.forward[r].component: graph.forward[r] for r in rows}
    nodes.update({graph.backward[c].component: graph.backward[c] for c in cols})
    return nodes


def _layout(graph: Graph) -> dict[str, tuple[float, float]]:
    """Place components: a row for the heads of a layer, one for its MLP at the right."""
    nodes = _components(graph)
    levels: dict[float, list[str]] = {}
    occupied = sorted({n.layer for n in nodes.values() if n.layer is not None})
    row_of = {layer: 2 * i + 1 for i, layer in enumerate(occupied)}
    for name, node in nodes.items():
        if node.kind == "input":
            level = 0.0
        elif node.kind == "logits":
            level = 2.0 * len(occupied) + 1
        else:
            level = float(row_of[node.layer or 0] + (node.kind == "mlp"))
        levels.setdefault(level, []).append(name)
    mlps = {name for name, node in nodes.items() if node.kind == "mlp"}
    widest = max((len(names) for names in levels.values()), default=1)
    places = {}
    ordered = sorted(levels)
    for y, level in enumerate(ordered):
        names = sorted(levels[level], key=lambda n: (nodes[n].head or 0, n))
        for i, name in enumerate(names):
            x = widest if name in mlps else (widest - len(names)) / 2 + i
            places[name] = (x, float(y))
    return places


def _layer_name(y: float, graph: Graph) -> str:
    places = _layout(graph)
    nodes = _components(graph)
    for name, (_, level) in places.items():
        if level == y and nodes[name].layer is not None:
            return f"layer {nodes[name].layer}" if nodes[name].kind == "head" else ""
    return ""


def _draw_edges(
    ax: Axes, graph: Graph, places: Mapping[str, tuple[float, float]], box: float
) -> None:
    rows, cols = np.nonzero(graph.in_graph)
    scores = graph.scores[rows, cols]
    top = float(np.abs(scores).max()) if scores.size and np.abs(scores).max() > 0 else 1.0
    for i in np.argsort(np.abs(scores)):
        writer, reader = graph.forward[rows[i]], graph.backward[cols[i]]
        x0, y0 = places[writer.component]
        x1, y1 = places[reader.component]
        x1 += box * PORTS.get(reader.slot or "", 0.0)
        start, end = (x0, y0 + BOX[1] / 2), (x1, y1 - BOX[1] / 2)
        bend = max(0.3, (end[1] - start[1]) * 0.45)
        path = Path(
            [start, (x0, start[1] + bend), (x1, end[1] - bend), end],
            [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
        )
        strength = abs(scores[i]) / top
        negative = scores[i] < 0
        ax.add_artist(
            PathPatch(
                path,
                fill=False,
                edgecolor=NEGATIVE if negative else POSITIVE,
                linewidth=0.5 + 2.2 * strength,
                alpha=0.35 + 0.6 * strength,
                linestyle=(0, (3, 1.5)) if negative else "solid",
                zorder=1,
            )
        )


def _draw_node(
    ax: Axes,
    name: str,
    at: tuple[float, float],
    box: float,
    face: str,
    size: float,
    style: Style,
) -> None:
    (x, y), width, height = at, box, BOX[1]
    ax.add_artist(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={0.16 * width}",
            mutation_aspect=WIDEST / width * 0.9,
            facecolor=face,
            edgecolor="#222222",
            linewidth=style.line,
            zorder=2,
        )
    )
    label = name
    if name.startswith("a"):
        layer, head = name[1:].split(".h")
        label = f"{layer}.{head}"
        ports = Line2D(
            [x + box * port for port in PORTS.values()],
            [y - height / 2] * len(PORTS),
            marker="|",
            markersize=2.2,
            color="#222222",
            linewidth=0,
            zorder=3,
        )
        ax.add_artist(ports)
    ax.text(x, y, label, ha="center", va="center", fontsize=size, color=ink_on(face), zorder=4)


def _legend(
    figure: matplotlib.figure.Figure, classes: Mapping[str, Sequence[str]], style: Style
) -> None:
    handles = [
        Line2D([], [], color=POSITIVE, linewidth=1.4, label="raises the metric"),
        Line2D([], [], color=NEGATIVE, linewidth=1.4, linestyle=(0, (3, 1.5)), label="lowers it"),
        Line2D(
            [], [], color="#222222", marker="|", linewidth=0, label="ports, left to right: q, k, v"
        ),
    ]
    handles += [
        Line2D(
            [],
            [],
            marker="s",
            markersize=6,
            markerfacecolor=c,
            markeredgecolor="#222222",
            markeredgewidth=style.line,
            linewidth=0,
            label=n,
        )
        for n, c in zip(classes, CLASS_COLOURS, strict=False)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3 if style.width > 3.2 else 2,
        fontsize=style.small,
        handlelength=1.6,
        columnspacing=1.2,
    )
