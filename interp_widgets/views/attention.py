"""Attention: all heads as thumbnails, one of them large, every token a way in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from interp_widgets.results.attention import HEAD_SCORES, AttentionResult
from interp_widgets.results.base import to_numpy
from interp_widgets.results.planes import pooled
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import MODES, View, one_of
from interp_widgets.views.requests import on_worker
from interp_widgets.views.wire import Array

TILE = 256
"""Cells along the side of a tile; the same number stands in js/src/attention/window.ts."""

THUMB = 64
"""Longest side of a thumbnail in cells; up to this many tokens it is the pattern itself."""

FIRST_CELLS = 1_200_000
"""Cells of thumbnails in the first paint, a byte each; more come layer by layer."""

FIRST_WORK = 30_000_000
"""Weights worked out before the first paint; more are worked out when somebody looks."""

EXPORT_BYTES = 1_500_000
"""Tiles in an exported page; where all heads do not fit, only the open one is exact."""

SAMPLE_POOL, SAMPLE_TOKENS = 16, 1024
"""From this pooling on, in prompts longer than this, one query stands for ``pool`` of them:
pooling all of them would take as long as the whole pattern."""

STRIP = 4_000_000
"""Weights held at once while a long pattern is pooled."""

ORDERS = ("layer", *HEAD_SCORES, "effect")
DRAWINGS = ("matrix", "lines")
SCALES = ("linear", "sqrt", "log")


@VIEWS.register("attention")
class AttentionView(View, bundle="attention"):
    """Grid of all heads with one head large beside it.

    Patterns are recomputed from q and k for the part that is looked at, so a long prompt opens as
    fast as a short one; what is larger than the picture is max-pooled and says so.

    Parameters
    ----------
    result
        An :class:`AttentionResult`.
    layer, head
        The head that is large first; by default the last layer held, head 0.
    sort
        ``"layer"`` (default), a head score (``"induction"``, ``"previous_token"``,
        ``"duplicate_token"``, ``"first_token"``, ``"entropy"``) or ``"effect"``: the largest
        change by the interventions of now.
    drawing
        ``"matrix"`` (default) or ``"lines"`` between the tokens.
    scale
        ``"linear"`` (default), ``"sqrt"`` or ``"log"``: the last two bring out small weights.
    mode
        ``"current"`` (default), ``"base"`` or ``"difference"`` after an intervention.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        For a layer or head that the result does not hold, or an unknown word.

    Examples
    --------
    >>> iw.attention(prompt).view(layer=2, head=1, sort="induction")
    """

    def __init__(
        self,
        result: AttentionResult,
        *,
        layer: int | None = None,
        head: int = 0,
        sort: str = "layer",
        drawing: str = "matrix",
        scale: str = "linear",
        mode: str = "current",
        theme: str = "auto",
    ) -> None:
        layer = result.layers[-1] if layer is None else layer
        if layer not in result.layers:
            raise ValueError(f"there is no layer {layer} here; the layers are {result.layers}")
        if not 0 <= head < result.n_heads:
            raise ValueError(f"there is no head {head}; the heads are 0 to {result.n_heads - 1}")
        self._overviews: dict[tuple[str, int], np.ndarray] = {}
        state = {
            "layer": int(layer),
            "head": int(head),
            "sort": one_of("sort", sort, ORDERS),
            "drawing": one_of("drawing", drawing, DRAWINGS),
            "scale": one_of("scale", scale, SCALES),
            "mode": one_of("mode", mode, MODES),
            "side": "query",
        }
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Say what there is: heads, tokens, masks, how thumbnails are pooled."""
        result: AttentionResult = self.current
        queries, keys = _size(result)
        facts = result.meta.get("facts") or [{}] * result.n_layers
        return {
            "layers": result.layers,
            "heads": result.n_heads,
            "queries": queries,
            "keys": keys,
            "tokens": result.tokens,
            "masks": [
                {
                    "causal": bool(fact.get("causal", not result.ready)),
                    "window": fact.get("window"),
                }
                for fact in facts
            ],
            "thumb": {
                "cells": math.ceil(max(queries, keys) / self._pool),
                "pool": self._pool,
                "lazy": self._lazy,
            },
            "sample_from": SAMPLE_POOL if max(queries, keys) > SAMPLE_TOKENS else None,
            "quick_scores": result.n_layers * result.n_heads * queries * keys <= FIRST_WORK,
            "source": "stored patterns" if result.ready else "recomputed from q and k",
            "scores": dict(HEAD_SCORES),
            "can_ablate": self.session is not None,
        }

    def first(self) -> dict[str, Any]:
        """Return all thumbnails, if they are small and quick enough."""
        self._overviews = {k: v for k, v in self._overviews.items() if k[0] == "base"}
        if self._lazy:
            return {}
        layers = [self._overview("current", layer) for layer in self.current.layers]
        return {"thumbs": Array(_coded(np.stack(layers)), "uint8")}

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name all heads' tiles while they are small, else those of the open head."""
        result: AttentionResult = self.current
        queries, keys = _size(result)
        layer, head = int(self.state["layer"]), int(self.state["head"])
        heads = [(a, b) for a in result.layers for b in range(result.n_heads)]
        modes = MODES if self.changed else MODES[:1]
        if len(heads) * len(modes) * queries * keys * 2 > EXPORT_BYTES:
            heads = [(layer, head)]
        pool = 1
        while max(queries, keys) / pool > 2 * TILE:
            pool *= 2
        for mode in modes:
            if mode != "current" or self._lazy:
                for number in result.layers:
                    yield "overview", {"mode": mode, "layer": number}
            for number, index in heads:
                for row in range(math.ceil(queries / (TILE * pool))):
                    for column in range(math.ceil(keys / (TILE * pool))):
                        yield (
                            "tile",
                            {
                                "mode": mode,
                                "layer": number,
                                "head": index,
                                "pool": pool,
                                "row": row,
                                "column": column,
                            },
                        )
            yield "scores", {"mode": mode}

    def on_overview(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return one layer's thumbnails `[head, row, column]` as signed roots of the weights."""
        mode = str(payload.get("mode", "current"))
        return {"values": Array(_coded(self._overview(mode, int(payload["layer"]))), "uint8")}

    def on_tile(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return a tile of a head `[row, column]`, each cell the largest of ``pool × pool``.

        Where ``spec.sample_from`` says so, a row is the last of its ``pool`` queries.
        """
        mode = str(payload.get("mode", "current"))
        pool = int(payload.get("pool", 1))
        queries, keys = _size(self.pick(mode))
        if pool < 1 or pool & (pool - 1):
            raise ValueError(f"pool is a power of two, not {pool}")
        row, column = int(payload["row"]), int(payload["column"])
        span = TILE * pool
        rows = range(max(0, row * span), min(queries, (row + 1) * span))
        cols = range(max(0, column * span), min(keys, (column + 1) * span))
        if not rows or not cols:
            raise ValueError(f"there is no tile {row}, {column} of {queries} × {keys} weights")
        values = self._pooled(mode, int(payload["layer"]), int(payload["head"]), rows, cols, pool)
        return {"values": Array(values, "float16")}

    @on_worker
    def on_row(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return all weights of one query, or all that one key gets, `[position]`."""
        mode, axis = str(payload.get("mode", "current")), payload.get("axis", "query")
        queries, keys = _size(self.pick(mode))
        at, count = int(payload["position"]), queries if axis == "query" else keys
        if not 0 <= at < count:
            raise ValueError(f"there is no {axis} {at}; there are {count}")
        layer, head = int(payload["layer"]), int(payload["head"])
        if axis == "query":
            values = self._sampled(mode, layer, head, [at])
        else:
            values = self._weights(mode, layer, head, range(queries), range(at, at + 1))
        return {"values": Array(values.reshape(-1), "float16")}

    @on_worker
    def on_scores(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the head scores by name `[layer * head]`; the effect if something is changed."""
        mode = str(payload.get("mode", "current"))
        result: AttentionResult = self.pick(mode)
        scores = {name: Array(result.head_score(name).reshape(-1)) for name in HEAD_SCORES}
        if self.changed:
            effect = [
                np.abs(self._overview("difference", layer)).max(axis=(1, 2))
                for layer in result.layers
            ]
            scores["effect"] = Array(np.stack(effect).reshape(-1))
        return {"scores": scores}

    def close(self) -> None:
        """Let go of the thumbnails too."""
        self._overviews = {}
        super().close()

    @property
    def _pool(self) -> int:
        pool = 1
        while max(_size(self.current)) / pool > THUMB:
            pool *= 2
        return pool

    @property
    def _lazy(self) -> bool:
        result: AttentionResult = self.current
        heads = result.n_layers * result.n_heads
        queries, keys = _size(result)
        cells = (queries / self._pool) * (keys / self._pool)
        return heads * cells > FIRST_CELLS or heads * queries * keys > FIRST_WORK

    def _overview(self, mode: str, layer: int) -> np.ndarray:
        known = self._overviews.get((mode, layer))
        if known is None:
            queries, keys = _size(self.pick(mode))
            known = np.stack(
                [
                    self._pooled(mode, layer, head, range(queries), range(keys), self._pool)
                    for head in range(self.pick(mode).n_heads)
                ]
            )
            self._overviews[mode, layer] = known
        return known

    def _pooled(
        self, mode: str, layer: int, head: int, rows: range, cols: range, pool: int
    ) -> np.ndarray:
        signed = mode == "difference"
        if pool >= SAMPLE_POOL and max(_size(self.pick(mode))) > SAMPLE_TOKENS:
            last = [min(i + pool, rows.stop) - 1 for i in range(rows.start, rows.stop, pool)]
            values = self._sampled(mode, layer, head, last)[:, cols.start : cols.stop]
            return pooled(values, 1, pool, "max", signed=signed)
        height = max(pool, STRIP // len(cols) // pool * pool)
        parts = [
            pooled(
                self._weights(mode, layer, head, rows[start : start + height], cols),
                pool,
                pool,
                "max",
                signed=signed,
            )
            for start in range(0, len(rows), height)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _weights(self, mode: str, layer: int, head: int, rows: range, cols: range) -> np.ndarray:
        part = slice(rows.start, rows.stop), slice(cols.start, cols.stop)
        values = to_numpy(self.pick(mode).tile(layer, head, *part))
        if mode == "difference":
            return values - to_numpy(self.base.tile(layer, head, *part))
        return values

    def _sampled(self, mode: str, layer: int, head: int, queries: list[int]) -> np.ndarray:
        values = to_numpy(self.pick(mode).queries(layer, head, queries))
        if mode == "difference":
            return values - to_numpy(self.base.queries(layer, head, queries))
        return values


def _size(result: AttentionResult) -> tuple[int, int]:
    return int(result.arrays["pattern" if result.ready else "q"].shape[2]), result.positions


def _coded(values: np.ndarray) -> np.ndarray:
    """Signed square roots, so that 8 bits keep small weights apart; the browser squares them."""
    return np.sign(values) * np.sqrt(np.abs(values))
