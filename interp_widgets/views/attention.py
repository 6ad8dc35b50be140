"""Attention: all heads as thumbnails, one of them large, every token a way in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.attention import HEAD_SCORES, AttentionResult
from interp_widgets.results.attention_scores import given_scores
from interp_widgets.results.attention_tables import contrast as contrast_table
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.attention_source import (
    SAMPLE_POOL,
    SAMPLE_TOKENS,
    THUMB,
    TILE,
    Cells,
    Contrast,
    Source,
    coded,
    pooling,
    size,
    thumb_pool,
)
from interp_widgets.views.base import MODES, View, one_of
from interp_widgets.views.requests import on_worker
from interp_widgets.views.wire import Array

FIRST_CELLS = 1_200_000
"""Cells of thumbnails in the first paint, a byte each; more come layer by layer."""

FIRST_SCORED = 250_000
"""Weights up to which scores of heads travel with the first paint: some milliseconds of work."""

EXPORT_BYTES = 1_500_000
"""Tiles in an exported page; where all heads do not fit, only the open one is exact."""

EXPORT_SKETCH = 40_000_000
"""Weights worked out for the thumbnails of an exported page; beyond, only the open layer's."""

EXPORT_PRODUCTS = 1_500
"""Pairs of query and key whose products an exported page holds, all of the open head."""

ORDERS = ("layer", *HEAD_SCORES, "effect", "given")
DRAWINGS = ("matrix", "lines", "picture")
SCALES = ("linear", "sqrt", "log")
WEIGHINGS = ("attention", "value")
POOLS = ("max", "mean")


@VIEWS.register("attention")
class AttentionView(View, bundle="attention"):
    """Grid of all heads with one head large beside it.

    Patterns are recomputed from q and k for the part that is looked at, so a long prompt opens as
    fast as a short one; what is larger than the picture is pooled, and the view says how.

    Parameters
    ----------
    result
        An :class:`AttentionResult`.
    layer, head
        The head that is large first; by default the last layer held, head 0.
    beside
        A second head as ``(layer, head)``, to compare with. A result with a second prompt
        (``iw.attention(prompt, against=other)``) shows that beside the first.
    scores
        A number per head to sort by: an :class:`ArrayResult` of the dims ``layer, head`` (from
        ``iw.patch``, for example) or an array ``[layer, head]``.
    sort
        ``"layer"``; a head score (``"induction"``, ``"previous_token"``, ``"duplicate_token"``,
        ``"first_token"``, ``"entropy"``); ``"effect"``: the largest change by the interventions of
        now; ``"given"``: the magnitude of ``scores``. Default ``"given"`` with ``scores``, else
        ``"layer"``.
    drawing
        ``"matrix"`` (default), ``"lines"`` between the tokens, or ``"picture"``: the attention of
        a patch over the image (default where the tokens are patches).
    scale
        ``"linear"``, ``"sqrt"`` or ``"log"``: the last two bring out small weights. Default
        ``"linear"``; of an image, whose many patches share the attention, ``"sqrt"``.
    contrast
        Whether the difference of the two that are compared (``beside``, or the second prompt, which
        then has as many tokens) is drawn too, by default not.
    weigh
        ``"attention"`` (default) or ``"value"``: times the norm of what the head writes for the
        key, ``‖v W_O‖``.
    pool
        ``"max"`` (default: nothing is lost) or ``"mean"``, where cells stand for many weights.
    mode
        ``"current"`` (default), ``"base"`` or ``"difference"`` after an intervention.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        For a layer or head that the result does not hold, an unknown word, or scores that do not
        fit.

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
        beside: tuple[int, int] | None = None,
        contrast: bool = False,
        scores: ArrayResult | Any = None,
        sort: str | None = None,
        drawing: str | None = None,
        scale: str | None = None,
        weigh: str = "attention",
        pool: str = "max",
        mode: str = "current",
        theme: str = "auto",
    ) -> None:
        layer = result.layers[-1] if layer is None else layer
        _check_head(result, layer, head)
        if beside is not None:
            _check_head(result, *beside)
        self._given = None if scores is None else given_scores(result, scores)
        if sort == "given" and scores is None:
            raise ValueError("sort='given' needs scores, an array [layer, head]")
        if contrast:
            _check_contrast(result, beside)
        if weigh == "value" and "value_norm" not in result.arrays:
            raise ValueError("weigh='value' needs value_norm, which this result does not hold")
        if drawing == "picture" and "patches" not in result.meta:
            raise ValueError("drawing='picture' needs the patches of an image")
        self._overviews: dict[tuple[str, int, str, str], Tensor] = {}
        state = {
            "layer": int(layer),
            "head": int(head),
            "sort": one_of("sort", sort or ("layer" if scores is None else "given"), ORDERS),
            "drawing": one_of("drawing", drawing or _drawing(result), DRAWINGS),
            "scale": one_of("scale", scale or _scale(result), SCALES),
            "weigh": one_of("weigh", weigh, WEIGHINGS),
            "pool": one_of("pool", pool, POOLS),
            "mode": one_of("mode", mode, MODES),
            "side": "query",
            "compare": "head" if beside else "prompt" if result.against is not None else "none",
            "other": [int(n) for n in beside] if beside else None,
            "contrast": bool(contrast),
            "window": None,
            "pair": None,
        }
        self._start = state
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Say what there is: heads, tokens, masks, how thumbnails are pooled."""
        result: AttentionResult = self.current
        queries, keys = size(result)
        pool = thumb_pool(result)
        other = result.against
        return {
            "layers": result.layers,
            "heads": result.n_heads,
            **_lengths(result),
            "against": None if other is None else _lengths(other),
            "thumb": {
                "cells": math.ceil(max(queries, keys) / pool),
                "pool": pool,
                "lazy": self._lazy,
                "sampled": not result.quick and pool > 1,
            },
            "sample_from": SAMPLE_POOL if max(queries, keys) > SAMPLE_TOKENS else None,
            "quick_scores": result.quick,
            "source": result.source,
            "scores": dict(HEAD_SCORES),
            "given": self._given,
            "by_value": "value_norm" in result.arrays,
            "products": not result.ready,
            "patches": result.meta.get("patches"),
            "site": result.meta.get("site", "z"),
            "can_ablate": self.session is not None and (not result.cross or "site" in result.meta),
        }

    def first(self) -> dict[str, Any]:
        """Return small thumbnails, head scores, the open head if one tile, the patches' image."""
        self._overviews = {k: v for k, v in self._overviews.items() if k[0] == "base"}
        result: AttentionResult = self.current
        arrays: dict[str, Any] = {}
        if "image" in result.arrays:
            arrays["image"] = Array(result.numpy("image").astype(np.int32), "int32")
        if not self._lazy:
            layers = [self._overview({"layer": layer}) for layer in result.layers]
            arrays["thumbs"] = Array(coded(torch.stack(layers)), "uint8")
            weights = result.n_layers * result.n_heads * math.prod(size(result))
            if weights <= FIRST_SCORED and (not self.changed or self.known_base is not None):
                arrays["scores"] = self._scores("current")
        tile = self._open_tile(result)
        return {**arrays, "tiles": [{"payload": tile, **self.on_tile(tile)}]} if tile else arrays

    def _open_tile(self, result: AttentionResult) -> dict[str, Any] | None:
        """Say what the browser would ask first: the open head, where it is one tile."""
        state = self.state or self._start
        if max(size(result)) > TILE or (self.changed and state["mode"] != "current"):
            return None
        asked = {name: state[name] for name in ("weigh", "layer", "head")}
        where = {"of": "own", "pool": 1, "row": 0, "column": 0}
        return {"mode": "current", "how": state["pool"], **asked, **where}

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name all heads' tiles while they are small, else those of the open heads."""
        result: AttentionResult = self.current
        queries, keys = size(result)
        layer, head, how = int(self.state["layer"]), int(self.state["head"]), self.state["pool"]
        opened = [(layer, head)]
        if self.state["compare"] == "head" and self.state["other"]:
            opened.append(tuple(self.state["other"]))
        heads = [(a, b) for a in result.layers for b in range(result.n_heads)]
        modes = MODES if self.changed else MODES[:1]
        weights = len(heads) * len(modes) * queries * keys
        if weights * 2 > EXPORT_BYTES:
            heads = opened
        painted, whole = not self._lazy, len(heads) * THUMB * keys <= EXPORT_SKETCH
        weighings = ("attention", "value") if "value_norm" in result.arrays else ("attention",)
        for mode in modes:
            for weigh in weighings:
                shown = {"mode": mode, "how": how, "weigh": weigh}
                if not painted or (mode, weigh, how) != ("current", "attention", "max"):
                    layers = result.layers if whole else [layer]
                    yield from (("overview", {**shown, "layer": a}) for a in layers)
                if self._compared:
                    where = {**shown, **self._contrast_of(layer, head)}
                    yield from _tiles(result, where)
                exact = heads if weigh == "attention" or weights * 4 <= EXPORT_BYTES else opened
                for a, b in exact:
                    yield from _tiles(result, {**shown, "of": "own", "layer": a, "head": b})
                if result.against is not None:
                    for a, b in opened:
                        where = {**shown, "of": "against", "layer": a, "head": b}
                        yield from _tiles(result.against, where)
            if result.quick:
                yield "scores", {"mode": mode}
        yield from self._export_products(opened[0])

    def _export_products(self, head: tuple[int, int]) -> Iterable[tuple[str, dict[str, Any]]]:
        result: AttentionResult = self.current
        if result.ready:
            return
        queries, keys = size(result)
        causal = _mask(result, head[0])["causal"]
        pairs = [tuple(self.state["pair"])] if self.state["pair"] else []
        if queries * keys <= EXPORT_PRODUCTS * (1 + causal):
            pairs = [(q, k) for q in range(queries) for k in range(keys) if k <= q or not causal]
        for q, k in pairs:
            where = {"mode": "current", "of": "own", "layer": head[0], "head": head[1]}
            yield "product", {**where, "query": q, "key": k}

    def on_overview(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return one layer's thumbnails `[head, row, column]` as signed roots of the weights."""
        return {"values": Array(coded(self._overview(payload)), "uint8")}

    def on_tile(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return a tile of a head `[row, column]`, each cell pooled of ``pool × pool``.

        Where ``spec.sample_from`` says so, a row is the last of its ``pool`` queries.
        """
        return {"values": Array(self._cells(payload).tile(payload), "float16")}

    @on_worker
    def on_row(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return all weights of one query, or all that one key gets, `[position]`."""
        source, axis = self._weights(payload), payload.get("axis", "query")
        queries, keys = size(source.result)
        at, count = int(payload["position"]), queries if axis == "query" else keys
        if not 0 <= at < count:
            raise ValueError(f"there is no {axis} {at}; there are {count}")
        if axis == "query":
            values = source([at], range(keys))
        else:
            values = source(range(queries), range(at, at + 1))
        return {"values": Array(values.reshape(-1), "float16")}

    def on_product(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return q, k and what each dimension adds to one score, `[d_head]` each."""
        source = self._weights(payload)
        made = source.result.product(
            source.layer, source.head, int(payload["query"]), int(payload["key"])
        )
        return {
            "q": Array(made.q),
            "k": Array(made.k),
            "terms": Array(made.terms),
            "dot": made.dot,
            "score": made.score,
            "weight": made.weight,
        }

    @on_worker
    def on_scores(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the head scores by name `[layer * head]`; the effect if something is changed."""
        return {"scores": self._scores(str(payload.get("mode", "current")))}

    def figure_options(self) -> dict[str, Any]:
        """Return what the figure of what is shown needs: heads, window, scale, comparison."""
        state = self.state
        heads = [(int(state["layer"]), int(state["head"]))]
        if state["compare"] == "head" and state["other"]:
            heads.append((int(state["other"][0]), int(state["other"][1])))
        window = state.get("window")
        options: dict[str, Any] = {
            "heads": heads,
            "scale": state["scale"],
            "by_value": state["weigh"] == "value",
            "against": state["compare"] == "prompt" and self.current.against is not None,
            "window": None if window is None else [round(n) for n in window],
            "lines": state["drawing"] == "lines",
            "minus": self.base if self.mode == "difference" else None,
        }
        if state["contrast"] and self._compared:
            options["contrast"] = True
        token = self.selection_value.get("token")
        if state["drawing"] == "picture" and token is not None:
            options["patch"] = token
        return options

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the heads with their scores; with a difference in sight its weights."""
        result: AttentionResult = self.pick(str(payload.get("mode", "current")))
        if not (self.state["contrast"] and self._compared):
            return result.frame()
        layer, head = int(self.state["layer"]), int(self.state["head"])
        other = tuple(self.state["other"]) if self.state["compare"] == "head" else None
        return contrast_table(result, (layer, head), other)

    @property
    def _compared(self) -> bool:
        """Whether two things of one size are compared, so that they have a difference."""
        state, result = self.state, self.current
        if state["compare"] == "head":
            return state["other"] is not None
        other = result.against
        return state["compare"] == "prompt" and other is not None and size(other) == size(result)

    def _contrast_of(self, layer: int, head: int) -> dict[str, Any]:
        """Say which difference is meant, as a request says it."""
        versus = self.state["other"] if self.state["compare"] == "head" else None
        return {"of": "contrast", "layer": layer, "head": head, "versus": versus}

    def twin(self) -> Any:
        """Return the figure that stands where the view cannot: of long prompts the open head."""
        if self.state["compare"] == "head" or (self.state["contrast"] and self._compared):
            return self.figure()
        if self.current.quick:
            return self.current.figure()
        layer, head = int(self.state["layer"]), int(self.state["head"])
        return self.current.figure(layer=layer, head=head)

    def _scores(self, mode: str) -> dict[str, Array]:
        result: AttentionResult = self.pick(mode)
        scores = {name: Array(result.head_score(name).reshape(-1)) for name in HEAD_SCORES}
        if self.changed:
            effect = [
                self._overview({"mode": "difference", "layer": layer}).abs().amax((1, 2))
                for layer in result.layers
            ]
            scores["effect"] = Array(torch.stack(effect).reshape(-1))
        return scores

    def close(self) -> None:
        """Let go of the thumbnails too."""
        self._overviews = {}
        super().close()

    @property
    def _lazy(self) -> bool:
        result: AttentionResult = self.current
        pool = thumb_pool(result)
        queries, keys = size(result)
        cells = (queries / pool) * (keys / pool)
        return result.n_layers * result.n_heads * cells > FIRST_CELLS or not result.quick

    def _weights(self, payload: Mapping[str, Any], head: int | None = None) -> Source:
        """Return the weights of one head; of a comparison those of the open head."""
        of, layer = payload.get("of"), int(payload["layer"])
        return self._source(payload, layer, int(payload["head"]) if head is None else head, of)

    def _cells(self, payload: Mapping[str, Any]) -> Cells:
        """Return what a tile is cut from: weights, or the difference of two heads or prompts."""
        one = self._weights(payload)
        if payload.get("of") != "contrast":
            return one
        if payload.get("versus") is None:
            return Contrast(one, self._source(payload, one.layer, one.head, "against"))
        layer, head = (int(n) for n in payload["versus"])
        return Contrast(one, self._source(payload, layer, head, "own"))

    def _source(self, payload: Mapping[str, Any], layer: int, head: int, of: Any) -> Source:
        mode = str(payload.get("mode", "current"))
        result: AttentionResult | None = self.pick(mode)
        minus: AttentionResult | None = self.base if mode == "difference" else None
        if of == "against":
            result = result and result.against
            minus = minus and minus.against
        if result is None:
            raise ValueError("this result holds no second prompt: iw.attention(prompt, against=…)")
        return Source(result, minus, layer, head, by_value=payload.get("weigh") == "value")

    def _overview(self, payload: Mapping[str, Any]) -> Tensor:
        mode, weigh = str(payload.get("mode", "current")), str(payload.get("weigh", "attention"))
        key = (mode, int(payload["layer"]), pooling(payload), weigh)
        if key not in self._overviews:
            result: AttentionResult = self.pick(mode)
            rows, cols = map(range, size(result))
            pool = thumb_pool(result)
            sampled = not result.quick and pool > 1
            whole = self._weights(payload, 0).of_layer() if pool == 1 else None
            if whole is None:
                thumbs = [
                    self._weights(payload, head).pooled(rows, cols, pool, key[2], sampled=sampled)
                    for head in range(result.n_heads)
                ]
                whole = torch.stack(thumbs)
            self._overviews[key] = whole.cpu()
        return self._overviews[key]


def _check_head(result: AttentionResult, layer: int, head: int) -> None:
    if layer not in result.layers:
        raise ValueError(f"there is no layer {layer} here; the layers are {result.layers}")
    if not 0 <= head < result.n_heads:
        raise ValueError(f"there is no head {head}; the heads are 0 to {result.n_heads - 1}")


def _check_contrast(result: AttentionResult, beside: tuple[int, int] | None) -> None:
    if beside is not None:
        return
    other = result.against
    if other is None:
        raise ValueError(
            "contrast=True needs two to compare: beside=(layer, head), or a second prompt "
            "(iw.attention(prompt, against=…))"
        )
    if size(other) != size(result):
        raise ValueError(
            "a difference needs prompts of one length; these have "
            f"{result.positions} and {other.positions} tokens"
        )


def _drawing(result: AttentionResult) -> str:
    return "picture" if "image" in result.arrays and "patches" in result.meta else "matrix"


def _scale(result: AttentionResult) -> str:
    return "sqrt" if "patches" in result.meta else "linear"


def _mask(result: AttentionResult, layer: int) -> dict[str, Any]:
    facts = result.meta.get("facts") or [{}] * result.n_layers
    fact = facts[result.layers.index(layer)]
    return {"causal": bool(fact.get("causal", not result.ready)), "window": fact.get("window")}


def _lengths(result: AttentionResult) -> dict[str, Any]:
    queries, keys = size(result)
    return {
        "queries": queries,
        "keys": keys,
        "tokens": result.tokens,
        "query_tokens": result.query_tokens if result.cross else None,
        "masks": [_mask(result, layer) for layer in result.layers],
    }


def _tiles(result: AttentionResult, where: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Name the tiles that show a whole head at a level that fits a screen."""
    queries, keys = size(result)
    pool = 1
    while max(queries, keys) / pool > 2 * TILE:
        pool *= 2
    for row in range(math.ceil(queries / (TILE * pool))):
        for column in range(math.ceil(keys / (TILE * pool))):
            yield "tile", {**where, "pool": pool, "row": row, "column": column}
