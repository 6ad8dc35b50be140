"""Circuits by size on paper: size by threshold, accuracy and KL by size."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.style import OKABE_ITO, Style
from interp_widgets.results.extraction_sweep import ExtractionSweep
from interp_widgets.results.task_circuit import names_in

PARTS = ("size", "accuracy", "kl")
ALL = (*PARTS, "roc")
LOOKS = (
    ("blue", "o", "-"),
    ("vermilion", "s", "--"),
    ("green", "^", "-."),
    ("purple", "D", ":"),
)
NARROWEST = 1.7
"""Inches of a panel; narrower ones stand above one another."""


@renderer("extraction_sweep")
def draw(
    result: ExtractionSweep,
    style: Style,
    notes: list[str],
    *,
    parts: tuple[str, ...] | list[str] = PARTS,
    threshold: float | None = None,
    reference: Any = (),
) -> matplotlib.figure.Figure:
    """Draw size reduction by threshold, and accuracy and KL by size reduction.

    Parameters
    ----------
    parts
        Which panels: ``"size"``, ``"accuracy"``, ``"kl"``, and ``"roc"`` with a reference.
    threshold
        A threshold whose circuits are marked.
    reference
        Heads found by hand, for ``"roc"``: names, classes of them, or a known circuit.
    """
    unknown = [part for part in parts if part not in ALL]
    if unknown or not parts:
        raise ValueError(f"parts are some of {', '.join(ALL)}, not {', '.join(unknown) or '()'}")
    beside = style.width / len(parts) >= NARROWEST
    each = style.width / len(parts) if beside else style.width
    height = min(max(1.8, 0.8 * each), 2.6) if beside else min(max(1.5, 0.5 * each), 2.2)
    legend = 0.22 * -(-len(result.settings) // 2) + 0.05
    figure = new_figure(style, (height if beside else height * len(parts)) + legend)
    shape = (1, len(parts)) if beside else (len(parts), 1)
    panels = np.atleast_1d(figure.subplots(*shape)).reshape(-1)
    at = None if threshold is None else _nearest(result, threshold)
    handles: list[Any] = []
    for letter, part, ax in zip("abcd", parts, panels, strict=False):
        if part == "roc":
            handles = _roc(ax, result, names_in(reference), style, notes)
        else:
            handles = _panel(ax, result, part, style, at)
        ax.set_title(f"({letter})", loc="left", fontsize=style.small)
    figure.legend(
        handles,
        result.settings,
        loc="outside upper center",
        ncols=min(2, len(handles)),
        fontsize=style.small,
        handlelength=2.4,
        borderaxespad=0.1,
    )
    repeats = result.arrays["kl"].shape[1]
    if repeats > 1:
        notes.append(f"Points: mean of {repeats} runs on other prompts; bars: ± 1 s.d.")
    notes.append(
        f"{result.meta['n_prompts']} prompts; weights are counted without embeddings; dotted: "
        "accuracy of the whole model"
    )
    if at is not None:
        notes.append(f"Ringed: threshold {result.thresholds[at]:.3g} nats")
    return figure


def _nearest(result: ExtractionSweep, threshold: float) -> int:
    if not threshold > 0:
        raise ValueError(f"the threshold is {threshold}; it has to be above 0")
    return int(np.abs(np.log(result.thresholds / threshold)).argmin())


def _panel(ax: Any, result: ExtractionSweep, part: str, style: Style, at: int | None) -> list[Any]:
    size = 100 * result.size_reduction
    values = {"size": size, "accuracy": 100 * result.numpy("accuracy"), "kl": result.numpy("kl")}
    handles = []
    for s in range(len(result.settings)):
        colour, marker, dash = LOOKS[s % len(LOOKS)]
        y = values[part][s]
        x = np.broadcast_to(result.thresholds, y.shape) if part == "size" else size[s]
        x_mean, y_mean = x.mean(0), y.mean(0)
        order = np.argsort(x_mean, kind="stable")
        handle = ax.errorbar(
            x_mean[order],
            y_mean[order],
            xerr=None if part == "size" or len(x) == 1 else x.std(0)[order],
            yerr=None if len(y) == 1 else y.std(0)[order],
            color=OKABE_ITO[colour],
            marker=marker,
            markersize=3,
            linestyle=dash,
            linewidth=1,
            elinewidth=0.6,
        )
        handles.append(handle)
        if at is not None:
            ax.plot(x_mean[at], y_mean[at], "o", ms=6.5, mfc="none", mec="black", mew=0.8, zorder=5)
    if part == "accuracy":
        whole = 100 * float(result.numpy("baseline").mean())
        ax.axhline(whole, color="#777777", linewidth=style.line, linestyle=":", zorder=0)
        ax.set_ylim(-4, 104)
    if part == "size":
        ax.set_xscale("log")
        ax.set_ylim(-4, 104)
    names = {
        "size": ("threshold (nats)", "size reduction (%)"),
        "accuracy": ("size reduction (%)", "accuracy (%)"),
        "kl": ("size reduction (%)", "KL (nats)"),
    }
    ax.set(xlabel=names[part][0], ylabel=names[part][1])
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(style.small)
    return handles


def _roc(
    ax: Any, result: ExtractionSweep, reference: list[str], style: Style, notes: list[str]
) -> list[Any]:
    """Draw true against false positive rates of heads, a point for each threshold."""
    ax.plot([0, 1], [0, 1], color="#777777", linewidth=style.line, linestyle=":", zorder=0)
    handles, areas = [], []
    for s, name in enumerate(result.settings):
        colour, marker, dash = LOOKS[s % len(LOOKS)]
        rates = result.rates(reference, s)
        order = rates.sort_values(["false_positive_rate", "true_positive_rate"])
        handles += ax.plot(
            order["false_positive_rate"],
            order["true_positive_rate"],
            color=OKABE_ITO[colour],
            marker=marker,
            markersize=3,
            linestyle=dash,
            linewidth=1,
        )
        areas.append(f"{name} {rates.attrs['auc']:.2f}")
    ax.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    ax.set(xlabel="false positive rate", ylabel="true positive rate")
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(style.small)
    notes.append(f"ROC: heads kept at each threshold; area under it: {', '.join(areas)}")
    return handles
