"""Boxes and arrows of graphs, in inches on a bare axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Polygon
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from interp_widgets.figures.figure import new_figure
from interp_widgets.figures.graph_layout import PORTS, Box, Edge
from interp_widgets.figures.graph_routes import CLEAR, Point, Router
from interp_widgets.figures.labels import escape
from interp_widgets.figures.screen import Words
from interp_widgets.figures.style import OKABE_ITO, Style, ink_on

POSITIVE, NEGATIVE = OKABE_ITO["vermilion"], OKABE_ITO["blue"]
CLASS_COLOURS = [
    "#cfe8f7", "#fbe0b0", "#bfe5d8", "#f8f3b4", "#efd3e1", "#dcdcdc", "#f7cdb4", "#ccd5ee",
]  # fmt: skip
"""Pale Okabe-Ito: black text reads on each, and the box has an outline and a name."""
INK, GREY = "#222222", "#777777"
HIT = OKABE_ITO["green"]
DASHES = (0, (3, 1.5))
ROUTED = 300
"""More edges than this are not led around boxes: among so many nobody sees what one passes."""
HALF, FAINTEST = 0.35, 0.02
"""An edge is half as dark among stronger ones that cover 0.35 of the picture; least opacity."""


def canvas(
    style: Style, height: float, *, legend: float = 0.3
) -> tuple[matplotlib.figure.Figure, Axes]:
    """Return a figure whose axis counts inches, with room for a legend below."""
    figure = new_figure(style, height + legend)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, legend / (height + legend), 1, height / (height + legend)))
    ax.axis("off")
    ax.set_xlim(0, style.width)
    ax.set_ylim(0, height)
    return figure, ax


def arrows(
    ax: Axes,
    edges: Sequence[Edge],
    boxes: Mapping[str, Box],
    *,
    heads: bool,
    style: Style,
    left: float = 0.0,
) -> None:
    """Draw edges, weakest first; with ``heads`` as arrows that name their ports.

    None that is led around boxes passes left of ``left``.
    """
    top = max((abs(e.score) for e in edges), default=0.0) or 1.0
    strongest: dict[tuple[str, float], Edge] = {}
    order = sorted(edges, key=lambda e: abs(e.score))
    order = [e for e in order if e.source in boxes and e.target in boxes]
    for edge in order:
        strongest[edge.target, _port(edge)] = edge
    ways = _ways(ax, order, boxes, left)
    cover = _cover(ax, [_width(e, top, heads=heads) for e in order], [ways[id(e)] for e in order])
    tips: dict[str, list[float]] = {}
    for edge in strongest.values():
        tips.setdefault(edge.target, []).append(ways[id(edge)][-1][0])
    paths, colours, widths, lines = [], [], [], []
    for edge, covered in zip(order, cover, strict=True):
        port = _port(edge)
        strength = abs(edge.score) / top
        width = _width(edge, top, heads=heads)
        tip = (0.05 + 0.012 * width) if heads else 0.0
        *knots, end = ways[id(edge)]
        stop = (end[0], end[1] - tip)
        colour = NEGATIVE if edge.score < 0 else POSITIVE
        alpha = max(FAINTEST, (0.45 + 0.5 * strength) / (1 + (covered / HALF) ** 2))
        line: object = DASHES if edge.score < 0 and alpha > FAINTEST else "solid"
        if edge.look:
            colour, alpha = GREY, 0.35 if edge.look == "extra" else 0.9
            line = (0, (1, 1.5)) if edge.look == "miss" else "solid"
        paths.append(_curve([*knots, stop]))
        colours.append(to_rgba(colour, alpha))
        widths.append(width)
        lines.append(line)
        if heads:
            half = 0.022 + 0.012 * width
            points = [(end[0], end[1]), (end[0] - half, stop[1]), (end[0] + half, stop[1])]
            ax.add_artist(Polygon(points, facecolor=colour, alpha=alpha, linewidth=0, zorder=1))
            if edge.port and strongest[edge.target, port] is edge:
                words = edge.port.replace(",", ", ")
                right = _fits_right(words, end[0] + half + 0.02, tips[edge.target], style)
                ax.text(
                    end[0] + (half + 0.02) * (1 if right else -1),
                    end[1] - 0.075,
                    words,
                    fontsize=style.small,
                    fontstyle="italic",
                    ha="left" if right else "right",
                    va="center",
                    color=INK,
                    zorder=4,
                    path_effects=[withStroke(linewidth=1.6, foreground="white")],
                )
    drawn = PathCollection(
        paths, facecolors="none", edgecolors=colours, linewidths=widths, linestyles=lines, zorder=1
    )
    ax.add_collection(drawn, autolim=False)


def _fits_right(words: str, start: float, tips: Sequence[float], style: Style) -> bool:
    """Whether a label right of its arrow ends before the box's next arrow."""
    end = start + 0.5 * len(words) * style.small / 72
    return not any(start < tip < end for tip in tips)


def _width(edge: Edge, top: float, *, heads: bool) -> float:
    if edge.look:
        return 0.6 if edge.look == "extra" else 0.9
    return (0.7 if heads else 0.5) + 2.4 * abs(edge.score) / top


def _cover(ax: Axes, widths: Sequence[float], ways: Sequence[Sequence[Point]]) -> Sequence[float]:
    """Return how many times the edges after each, which are stronger, cover the picture."""
    if len(ways) <= ROUTED:
        return [0.0] * len(ways)
    ends = np.array([(*way[0], *way[-1]) for way in ways])
    lengths = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    width, height = np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())
    ink = np.array(widths) / 72 * lengths / (width * height)
    return ink[::-1].cumsum()[::-1] - ink


def _ways(
    ax: Axes, order: Sequence[Edge], boxes: Mapping[str, Box], left: float
) -> dict[int, Sequence[Point]]:
    """Return the knots of edges, given weakest first; many are not led around boxes."""
    right = ax.get_xlim()[1]
    if len(order) > ROUTED:
        return {id(e): _ends(e, boxes) for e in order}
    router = Router(boxes.values(), left + CLEAR, right - CLEAR)
    return {id(e): router.route(*_ends(e, boxes), {e.source, e.target}) for e in reversed(order)}


def _ends(edge: Edge, boxes: Mapping[str, Box]) -> tuple[Point, Point]:
    source, target = boxes[edge.source], boxes[edge.target]
    start = (source.x, source.y + source.height / 2)
    return start, (target.x + _port(edge) * target.width, target.y - target.height / 2)


def _curve(knots: Sequence[Point]) -> Path:
    """Return S-curves from knot to knot, upright at each."""
    points = [knots[0]]
    for (x0, y0), (x1, y1) in pairwise(knots):
        bend = (y1 - y0) / 2
        points += [(x0, y0 + bend), (x1, y1 - bend), (x1, y1)]
    return Path(points, [Path.MOVETO, *[Path.CURVE4] * (len(points) - 1)])


def _port(edge: Edge) -> float:
    return PORTS.get(edge.port.split(",")[0], 0.0) if edge.port else 0.0


def draw_boxes(
    ax: Axes, boxes: Sequence[Box], style: Style, size: float, pins: Sequence[str] = ()
) -> None:
    """Draw boxes with their lines; the first line of a group is its name."""
    light: list[tuple[float, float, str, str]] = []
    for box in boxes:
        pinned = box.name in pins
        line: object = "solid"
        edge, thick, face = INK, style.line, box.face
        if box.kind == "end":
            face = "#333333"
        if box.look == "hit":
            edge, thick = HIT, 1.6
        elif box.look == "miss":
            edge, line, thick = INK, (0, (1.5, 1.5)), 1.0
        elif box.look == "extra":
            edge, face = GREY, "#e6e6e6"
        elif pinned:
            thick = 1.4
        rounding = min(0.07, box.height * 0.3) if box.kind != "mlp" else 0.012
        ax.add_artist(
            FancyBboxPatch(
                (box.x - box.width / 2, box.y - box.height / 2),
                box.width,
                box.height,
                boxstyle=f"round,pad=0,rounding_size={rounding}",
                facecolor=face,
                edgecolor=edge,
                linewidth=thick,
                linestyle=line,
                zorder=2,
            )
        )
        step = size / 72 * 1.25
        top = box.y + (len(box.lines) - 1) * step / 2
        for n, text in enumerate(box.lines):
            title = box.kind == "group" and n == 0
            slanted = bool(n) and text.startswith("at ")
            if style.screen and not title and not slanted:
                light.append((box.x, top - n * step, text, ink_on(face)))
                continue
            ax.text(
                box.x,
                top - n * step,
                escape(text),
                ha="center",
                va="center",
                fontsize=size,
                fontweight="bold" if title else "normal",
                fontstyle="italic" if slanted else "normal",
                color=ink_on(face),
                zorder=3,
            )
    write_light(ax, light, size)


def write_light(
    ax: Axes,
    words: Sequence[tuple[float, float, str, str]],
    size: float,
    align: tuple[str, str] = ("center", "center"),
) -> None:
    """Write words (x, y, text, colour) as one artist: for the screen."""
    if not words:
        return
    x, y, texts, colors = zip(*words, strict=True)
    points = np.column_stack([x, y])
    ax.add_artist(Words(points, texts, ax.transData, size=size, colors=colors, align=align))


def ports(ax: Axes, boxes: Sequence[Box]) -> None:
    """Mark the three inputs of heads."""
    heads = [box for box in boxes if box.kind == "head"]
    xs = [box.x + box.width * at for box in heads for at in PORTS.values()]
    ys = [box.y - box.height / 2 for box in heads for _ in PORTS]
    ax.add_artist(Line2D(xs, ys, marker="|", markersize=2.2, color=INK, linewidth=0, zorder=3))


def signs(
    scores: Sequence[float], positive: str = "raises the metric", negative: str = "lowers it"
) -> list[Line2D]:
    """Return the legend entries of the signs that drawn scores have."""
    found = []
    if any(score >= 0 for score in scores):
        found.append(Line2D([], [], color=POSITIVE, linewidth=1.4, label=positive))
    if any(score < 0 for score in scores):
        found.append(
            Line2D([], [], color=NEGATIVE, linewidth=1.4, linestyle=DASHES, label=negative)
        )
    return found


def sign_note(scores: Sequence[float]) -> str:
    """Say in the caption what dashes and widths mean."""
    width = "width grows with the magnitude of the score"
    dashed = any(score < 0 for score in scores)
    return f"Negative edges are dashed; {width}" if dashed else f"Line {width}"


def legend(figure: matplotlib.figure.Figure, handles: Sequence[Line2D], style: Style) -> None:
    """Say what colours and marks mean, below the drawing."""
    if not handles:
        return
    if style.screen and style.region is None:
        _light_legend(figure, handles, style)
        return
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=columns_of([str(h.get_label()) for h in handles], style),
        fontsize=style.small,
        handlelength=1.6,
        columnspacing=1.2,
        borderaxespad=0.2,
        labelspacing=0.3,
    )


def _light_legend(
    figure: matplotlib.figure.Figure, handles: Sequence[Line2D], style: Style
) -> None:
    """Draw the entries in inches, their words as one artist: for the screen."""
    labels = [str(h.get_label()).replace("$", "") for h in handles]
    columns = columns_of([str(h.get_label()) for h in handles], style)
    widths = [0.0] * columns
    for i, label in enumerate(labels):
        widths[i % columns] = max(widths[i % columns], len(label) * style.small * 0.55 / 72 + 0.45)
    left = (style.width - sum(widths)) / 2
    line = style.small / 72 * 1.4
    points = []
    for i, handle in enumerate(handles):
        x = left + sum(widths[: i % columns])
        y = 0.1 + ((len(handles) - 1) // columns - i // columns) * line
        alone = handle.get_linestyle() == "None" or handle.get_linewidth() == 0
        handle.set_data([x + 0.12] if alone else [x, x + 0.24], [y] if alone else [y, y])
        handle.set_transform(figure.dpi_scale_trans)
        figure.add_artist(handle)
        points.append((x + 0.31, y))
    figure.add_artist(
        Words(points, labels, figure.dpi_scale_trans, size=style.small, align=("left", "center"))
    )


def columns_of(labels: Sequence[str], style: Style) -> int:
    """Return how many columns of these labels fit side by side."""
    widths = [len(label) * style.small * 0.55 / 72 + 0.45 for label in labels]
    if sum(widths) <= style.width:
        return len(labels)
    return max(1, min(len(labels), int(style.width / max(widths))))


def legend_height(handles: Sequence[Line2D], style: Style) -> float:
    """Return the inches that the legend needs."""
    if not handles:
        return 0.02
    columns = columns_of([str(h.get_label()) for h in handles], style)
    return 0.12 + int(np.ceil(len(handles) / columns)) * style.small / 72 * 1.5


def patch(label: str, face: str, style: Style, edge: str = INK, dashed: bool = False) -> Line2D:  # noqa: FBT001, FBT002
    """Return a legend entry that shows a box."""
    return Line2D(
        [],
        [],
        marker="s",
        markersize=6,
        markerfacecolor=face,
        markeredgecolor=edge,
        markeredgewidth=style.line if not dashed else 0.5,
        fillstyle="none" if dashed else "full",
        linewidth=0,
        label=label,
    )
