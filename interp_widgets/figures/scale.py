"""One colour scale for several panels: learned as they are measured, used as they are drawn."""

from __future__ import annotations

from typing import Any


class SharedScale:
    """Limits and name of a colour scale.

    Panels are drawn twice: the first time the scale widens to hold every panel, the second time,
    once :meth:`settle` was called, each panel gets the same limits.
    """

    def __init__(self) -> None:
        self.low = float("inf")
        self.high = float("-inf")
        self.signed: bool | None = None
        self.label: str | None = None
        self.artist: Any = None
        self._settled = False

    def limits(self, low: float, high: float, *, signed: bool) -> tuple[float, float]:
        """Return the limits to draw with, given those a panel would choose for itself.

        Raises
        ------
        ValueError
            When one panel is signed and another is not.
        """
        if self.signed not in (None, signed):
            raise ValueError(
                "panels with a sign and panels without cannot share a colour scale: share=None"
            )
        self.signed = signed
        if not self._settled:
            self.low, self.high = min(self.low, low), max(self.high, high)
        return self.low, self.high

    def bar(self, artist: Any, label: str) -> None:
        """Remember what the shared colour bar shows.

        Raises
        ------
        ValueError
            When the panels show different quantities.
        """
        if self.label not in (None, label):
            raise ValueError(
                f"{self.label!r} and {label!r} cannot share a colour scale: share=None"
            )
        self.artist, self.label = artist, label

    def settle(self) -> None:
        """End the measuring; from now on the limits stand."""
        self._settled = True
