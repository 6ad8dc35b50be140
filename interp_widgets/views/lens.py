"""The lens grid: layers × positions, each cell the word that layer would say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd

from interp_widgets.results.lens import LensResult
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import MODES
from interp_widgets.views.heatmap import TILE, PlaneView, minus, tile_requests
from interp_widgets.views.wire import Array

CHANNELS: dict[str, tuple[str, bool]] = {
    "probability": ("probability of the top token", False),
    "entropy": ("entropy (nats)", False),
    "kl": ("KL to the final distribution (nats)", False),
    "answer_prob": ("probability of the answer", False),
    "answer_rank": ("rank of the answer (0 is best)", False),
    "logit_difference": ("logit difference, answer − foil", True),
}
"""What the colour can show, with its unit and whether zero is its middle."""

SHOWN = 10
"""Tokens that a cell's list names."""


@VIEWS.register("lens")
class LensView(PlaneView, bundle="heatmap"):
    """Lens grid with the top token in each cell.

    Parameters
    ----------
    result
        The lens.
    color
        What the colour shows: ``"probability"`` (default), ``"entropy"``, ``"kl"``, and, for
        prompts with an answer, ``"answer_prob"``, ``"answer_rank"``, ``"logit_difference"``.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        When the lens does not hold what the colour is to show.

    Examples
    --------
    >>> iw.logit_lens(prompt).view(color="entropy")
    """

    def __init__(
        self,
        result: LensResult,
        *,
        color: Literal[
            "probability", "entropy", "kl", "answer_prob", "answer_rank", "logit_difference"
        ] = "probability",
        theme: str = "auto",
    ) -> None:
        if color not in _channels(result):
            raise ValueError(
                f"this lens holds no {color!r}; color is one of {', '.join(_channels(result))}"
            )
        self._start = {"channel": color, "mode": "current"}
        super().__init__(result, theme=theme, state=dict(self._start))

    def describe(self) -> dict[str, Any]:
        """Name layers, tokens, channels and the sites of the rows."""
        result: LensResult = self.current
        layers, tokens = result.layers, result.tokens
        sites = result.meta.get("sites") or []
        return {
            "cells": "token",
            "dims": ["layer", "position"],
            "sizes": {"layer": len(layers), "position": len(tokens)},
            "labels": {"layer": layers, "position": tokens},
            "numbers": {"layer": [int(n) if n.isdigit() else -1 for n in layers]},
            "channels": [[name, CHANNELS[name][0]] for name in _channels(result)],
            "quantity": CHANNELS["probability"][0],
            "selects": {"layer": "layer", "position": "token"},
            "sites": sites if self.is_live and len(sites) == len(layers) else [],
            "targets": [],
            "flip": True,
        }

    def first(self) -> dict[str, Any]:
        """Send the grid along when it is a single tile."""
        if len(self.current.tokens) > TILE or len(self.current.layers) > TILE:
            return {}
        payload = self._payload(self.state or self._start)
        return {"tiles": [{"payload": payload, **self.on_tile(payload)}]}

    def _payload(self, state: dict[str, Any], **more: Any) -> dict[str, Any]:
        payload = {
            "channel": state.get("channel", "probability"),
            "mode": state.get("mode", "current") if self.changed else "current",
            "scale": "slice",
            "pool": "max",
        }
        return {**payload, "row": 0, "col": 0, "row_step": 1, "col_step": 1, **more}

    def plane(self, payload: dict[str, Any]) -> tuple[Any, bool]:
        """Return what the colour shows, ``[layer, position]``."""
        name = str(payload.get("channel", "probability"))
        if payload.get("mode") == "difference":
            now, before = (_channel(self.pick(m), name) for m in ("current", "base"))
            return minus(now, before), True
        return _channel(self.pick(str(payload.get("mode"))), name), CHANNELS[name][1]

    def whole(self, payload: dict[str, Any]) -> Any:
        """Return the one plane there is."""
        return self.plane(payload)[0]

    def on_tile(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return colours and, unless pooled, the best tokens of each cell."""
        answer = super().on_tile(payload)
        if max(int(payload.get("row_step", 1)), int(payload.get("col_step", 1))) > 1:
            return answer
        result: LensResult = self.pick(str(payload.get("mode")))
        row, col = int(payload.get("row", 0)) * TILE, int(payload.get("col", 0)) * TILE
        cut = (slice(row, row + TILE), slice(col, col + TILE), slice(0, SHOWN))
        ids, probs = result.numpy("ids")[cut], result.numpy("probs")[cut]
        names = {str(i): result.string(int(i)) for i in np.unique(ids)}
        return {
            **answer,
            "ids": Array(ids, "int32"),
            "probs": Array(probs, "float16"),
            "strings": names,
        }

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the best token of each cell with everything that is known about the cell."""
        frame: pd.DataFrame = self.pick(payload.get("mode", "current")).frame()
        return frame[frame["rank"] == 0].drop(columns="rank")

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name all tiles of all channels."""
        result: LensResult = self.current
        shape = len(result.layers), len(result.tokens)
        for mode in MODES if self.changed else MODES[:1]:
            for channel in _channels(result):
                payload = self._payload({"channel": channel, "mode": mode})
                yield from tile_requests(payload, *shape)

    def export_spec(self) -> dict[str, Any]:
        """Leave out what needs a kernel."""
        return {**super().export_spec(), "sites": []}


def _channels(result: LensResult) -> list[str]:
    return [name for name in CHANNELS if name == "probability" or name in result.arrays]


def _channel(result: LensResult, name: str) -> np.ndarray:
    if name == "probability":
        return result.numpy("probs")[..., 0]
    if name not in CHANNELS or name not in result.arrays:
        raise ValueError(f"this lens holds no {name!r}")
    return result.numpy(name)
