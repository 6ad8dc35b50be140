"""Claims on paper: a card with its effect against random ones, or the report card of several."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.labels import escape
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.claims import LAMPS, STATES, ClaimsResult

MARKS: dict[bool | None, dict[str, Any]] = {
    True: {"marker": "o", "color": "#1f2328"},
    False: {"marker": "X", "color": "#a40e26"},
    None: {"marker": "o", "facecolors": "none", "edgecolors": "#59636e"},
}
WORDS = {"drops": "fall", "rises": "rise", "stays": "change"}
GREY = "#8a8a8a"
NARROW = 4.5
"""Inches below which pictures stand above one another."""


@renderer("claims")
def draw(
    result: ClaimsResult,
    style: Style,
    notes: list[str],
    *,
    claim: int | None = None,
) -> matplotlib.figure.Figure:
    """Draw one claim's card, or the report card.

    Parameters
    ----------
    claim
        Which claim; None (default) draws the report card where there are several.
    """
    if claim is not None and not 0 <= claim < len(result.cards):
        raise ValueError(f"there is no claim {claim}; there are {len(result.cards)}")
    if claim is None and len(result.cards) > 1:
        return _report(result, style, notes)
    return _card(result, claim or 0, style, notes)


def _card(result: ClaimsResult, at: int, style: Style, notes: list[str]) -> Any:
    card = result.cards[at]
    drawers = []
    if result.array("null", at) is not None:
        drawers.append(_effect)
    if result.array("score", at) is not None:
        drawers.append(_reasons)
    if result.array("forecast", at) is not None:
        drawers.append(_calibration)
    step = style.small / 72 * 1.35
    wide = int(style.width * 72 / (style.small * 0.56))
    foretold = textwrap.wrap(card["prediction"], wide)
    statement = textwrap.wrap(f"“{card['statement']}” ({card['model']}): {card['status']}", wide)
    stacked = style.width < NARROW
    lamps = len(LAMPS) if stacked else 1
    head = (len(statement) + len(foretold) + lamps + 0.6) * step
    each = 1.75
    rows = len(drawers) if stacked else min(1, len(drawers))
    figure = new_figure(style, head + rows * each + 0.05, fixed=True)
    grid = figure.add_gridspec(
        1 + rows,
        1 if stacked or not drawers else len(drawers),
        height_ratios=[head] + [each] * rows,
    )
    top = figure.add_subplot(grid[0, :])
    top.set_axis_off()
    top.set(xlim=(0, style.width), ylim=(head, 0))
    y = step * 0.6
    for lines, weight in ((statement, "bold"), (foretold, "normal")):
        for words in lines:
            top.text(0, y, escape(words), fontsize=style.small, weight=weight, va="center")
            y += step
    y += 0.2 * step
    for i, (lamp, name) in enumerate(LAMPS.items()):
        x, line = (0.0, y + i * step) if stacked else (i * style.width / len(LAMPS), y)
        lit = card["lamps"][lamp]
        top.scatter([x + 0.06], [line], s=style.small**2 * 0.6, linewidths=1, **MARKS[lit])
        top.text(x + 0.2, line, f"{name}: {STATES[lit]}", fontsize=style.small, va="center")
    for i, drawer in enumerate(drawers):
        place = grid[1 + i, 0] if stacked else grid[1, i]
        ax = figure.add_subplot(place)
        drawer(ax, result, at, style, notes)
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set_fontsize(style.small)
    if not drawers:
        notes.append("The claim was not tested: its sealed inputs were not read")
    if card.get("hash"):
        notes.append(f"Registered {card['registered']} as {card['hash'][:12]}")
    return figure


def _effect(ax: Any, result: ClaimsResult, at: int, style: Style, notes: list[str]) -> None:
    card = result.cards[at]
    null = result.array("null", at)
    assert null is not None
    value = float(card["value"])
    own = abs(value) if card["effect"] == "stays" else value
    ends = [*null.tolist(), own, float(card["minimum"])]
    low, high = min(ends), max(ends)
    room = 0.08 * (high - low or 1.0)
    ax.hist(null, bins=np.linspace(low - room, high + room, 22), color=GREY, linewidth=0)
    top = ax.get_ylim()[1]
    ax.set_ylim(0, top * 1.55)
    bound = "most" if card["effect"] == "stays" else "least"
    marks = (
        (float(card["minimum"]), f"{bound} {card['minimum']:.2g}", "black", (0, (4, 3)), 1.47),
        (own, f"this {own:.2g}", OKABE_ITO["vermilion"], "solid", 1.22),
    )
    for x, words, colour, dash, height in marks:
        ax.plot([x, x], [0, top * height], color=colour, linestyle=dash, linewidth=1.2)
        left = x > (low + high) / 2
        ax.annotate(
            words,
            (x, top * height),
            xytext=(-3 if left else 3, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
            fontsize=style.small,
        )
    metric = str(card["metric"]).replace("_", " ")
    ax.set(xlabel=f"{WORDS[card['effect']]} of {metric}", ylabel="random ones")
    notes.append(f"Grey: {card.get('null', 'random mechanisms')}")


def _reasons(ax: Any, result: ClaimsResult, at: int, style: Style, notes: list[str]) -> None:
    card, points = result.cards[at], result.scatter(at)
    limit = float(card["threshold"])
    right = points["correct"].to_numpy(bool)
    for chosen, marker, colour in ((right, "o", "blue"), (~right, "x", "vermilion")):
        ax.scatter(
            points["score"][chosen],
            points["margin"][chosen],
            s=9,
            marker=marker,
            color=OKABE_ITO[colour],
            alpha=0.7,
            linewidths=0 if marker == "o" else 0.8,
        )
    ax.axhline(0, color="#999999", linewidth=style.line)
    low, high = ax.get_xlim()
    low, high = min(low, -0.05), max(high, 1.05)
    top = ax.get_ylim()[1]
    edges = (low, limit) if card["cause"] else (limit, high)
    ax.fill_between(edges, 0, top, color=OKABE_ITO["orange"], alpha=0.18, linewidth=0, zorder=0)
    ax.set(xlim=(low, high), ylim=(ax.get_ylim()[0], top))
    ax.set(xlabel="share of decision through it", ylabel="answer − foil (logits)")
    notes.append(
        f"Discs are right, crosses wrong; shaded: right for the wrong reason "
        f"({int(points['wrong_reason'].sum())} of {int(right.sum())})"
    )


def _calibration(ax: Any, result: ClaimsResult, at: int, style: Style, notes: list[str]) -> None:
    table = result.calibration(at)
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=style.line, linestyle=(0, (4, 3)))
    ax.scatter(table["foretold"], table["observed"], s=16, color=OKABE_ITO["blue"], linewidths=0)
    ax.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xlabel="failures foretold", ylabel="seen")
    notes.append(f"Right: {int(table['inputs'].sum())} inputs in bins of equal size")


def _report(result: ClaimsResult, style: Style, notes: list[str]) -> Any:
    step = style.small / 72 * 1.35
    narrow = style.width < NARROW
    names = list(LAMPS) if narrow else list(LAMPS.values())
    heads = ["model", "accuracy", "claim", "effect", *names, "verdict"]
    shares = np.array([0.12, 0.095, 0.17, 0.11, 0.125, 0.14, 0.12, 0.12])
    if narrow:
        notes.append("; ".join(f"{letter}: {name}" for letter, name in LAMPS.items()))
        shares = np.array([0.13, 0.15, 0.14, 0.13, 0.11, 0.11, 0.11, 0.12])
    starts = np.concatenate([[0], np.cumsum(shares)[:-1]])
    glyph = style.small * 0.5 / 72

    def wrapped(text: str, i: int) -> list[str]:
        room = max(4, int(shares[i] * style.width / glyph) - 1)
        return textwrap.wrap(text, room) or [""]

    rows: list[tuple[list[list[str]], list[bool | None]]] = []
    for card in result.cards:
        shot = card.get("snapshot")
        bound = "below" if card["effect"] == "stays" else "least"
        value = "" if card.get("value") is None else f"{card['value']:.2f}, "
        words = [
            card["model"],
            f"{shot['accuracy']:.2f}" if shot else "untested",
            card["statement"],
            f"{value}{bound} {card['minimum']:.2g}",
            *(STATES[card["lamps"][lamp]] for lamp in LAMPS),
            card["status"],
        ]
        cells = [wrapped(str(text), i) for i, text in enumerate(words)]
        rows.append((cells, [card["lamps"][lamp] for lamp in LAMPS]))
    title = [wrapped(head, i) for i, head in enumerate(heads)]
    heights = [max(map(len, title))] + [max(map(len, cells)) for cells, _ in rows]
    total = (sum(heights) + 0.5 * len(heights)) * step
    figure = new_figure(style, total, fixed=True)
    ax = figure.add_subplot()
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(total, 0))
    y = 0.1 * step
    for (cells, lit), height in zip([(title, []), *rows], heights, strict=True):
        for i, lines in enumerate(cells):
            lamp = lit[i - 4] if lit and 4 <= i < 7 else None
            colour = "#a40e26" if lit and 4 <= i < 7 and lamp is False else "black"
            for k, line in enumerate(lines):
                ax.text(
                    starts[i],
                    y + (k + 0.8) * step,
                    escape(line),
                    fontsize=style.small,
                    color=colour,
                    weight="normal" if lit else "bold",
                )
        y += (height + 0.25) * step
        ax.plot([0, 1], [y, y], color="#999999", linewidth=style.line)
        y += 0.25 * step
    notes.append("What each model does on the left, how it does it on the right; no single score")
    return figure
