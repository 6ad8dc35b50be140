"""An attribution graph on paper: what is pinned, or everything by layer and token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from interp_widgets.figures.figure import renderer
from interp_widgets.figures.graph_drawing import (
    CLASS_COLOURS,
    INK,
    NEGATIVE,
    POSITIVE,
    arrows,
    canvas,
    draw_boxes,
    legend,
    legend_height,
    sign_note,
    signs,
)
from interp_widgets.figures.graph_layout import (
    Box,
    Edge,
    bands,
    fold,
    measure,
    move,
    stack,
    text_width,
)
from interp_widgets.figures.labels import token_label
from interp_widgets.figures.style import Style
from interp_widgets.results.attribution_graph import (
    EDGE_THRESHOLD,
    KINDS,
    NODE_THRESHOLD,
    AttributionGraph,
)

LAYOUTS = ("positions", "classes")
LONGEST = 26
MARKS = {"feature": "o", "error": "D", "embedding": "s", "logit": "s"}


@renderer("attribution_graph")
def draw(
    result: AttributionGraph,
    style: Style,
    notes: list[str],
    *,
    layout: str | None = None,
    nodes: float | None = None,
    edges: float = EDGE_THRESHOLD,
) -> matplotlib.figure.Figure:
    """Draw the graph.

    Parameters
    ----------
    layout
        ``"classes"``: what is pinned or in a group, groups as one box each (default where something
        is); ``"positions"``: rows are layers, columns tokens.
    nodes, edges
        Cumulative influence kept; by default 0.8 (or the file's own threshold) and 0.98.
    """
    arranged = result.arrangement
    named = [*arranged["pins"], *(m for g in arranged["groups"] for m in g["members"])]
    layout = layout or ("classes" if named else "positions")
    if layout not in LAYOUTS:
        raise ValueError(f"layout is one of {', '.join(LAYOUTS)}, not {layout!r}")
    if nodes is None:
        nodes = float(result.meta["metadata"].get("node_threshold") or NODE_THRESHOLD)
    kept = result.kept(nodes, edges)
    if layout == "classes" and not named:
        raise ValueError("nothing is pinned or grouped yet: result.arrange(pins=[…], groups={…})")
    if layout == "classes":
        figure = _subgraph(result, set(named), arranged, style, notes)
        notes.append("The pinned nodes; members of a group are one box, their links added up")
    else:
        figure = _positions(result, *kept, arranged, style, notes)
        notes.append(f"Nodes and links with {nodes:.0%} and {edges:.0%} of the influence")
    for name, text in arranged["notes"].items():
        notes.append(f"{result.label(name) if name in result.names else name}: {text}")
    return figure


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _label(result: AttributionGraph, name: str) -> str:
    text = result.label(name)
    return _cut(text.removeprefix("Output ").strip())


def _subgraph(
    result: AttributionGraph,
    named: set[str],
    arranged: Mapping[str, Any],
    style: Style,
    notes: list[str],
) -> matplotlib.figure.Figure:
    names, kinds = result.names, result.node_kinds
    rows = {layer: i for i, layer in enumerate(result.layers)}
    at = {name: i for i, name in reversed(list(enumerate(names)))}
    info = result.meta["nodes"]
    into = {m: f"group:{g['name']}" for g in arranged["groups"] for m in g["members"]}
    drawn = [
        Edge(names[s], names[t], "", float(w))
        for s, t, w in zip(
            result.numpy("source"), result.numpy("target"), result.numpy("weight"), strict=True
        )
        if names[s] in named and names[t] in named
    ]
    edges = fold(drawn, into)
    tokens = max(1, len(result.tokens))
    boxes = []
    for n, group in enumerate(arranged["groups"]):
        members = [at[m] for m in group["members"]]
        level = float(np.mean([rows[str(info[i]["layer"])] for i in members]))
        order = float(np.mean([int(info[i]["ctx_idx"]) for i in members])) / tokens
        lines = [_cut(group["name"])]
        if not group["collapsed"]:
            lines += [_label(result, m) for m in group["members"][:6]]
        face = CLASS_COLOURS[n % len(CLASS_COLOURS)]
        boxes.append(Box(f"group:{group['name']}", "group", level, lines, face=face, order=order))
    for name in sorted(named - set(into), key=lambda m: at[m]):
        i = at[name]
        kind = KINDS[kinds[i]]
        order = int(info[i]["ctx_idx"]) / tokens
        box = Box(name, kind, float(rows[str(info[i]["layer"])]), [_label(result, name)])
        box.kind = "end" if kind == "logit" else "mlp" if kind == "embedding" else kind
        box.order = order
        boxes.append(box)
    size = max(6.0, min(float(style.rc["font.size"]), 9.5))
    measure(boxes, style, size, style.width * 0.46)
    tiers = bands(boxes, edges, max(1.0, len(rows) / 10))
    height = stack(tiers, edges, style.width - 0.1, 0.32 if style.width < 4 else 0.36)
    groups = {group["name"] for group in arranged["groups"]}
    move(boxes, arranged["positions"], style.width, height, groups)
    scores = [edge.score for edge in edges]
    notes.append(sign_note(scores))
    marks = signs(scores, "raises its target")
    figure, ax = canvas(style, height, legend=legend_height(marks, style))
    arrows(ax, edges, {box.name: box for box in boxes}, heads=True, style=style)
    draw_boxes(ax, boxes, style, size)
    legend(figure, marks, style)
    return figure


def _positions(
    result: AttributionGraph,
    kept_nodes: np.ndarray,
    kept_edges: np.ndarray,
    arranged: Mapping[str, Any],
    style: Style,
    notes: list[str],
) -> matplotlib.figure.Figure:
    names, info, kinds = result.names, result.meta["nodes"], result.node_kinds
    shown = [int(i) for i in np.flatnonzero(kept_nodes)]
    used = [r for r in result.layers if any(str(info[i]["layer"]) == r for i in shown)]
    margin = style.small / 72 * 3.0
    columns = max(1, len(result.tokens), 1 + max(int(info[i]["ctx_idx"]) for i in shown))
    cells: dict[tuple[int, int], list[int]] = {}
    for i in shown:
        key = used.index(str(info[i]["layer"])), int(info[i]["ctx_idx"])
        cells.setdefault(key, []).append(i)
    fullest = np.ones(columns)
    for (_, c), cell in cells.items():
        fullest[c] = max(fullest[c], np.sqrt(len(cell)))
    widths = (style.width - margin - 0.05) * (fullest + 1) / (fullest + 1).sum()
    left = margin + np.concatenate([[0], np.cumsum(widths)[:-1]])
    tokens = [token_label(token) for token in result.tokens]
    wide = [text_width(token, style.small, style) for token in tokens]
    turned = any(w > room for w, room in zip(wide, widths, strict=False))
    bottom = max(wide, default=0) + 0.08 if turned else style.small / 72 * 2.2
    pitch = min(0.34, max(0.17, 4.2 / len(used)))
    words = {i: _label(result, names[i]) for i in shown if kinds[i] == KINDS.index("logit")}
    lines = _word_lines(words, left + widths / 2, info, style)
    step = style.small / 72 * 2.2
    height = bottom + pitch * len(used) + 0.1 + step * len(lines)
    x, y = np.full(len(info), np.nan), np.full(len(info), np.nan)
    for (r, c), cell in cells.items():
        step = min(0.16, widths[c] * 0.9 / len(cell))
        for n, i in enumerate(cell):
            x[i] = left[c] + widths[c] / 2 + (n - (len(cell) - 1) / 2) * step
            y[i] = bottom + (r + 0.5) * pitch
    for n, line in enumerate(lines):
        for i, middle in line:
            x[i], y[i] = middle, bottom + (len(used) - 0.5) * pitch + (len(lines) - 1 - n) * step
    for i in shown:
        if place := arranged["positions"].get(names[i]):
            x[i], y[i] = place[0] * style.width, place[1] * height
    scores = result.numpy("weight")[kept_edges]
    notes.append(sign_note(scores))
    drawn = {KINDS[kinds[i]] for i in shown}
    marks = signs(scores, "raises its target") + [
        Line2D([], [], marker=MARKS[k], markersize=4, linewidth=0, label=label,
               markerfacecolor=face, markeredgecolor=INK, markeredgewidth=0.6)
        for k, label, face in (("feature", "feature", "white"), ("error", "error", "#888888"),
                               ("logit", "token, output", INK)) if k in drawn
    ]  # fmt: skip
    figure, ax = canvas(style, height, legend=legend_height(marks, style))
    _links(ax, result, np.flatnonzero(kept_edges), x, y)
    for kind, name in enumerate(KINDS):
        ours = [i for i in shown if kinds[i] == kind]
        face = {"feature": "white", "error": "#888888"}.get(name, INK)
        ax.plot(x[ours], y[ours], MARKS[name], markersize=3.6, markerfacecolor=face,
                markeredgecolor=INK, markeredgewidth=0.5, linestyle="", zorder=3)  # fmt: skip
    pinned = {names.index(name): _label(result, name) for name in arranged["pins"]}
    for i, label in {**pinned, **words}.items():
        if kept_nodes[i]:
            half = text_width(label, style.small, style) / 2 + 0.03
            at = min(max(x[i], half), style.width - half)
            ax.annotate(label, (at, y[i]), (0, 4), ha="center", va="bottom",
                        textcoords="offset points", fontsize=style.small, zorder=4,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4,
                              "alpha": 0.8})  # fmt: skip
    for r, layer in enumerate(used):
        word = "out" if r == len(used) - 1 and layer != "E" else layer
        ax.text(0.03, bottom + (r + 0.5) * pitch, word, va="center", fontsize=style.small,
                color="#555555")  # fmt: skip
    for c, token in enumerate(tokens):
        ax.text(left[c] + widths[c] / 2, bottom - 0.04 if turned else bottom * 0.45, token,
                ha="center", va="top" if turned else "center", rotation=90 * turned,
                fontsize=style.small, color=INK)  # fmt: skip
    legend(figure, marks, style)
    return figure


def _word_lines(
    words: Mapping[int, str], middles: np.ndarray, info: list[Any], style: Style
) -> list[list[tuple[int, float]]]:
    """Place outputs side by side with room for each one's word, near their column."""
    left, right = style.small / 72 * 3.0, style.width
    lines: list[list[tuple[int, float]]] = []
    widths = {i: text_width(word, style.small, style) + 0.1 for i, word in words.items()}
    waiting = list(words)
    while waiting:
        line = [waiting.pop(0)]
        while waiting and sum(widths[i] for i in [*line, waiting[0]]) <= right - left:
            line.append(waiting.pop(0))
        ends = np.cumsum([widths[i] for i in line])
        middle = float(middles[int(info[line[0]]["ctx_idx"])])
        start = max(left, min(middle - ends[-1] / 2, right - ends[-1]))
        lines.append([(i, start + end - widths[i] / 2) for i, end in zip(line, ends, strict=True)])
    return lines


def _links(
    ax: Any, result: AttributionGraph, kept: np.ndarray, x: np.ndarray, y: np.ndarray
) -> None:
    """Draw links as curves in one collection, weakest first."""
    weight = result.numpy("weight")
    kept = kept[np.argsort(np.abs(weight[kept]), kind="stable")]
    if not len(kept):
        return
    top = np.abs(weight[kept]).max() or 1.0
    s, t = result.numpy("source")[kept], result.numpy("target")[kept]
    way = np.linspace(0, 1, 17)
    sway = way**2 * (3 - 2 * way)
    lines = np.stack(
        [
            x[s][:, None] + (x[t] - x[s])[:, None] * sway,
            y[s][:, None] + (y[t] - y[s])[:, None] * way,
        ],
        axis=-1,
    )
    share = np.abs(weight[kept]) / top
    for negative in (False, True):
        ours = (weight[kept] < 0) == negative
        ax.add_collection(
            LineCollection(
                list(lines[ours]),
                colors=NEGATIVE if negative else POSITIVE,
                linewidths=0.4 + 2.0 * share[ours],
                alpha=0.6,
                linestyles=[(0, (3, 1.5))] if negative else "solid",
                zorder=1 + share.mean(),
                rasterized=len(kept) > 5_000,
            )
        )
