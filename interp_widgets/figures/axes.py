"""Axes that make a tick only when it is drawn.

matplotlib makes two ticks of five artists for both axes of every panel before anything says what
stands along them; a twin on the screen draws none of them.
"""

from __future__ import annotations

from typing import Any

import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis


class _Late:
    """Begins with no ticks in place of one of each size."""

    def reset_ticks(self) -> None:
        self.majorTicks: list[Any] = []
        self.minorTicks: list[Any] = []

    def get_ticks_position(self) -> Any:
        for ticks in (self.get_major_ticks, self.get_minor_ticks):  # type: ignore[attr-defined]
            ticks(1)  # it is read off the first
        return super().get_ticks_position()  # type: ignore[misc]


class _X(_Late, XAxis):
    pass


class _Y(_Late, YAxis):
    pass


class LateAxes(Axes):
    """matplotlib's axes, whose ticks are made when they are drawn."""

    def _init_axis(self) -> None:
        self.xaxis, self.yaxis = _X(self, clear=False), _Y(self, clear=False)
        for axis, sides in ((self.xaxis, ("bottom", "top")), (self.yaxis, ("left", "right"))):
            axis.reset_ticks()
            for side in sides:
                self.spines[side].register_axis(axis)

    def clear(self) -> None:
        """Clear the axes and put the spines in place, which else the first tick does."""
        super().clear()
        for spine in self.spines.values():
            spine.get_position()


class LateSubplots:
    """Mixed into a figure or a part of one, whose axes are then such axes."""

    def add_subplot(self, *place: Any, **options: Any) -> Axes:
        """Add axes at a place of a grid."""
        made: Axes = super().add_subplot(*place, **_late(place, options))  # type: ignore[misc]
        return made

    def add_axes(self, *place: Any, **options: Any) -> Axes:
        """Add axes anywhere."""
        made: Axes = super().add_axes(*place, **_late(place, options))  # type: ignore[misc]
        return made


def _late(place: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    if options.keys() & {"projection", "polar", "axes_class"} or any(
        isinstance(p, Axes) for p in place
    ):
        return options
    return {**options, "axes_class": LateAxes}


class LateFigure(LateSubplots, matplotlib.figure.Figure):
    """matplotlib's figure with late ticks."""
