"""Any two dims of an array as a tiled heatmap."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import to_numpy
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import MODES, View, one_of
from interp_widgets.views.planes import Pool, Range, plane, pooled
from interp_widgets.views.wire import Array

TILE = 256
"""Cells of a tile in each direction."""
LABELS = 4096
"""Labels of longer dims stay in the kernel; the browser shows indices."""
EXPORT_BYTES = 900_000
"""What an exported page may hold of one view's numbers at the finest zoom."""
NARROWEST = 160
"""No plot is asked for with fewer dots than this in a direction."""

SELECTS = {
    "layer": "layer",
    "head": "head",
    "kv_head": "head",
    "position": "token",
    "query": "token",
    "key": "token",
    "d_model": "unit",
    "d_head": "unit",
    "d_mlp": "unit",
    "unit": "unit",
    "neuron": "unit",
    "feature": "feature",
}
"""Which field of the shared selection a dim is."""

Scale = Literal["slice", "trim", "all"]


class PlaneView(View):
    """What the heatmap and the lens grid share: tiles, ranges, numbers of layers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._ranges: OrderedDict[tuple[Any, ...], Range] = OrderedDict()
        super().__init__(*args, **options)

    def plane(self, payload: dict[str, Any]) -> tuple[Any, bool]:
        """Return the plane that a payload names and whether it is signed; subclasses say how."""
        raise NotImplementedError

    def on_tile(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return one tile and the range of its plane.

        ``row, col`` count tiles of :data:`TILE` cells after pooling by ``row_step × col_step``.
        """
        values, signed = self.plane(payload)
        steps = [max(1, int(payload.get(k, 1))) for k in ("row_step", "col_step")]
        spans = []
        for key, step, size in zip(("row", "col"), steps, values.shape, strict=True):
            start = int(payload.get(key, 0)) * TILE * step
            if not 0 <= start < size:
                raise IndexError(f"no tile {payload.get(key)} of {key}s: there are {size} cells")
            spans.append(slice(start, start + TILE * step))
        how: Pool = "mean" if payload.get("pool") == "mean" else "max"
        tile = pooled(values[spans[0], spans[1]], steps[0], steps[1], how, signed=signed)
        return {
            "values": Array(tile, "float32" if steps == [1, 1] else "float16"),
            "range": self._range(values, signed, payload),
        }

    def _range(self, values: Any, signed: bool, payload: dict[str, Any]) -> dict[str, Any]:  # noqa: FBT001
        whole = payload.get("scale") == "all"
        at = () if whole else tuple(sorted((payload.get("at") or {}).items()))
        names = ("channel",) if whole else ("channel", "rows", "cols")
        key = (self.revision, payload.get("mode"), whole, at, *(payload.get(n) for n in names))
        found = self._ranges.get(key)
        if found is None:
            found = Range.of(self.whole(payload) if whole else values)
            self._ranges[key] = found
            while len(self._ranges) > 64:
                self._ranges.popitem(last=False)
        return {**vars(found), "signed": signed}

    def whole(self, payload: dict[str, Any]) -> Any:
        """Return all values of the mode, for a scale that is the same on every slice."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the data and of what was measured on it."""
        if not self.is_closed:
            self._ranges.clear()
        super().close()


@VIEWS.register("array")
class HeatmapView(PlaneView, bundle="heatmap"):
    """Heatmap of any two dims of an array, with steppers for the others.

    Parameters
    ----------
    result
        The array.
    rows, cols
        Dims of the rows and columns; by default the last two, with tokens as rows where there are.
    scale
        ``"slice"`` (default): the colour scale spans what is shown; ``"trim"``: its middle 99 %,
        the rest is marked as beyond the scale; ``"all"``: the same scale on every slice.
    pool
        What one pixel of an overview shows of many cells: the largest magnitude (``"max"``,
        default) or the mean.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.
    **at
        Where the other dims stand first, for example ``layer=3``.

    Raises
    ------
    TypeError
        For a keyword that is neither of these nor a dim.
    ValueError
        For a dim or word that there is not.

    Examples
    --------
    >>> iw.activations(prompt, "z").view(layer=2, head=1)
    """

    def __init__(
        self,
        result: ArrayResult,
        *,
        rows: str | None = None,
        cols: str | None = None,
        scale: Scale = "slice",
        pool: Pool = "max",
        theme: str = "auto",
        **at: int,
    ) -> None:
        unknown = set(at) - set(result.dims)
        if unknown:
            raise TypeError(
                f"unknown {', '.join(sorted(unknown))}: give rows, cols, scale, pool, theme or a "
                f"dim ({', '.join(result.dims)})"
            )
        rows, cols = _axes(result.dims, rows, cols)
        sizes = result.sizes
        start = {}
        for dim in result.dims:
            if dim in (rows, cols):
                continue
            result.index({dim: int(at.get(dim, 0))})
            start[dim] = int(at.get(dim, 0)) % max(sizes[dim], 1)
        state = {
            "rows": rows,
            "cols": cols,
            "at": start,
            "scale": one_of("scale", scale, get_args(Scale)),
            "pool": one_of("pool", pool, get_args(Pool)),
            "mode": "current",
        }
        self._start = state
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Name the dims and what a click may select and change."""
        result: ArrayResult = self.current
        labels = {
            dim: result.labels(dim) for dim in result.meta["labels"] if result.sizes[dim] <= LABELS
        }
        return {
            "cells": "number",
            "dims": result.dims,
            "sizes": result.sizes,
            "labels": labels,
            "numbers": {"layer": _numbers(labels["layer"])} if "layer" in labels else {},
            "quantity": result.quantity,
            "selects": {dim: SELECTS[dim] for dim in result.dims if dim in SELECTS},
            "targets": self._targets(),
            "flip": False,
        }

    def _targets(self) -> list[dict[str, Any]]:
        """Say which interventions a cell stands for, the most specific first."""
        result: ArrayResult = self.current
        site = str(result.meta.get("site", "z" if {"layer", "head"} <= set(result.dims) else ""))
        name, _, number = site.partition(".")
        if not name or not (self.session and self.is_live):
            return []
        fixed: dict[str, Any] = {"site": name}
        found: dict[str, str] = {}
        if number.isdigit():
            fixed["layer"] = int(number)
        elif number:
            return []
        elif "layer" in result.dims:
            found["layer"] = "layer"
        elif name not in ("embed", "logits"):
            return []
        wanted: list[tuple[str, tuple[str, ...]]] = [
            ("head", ("head", "kv_head")),
            ("unit", ("d_mlp", "d_model", "vocabulary")),
            ("position", ("position", "query")),
        ]
        targets = []
        for field, dims in wanted:
            dim = next((d for d in dims if d in result.dims), None)
            if dim is not None:
                targets.append({"label": field, "fixed": fixed, "fields": {**found, field: dim}})
        if not targets:
            targets.append({"label": "layer", "fixed": fixed, "fields": found})
        return targets

    def first(self) -> dict[str, Any]:
        """Send the slice in view along when it is a single tile."""
        payload = self._payload(self.state or self._start)
        values, _ = self.plane(payload)
        if max(values.shape) > TILE or not min(values.shape):
            return {}
        return {"tiles": [{"payload": payload, **self.on_tile(payload)}]}

    def _payload(self, state: dict[str, Any], **more: Any) -> dict[str, Any]:
        keys = ("rows", "cols", "at", "scale", "pool", "mode")
        payload = {key: state.get(key, self._start[key]) for key in keys}
        payload["scale"] = "all" if payload["scale"] == "all" else "slice"
        if not self.changed:
            payload["mode"] = "current"
        return {**payload, "row": 0, "col": 0, "row_step": 1, "col_step": 1, **more}

    def plane(self, payload: dict[str, Any]) -> tuple[Any, bool]:
        """Cut the slice of the current, the base or their difference."""
        rows, cols = str(payload.get("rows") or ""), str(payload.get("cols") or "")
        at = payload.get("at") or {}
        if payload.get("mode") == "difference":
            cut = [
                plane(r.values, r.dims, rows, cols, at)
                for r in (self.pick("current"), self.pick("base"))
            ]
            return minus(*cut), True
        result: ArrayResult = self.pick(str(payload.get("mode")))
        return plane(result.values, result.dims, rows, cols, at), result.signed

    def whole(self, payload: dict[str, Any]) -> Any:
        """Return the array, or the difference of the two."""
        if payload.get("mode") == "difference":
            return minus(self.current.values, self.base.values)
        return self.pick(str(payload.get("mode"))).values

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the slice in view, rows × columns."""
        import pandas as pd

        state = {**self._start, **(self.state or {}), "mode": payload.get("mode", "current")}
        values, _ = self.plane(state)
        result: ArrayResult = self.current
        rows, cols = state["rows"], state["cols"]
        shown = to_numpy(values[:500, :64]).astype(np.float64)
        names = [f"{cols} {c}" for c in result.labels(cols)[:64]]
        frame = pd.DataFrame(shown, columns=pd.Index(names))
        if rows:
            index = [str(i) for i in range(len(shown))]
            words = result.labels(rows)[:500]
            frame.insert(0, rows, index if words == index else _pairs(index, words))
        return frame

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name the tiles of every slice if they fit, else of the slice in view."""
        for mode in MODES if self.changed else MODES[:1]:
            for at in self._exported_slices():
                payload = self._payload({**self.state, "at": at, "mode": mode})
                yield from tile_requests(payload, *self._shape(), self._finest())

    def export_spec(self) -> dict[str, Any]:
        """Say how fine the tiles of the page are, and which dims it can step through."""
        whole = len(self._exported_slices()) > 1 or not self.state["at"]
        row_step, col_step = self._finest()
        spec = {**super().export_spec(), "targets": []}
        spec["finest"] = {"row_step": row_step, "col_step": col_step}
        return spec if whole else {**spec, "frozen": True}

    def _shape(self) -> tuple[int, int]:
        sizes = self.current.sizes
        return sizes.get(self.state["rows"], 1), sizes[self.state["cols"]]

    def _exported_slices(self) -> list[dict[str, int]]:
        sizes, at = self.current.sizes, self.state["at"]
        modes = 3 if self.changed else 1
        if modes * 4 * int(np.prod(list(sizes.values()))) > EXPORT_BYTES:
            return [at]
        indices = np.ndindex(*(sizes[d] for d in at))
        return [dict(zip(at, map(int, index), strict=True)) for index in indices]

    def _finest(self) -> tuple[int, int]:
        """Return the smallest steps whose tiles fit a page."""
        rows, cols = self._shape()
        modes = 3 if self.changed else 1
        row_step = col_step = 1
        while modes * 4 * -(-rows // row_step) * -(-cols // col_step) > EXPORT_BYTES:
            if rows // row_step > cols // col_step:
                row_step *= 2
            else:
                col_step *= 2
        return row_step, col_step


def tile_requests(
    payload: dict[str, Any], rows: int, cols: int, finest: tuple[int, int] = (1, 1)
) -> Iterable[tuple[str, dict[str, Any]]]:
    """Name the tiles of a plane at every zoom that the browser may ask for."""
    for row_step in _steps(rows, finest[0]):
        for col_step in _steps(cols, finest[1]):
            for row in range(-(-rows // (TILE * row_step))):
                for col in range(-(-cols // (TILE * col_step))):
                    more = {"row": row, "col": col, "row_step": row_step, "col_step": col_step}
                    yield "tile", {**payload, **more}


def _steps(size: int, finest: int) -> Iterable[int]:
    yield finest
    while -(-size // finest) > NARROWEST:
        finest *= 2
        yield finest


def _axes(dims: list[str], rows: str | None, cols: str | None) -> tuple[str, str]:
    """Choose the dims of rows and columns; a one-dimensional array has no rows."""
    for name in (rows, cols):
        if name and name not in dims:
            raise ValueError(f"no dim {name!r}; there are {', '.join(dims)}")
    if rows and rows == cols:
        raise ValueError(f"rows and cols are both {rows!r}; give two dims")
    if not dims:
        raise ValueError("a single number has no heatmap: print it instead")
    left = [d for d in dims if d not in (rows, cols)]
    if cols is None:
        cols = left.pop()
    if rows is None:
        tokens = [d for d in left if d in ("position", "query")]
        rows = (tokens or left or [""])[-1]
    return rows, cols


def _numbers(labels: list[str]) -> list[int]:
    """Return the model's own numbers of layers that were labelled with them."""
    found = [re.search(r"\d+", name) for name in labels]
    return [int(m.group()) if m else -1 for m in found]


def minus(a: Any, b: Any) -> Any:
    """Return ``a − b`` in float32, wherever the two are.

    Raises
    ------
    ValueError
        When their shapes differ.
    """
    if tuple(a.shape) != tuple(b.shape):
        raise ValueError(f"base {tuple(b.shape)} and current {tuple(a.shape)} differ in shape")
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return to_numpy(a).astype(np.float32) - to_numpy(b).astype(np.float32)
    return a.detach().float() - b.detach().float().to(a.device)


def _pairs(index: list[str], words: list[str]) -> list[str]:
    return [f"{i} {word}" for i, word in zip(index, words, strict=True)]
