"""Values on tokens as coloured text or bars."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from interp_widgets.results.base import to_numpy
from interp_widgets.results.registry import VIEWS
from interp_widgets.results.tokens import TokensResult
from interp_widgets.views.base import MODES, View, one_of
from interp_widgets.views.wire import Array

LAYOUTS = ("text", "bars")
NORMALISATIONS = ("channel", "global")
SORTS = ("position", "size")

EXPORT_VALUES = 250_000
"""Values in an exported page; beyond it only the channel in sight can be looked at."""


@VIEWS.register("tokens")
class TokensView(View, bundle="tokens"):
    """Tokens coloured by a value each, one channel at a time.

    Only the channel that is looked at travels to the browser, so results of tens of thousands of
    neurons open as fast as one.

    Parameters
    ----------
    result
        A :class:`TokensResult`.
    channel
        Index or name of the values shown first.
    layout
        ``"text"`` (default): coloured running text; ``"bars"``: one token per line.
    normalise
        ``"channel"`` (default): the colours span this channel's values; ``"global"``: those of all
        channels, so that channels can be compared.
    sort
        Order of the bars: ``"position"`` (default) or ``"size"``.
    mode
        ``"current"`` (default), ``"base"`` or ``"difference"`` after an intervention.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        For a channel or word that there is not.

    Examples
    --------
    >>> iw.attribute(prompt, method="integrated_gradients").view(layout="bars", sort="size")
    """

    def __init__(
        self,
        result: TokensResult,
        *,
        channel: int | str = 0,
        layout: str = "text",
        normalise: str = "channel",
        sort: str = "position",
        mode: str = "current",
        theme: str = "auto",
    ) -> None:
        if isinstance(channel, str):
            if channel not in result.channels:
                some = ", ".join(result.channels[:20])
                raise ValueError(f"there is no channel {channel!r}; there are {some}")
            channel = result.channels.index(channel)
        if not 0 <= channel < len(result.channels):
            raise ValueError(
                f"there is no channel {channel}; there are {len(result.channels)}, from 0"
            )
        self._shown = int(channel)
        state = {
            "channel": int(channel),
            "layout": one_of("layout", layout, LAYOUTS),
            "normalise": one_of("normalise", normalise, NORMALISATIONS),
            "sort": one_of("sort", sort, SORTS),
            "mode": one_of("mode", mode, MODES),
        }
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Say what there is: tokens, channels, what the values mean."""
        result: TokensResult = self.current
        return {
            "tokens": result.tokens,
            "channels": result.channels,
            "channel_name": str(result.meta.get("channel_name", "Channel")),
            "quantity": result.quantity,
            "signed": result.signed,
            "target": str(result.meta.get("target") or ""),
            "note": str(result.meta.get("note") or ""),
        }

    def first(self) -> dict[str, Any]:
        """Return the values of the channel in sight."""
        channel = int(self.state.get("channel", self._shown))
        channel = min(channel, len(self.current.channels) - 1)
        return {"channel": channel, **self.on_values({"channel": channel})}

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name every channel while they are few, else the one in sight."""
        result: TokensResult = self.current
        modes = MODES if self.changed else MODES[:1]
        channels = range(len(result.channels))
        if len(channels) * len(result.tokens) * len(modes) > EXPORT_VALUES:
            shown = int(self.state["channel"])
            channels = range(shown, shown + 1)
        for mode in modes:
            for channel in channels:
                yield "values", {"mode": mode, "channel": channel}

    def on_values(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return one channel's values `[position]` and the range of all channels."""
        mode, channel = str(payload.get("mode", "current")), int(payload["channel"])
        result: TokensResult = self.pick(mode)
        if not 0 <= channel < len(result.channels):
            raise ValueError(f"there is no channel {channel}; there are {len(result.channels)}")
        values = to_numpy(result.arrays["values"][channel])
        if mode == "difference":
            values = values - to_numpy(self.base.arrays["values"][channel])
        return {"values": Array(values), "global": self._range(mode)}

    def _range(self, mode: str) -> list[float]:
        values = self.pick(mode).arrays["values"]
        if mode == "difference":
            values = to_numpy(values) - to_numpy(self.base.arrays["values"])
        finite = to_numpy(values)
        finite = finite[np.isfinite(finite)]
        return [float(finite.min()), float(finite.max())] if finite.size else [0.0, 0.0]
