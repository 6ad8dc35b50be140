"""Tests of a circuit on paper: faithfulness by size, completeness, minimality."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import matplotlib.patches
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.judgement import JudgementResult

PARTS = ("faithfulness", "completeness", "minimality")
KINDS = {
    "nothing": ("nothing", "black", "D"),
    "class": ("a class", "vermilion", "s"),
    "random": ("random", "blue", "o"),
    "greedy": ("greedy", "green", "^"),
}
GREY = "#8a8a8a"
MOST_BARS = 24
NARROWEST, ROOMY = 1.7, 2.6
"""Inches of a panel: below the first they stand above one another, below the second labels are
small."""


@renderer("judgement")
def draw(
    result: JudgementResult,
    style: Style,
    notes: list[str],
    *,
    parts: tuple[str, ...] | list[str] = PARTS,
) -> matplotlib.figure.Figure:
    """Draw the report.

    Parameters
    ----------
    parts
        Which panels: ``"faithfulness"``, ``"completeness"``, ``"minimality"``.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise ValueError(f"parts are some of {', '.join(PARTS)}, not {', '.join(unknown) or '()'}")
    beside = style.width / len(parts) >= NARROWEST
    each = style.width / len(parts) if beside else style.width
    height = min(max(2.0, 0.9 * each), 3.4) if beside else min(0.6 * each, 2.4)
    if "minimality" in parts:
        bars = min(MOST_BARS, len(result.meta["nodes"]))
        height = max(height, 0.6 + bars * style.small / 60)
    figure = new_figure(style, height if beside else height * len(parts))
    shape = (1, len(parts)) if beside else (len(parts), 1)
    panels = np.atleast_1d(figure.subplots(*shape)).reshape(-1)
    drawers = {"faithfulness": _faithfulness, "completeness": _completeness}
    for letter, part, ax in zip("abc", parts, panels, strict=False):
        drawers.get(part, _minimality)(ax, result, style, notes)
        points = style.small if each < ROOMY else float(style.rc["axes.labelsize"])
        ax.set_title(f"({letter})", loc="left", fontsize=points)
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set_fontsize(points)
    notes.append(f"{result.meta['n_pairs']} pairs; cut edges carry: {result.meta['ablation']}")
    return figure


def _rule(ax: Any, value: float, style: Style) -> None:
    ax.axhline(value, color="#999999", linewidth=style.line, linestyle=(0, (4, 3)), zorder=0)


def _faithfulness(ax: Any, result: JudgementResult, style: Style, notes: list[str]) -> None:
    _rule(ax, 0, style)
    _rule(ax, 1, style)
    size = result.meta["size"]
    curve = result.curve
    if len(curve):
        ax.fill_between(
            curve["size"],
            curve["low"],
            curve["high"],
            color=OKABE_ITO["blue"],
            alpha=0.2,
            linewidth=0,
        )
        ax.plot(
            curve["size"], curve["faithfulness"], color=OKABE_ITO["blue"], linewidth=1.2, marker=""
        )
        ax.set_xscale("log")
    random = result.numpy("random")
    rng = np.random.default_rng(0)
    spread = size * np.exp(rng.normal(0, 0.04, len(random)))
    ax.scatter(
        spread, random, s=9, color=GREY, alpha=0.7, linewidths=0, label=f"{len(random)} random"
    )
    low, high = result.interval
    value = result.faithfulness
    ax.errorbar(
        [size],
        [value],
        yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
        color=OKABE_ITO["vermilion"],
        marker="D",
        markersize=4.5,
        linewidth=1,
        label="this circuit",
    )
    total, unit = result.meta["total"], result.meta["level"]
    ax.set(xlabel=f"{unit}s (of {total:,})", ylabel="faithfulness")
    ax.set_xlim(right=total * 1.25)
    ax.legend(loc="upper left", fontsize=style.small, handletextpad=0.3, borderaxespad=0.2)
    low_y, high_y = ax.get_ylim()
    ax.set_ylim(low_y, high_y + 0.3 * (high_y - low_y))
    by_score = "Line: units taken by |score|, with 95 % limits over pairs. " if len(curve) else ""
    notes.append(f"(a) {by_score}Grey: random connected circuits of equal size")


def _completeness(ax: Any, result: JudgementResult, style: Style, notes: list[str]) -> None:
    found = result.completeness
    x, y = found.numpy("x"), found.numpy("y")
    low = float(min(x.min(), y.min(), 0))
    high = float(max(x.max(), y.max(), 1))
    room = 0.06 * (high - low)
    ends = [low - room, high + room]
    ax.plot(ends, ends, color="#999999", linewidth=style.line, linestyle=(0, (4, 3)), zorder=0)
    kinds = np.array(found.meta["kinds"])
    for kind, (name, colour, marker) in KINDS.items():
        chosen = kinds == kind
        if chosen.any():
            ax.scatter(
                x[chosen],
                y[chosen],
                s=20 if kind == "nothing" else 14,
                marker=marker,
                color=OKABE_ITO[colour],
                linewidths=0,
                alpha=0.85,
                label=name,
            )
    ax.set(xlim=ends, ylim=ends, xlabel="network without K", ylabel="circuit without K")
    ax.legend(
        loc="lower right",
        fontsize=style.small,
        title="K",
        title_fontsize=style.small,
        handletextpad=0.2,
        borderaxespad=0.2,
        labelspacing=0.3,
    )
    notes.append(
        "(b) Faithfulness after the same nodes K are ablated in both; a complete circuit lies on "
        f"the diagonal. Largest distance {found.meta['incompleteness']:.2f} "
        f"(K = {found.meta['worst']})"
    )


def _minimality(ax: Any, result: JudgementResult, style: Style, notes: list[str]) -> None:
    found = result.minimality
    values = found.numpy("largest")
    limits = found.numpy("largest_interval")
    order = np.argsort(-np.abs(values), kind="stable")[:MOST_BARS]
    colours = _class_colours(result)
    names = found.labels("node")
    for at, i in enumerate(order):
        ax.barh(at, values[i], height=0.72, color=colours.get(names[i], GREY), linewidth=0)
        ax.plot(limits[i], [at, at], color="black", linewidth=0.8)
    ax.axvline(0, color="#333333", linewidth=style.line)
    height = 72 * ax.get_position().height * ax.get_figure().get_size_inches()[1]
    points = max(5.0, min(style.small, height / 1.25 / len(order)))
    ax.set_yticks(range(len(order)), [_short(names[i]) for i in order], fontsize=points)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="faithfulness lost without it", ylim=(len(order) - 0.4, -0.6))
    classes = [name for name in result.meta["classes"] if name in colours]
    if classes:
        handles = [matplotlib.patches.Patch(color=colours[name], label=name) for name in classes]
        ax.legend(
            handles=handles,
            loc="lower right",
            fontsize=style.small,
            handlelength=0.8,
            handletextpad=0.4,
            borderaxespad=0.1,
            labelspacing=0.25,
        )
    if len(order) < len(values):
        notes.append(f"(c) {len(order)} of {len(values)} nodes are drawn")
    notes.append(
        "(c) Faithfulness that the circuit loses with each node, for the set left out beside it "
        "that makes this largest; lines: 95 % limits over pairs"
    )


def _class_colours(result: JudgementResult) -> dict[str, str]:
    """Return a colour for each class and for each node of it."""
    palette = [OKABE_ITO[k] for k in ("blue", "vermilion", "green", "purple", "orange", "sky")]
    found: dict[str, str] = {}
    for colour, (name, members) in zip(palette, result.meta["classes"].items(), strict=False):
        found[name] = colour
        for member in members:
            found.setdefault(_full(member), colour)
    return found


def _full(name: str) -> str:
    layer, dot, head = name.partition(".")
    return f"a{layer}.h{head}" if dot and layer.isdigit() and head.isdigit() else name


def _short(name: str) -> str:
    if name.startswith("a") and ".h" in name:
        return name[1:].replace(".h", ".")
    return f"MLP {name[1:]}" if name[:1] == "m" and name[1:].isdigit() else name
