"""The lens grid: layers × positions, each cell the word that layer would say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from interp_widgets.results.lens import LensResult
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import MODES, one_of
from interp_widgets.views.planes import EXPORT_BYTES, TILE, PlaneView, minus, tile_requests
from interp_widgets.views.requests import on_worker
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
BLOCK = 16
"""Rows and columns of cells whose words travel together."""
FIRST_BYTES = 300_000
"""What the first paint may carry of words, and of trajectories."""
PINS = 8
"""Pinned groups that lines can be told apart for."""


@VIEWS.register("lens")
class LensView(PlaneView, bundle="lens"):
    """Lens grid with the top token in each cell, and the course of pinned tokens.

    Only what is in sight travels: colours of the grid, words of the cells that are large enough to
    read, and one plane per pinned token.

    Parameters
    ----------
    result
        The lens.
    color
        What the colour shows: ``"probability"`` (default), ``"entropy"``, ``"kl"``, and, for
        prompts with an answer, ``"answer_prob"``, ``"answer_rank"``, ``"logit_difference"``.
    pins
        Groups of tokens, as text or id, whose probability is added up and followed:
        ``[[" Mary", "Mary"], [" John"]]``. Default: those of the lens, its answer and foil.
    over
        ``"layers"`` (default): lines through the layers at the chosen position; ``"positions"``:
        through the prompt at the chosen layer.
    axis
        ``"linear"`` (default) or ``"log"`` probability.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        When the lens does not hold what the colour is to show, or a pin is not one token.

    Examples
    --------
    >>> iw.logit_lens(prompt).view(color="entropy", pins=[[" Mary", "Mary"], [" John"]])
    """

    def __init__(
        self,
        result: LensResult,
        *,
        color: Literal[
            "probability", "entropy", "kl", "answer_prob", "answer_rank", "logit_difference"
        ] = "probability",
        pins: Sequence[Any] | None = None,
        over: Literal["layers", "positions"] = "layers",
        axis: Literal["linear", "log"] = "linear",
        theme: str = "auto",
    ) -> None:
        if color not in _channels(result):
            raise ValueError(
                f"this lens holds no {color!r}; color is one of {', '.join(_channels(result))}"
            )
        groups = result.pins if pins is None else result.groups(pins)
        if len(groups) > PINS:
            raise ValueError(f"{len(groups)} pins: more than {PINS} lines cannot be told apart")
        self._start = {
            "channel": color,
            "mode": "current",
            "pins": [[[i, result.string(i)] for i in group] for group in groups],
            "over": one_of("over", over, ("layers", "positions")),
            "axis": one_of("axis", axis, ("linear", "log")),
            "cell": None,
        }
        super().__init__(result, theme=theme, state=dict(self._start))

    def describe(self) -> dict[str, Any]:
        """Name layers, tokens, channels and the sites of the rows."""
        result: LensResult = self.current
        layers, tokens = result.layers, result.tokens
        sites = result.meta.get("sites") or []
        live = self.is_live and len(sites) == len(layers)
        return {
            "cells": "token",
            "dims": ["layer", "position"],
            "sizes": {"layer": len(layers), "position": len(tokens)},
            "labels": {"layer": layers, "position": tokens},
            "numbers": {
                "layer": [int(n) if n.isdigit() else -1 for n in layers],
                "position": result.positions,
            },
            "channels": [[name, CHANNELS[name][0]] for name in _channels(result)],
            "quantity": CHANNELS["probability"][0],
            "selects": {"layer": "layer", "position": "token"},
            "sites": sites if live else [],
            "source": self._source() if live else None,
            "targets": [],
            "flip": True,
        }

    def _source(self) -> Any:
        """Return the prompt as JSON, for cells that are patched into another prompt."""
        recipe = self.current.recipe
        prompt = recipe.arguments.get("prompt") if recipe else None
        return prompt.get("$prompt") if isinstance(prompt, dict) else None

    def first(self) -> dict[str, Any]:
        """Send the grid along when it is a single tile, and what is small of the rest."""
        result: LensResult = self.current
        found: dict[str, Any] = {}
        state = {**self._start, **(self.state or {})}
        mode = state["mode"] if self.changed else "current"
        if mode != "current":
            return {}
        shape = len(result.layers), len(result.tokens)
        if max(shape) <= TILE:
            payload = self._payload(state)
            found["tiles"] = [{"payload": payload, **self.on_tile(payload)}]
        blocks = list(_blocks(*shape))
        if len(blocks) * BLOCK * BLOCK * SHOWN * 6 <= FIRST_BYTES:
            asked = [{"mode": mode, **block} for block in blocks]
            found["words"] = [{"payload": p, **self.on_words(p)} for p in asked]
        ids = sorted({i for group in state["pins"] for i, _ in group})
        known = {int(i) for i in result.numpy("pin_ids")} if "pin_ids" in result.arrays else set()
        small = len(ids) * shape[0] * shape[1] * 4 <= FIRST_BYTES
        if ids and small and (known >= set(ids) or result.tracker is None):
            found["track"] = {"ids": ids, **self._track(ids, mode)}
        return found

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

    def on_words(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the best tokens of one block of cells, counted in blocks of :data:`BLOCK`."""
        result: LensResult = self.pick(str(payload.get("mode")))
        row, col = int(payload.get("row", 0)) * BLOCK, int(payload.get("col", 0)) * BLOCK
        rows, cols = result.arrays["ids"].shape[:2]
        if not (0 <= row < rows and 0 <= col < cols):
            raise IndexError(f"there are no words at row {row}, column {col} of {rows} × {cols}")
        cut = (slice(row, row + BLOCK), slice(col, col + BLOCK), slice(0, SHOWN))
        ids, probs = _part(result.arrays["ids"], cut), _part(result.arrays["probs"], cut)
        return {
            "ids": Array(ids, "int32"),
            "probs": Array(probs, "float16"),
            "strings": {str(i): result.string(int(i)) for i in np.unique(ids)},
        }

    @on_worker
    def on_track(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the probability of tokens in every cell, ``[token, layer, position]``."""
        return self._track([int(i) for i in payload["ids"]], str(payload.get("mode", "current")))

    def _track(self, ids: list[int], mode: str) -> dict[str, Any]:
        probs = self.pick(mode).track(ids)
        if mode == "difference":
            probs = probs - self.base.track(ids)
        return {"probs": Array(probs)}

    def on_find(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the tokens that a text means, as ``[id, text]``."""
        result: LensResult = self.current
        return {"found": [[i, result.string(i)] for i in result.token_ids(str(payload["text"]))]}

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the best token of each cell with everything that is known about the cell."""
        frame: pd.DataFrame = self.pick(payload.get("mode", "current")).frame()
        return frame[frame["rank"] == 0].drop(columns="rank")

    def figure_options(self) -> dict[str, Any]:
        """Return what the figure shows: the colour, the pins, and where they are followed."""
        state = {**self._start, **(self.state or {})}
        return {
            "color": state["channel"],
            "pins": [[i for i, _ in group] for group in state["pins"]],
            "over": state["over"],
            "cell": state["cell"],
            "axis": state["axis"],
            "positions": self._zoomed(state),
        }

    def _zoomed(self, state: dict[str, Any]) -> slice | None:
        """Return the columns in sight, once a reader has zoomed in."""
        window = state.get("window")
        if not window:
            return None
        first, last = (round(float(x)) for x in window["col"])
        return slice(max(0, first), max(first + 1, last))

    def figure_result(self) -> LensResult:
        """Return the lens that is shown; of a difference one that holds it."""
        result: LensResult = self.pick(self.mode)
        if self.mode != "difference":
            return result
        values, _ = self.plane({**self._start, **self.state, "mode": "difference"})
        meta = {**result.meta, "title": f"{result.title}, current − base"}
        shown = LensResult({**result.arrays, "difference": values}, meta, result.recipe)
        shown.tracker = result.tracker
        return shown

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name all tiles of all channels, the words and pins as far as a page holds them."""
        result: LensResult = self.current
        shape = len(result.layers), len(result.tokens)
        modes = MODES if self.changed else MODES[:1]
        for mode in modes:
            for channel in _channels(result):
                payload = self._payload({"channel": channel, "mode": mode})
                yield from tile_requests(payload, *shape)
            if self._exports_words():
                for block in _blocks(*shape):
                    yield "words", {"mode": mode, **block}
            for i in self._exported_pins(len(modes)):
                yield "track", {"mode": mode, "ids": [i]}

    def export_spec(self) -> dict[str, Any]:
        """Leave out what needs a kernel."""
        spec = {**super().export_spec(), "sites": [], "source": None}
        spec["finest"] = {"row_step": 1, "col_step": 1}
        kept = self._exported_pins(len(MODES) if self.changed else 1)
        return {**spec, "wordless": not self._exports_words(), "trackable": kept}

    def _exports_words(self) -> bool:
        cells = len(self.current.layers) * len(self.current.tokens)
        modes = len(MODES) if self.changed else 1
        return cells * SHOWN * 6 * modes <= 2 * EXPORT_BYTES

    def _exported_pins(self, modes: int) -> list[int]:
        """Return the pinned tokens, then those most often on top, as many as a page holds."""
        result: LensResult = self.current
        pinned = [i for group in self.state["pins"] for i, _ in group]
        top, count = np.unique(result.numpy("ids")[..., 0], return_counts=True)
        often = [int(i) for i in top[np.argsort(-count, kind="stable")]]
        room = EXPORT_BYTES // (4 * modes * len(result.layers) * len(result.tokens))
        return list(dict.fromkeys([*pinned, *often]))[: max(len(pinned), min(room, 40))]


def _blocks(rows: int, cols: int) -> Iterable[dict[str, int]]:
    for row in range(-(-rows // BLOCK)):
        for col in range(-(-cols // BLOCK)):
            yield {"row": row, "col": col}


def _part(array: Any, cut: tuple[slice, ...]) -> np.ndarray:
    part = array[cut]
    return part if isinstance(part, np.ndarray) else np.asarray(part.detach().cpu())


def _channels(result: LensResult) -> list[str]:
    return [name for name in CHANNELS if name == "probability" or name in result.arrays]


def _channel(result: LensResult, name: str) -> Any:
    if name == "probability":
        return result.arrays["probs"][..., 0]
    if name not in CHANNELS or name not in result.arrays:
        raise ValueError(f"this lens holds no {name!r}")
    return result.arrays[name]
