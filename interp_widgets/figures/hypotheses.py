"""Hypotheses on paper: numbers beside their nulls, and the curves of training."""

from __future__ import annotations

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.findings import key, key_height, row_height, strips
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.hypotheses import HypothesisReport

CURVES = {"induction": "vermilion", "previous_token": "blue", "duplicate_token": "green"}


@renderer("hypotheses")
def draw(
    result: HypothesisReport,
    style: Style,
    notes: list[str],
    *,
    which: tuple[str, ...] | list[str] | None = None,
    timeline: bool = True,
) -> matplotlib.figure.Figure:
    """Draw the report.

    Parameters
    ----------
    which
        Hypotheses to draw; default all that were run.
    timeline
        Whether losses and scores over training (H6) are drawn below.
    """
    known = list(result.meta["parts"])
    unknown = [name for name in which or () if name not in known]
    if unknown:
        raise ValueError(f"this report has {', '.join(known)}, not {', '.join(unknown)}")
    chosen = list(which or known)
    found = [f for f in result.meta["findings"] if f["hypothesis"] in chosen]
    curves = timeline and "H6" in chosen
    rows = row_height(style) * max(1, len(found))
    below = min(0.62 * style.width, 2.4) if curves else 0.0
    height = rows + below + key_height(style) + 0.05
    figure = new_figure(style, height)
    figure.set_layout_engine("none")
    split = (below + 0.02) / height
    key(figure, style, top=0.995)
    strips(figure, found, style, top=0.995 - key_height(style) / height, bottom=split)
    if curves:
        _timeline(figure, result.parts["H6"], style, split)
        notes.append("Below: loss on random blocks and scores of the best head over training")
    notes.append(
        "Grey: the same number where the hypothesis is false by construction; filled diamonds are "
        "above it at p ≤ 0.05, open circles are not; each strip has its own scale"
    )
    if result.meta["not_run"]:
        notes.append("Not run: " + ", ".join(result.meta["not_run"]))
    return figure


def _timeline(
    figure: matplotlib.figure.Figure, part: ArrayResult, style: Style, height: float
) -> None:
    values, labels = part.numpy("values"), part.meta["labels"]
    names, steps = labels["quantity"], [float(x) for x in labels["checkpoint"]]
    points = style.small
    ax = figure.add_axes((0.12, 0.24 * height, 0.66, 0.64 * height))
    ax.plot(steps, values[names.index("loss, first copy")], color="#8a8a8a", linewidth=1)
    ax.plot(steps, values[names.index("loss, repeat")], color="black", linewidth=1.3)
    ax.set_xlabel("training step", fontsize=points)
    ax.set_ylabel("loss (nats)", fontsize=points)
    ax.set_ylim(bottom=0)
    other = ax.twinx()
    for name, colour in CURVES.items():
        other.plot(
            steps, values[names.index(name)], color=OKABE_ITO[colour], linewidth=1.2, linestyle="--"
        )
    other.set_ylim(0, 1.02)
    other.set_ylabel("score of the best head", fontsize=points)
    for axes in (ax, other):
        axes.tick_params(labelsize=points)
    turn, fall = (part.meta["changes"][k] for k in ("induction_turns", "loss_falls"))
    ax.axvline(steps[turn], color=OKABE_ITO["vermilion"], linewidth=style.line)
    ax.axvline(steps[fall], color="black", linewidth=style.line, linestyle=(0, (2, 2)))
    handles = [*ax.get_lines()[:2], *other.get_lines()]
    words = ["loss, first copy", "loss, repeat", *(name.replace("_", " ") for name in CURVES)]
    figure.legend(
        handles,
        words,
        loc="upper left",
        bbox_to_anchor=(0.005, np.nextafter(height, 0) * 1.01),
        ncols=3 if style.width < 4 else 5,
        fontsize=max(5.0, points - 1),
        frameon=False,
        handlelength=1.4,
        columnspacing=1.0,
        borderaxespad=0,
    )
