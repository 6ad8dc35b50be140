"""Axes whose ticks are late draw what matplotlib's axes draw, and obey what a reader asks."""

from __future__ import annotations

import io

import matplotlib.figure
import numpy as np
import pytest
from matplotlib.axis import Axis

from interp_widgets.figures.axes import LateFigure
from interp_widgets.results.array import ArrayResult


def picture(kind: type[matplotlib.figure.Figure]) -> bytes:
    figure = kind(figsize=(4, 2.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.plot([0.1, 3, 20], [1, 2, 5])
    left.set(xscale="log", xlabel="steps", ylabel="loss")
    left.tick_params(axis="x", direction="in", labelsize=7)
    left.minorticks_on()
    right.bar(["a", "b"], [3, 5])
    right.tick_params(axis="y", length=0)
    right.xaxis.tick_top()
    right.spines["right"].set_visible(False)
    inset = figure.add_axes((0.75, 0.6, 0.2, 0.2))
    inset.imshow(np.eye(3))
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=80, metadata={"Software": None})
    return out.getvalue()


def test_the_picture_is_the_same():
    assert picture(LateFigure) == picture(matplotlib.figure.Figure)


def test_where_ticks_stand_can_be_asked_before_there_are_any():
    ax = LateFigure().add_subplot()
    assert ax.xaxis.get_ticks_position() == "bottom"
    ax.yaxis.tick_right()
    assert ax.yaxis.get_ticks_position() == "right"
    assert LateFigure().add_subplot(projection="polar").name == "polar"


def test_a_twin_on_the_screen_makes_no_ticks(monkeypatch: pytest.MonkeyPatch):
    made = []
    make = Axis._get_tick
    monkeypatch.setattr(
        Axis, "_get_tick", lambda axis, major: made.append(axis) or make(axis, major)
    )
    result = ArrayResult(
        {"values": np.random.default_rng(0).normal(size=(4, 7))}, {"dims": ["layer", "head"]}
    )
    result.figure(bars="mean").png()
    assert made == []
    result.figure("neurips").png()
    assert made
