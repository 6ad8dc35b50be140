"""Two-dimensional pieces of large arrays: cut, pooled and reduced on their device, chunk by chunk.

Nothing here copies more than :data:`CHUNK` cells at a time, so that an array of gigabytes can be
looked at in the memory it already takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from interp_widgets.results.base import to_numpy

if TYPE_CHECKING:
    from torch import Tensor

Pool = Literal["max", "mean"]
Reduction = Literal["mean", "max", "min", "norm"]

CHUNK = 2**22
"""Cells that are worked on at a time: few enough for the cache of a processor."""
FINEST = 2048
"""A pyramid keeps at most this many blocks in each direction."""
SAMPLE = 2**20
"""Quantiles of larger arrays are those of an even sample of about this many values."""


def plane(values: Any, dims: list[str], rows: str, cols: str, at: dict[str, int]) -> Any:
    """Return the slice ``[rows, cols]`` as a view of ``values``, on its device.

    An empty ``rows`` gives a plane of one row; with ``cols`` empty too, a plane of one cell.

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


def tensor_of(values: Any) -> Tensor:
    """Return an array as a tensor that torch can reduce, without a copy where that is possible."""
    import torch

    if isinstance(values, np.ndarray):
        kind = values.dtype
        if kind == np.bool_:
            values = values.view(np.uint8)
        elif kind.kind == "u" and kind.itemsize > 1:
            values = values.astype(np.float32 if kind.itemsize == 2 else np.float64)
        elif kind.kind == "f" and kind.itemsize > 8:
            values = values.astype(np.float64)
        if not values.flags.writeable or any(s < 0 for s in values.strides):
            values = values.copy()
        return torch.from_numpy(values)
    tensor: Tensor = values.detach()
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


def chunks(values: Tensor) -> Iterator[Tensor]:
    """Yield all entries in order, in flat pieces of at most about :data:`CHUNK`."""
    if values.ndim == 0 or values.numel() <= CHUNK or values.ndim == 1:
        flat = values.reshape(-1)
        for i in range(0, flat.shape[0], CHUNK):
            yield flat[i : i + CHUNK]
        return
    inner = values[0].numel()
    if inner > CHUNK:
        for entry in values:
            yield from chunks(entry)
        return
    step = max(1, CHUNK // inner)
    for i in range(0, values.shape[0], step):
        yield values[i : i + step].reshape(-1)


@dataclass(frozen=True)
class Range:
    """What a colour scale has to know about some values.

    Attributes
    ----------
    low, high
        Smallest and largest finite value; 0 when there is none.
    trim_low, trim_high
        0.5 % and 99.5 % quantile of the finite values (of an even sample above a million).
    nan, inf, minus_inf
        How many entries are not a number, +∞ and −∞.
    """

    low: float
    high: float
    trim_low: float
    trim_high: float
    nan: int
    inf: int
    minus_inf: int

    @classmethod
    def of(cls, values: Any) -> Self:
        """Measure an array of any shape, on its device, a chunk at a time."""
        import torch

        values = tensor_of(values)
        values = values.permute(sorted(range(values.ndim), key=lambda d: -values.stride(d)))
        low, high, nan, inf, minus_inf = np.inf, -np.inf, 0, 0, 0
        stride = max(1, values.numel() // SAMPLE)
        sample = []
        for chunk in chunks(values):
            part = chunk
            least, most = (float(x) for x in torch.aminmax(part))
            if not (np.isfinite(least) and np.isfinite(most)):
                nan += int(part.isnan().sum())
                inf += int((part == np.inf).sum())
                minus_inf += int((part == -np.inf).sum())
                part = part[part.isfinite()]
                if not part.numel():
                    continue
                least, most = (float(x) for x in torch.aminmax(part))
            low, high = min(low, least), max(high, most)
            sample.append(part[::stride].double().cpu())
        if not sample:
            return cls(0.0, 0.0, 0.0, 0.0, nan, inf, minus_inf)
        trim = np.quantile(torch.cat(sample).numpy(), [0.005, 0.995])
        return cls(low, high, float(trim[0]), float(trim[1]), nan, inf, minus_inf)

    @property
    def negative(self) -> bool:
        """Whether some value is below zero."""
        return self.low < 0 or self.minus_inf > 0


def positions_of(values: Any, wanted: Sequence[float]) -> list[int | None]:
    """Return the flat index of the first entry that equals each of the ``wanted`` extremes."""
    import torch

    found: dict[float, int] = {}
    start = 0
    for chunk in chunks(tensor_of(values)):
        ends = [float(end) for end in torch.aminmax(chunk)]
        finite = bool(np.isfinite(ends).all())
        for value in set(wanted) - set(found):
            if value in ends or not finite:  # else it cannot be here
                hit = (chunk == value).nonzero()
                if len(hit):
                    found[value] = start + int(hit[0])
        if len(found) == len(set(wanted)):
            break
        start += chunk.shape[0]
    return [found.get(value) for value in wanted]


def reduced(piece: Any, how: Reduction) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a plane over its columns and over its rows, NaN left out.

    Returns
    -------
    tuple
        ``[row]`` and ``[column]`` in float32: the mean, the largest or smallest value, or the
        Euclidean norm; NaN where there was nothing else.
    """
    import torch

    values = tensor_of(piece)
    if _lies_across(values):
        return reduced(values.T, how)[::-1]
    n_rows, n_cols = values.shape
    if not n_rows or not n_cols:
        return np.full(n_rows, np.nan, "f4"), np.full(n_cols, np.nan, "f4")
    step = max(1, CHUNK // 4 // n_cols)
    parts = [_ends(values[i : i + step], how) for i in range(0, n_rows, step)]
    across, across_count = (torch.cat([part[0][k] for part in parts]) for k in (0, 1))
    down, down_count = (torch.stack([part[1][k] for part in parts]) for k in (0, 1))
    if how in ("max", "min"):
        down = down.amax(0) if how == "max" else down.amin(0)
    else:
        down = down.sum(0)
    ends = []
    for total, n in ((across, across_count), (down, down_count.sum(0))):
        out = total / n if how == "mean" else total.sqrt() if how == "norm" else total
        ends.append(to_numpy(out.masked_fill(n == 0, np.nan)))
    return ends[0], ends[1]


def _ends(part: Tensor, how: Reduction) -> list[tuple[Tensor, Tensor]]:
    """Reduce one chunk along columns and rows; with each, how many entries were numbers."""
    import torch

    part = part if part.is_floating_point() and part.element_size() >= 4 else part.float()

    def along(values: Tensor, dim: int) -> Tensor:
        if how == "mean":
            return values.sum(dim, dtype=torch.float32)
        if how == "norm":
            return torch.linalg.vector_norm(values, dim=dim, dtype=torch.float32).square()
        return (values.amax(dim) if how == "max" else values.amin(dim)).float()

    found = [along(part, 1), along(part, 0)]
    counts = [torch.full_like(out, part.shape[dim]) for dim, out in ((1, found[0]), (0, found[1]))]
    if found[0].isnan().any():
        missing = part.isnan()
        part = part.masked_fill(missing, {"max": -np.inf, "min": np.inf}.get(how, 0.0))
        found = [along(part, 1), along(part, 0)]
        counts = [(~missing).sum(dim).float() for dim in (1, 0)]
    return list(zip(found, counts, strict=True))


def _lies_across(values: Tensor) -> bool:
    """Whether columns, not rows, are contiguous in memory."""
    return values.stride(0) < values.stride(1) and values.shape[0] > 1


def pooled(piece: Any, row_step: int, col_step: int, how: Pool, *, signed: bool) -> np.ndarray:
    """Shrink a plane by blocks of ``row_step × col_step`` cells; NaN counts only where it is alone.

    ``"max"`` keeps the largest magnitude of signed data, else the largest value.
    """
    if row_step == 1 and col_step == 1:
        return to_numpy(piece)
    return Level.of(piece, row_step, col_step, how, signed=signed).numpy()


@dataclass(frozen=True)
class Level:
    """A pooled plane that can be pooled further: largest and smallest, or sum and count.

    ``parts`` are ``[row, column]`` tensors in float32: ``(high,)``, ``(high, low)`` for signed
    data, or ``(sum, count)`` for means. A block of nothing but NaN holds the neutral element.
    """

    parts: tuple[Tensor, ...]
    how: Pool

    @classmethod
    def of(cls, piece: Any, row_step: int, col_step: int, how: Pool, *, signed: bool) -> Self:
        """Pool a plane in one pass."""
        import torch

        values = tensor_of(piece)
        if _lies_across(values):
            turned = cls.of(values.T, col_step, row_step, how, signed=signed)
            return cls(tuple(part.T for part in turned.parts), how)
        n_rows, n_cols = values.shape
        step = max(1, CHUNK // max(1, n_cols * row_step)) * row_step
        found = []
        for i in range(0, n_rows, step):
            chunk = values[i : i + step]
            if how == "mean":
                part = chunk.float()
                missing = part.isnan()
                ones = torch.ones((), device=part.device).expand_as(part)
                ends: tuple[Tensor, ...] = (part, ones)
                if missing.any():
                    ends = (part.masked_fill(missing, 0.0), (~missing).float())
            else:
                ends = (chunk, chunk) if signed else (chunk,)
            found.append(_joined(ends, row_step, col_step, how))
        return cls(tuple(torch.cat(part) for part in zip(*found, strict=True)), how)

    def coarser(self, row_step: int, col_step: int) -> Level:
        """Pool again by blocks of blocks."""
        if row_step == col_step == 1:
            return self
        return Level(_joined(self.parts, row_step, col_step, self.how), self.how)

    def cut(self, rows: slice, cols: slice) -> Level:
        """Return a rectangle of blocks."""
        return Level(tuple(part[rows, cols] for part in self.parts), self.how)

    def numpy(self) -> np.ndarray:
        """Return what is drawn: the largest (magnitude) or the mean of each block, NaN if empty."""
        import torch

        if self.how == "mean":
            total, count = self.parts
            out = torch.where(count > 0, total / count, np.nan)
        elif len(self.parts) == 1:
            high = self.parts[0]
            out = torch.where(high == -np.inf, np.nan, high)
        else:
            high, low = self.parts
            out = torch.where(-low > high, low, high)
            out = torch.where((high == -np.inf) & (low == np.inf), np.nan, out)
        return to_numpy(out)

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return sum(part.numel() * part.element_size() for part in self.parts)


def _joined(parts: tuple[Tensor, ...], row_step: int, col_step: int, how: Pool) -> Any:
    """Join blocks: rows first, where a chunk is contiguous, then the few columns that are left."""
    if how == "mean":
        return tuple(_sum(_sum(part, row_step, 0), col_step, 1) for part in parts)
    return tuple(
        _extreme(_extreme(part, row_step, 0, most=i == 0), col_step, 1, most=i == 0)
        for i, part in enumerate(parts)
    )


def _blocks(part: Tensor, step: int, dim: int) -> tuple[Tensor | None, Tensor | None]:
    """Split a dim into whole blocks and the rest at its end."""
    size = part.shape[dim]
    whole = size // step * step
    body = part.narrow(dim, 0, whole).unflatten(dim, (-1, step)) if whole else None
    return body, part.narrow(dim, whole, size - whole) if whole < size else None


def _sum(part: Tensor, step: int, dim: int) -> Tensor:
    import torch

    if step == 1:
        return part
    body, rest = _blocks(part, step, dim)
    found = [body.sum(dim + 1)] if body is not None else []
    if rest is not None:
        found.append(rest.sum(dim, keepdim=True))
    return torch.cat(found, dim)


def _extreme(part: Tensor, step: int, dim: int, *, most: bool) -> Tensor:
    import torch

    along = torch.amax if most else torch.amin
    neutral = -np.inf if most else np.inf
    if step == 1:
        out = part.float()
        return out.masked_fill(out.isnan(), neutral)
    found = []
    body, rest = _blocks(part, step, dim)
    for piece, axis, keep in ((body, dim + 1, False), (rest, dim, True)):
        if piece is None:
            continue
        out = along(piece, axis, keepdim=keep).float()
        if out.isnan().any():
            clean = piece.float()
            out = along(clean.masked_fill(clean.isnan(), neutral), axis, keepdim=keep)
        found.append(out)
    return torch.cat(found, dim)


class Pyramid:
    """A large plane, pooled once: coarser tiles come from what is kept, finer ones from the plane.

    Parameters
    ----------
    values
        ``[row, column]``, not copied.
    how, signed
        As in :func:`pooled`.
    """

    def __init__(self, values: Any, how: Pool, *, signed: bool) -> None:
        self.values, self.how, self.signed = values, how, signed
        self.steps = tuple(_step(size) for size in values.shape)
        self._base: Level | None = None

    def tile(
        self, rows: tuple[int, int], cols: tuple[int, int], row_step: int, col_step: int
    ) -> np.ndarray:
        """Return the pooled cells between ``rows`` and ``cols``, which begin at whole blocks."""
        base_row, base_col = self.steps
        coarse = row_step % base_row == 0 and col_step % base_col == 0
        if self.steps == (1, 1) or not coarse:
            piece = self.values[slice(*rows), slice(*cols)]
            return pooled(piece, row_step, col_step, self.how, signed=self.signed)
        if self._base is None:
            self._base = Level.of(self.values, base_row, base_col, self.how, signed=self.signed)
        (top, bottom), (left, right) = rows, cols
        cut = self._base.cut(
            slice(top // base_row, -(-bottom // base_row)),
            slice(left // base_col, -(-right // base_col)),
        )
        return cut.coarser(row_step // base_row, col_step // base_col).numpy()

    @property
    def nbytes(self) -> int:
        """Memory it holds beside the plane itself."""
        return self._base.nbytes if self._base is not None else 0


def _step(size: int) -> int:
    step = 1
    while -(-size // step) > FINEST:
        step *= 2
    return step
