"""What views of a plane of cells share: tiles, ranges, marginal reductions, brushed rectangles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, cast, get_args

import numpy as np

from interp_widgets.results.base import to_numpy
from interp_widgets.results.planes import Pool, Pyramid, Range, Reduction, reduced, tensor_of
from interp_widgets.views.base import View
from interp_widgets.views.wire import Array

TILE = 256
"""Cells of a tile in each direction."""
EXPORT_BYTES = 900_000
"""What an exported page may hold of one view's numbers at the finest zoom."""
NARROWEST = 160
"""No plot is asked for with fewer dots than this in a direction."""
PYRAMID_BYTES = 64 * 2**20
"""What a view may keep of pooled planes."""


class PlaneView(View):
    """What the heatmap and the lens grid share: tiles, ranges, numbers of layers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._ranges: OrderedDict[tuple[Any, ...], Range] = OrderedDict()
        self._masked: dict[tuple[Any, ...], int] = {}
        self._pyramids: OrderedDict[tuple[Any, ...], Pyramid] = OrderedDict()
        super().__init__(*args, **options)

    def plane(self, payload: dict[str, Any]) -> tuple[Any, bool]:
        """Return the plane that a payload names and whether it is signed; subclasses say how."""
        raise NotImplementedError

    def plane_mask(self, _payload: dict[str, Any]) -> Any:
        """Return where the plane is masked, or None."""
        return None

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
            spans.append((start, min(size, start + TILE * step)))
        pyramid = self._pyramid(values, signed, payload)
        tile = pyramid.tile(spans[0], spans[1], steps[0], steps[1])
        answer = {
            "values": Array(tile, "float32" if steps == [1, 1] else "float16"),
            "range": self._range(values, signed, payload),
        }
        mask = self.plane_mask(payload)
        if mask is not None and steps == [1, 1]:
            piece = to_numpy(mask[slice(*spans[0]), slice(*spans[1])])
            answer["mask"] = Array(np.ascontiguousarray(piece).astype(np.uint8), "uint8")
        return answer

    def on_cell(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the exact value of the cell ``row, col``, which an overview shows pooled."""
        values, _ = self.plane(payload)
        row, col = int(payload["row"]), int(payload["col"])
        return {"value": float(to_numpy(values[row : row + 1, col : col + 1])[0, 0])}

    def on_bars(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return each row and each column reduced to a number: mean, max, min or norm."""
        how = str(payload.get("how"))
        if how not in get_args(Reduction):
            raise ValueError(f"how is one of {', '.join(get_args(Reduction))}, not {how!r}")
        values, _ = self.plane(payload)
        rows, cols = reduced(values, cast("Reduction", how))
        return {"rows": Array(rows, "float32"), "cols": Array(cols, "float32")}

    def on_brush(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return count, mean, smallest and largest of the cells in a rectangle."""
        values, _ = self.plane(payload)
        rows, cols = (slice(*(int(i) for i in payload[k])) for k in ("brush_rows", "brush_cols"))
        cells = tensor_of(values[rows, cols])
        found = Range.of(cells)
        bad = found.nan + found.inf + found.minus_inf
        size = int(cells.numel())
        finite = cells[cells.isfinite()] if bad else cells
        mean = float(finite.double().mean()) if size > bad else None
        low, high = (found.low, found.high) if size > bad else (None, None)
        return {"count": size, "finite": size - bad, "mean": mean, "low": low, "high": high}

    def _pyramid(self, values: Any, signed: bool, payload: dict[str, Any]) -> Pyramid:  # noqa: FBT001
        how: Pool = "mean" if payload.get("pool") == "mean" else "max"
        key = (how, *self._plane_key(payload))
        found = self._pyramids.get(key)
        if found is None:
            found = self._pyramids[key] = Pyramid(values, how, signed=signed)
        self._pyramids.move_to_end(key)
        while len(self._pyramids) > 1 and (
            len(self._pyramids) > 16
            or sum(p.nbytes for p in self._pyramids.values()) > PYRAMID_BYTES
        ):
            self._pyramids.popitem(last=False)
        return found

    def _range(self, values: Any, signed: bool, payload: dict[str, Any]) -> dict[str, Any]:  # noqa: FBT001
        whole = payload.get("scale") == "all"
        key = ("all", self.revision, payload.get("mode")) if whole else self._plane_key(payload)
        found = self._ranges.get(key)
        if found is None:
            found = self.measure(self.whole(payload) if whole else values, payload)
            mask = self.plane_mask(payload)
            masked = int(tensor_of(to_numpy(mask)).sum()) if mask is not None and not whole else 0
            self._ranges[key] = found
            self._masked[key] = masked
            while len(self._ranges) > 64:
                self._masked.pop(self._ranges.popitem(last=False)[0], None)
        masked = self._masked.get(key, 0)
        return {
            **vars(found),
            "nan": max(0, found.nan - masked),
            "masked": masked,
            "signed": signed,
        }

    def measure(self, values: Any, _payload: dict[str, Any]) -> Range:
        """Return the range of a plane or of the whole; a subclass may know it already."""
        return Range.of(values)

    def _plane_key(self, payload: dict[str, Any]) -> tuple[Any, ...]:
        at = tuple(sorted((payload.get("at") or {}).items()))
        names = ("mode", "channel", "rows", "cols")
        return (self.revision, at, *(payload.get(name) for name in names))

    def whole(self, payload: dict[str, Any]) -> Any:
        """Return all values of the mode, for a scale that is the same on every slice."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the data and of what was measured on it."""
        if not self.is_closed:
            self._ranges.clear()
            self._pyramids.clear()
        super().close()


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
