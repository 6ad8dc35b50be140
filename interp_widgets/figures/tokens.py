"""Values on tokens as coloured text, the way it stands in a paper."""

from __future__ import annotations

from typing import Literal

import matplotlib.figure
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import limits
from interp_widgets.figures.labels import token_label, token_labels
from interp_widgets.figures.screen import width_of, write
from interp_widgets.figures.style import Style, ink_on
from interp_widgets.results.tokens import NORMALISED, Normalisation, TokensResult

MOST_TOKENS = 400
MOST_BARS = 60


@renderer("tokens")
def draw(
    result: TokensResult,
    style: Style,
    notes: list[str],
    *,
    channel: int | str = 0,
    layout: Literal["text", "bars"] = "text",
    normalise: Normalisation = "none",
    scale: Literal["channel", "global"] = "channel",
    sort: Literal["position", "size"] = "position",
    spaces: bool = False,
) -> matplotlib.figure.Figure:
    """Draw one channel's values as coloured text, wrapped to the width, or as bars.

    Parameters
    ----------
    channel
        Index or name of the values to show when tokens carry several.
    layout, sort
        ``"text"`` or ``"bars"``, one token a line, in reading order or by ``"size"``.
    normalise
        ``"max"`` divides by the largest magnitude, ``"sum"`` by the sum of magnitudes.
    scale
        Whether the colours span this channel or all (``"global"``).
    spaces
        Whether the space that begins a word is drawn.
    """
    channel = result.channel(channel)
    values = result.normalised(channel, normalise)
    tokens = result.tokens
    vlim = limits(values, signed=result.signed)
    if scale == "global" and normalise == "none":
        vlim = limits(result.numpy("values"), signed=result.signed)
        notes.append("The scale spans all channels")
    _say(result, channel, normalise, notes)
    if layout == "bars":
        return _bars(result, values, style, notes, vlim, by_size=sort == "size")
    if len(tokens) > MOST_TOKENS:
        notes.append(f"The last {MOST_TOKENS} of {len(tokens)} tokens")
        values, tokens = values[-MOST_TOKENS:], tokens[-MOST_TOKENS:]
    size = float(style.rc["font.size"])
    em = size / 72
    line = em * 2.1
    boxes = _wrap(tokens, style, size, spaces=spaces)
    n_lines = boxes[-1][1] + 1 if boxes else 1
    bar = 0.5
    height = n_lines * line + bar
    figure = new_figure(style, height, fixed=True)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, style.width)
    ax.set_ylim(0, height)
    ax.axis("off")
    norm = Normalize(*vlim, clip=True)
    cmap = style.cmap(signed=result.signed)
    finite = np.isfinite(values)
    faces = [cmap(norm(v)) if ok else "#d9d9d9" for v, ok in zip(values, finite, strict=True)]
    bottoms = [height - (row + 1) * line + line * 0.2 for _, row, _, _ in boxes]
    ax.add_collection(
        PatchCollection(
            [
                Rectangle((x, y), width, line * 0.72)
                for (x, _, width, _), y in zip(boxes, bottoms, strict=True)
            ],
            facecolors=faces,
            edgecolors="#cccccc",
            linewidths=0.5,
        ),
        autolim=False,
    )
    write(
        ax,
        style,
        [
            (x + width / 2, y + line * 0.36)
            for (x, _, width, _), y in zip(boxes, bottoms, strict=True)
        ],
        [text if ok else f"{text}×" for (*_, text), ok in zip(boxes, finite, strict=True)],
        [ink_on(face) for face in faces],
        size,
    )
    negative = result.signed & finite & (np.nan_to_num(values) < -0.1 * vlim[1])
    dashes = [
        [(x, y - 0.012), (x + width, y - 0.012)]
        for (x, _, width, _), y, minus in zip(boxes, bottoms, negative, strict=True)
        if minus
    ]
    marked = bool(dashes)
    ax.add_collection(
        LineCollection(dashes, colors="black", linewidths=0.9, linestyles=[(0, (2, 1.2))]),
        autolim=False,
    )
    over = _brackets(result, boxes, [y + line * 0.8 for y in bottoms], len(result.tokens))
    ax.add_collection(LineCollection(over, colors="#59636e", linewidths=0.7), autolim=False)
    if over:
        notes.append("Tokens under a bracket share one value")
    if marked:
        notes.append("Negative tokens are underlined with dashes")
    bar_ax = figure.add_axes((0.04, 0.26 / height, 0.4, 0.08 / height))
    legend = figure.colorbar(ScalarMappable(norm, cmap), cax=bar_ax, orientation="horizontal")
    legend.outline.set_linewidth(style.line)
    bar_ax.tick_params(length=2, width=style.line, labelsize=style.small, pad=1)
    figure.text(0.47, 0.3 / height, result.quantity, fontsize=style.small, va="center")
    return figure


def _brackets(
    result: TokensResult, boxes: list[tuple[float, int, float, str]], tops: list[float], count: int
) -> list[list[tuple[float, float]]]:
    """Return a line over every run of tokens that share a value, on each line of text."""
    first, drop = count - len(boxes), 0.02
    lines = []
    for unit in result.units or []:
        runs: list[list[int]] = []
        for i in sorted(p - first for p in unit["at"] if p >= first):
            if runs and i == runs[-1][-1] + 1 and boxes[i][1] == boxes[runs[-1][-1]][1]:
                runs[-1].append(i)
            else:
                runs.append([i])
        for run in runs:
            left, right, y = boxes[run[0]][0], sum(boxes[run[-1]][0:3:2]), tops[run[0]]
            if len(unit["at"]) > 1:
                lines.append([(left, y - drop), (left, y), (right, y), (right, y - drop)])
    return lines


def _say(result: TokensResult, channel: int, normalise: str, notes: list[str]) -> None:
    """Note which channel is shown, what was done to it, and the warning that belongs to it."""
    if result.targets is not None:
        at = result.targets[channel]
        notes.append(f"Explained: {result.tokens[at]!r} at position {at}")
    elif len(result.channels) > 1:
        notes.append(f"{result.meta.get('channel_name', 'Channel')} {result.channels[channel]}")
    if normalise != "none":
        notes.append(f"Values are {NORMALISED[normalise]}")
    if result.meta.get("note"):
        notes.append(f"Note: {result.meta['note']}")


def _bars(
    result: TokensResult,
    values: np.ndarray,
    style: Style,
    notes: list[str],
    vlim: tuple[float, float],
    *,
    by_size: bool,
) -> matplotlib.figure.Figure:
    """Draw one token a line, its bar from zero."""
    order = np.arange(len(values))
    if by_size:
        order = np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")
    if len(order) > MOST_BARS:
        which = "largest" if by_size else "first"
        notes.append(f"The {MOST_BARS} {which} of {len(order)} tokens")
        order = order[:MOST_BARS]
    figure = new_figure(style, len(order) * style.small / 72 * 1.5 + 0.55)
    ax = figure.add_subplot()
    norm, cmap = Normalize(*vlim, clip=True), style.cmap(signed=result.signed)
    shown = values[order]
    faces = [cmap(norm(v)) if np.isfinite(v) else "#d9d9d9" for v in shown]
    ax.barh(
        range(len(order)),
        np.nan_to_num(shown, posinf=vlim[1], neginf=vlim[0]),
        color=faces,
        edgecolor="#555555",
        linewidth=style.line,
        height=0.78,
    )
    for i, v in enumerate(shown):
        if not np.isfinite(v):
            ax.text(0, i, " ×", va="center", fontsize=style.small)
    names = token_labels(result.tokens)
    ax.set_yticks(range(len(order)), [names[i] for i in order], fontsize=style.small)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.axvline(0, color="#222222", linewidth=style.line)
    ax.set_xlabel(result.quantity)
    return figure


def _wrap(
    tokens: list[str], style: Style, size: float, *, spaces: bool
) -> list[tuple[float, int, float, str]]:
    """Place every token: (x, line, width, text) in inches."""
    family = tuple(style.rc["font.family"])
    x, row = 0.04, 0
    boxes = []
    for token in tokens:
        text = token_label(token, 24)
        if spaces and token[:1] == " " and len(token) > 1 and token[1] != " ":
            text = f"·{text}"
        long = width_of(text.replace(r"\$", "$"), size, family)
        width = max(long / 72, size / 72 * 0.3) + size / 72 * 0.5
        if x + width > style.width - 0.04 and x > 0.04:
            x, row = 0.04, row + 1
        boxes.append((x, row, width, text))
        x += width + size / 72 * 0.12
        if "\n" in token:
            x, row = 0.04, row + 1
    return boxes
