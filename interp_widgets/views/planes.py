"""Two-dimensional pieces of large arrays: cut, pooled and measured without a copy of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from interp_widgets.results.base import to_numpy

Pool = Literal["max", "mean"]

CHUNK = 2**22
"""Cells that are brought to the host at a time."""


def plane(values: Any, dims: list[str], rows: str, cols: str, at: dict[str, int]) -> Any:
    """Return the slice ``[rows, cols]`` as a view of ``values``, on its device.

    An empty ``rows`` gives a plane of one row.

    Raises
    ------
    ValueError
        When a dim is unknown, used twice or left open.
    IndexError
        When an index is out of range.
    """
    shown = [d for d in (rows, cols) if d]
    if len(set(shown)) != len(shown) or not set(shown) <= set(dims):
        raise ValueError(f"rows {rows!r} and columns {cols!r} must be two of {', '.join(dims)}")
    index: list[Any] = []
    for dim, size in zip(dims, values.shape, strict=True):
        if dim in shown:
            index.append(slice(None))
            continue
        i = int(at.get(dim, 0))
        if not -size <= i < size:
            raise IndexError(f"{dim} {i} is out of range: there are {size}")
        index.append(i)
    piece = values[tuple(index)]
    if not rows:
        return piece.reshape(1, -1)
    return piece if dims.index(rows) < dims.index(cols) else piece.T


def pooled(piece: Any, row_step: int, col_step: int, how: Pool, *, signed: bool) -> np.ndarray:
    """Shrink a plane by blocks of ``row_step × col_step`` cells; NaN counts only where it is alone.

    ``"max"`` keeps the largest magnitude of signed data, else the largest value.
    """
    if row_step == 1 and col_step == 1:
        return to_numpy(piece)
    n_rows, n_cols = piece.shape
    step = max(1, CHUNK // max(1, n_cols * row_step)) * row_step
    parts = [
        _pool_blocks(to_numpy(piece[i : i + step]), row_step, col_step, how, signed=signed)
        for i in range(0, n_rows, step)
    ]
    return np.concatenate(parts)


def _pool_blocks(
    values: np.ndarray, row_step: int, col_step: int, how: Pool, *, signed: bool
) -> np.ndarray:
    values = values.astype(np.float32)
    pad = (-values.shape[0] % row_step, -values.shape[1] % col_step)
    if any(pad):
        values = np.pad(values, ((0, pad[0]), (0, pad[1])), constant_values=np.nan)
    rows, cols = values.shape[0] // row_step, values.shape[1] // col_step
    grid = values.reshape(rows, row_step, cols, col_step).transpose(0, 2, 1, 3)
    blocks = grid.reshape(rows, cols, -1)
    missing = np.isnan(blocks)
    if how == "mean":
        count = np.maximum((~missing).sum(axis=-1), 1)
        with np.errstate(invalid="ignore"):
            out = np.where(missing, 0.0, blocks).sum(axis=-1) / count
    else:
        size = np.abs(blocks) if signed else blocks
        pick = np.where(missing, -np.inf, size).argmax(axis=-1)
        out = np.take_along_axis(blocks, pick[..., None], axis=-1)[..., 0]
    return np.where(missing.all(axis=-1), np.nan, out).astype(np.float32)


@dataclass(frozen=True)
class Range:
    """What a colour scale has to know about some values.

    Attributes
    ----------
    low, high
        Smallest and largest finite value.
    trim_low, trim_high
        0.5 % and 99.5 % quantile of the finite values (of an even sample above 4 million).
    nan, inf
        How many entries are not a number, and how many infinite.
    """

    low: float
    high: float
    trim_low: float
    trim_high: float
    nan: int
    inf: int

    @classmethod
    def of(cls, values: Any) -> Range:
        """Measure an array of any shape, on its device, a chunk at a time."""
        flat = values.reshape(-1)
        size = int(flat.shape[0])
        low, high, nan, inf = np.inf, -np.inf, 0, 0
        stride = max(1, size // CHUNK)
        sample = []
        for i in range(0, size, CHUNK):
            part = to_numpy(flat[i : i + CHUNK])
            finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
            nan += int(np.isnan(part).sum()) if part.dtype.kind == "f" else 0
            inf += int(part.size - finite.size)
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                sample.append(finite[::stride])
        if not sample:
            return cls(0.0, 0.0, 0.0, 0.0, nan, inf - nan)
        trim = np.quantile(np.concatenate(sample).astype(np.float64), [0.005, 0.995])
        return cls(low, high, float(trim[0]), float(trim[1]), nan, inf - nan)
