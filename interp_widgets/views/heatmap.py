"""Any two dims of an array as a tiled heatmap."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from interp_widgets.results.array import FIELDS, ArrayResult, Draw
from interp_widgets.results.base import to_numpy
from interp_widgets.results.planes import Pool, Range, Reduction, plane
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import MODES, one_of
from interp_widgets.views.planes import EXPORT_BYTES, TILE, PlaneView, minus, tile_requests

if TYPE_CHECKING:
    import pandas as pd

LABELS = 4096
"""Labels of longer dims stay in the kernel; the browser shows indices."""
OUTLINED = 5000
"""More outlined cells than this help nobody."""

Scale = Literal["slice", "trim", "all"]
REDUCTIONS = ("", *get_args(Reduction))


@VIEWS.register("array")
class HeatmapView(PlaneView, bundle="heatmap"):
    """Any two dims of an array as cells, lines or bars, with steppers for the others.

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
    draw
        ``"cells"``, ``"lines"`` (one for each row over the columns, with the intervals that stand
        beside it) or ``"bars"``. By default what the result is made for, else what suits it: bars
        for one row of at most 40 names, lines for one row of numbers, cells otherwise. More than
        15 rows are cells.
    bars
        With cells: what is drawn of each row and column at the edges: ``""`` (default) nothing,
        ``"mean"``, ``"max"``, ``"min"`` or ``"norm"`` (Euclidean).
    outline
        Cells to frame, as tuples of indices in the order of the dims, or truth values in the shape
        of the array (:meth:`ArrayResult.places`).
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.
    **at
        Where the other dims stand first, for example ``layer=3``.

    Raises
    ------
    TypeError
        For a keyword that is neither of these nor a dim.
    ValueError, IndexError
        For a dim, word or cell that there is not.

    Examples
    --------
    >>> iw.activations(prompt, "z").view(layer=2, head=1)
    >>> iw.patching(clean, corrupted, site="z").view(outline=[(9, 6), (9, 9)], bars="max")
    """

    opened: ClassVar[weakref.WeakSet[HeatmapView]] = weakref.WeakSet()
    """The open views; views/scatter.py finds those of its results by what they were given."""

    def __init__(
        self,
        result: ArrayResult,
        *,
        rows: str | None = None,
        cols: str | None = None,
        scale: Scale = "slice",
        pool: Pool = "max",
        draw: Draw = "",
        bars: Literal["", "mean", "max", "min", "norm"] = "",
        outline: Any = (),
        theme: str = "auto",
        **at: int,
    ) -> None:
        unknown = set(at) - set(result.dims)
        if unknown:
            raise TypeError(
                f"unknown {', '.join(sorted(unknown))}: give rows, cols, scale, pool, draw, bars, "
                f"outline, theme or a dim ({', '.join(result.dims)})"
            )
        rows, cols = axes_of(result.dims, rows, cols)
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
            "draw": one_of("draw", draw, get_args(Draw)),
            "bars": one_of("bars", bars, REDUCTIONS),
            "outline": _few(result.places(outline, rows, cols)),
            "brush": None,
            "window": None,
            "mode": "current",
        }
        self._start = state
        self.given = result
        super().__init__(result, theme=theme, state=state)
        self.opened.add(self)

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
            "numbers": {"layer": result.numbers("layer")} if "layer" in labels else {},
            "quantity": result.quantity,
            "selects": {dim: FIELDS[dim] for dim in result.dims if dim in FIELDS},
            "targets": self._targets(),
            "note": str(result.meta.get("note", "")),
            "draw": result.meta.get("draw", ""),
            "names": [dim for dim in result.dims if result.named(dim)],
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

    def plane_mask(self, payload: dict[str, Any]) -> Any:
        """Cut the same slice of the mask."""
        result: ArrayResult = self.current
        if result.mask is None:
            return None
        at = payload.get("at") or {}
        rows, cols = str(payload.get("rows") or ""), str(payload.get("cols") or "")
        return plane(result.mask, result.dims, rows, cols, at)

    def whole(self, payload: dict[str, Any]) -> Any:
        """Return the array, or the difference of the two."""
        if payload.get("mode") == "difference":
            return minus(self.current.values, self.base.values)
        result: ArrayResult = self.pick(str(payload.get("mode")))
        return result.arrays["values"]

    def measure(self, values: Any, payload: dict[str, Any]) -> Range:
        """Measure an array once for text, figure and view."""
        result: ArrayResult = self.pick(str(payload.get("mode")))
        known = payload.get("mode") != "difference" and len(result.dims) <= 2
        return result.range if known else super().measure(values, payload)

    def on_cell(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the exact value, and the labels that are too many to travel."""
        result: ArrayResult = self.current
        names = {
            payload[dim]: result.labels(payload[dim])[int(payload[where])]
            for dim, where in (("rows", "row"), ("cols", "col"))
            if payload.get(dim) in result.meta["labels"]
        }
        return {**super().on_cell(payload), "names": names}

    # What the reader marked.

    @property
    def outline(self) -> list[tuple[int | None, ...]]:
        """The outlined cells, one index for each dim; None stands for every slice."""
        return [tuple(cell) for cell in self.state["outline"]]

    @outline.setter
    def outline(self, cells: Any) -> None:
        result: ArrayResult = self.given
        found = _few(result.places(cells, self.state["rows"], self.state["cols"]))
        self.state = {**self.state, "outline": found}

    @property
    def brushed(self) -> dict[str, list[str]]:
        """The labels of the brushed rectangle, by dim; empty where nothing is brushed.

        Examples
        --------
        >>> view.brushed
        {"layer": ["8", "9"], "head": ["5", "6", "7"]}
        """
        result: ArrayResult = self.pick("current")
        return {dim: result.labels(dim)[span] for dim, span in self._brush().items()}

    def brushed_frame(self) -> pd.DataFrame:
        """Return the brushed cells as :meth:`ArrayResult.frame` names them; no rows without any."""
        result = self.figure_result()
        assert isinstance(result, ArrayResult)
        return result.cells(self._brush() or dict.fromkeys(result.dims, slice(0, 0)))

    def _brush(self) -> dict[str, slice]:
        state, result = self.state, self.current
        brush = state.get("brush")
        if not brush or (brush["rows"], brush["cols"]) != (state["rows"], state["cols"]):
            return {}
        found = {dim: slice(int(i), int(i) + 1) for dim, i in state["at"].items()}
        for dim, span in ((brush["rows"], brush["row"]), (brush["cols"], brush["col"])):
            if dim:
                found[dim] = slice(int(span[0]), int(span[1]))
        return {dim: found[dim] for dim in result.dims}

    # Figure and table.

    def figure_result(self) -> ArrayResult:
        """Return the array that is shown; of a difference one that holds it."""
        result: ArrayResult = self.pick(self.mode)
        if self.mode != "difference":
            return result
        meta = {
            **result.meta,
            "title": f"{result.title}, current − base",
            "quantity": f"change of {result.quantity}",
            "signed": True,
        }
        changed = {"values": minus(self.current.values, self.base.values)}
        if "mask" in result.arrays:
            changed["mask"] = result.arrays["mask"]
        return ArrayResult(changed, meta, result.recipe)

    def figure_options(self) -> dict[str, Any]:
        """Return the dims, slice, zoom, scale, drawing, bars and outlines that are shown."""
        state = {**self._start, **self.state}
        window = state["window"]
        rows, cols = state["rows"] or None, state["cols"] or None
        result: ArrayResult = self.current
        return {
            "rows": rows,
            "cols": cols,
            "draw": result.drawing(rows, cols, state["draw"]),
            "at": state["at"],
            "window": (tuple(window["row"]), tuple(window["col"])) if window else None,
            "outline": state["outline"],
            "bars": state["bars"],
            "scale": state["scale"],
        }

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the slice in view, rows × columns."""
        import pandas as pd

        state = {**self._start, **(self.state or {}), "mode": payload.get("mode", "current")}
        values, _ = self.plane(state)
        result: ArrayResult = self.current
        rows, cols = state["rows"], state["cols"]
        shown = to_numpy(values[:500, :64]).astype(np.float64)
        names = [f"{cols} {c}" for c in result.labels(cols)[:64]] if cols else ["value"]
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
                for how in self._exported_bars():
                    yield "bars", {**self._slice(payload), "how": how}

    def export_spec(self) -> dict[str, Any]:
        """Say how fine the tiles of the page are, and which dims it can step through."""
        whole = len(self._exported_slices()) > 1 or not self.state["at"]
        row_step, col_step = self._finest()
        spec = {**super().export_spec(), "targets": []}
        spec["finest"] = {"row_step": row_step, "col_step": col_step}
        spec["reductions"] = self._exported_bars()
        return spec if whole else {**spec, "frozen": True}

    def _slice(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {key: payload[key] for key in ("rows", "cols", "at", "mode")}

    def _exported_bars(self) -> list[str]:
        """Every reduction where the numbers are few, else the one that is shown."""
        modes = 3 if self.changed else 1
        numbers = sum(self._shape()) * len(self._exported_slices()) * modes
        known = REDUCTIONS[1:] if 16 * numbers < EXPORT_BYTES else [self.state["bars"]]
        return [how for how in known if how]

    def _shape(self) -> tuple[int, int]:
        sizes = self.current.sizes
        return sizes.get(self.state["rows"], 1), sizes.get(self.state["cols"], 1)

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


def axes_of(dims: list[str], rows: str | None, cols: str | None) -> tuple[str, str]:
    """Choose the dims of rows and columns; a one-dimensional array has no rows, a number neither.

    Raises
    ------
    ValueError
        For a dim that there is not, or the same one twice.
    """
    for name in (rows, cols):
        if name and name not in dims:
            raise ValueError(f"no dim {name!r}; there are {', '.join(dims)}")
    if rows and rows == cols:
        raise ValueError(f"rows and cols are both {rows!r}; give two dims")
    left = [d for d in dims if d not in (rows, cols)]
    if not cols:
        cols = left.pop() if left else ""
    if not rows:
        tokens = [d for d in left if d in ("position", "query")]
        rows = (tokens or left or [""])[-1]
    return rows, cols


def _few(cells: list[list[int | None]]) -> list[list[int | None]]:
    if len(cells) > OUTLINED:
        raise ValueError(f"{len(cells):,} outlined cells: give at most {OUTLINED:,}")
    return cells


def _pairs(index: list[str], words: list[str]) -> list[str]:
    return [f"{i} {word}" for i, word in zip(index, words, strict=True)]
