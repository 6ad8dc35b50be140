"""Any n-dimensional tensor with names for its dims."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from interp_widgets.results.base import Result, to_numpy
from interp_widgets.results.planes import Range, chunks, positions_of, tensor_of

if TYPE_CHECKING:
    import pandas as pd


MOST_ROWS = 20_000_000
MOST_NAMES = 40
"""Named entries that are a list of bars; more are a line."""
MOST_DRAWN = 15
"""Rows that can be told apart as lines or bars."""
TOKEN_DIMS = {"position", "query", "key"}

Draw = Literal["", "cells", "lines", "bars"]

FIELDS = {
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


class ArrayResult(Result):
    """A labelled n-dimensional array, shown as a heatmap of any two of its dims.

    ``arrays["values"]`` has the dims ``meta["dims"]``; ``meta["labels"]`` may name the entries of a
    dim; ``meta["quantity"]`` says what is measured and in which unit; ``meta["signed"]`` whether
    zero is the middle of the colour scale. ``arrays["mask"]``, if there, is true where a cell holds
    nothing that counts (padding, a layer that was left out); it has as many dims as the values, of
    the same size or of size 1, and the values there are NaN. ``meta["draw"]``, if there, is how
    view and figure draw it first: ``"cells"``, ``"lines"`` or ``"bars"``.

    Examples
    --------
    >>> result = iw.activations(prompt, "resid_post")
    >>> result.sel(layer=3).shape            # [position, d_model]
    """

    kind = "array"

    def _check(self) -> None:
        values = self.arrays["values"]
        dims = self.meta.get("dims")
        if dims is None or len(dims) != len(values.shape):
            raise ValueError(
                f"dims {dims!r} do not name the {len(values.shape)} dimensions of the array"
            )
        if len(set(dims)) != len(dims):
            raise ValueError(f"dims must differ from one another, got {dims!r}")
        labels = self.meta.setdefault("labels", {})
        for dim, names in labels.items():
            if dim not in dims:
                raise ValueError(f"labels for {dim!r}, which is not one of the dims {dims!r}")
            size = values.shape[dims.index(dim)]
            if len(names) != size:
                raise ValueError(f"{len(names)} labels for dim {dim!r} of size {size}")
        if self.meta.get("draw", "") not in get_args(Draw):
            raise ValueError(f"draw is cells, lines or bars, not {self.meta['draw']!r}")
        self.meta["dims"] = list(dims)
        self._range: Range | None = None
        self._ends: list[tuple[str, float, int | None]] | None = None
        mask = self.arrays.get("mask")
        if mask is not None:
            pairs = zip(tuple(mask.shape), tuple(values.shape), strict=False)
            if len(mask.shape) != len(values.shape) or any(m not in (1, n) for m, n in pairs):
                raise ValueError(
                    f"a mask of shape {tuple(mask.shape)} does not fit values of shape "
                    f"{tuple(values.shape)}"
                )

    @property
    def values(self) -> Any:
        """The tensor itself, on its device."""
        return self.arrays["values"]

    @property
    def dims(self) -> list[str]:
        """Names of the dims, in order."""
        return list(self.meta["dims"])

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each dim."""
        return dict(zip(self.dims, map(int, self.values.shape), strict=True))

    @property
    def quantity(self) -> str:
        """What is measured, with its unit."""
        return str(self.meta.get("quantity", "value"))

    @property
    def signed(self) -> bool:
        """Whether zero is the middle of the colour scale; decided from the data if not given."""
        if "signed" not in self.meta:
            self.meta["signed"] = self.range.negative
        return bool(self.meta["signed"])

    @property
    def range(self) -> Range:
        """Extremes of all values, and how many are not finite; measured once."""
        if self._range is None:
            self._range = Range.of(self.values)
        return self._range

    @property
    def mask(self) -> Any:
        """Where cells hold nothing that counts, in the shape of the values; None without a mask."""
        mask = self.arrays.get("mask")
        if mask is None:
            return None
        shape = tuple(self.values.shape)
        return np.broadcast_to(mask, shape) if isinstance(mask, np.ndarray) else mask.expand(shape)

    def labels(self, dim: str) -> list[str]:
        """Names of a dim's entries; indices where none were given."""
        names = self.meta["labels"].get(dim)
        return list(names) if names is not None else [str(i) for i in range(self.sizes[dim])]

    def named(self, dim: str) -> bool:
        """Whether a dim's entries are a few names: neither numbers nor the tokens of a prompt."""
        if dim not in self.meta["labels"] or dim in TOKEN_DIMS or self.sizes[dim] > MOST_NAMES:
            return False
        return not all(map(_number, self.labels(dim)))

    def drawing(self, rows: str | None, cols: str | None, wanted: Draw = "") -> Draw:
        """Return how two dims are drawn: as wanted, else as the result says, else as suits them.

        One row of names suits bars, one row of numbers lines, everything else cells; more than 15
        rows are cells anyhow, and so is a number.
        """
        if not cols or (rows and self.sizes[rows] > MOST_DRAWN):
            return "cells"
        suits: Draw = "cells" if rows else "bars" if self.named(cols) else "lines"
        own: Draw = self.meta.get("draw", "")
        return wanted or own or suits

    def index(self, at: Mapping[str, int | slice]) -> tuple[int | slice, ...]:
        """Translate ``{"layer": 3}`` into an index for the array.

        Raises
        ------
        IndexError
            When a dim is unknown or an index out of range.
        """
        for dim, i in at.items():
            if dim not in self.dims:
                raise IndexError(f"no dim {dim!r}; there are {', '.join(self.dims)}")
            size = self.sizes[dim]
            if isinstance(i, int) and not -size <= i < size:
                raise IndexError(f"{dim} {i} is out of range: there are {size}")
        return tuple(at.get(dim, slice(None)) for dim in self.dims)

    def sel(self, **at: int | slice) -> np.ndarray:
        """Return a slice as numpy, for example ``result.sel(layer=3, head=slice(0, 2))``."""
        return to_numpy(self.values[self.index(at)])

    def places(self, cells: Any, rows: str = "", cols: str = "") -> list[list[int | None]]:
        """Return cells as one index for each dim; None stands for "every".

        Parameters
        ----------
        cells
            Tuples of indices in the order of the dims, for example ``[(9, 6), (9, 9)]`` for heads.
            Where the array has more dims, two indices mean ``rows`` and ``cols``, whichever comes
            first in the array first, in every slice. Or truth values in the shape of the array,
            or of those two dims.
        rows, cols
            The two dims that are shown.

        Raises
        ------
        ValueError
            When the cells do not fit the dims.
        IndexError
            When an index is out of range.
        """
        sizes = list(self.sizes.values())
        shown = [i for i, dim in enumerate(self.dims) if dim in (rows, cols)]
        given = cells if isinstance(cells, list | tuple) else to_numpy(cells).tolist()
        if _truth(given):
            mask = np.asarray(given)
            if list(mask.shape) not in (sizes, [sizes[i] for i in shown]):
                raise ValueError(f"a mask of shape {mask.shape} does not fit {self.sizes}")
            given = np.argwhere(mask).tolist()
        found: list[list[int | None]] = []
        for cell in given:
            place = [None if i is None else int(i) for i in cell]
            if len(place) != len(sizes):
                if len(place) != len(shown):
                    raise ValueError(
                        f"the cell {tuple(cell)} needs one index for each of {', '.join(self.dims)}"
                    )
                short, place = place, [None] * len(sizes)
                for i, index in zip(shown, short, strict=True):
                    place[i] = index
            for i, (dim, size) in enumerate(self.sizes.items()):
                index = place[i]
                if index is not None and not -size <= index < size:
                    raise IndexError(f"{dim} {index} is out of range: there are {size}")
                place[i] = None if index is None else index % size
            if place not in found:
                found.append(place)
        return found

    def numbers(self, dim: str) -> list[int]:
        """Return the model's own number of each entry: a layer's label, else the index."""
        if dim != "layer" or dim not in self.meta["labels"]:
            return list(range(self.sizes[dim]))
        found = [re.search(r"\d+", name) for name in self.labels(dim)]
        return [int(m.group()) if m else -1 for m in found]

    def frame(self) -> pd.DataFrame:
        """Return one row per entry: the index and label in each dim, and the value.

        Raises
        ------
        ValueError
            Above 20 million entries, which as rows would take gigabytes.
        """
        return self.cells({})

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the entries at what is selected, as :meth:`frame` would name them.

        A token selects a position; where there are queries and keys, the query. Layers count as in
        the model. No rows where nothing is selected that the array knows, or no such entry is here.
        """
        at: dict[str, int] = {}
        taken = set()
        for dim in self.dims:
            field = FIELDS.get(dim, "")
            wanted = selection.get(field)
            if wanted is None or field in taken:
                continue
            taken.add(field)
            numbers = self.numbers(dim)
            if wanted not in numbers:
                return self.cells(dict.fromkeys(self.dims, slice(0, 0)))
            at[dim] = numbers.index(wanted)
        size = math.prod(n for dim, n in self.sizes.items() if dim not in at)
        if not at or size > MOST_ROWS:
            return self.cells(dict.fromkeys(self.dims, slice(0, 0)))
        return self.cells(at)

    def cells(self, at: Mapping[str, int | slice]) -> pd.DataFrame:
        """Return the rows of :meth:`frame` in a part of the array, without building the rest.

        Examples
        --------
        >>> result.cells({"layer": 3, "head": slice(0, 2)})
        """
        import pandas as pd

        spans = {
            dim: range(size)[span if isinstance(span, slice) else slice(i := span % size, i + 1)]
            for (dim, size), span in zip(self.sizes.items(), self.index(at), strict=True)
        }
        count = math.prod(map(len, spans.values()))
        if count > MOST_ROWS:
            raise ValueError(
                f"a table of {count:,} entries helps nobody; take a slice as an array, "
                f"for example result.sel({self.dims[0]}=0)"
            )
        if not spans:
            return pd.DataFrame({"value": [float(self.numpy("values"))]})
        index = pd.MultiIndex.from_product(list(spans.values()), names=list(spans))
        values = self.sel(**{dim: slice(r.start, r.stop, r.step) for dim, r in spans.items()})
        frame = pd.DataFrame({"value": values.reshape(-1)}, index=index).reset_index()
        for dim in self.meta["labels"]:
            names = np.asarray(self.labels(dim), dtype=object)
            frame.insert(list(frame.columns).index(dim) + 1, f"{dim}_label", names[frame[dim]])
        return frame

    def text(self) -> str:
        """Say the shape, the range and where the extremes are."""
        names, numbers = " × ".join(self.dims), " × ".join(map(str, self.sizes.values()))
        found = self.range
        if not self.dims:
            return f"{self.title}: {self.quantity} {float(self.numpy('values')):.4g}"
        lines = [f"{self.title}: {self.quantity}, {names} = {numbers}"]
        size = math.prod(self.sizes.values())
        bad = found.nan + found.inf + found.minus_inf
        if self._ends is None:
            ends = (("largest", found.high), ("smallest", found.low)) if size > bad else ()
            places = positions_of(self.values, [value for _, value in ends])
            self._ends = [(*end, place) for end, place in zip(ends, places, strict=True)]
        for word, value, flat in self._ends:
            if flat is None:
                continue
            at = np.unravel_index(flat, tuple(self.values.shape))
            place = ", ".join(
                f"{dim} {self.labels(dim)[i]}" for dim, i in zip(self.dims, at, strict=True)
            )
            lines.append(f"{word} {value:.3g} at {place}")
        masked = self.masked
        if masked:
            lines.append(f"{masked} entries are masked")
        if bad > masked:
            lines.append(f"{bad - masked} entries are not finite")
        return "; ".join(lines)

    @property
    def masked(self) -> int:
        """How many entries are masked."""
        mask = self.arrays.get("mask")
        if mask is None:
            return 0
        own = sum(int(chunk.sum()) for chunk in chunks(tensor_of(mask)))
        return own * math.prod(self.sizes.values()) // max(1, math.prod(mask.shape))


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _truth(nested: Any) -> bool:
    """Whether nested lists hold truth values."""
    while isinstance(nested, list | tuple) and nested:
        nested = nested[0]
    return isinstance(nested, bool | np.bool_)
