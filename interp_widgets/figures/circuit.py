"""A circuit on paper: components in layers, or a box per class of heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.lines import Line2D

from interp_widgets.figures.figure import renderer
from interp_widgets.figures.graph_drawing import (
    CLASS_COLOURS,
    GREY,
    HIT,
    INK,
    arrows,
    canvas,
    draw_boxes,
    legend,
    legend_height,
    patch,
    ports,
    sign_note,
    signs,
    write_light,
)
from interp_widgets.figures.graph_layout import Box, Edge, bands, fold, measure, move, stack, wrap
from interp_widgets.figures.style import Style
from interp_widgets.results.arrangement import Groups, checked
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph, Node
from interp_widgets.results.overlap import Overlap, Reference

MOST = 60
"""Edges drawn of a chosen circuit by default."""
LAYOUTS = ("columns", "packed", "classes")
WIDEST = 0.62
"""Widest box of a component in inches."""


@renderer("circuit")
def draw(
    result: CircuitResult,
    style: Style,
    notes: list[str],
    *,
    edges: int | None = None,
    layout: str | None = None,
    groups: Groups | None = None,
    reference: Any = None,
    connected: bool = True,
) -> matplotlib.figure.Figure:
    """Draw the strongest edges.

    Parameters
    ----------
    edges
        How many edges, by |score|; by default the chosen circuit, at most 60 of it (all of it with
        classes).
    layout
        ``"packed"`` (also ``"columns"``): every component in the row of its layer;
        ``"classes"``: a box per group with arrows that name their inputs. Default: classes where
        there are groups.
    groups
        Classes of heads, ``{"name mover": ["9.9", "10.0"]}``; default: those of the arrangement.
    reference
        A known circuit to compare with; see :meth:`CircuitResult.compare`.
    connected
        Whether edges on no path from the input to the logits are left out when ``edges`` is given.
    """
    arranged = result.arrangement
    if groups is not None:
        arranged = checked({**arranged, "groups": groups}, result.nodes)
    layout = layout or ("classes" if arranged["groups"] else "packed")
    if layout not in LAYOUTS:
        raise ValueError(f"layout is one of {', '.join(LAYOUTS)}, not {layout!r}")
    shown = _shown(result.graph, edges, connected=connected, all_of_it=layout == "classes")
    total = result.graph.count if edges is None else edges
    if shown.count < total:
        notes.append(f"{shown.count} of {total:,} edges are drawn")
    drawn = _edges(shown)
    looks: dict[str, str] = {}
    if reference is not None:
        known = Reference.of(reference, result.graph)
        overlap = Overlap.of(shown, known)
        notes.append(f"Against the reference: {overlap}")
        drawn, looks = _compared(drawn, overlap, result.graph)
    make = _classes if layout == "classes" else _packed
    figure = make(drawn, looks, shown, arranged, style)
    for name, text in arranged["notes"].items():
        notes.append(f"{_short(name)}: {text}")
    notes.append(sign_note(_scores(drawn)))
    return figure


def _shown(graph: Graph, count: int | None, *, connected: bool, all_of_it: bool) -> Graph:
    if count is not None:
        chosen = graph.top_n(count)
        pruned = chosen.prune() if connected else chosen
        return pruned if pruned.count else chosen
    chosen = graph if graph.count else graph.top_n(MOST)
    return chosen if all_of_it else chosen.with_edges(chosen.edges()[:MOST])


def _scores(edges: Sequence[Edge]) -> list[float]:
    return [edge.score for edge in edges if edge.look != "miss"]


def _edges(graph: Graph) -> list[Edge]:
    found = []
    for row, column in zip(*np.nonzero(graph.in_graph), strict=True):
        reader = graph.backward[column]
        score = float(graph.scores[row, column])
        found.append(Edge(graph.forward[row].component, reader.component, reader.slot or "", score))
    return found


def _compared(
    drawn: list[Edge], overlap: Overlap, graph: Graph
) -> tuple[list[Edge], dict[str, str]]:
    """Mark edges as extra and add missed ones; or return the looks of nodes."""
    if overlap.level == "node":
        looks = dict.fromkeys(overlap.hit, "hit") | dict.fromkeys(overlap.miss, "miss")
        return drawn, looks | dict.fromkeys(overlap.extra, "extra")
    extra = set(overlap.extra)

    def name(edge: Edge) -> str:
        return f"{edge.source}->{edge.target}" + (f"<{edge.port}>" if edge.port else "")

    marked = [
        Edge(e.source, e.target, e.port, e.score, "extra" if name(e) in extra else "")
        for e in drawn
    ]
    for missed in overlap.miss:
        row, column = graph.edge(missed)
        reader = graph.backward[column]
        marked.append(
            Edge(graph.forward[row].component, reader.component, reader.slot or "", 0.0, "miss")
        )
    return marked, {}


def _nodes(drawn: Sequence[Edge], looks: Mapping[str, str], graph: Graph) -> dict[str, Node]:
    known = {n.component: n for n in (*graph.backward, *graph.forward)}
    used = {end for edge in drawn for end in (edge.source, edge.target)} | set(looks)
    return {name: node for name, node in known.items() if name in used}


def _short(name: str) -> str:
    if name.startswith("a") and ".h" in name:
        return name[1:].replace(".h", ".")
    return f"MLP {name[1:]}" if name[:1] == "m" and name[1:].isdigit() else name


def _box(name: str, node: Node, top: int, look: str) -> Box:
    ends = {"input": -1.0, "logits": float(top)}
    level = ends.get(node.kind, float(node.layer or 0) + (0.5 if node.kind == "mlp" else 0.0))
    kind = "end" if node.kind in ends else node.kind
    return Box(name, kind, level, [_short(name)], look=look, order=float(node.head or 0))


def _packed(
    drawn: list[Edge],
    looks: Mapping[str, str],
    graph: Graph,
    arranged: Mapping[str, Any],
    style: Style,
) -> matplotlib.figure.Figure:
    classes = {m: n for n, g in enumerate(arranged["groups"]) for m in g["members"]}
    nodes = _nodes(drawn, looks, graph)
    boxes = [_box(name, node, graph.layers, looks.get(name, "")) for name, node in nodes.items()]
    folded = {
        member: f"group:{g['name']}"
        for g in arranged["groups"]
        if g["collapsed"]
        for member in g["members"]
    }
    edges = fold(drawn, folded) if folded else drawn
    boxes = [box for box in boxes if box.name not in folded]
    for box in boxes:
        if box.name in classes:
            box.face = CLASS_COLOURS[classes[box.name] % len(CLASS_COLOURS)]
    boxes += _group_boxes(arranged, nodes, collapsed_only=True)
    levels: dict[float, list[Box]] = {}
    for box in boxes:
        levels.setdefault(round(box.level * 2) / 2, []).append(box)
    beside = any(box.kind == "mlp" for box in boxes)
    widest = max((len(r) for r in levels.values() if r[0].kind != "mlp"), default=1)
    margin = style.small / 72 * 4.4  # layer 11
    unit = (style.width - margin - 0.06) / (widest + beside)
    size = max(6.0, min(float(style.rc["font.size"]), unit * 72 * 0.24))
    pitch = min(max(unit * 1.05, 0.34), 0.44)
    tall = min(0.24, pitch * 0.46)
    height = max(len(levels) * pitch + 0.1, style.width * 0.3)
    step = (height - tall - 0.1) / max(1, len(levels) - 1)
    for n, level in enumerate(sorted(levels)):
        row = sorted(levels[level], key=lambda b: (classes.get(b.name, 99), b.order, b.name))
        for i, box in enumerate(row):
            box.width = min(0.8 * unit, WIDEST) if box.kind != "group" else min(0.95 * unit, 1.2)
            box.height = tall
            place = widest if box.kind == "mlp" else (widest - len(row)) / 2 + i
            box.x, box.y = margin + (place + 0.5) * unit, 0.05 + tall / 2 + n * step
    move(boxes, arranged["positions"], style.width, height, _names(arranged))
    heads = any(box.kind == "head" for box in boxes)
    marks = [
        *signs(_scores(edges)),
        *[_mark("|", "ports, left to right: q, k, v")] * heads,
        *(
            patch(g["name"], CLASS_COLOURS[n % len(CLASS_COLOURS)], style)
            for n, g in enumerate(arranged["groups"])
        ),
        *_reference_marks(drawn, looks, style),
    ]
    figure, ax = canvas(style, height, legend=legend_height(marks, style))
    by_name = {box.name: box for box in boxes}
    arrows(ax, edges, by_name, heads=False, style=style, left=margin)
    draw_boxes(ax, boxes, style, size, arranged["pins"])
    ports(ax, boxes)
    layers = []
    for level, row in levels.items():
        if level == int(level) and 0 <= level < graph.layers:
            y = 0.05 + tall / 2 + sorted(levels).index(level) * step
            name = f"layer {int(level)}"
            if row[0].kind != "mlp":
                layers.append((0.02, y, name, "#555555"))
    if style.screen:
        write_light(ax, layers, style.small, ("left", "center"))
    else:
        for x, y, name, color in layers:
            ax.text(x, y, name, va="center", fontsize=style.small, color=color)
    legend(figure, marks, style)
    return figure


def _classes(
    drawn: list[Edge],
    looks: Mapping[str, str],
    graph: Graph,
    arranged: Mapping[str, Any],
    style: Style,
) -> matplotlib.figure.Figure:
    nodes = _nodes(drawn, looks, graph)
    into = {m: f"group:{g['name']}" for g in arranged["groups"] for m in g["members"]}
    edges = fold(drawn, into, merge_ports=True)
    room = 16 if style.width < 4 else 22
    boxes = _group_boxes(arranged, nodes, room=room)
    for name, node in nodes.items():
        if name not in into:
            boxes.append(_box(name, node, graph.layers, looks.get(name, "")))
    size = max(6.0, min(float(style.rc["font.size"]), 9.5))
    measure(boxes, style, size, style.width * 0.46)
    rows = bands(boxes, edges, max(1.0, graph.layers / 10))
    gap = 0.32 if style.width < 4 else 0.36
    height = stack(rows, edges, style.width - 0.1, gap)
    move(boxes, arranged["positions"], style.width, height, _names(arranged))
    words = [_mark("$q$", "which input: q, k or v")] * any(edge.port for edge in edges)
    marks = [*signs(_scores(edges)), *words, *_reference_marks(drawn, looks, style)]
    figure, ax = canvas(style, height, legend=legend_height(marks, style))
    arrows(ax, edges, {box.name: box for box in boxes}, heads=True, style=style)
    draw_boxes(ax, boxes, style, size, arranged["pins"])
    legend(figure, marks, style)
    return figure


def _names(arranged: Mapping[str, Any]) -> set[str]:
    return {group["name"] for group in arranged["groups"]}


def _group_boxes(
    arranged: Mapping[str, Any],
    nodes: Mapping[str, Node],
    *,
    room: int = 20,
    collapsed_only: bool = False,
) -> list[Box]:
    boxes = []
    for n, group in enumerate(arranged["groups"]):
        members = [m for m in group["members"] if m in nodes]
        if not members or (collapsed_only and not group["collapsed"]):
            continue
        lines = [group["name"]]
        if not collapsed_only:
            if not group["collapsed"]:
                lines += wrap([_short(m) for m in members], max(room, len(group["name"])))
            if group.get("at"):
                lines.append(f"at {group['at']}")
        level = sum(float(nodes[m].layer or 0) for m in members) / len(members)
        face = CLASS_COLOURS[n % len(CLASS_COLOURS)]
        boxes.append(Box(f"group:{group['name']}", "group", level, lines, face=face))
    return boxes


def _reference_marks(drawn: Sequence[Edge], looks: Mapping[str, str], style: Style) -> list[Line2D]:
    marks = []
    used = set(looks.values()) | {f"edge {e.look}" for e in drawn if e.look}
    if "hit" in used:
        marks.append(patch("in the reference", "#ffffff", style, HIT))
    if "extra" in used:
        marks.append(patch("not in it", "#e6e6e6", style, GREY))
    if "miss" in used:
        marks.append(patch("missed", "#ffffff", style, INK, dashed=True))
    if "edge extra" in used:
        marks.append(
            Line2D([], [], color=GREY, linewidth=0.6, alpha=0.6, label="not in the reference")
        )
    if "edge miss" in used:
        marks.append(Line2D([], [], color=GREY, linestyle=(0, (1, 1.5)), label="missed"))
    return marks


def _mark(marker: str, label: str) -> Line2D:
    """Return a legend entry of a mark; letters have no outline, which would make them bold."""
    thick = 0.0 if marker.startswith("$") else 1.0
    return Line2D([], [], color=INK, marker=marker, markeredgewidth=thick, linewidth=0, label=label)
