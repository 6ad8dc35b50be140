"""Any n-dimensional tensor with names for its dims."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.base import Result, to_numpy

if TYPE_CHECKING:
    import pandas as pd


MOST_ROWS = 20_000_000


class ArrayResult(Result):
    """A labelled n-dimensional array, shown as a heatmap of any two of its dims.

    ``arrays["values"]`` has the dims ``meta["dims"]``; ``meta["labels"]`` may name the entries of a
    dim; ``meta["quantity"]`` says what is measured and in which unit; ``meta["signed"]`` whether
    zero is the middle of the colour scale.

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
        self.meta["dims"] = list(dims)

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
            self.meta["signed"] = bool((self.values < 0).any())
        return bool(self.meta["signed"])

    def labels(self, dim: str) -> list[str]:
        """Names of a dim's entries; indices where none were given."""
        names = self.meta["labels"].get(dim)
        return list(names) if names is not None else [str(i) for i in range(self.sizes[dim])]

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

    def frame(self) -> pd.DataFrame:
        """Return one row per entry: the label of each dim and the value.

        Raises
        ------
        ValueError
            Above 20 million entries, which as rows would take gigabytes.
        """
        import pandas as pd

        count = math.prod(self.sizes.values())
        if count > MOST_ROWS:
            raise ValueError(
                f"a table of {count:,} entries helps nobody; take a slice as an array, "
                f"for example result.sel({self.dims[0]}=0)"
            )
        index = pd.MultiIndex.from_product(
            [range(size) for size in self.sizes.values()], names=self.dims
        )
        frame = pd.DataFrame({"value": self.numpy("values").reshape(-1)}, index=index).reset_index()
        for dim in self.meta["labels"]:
            names = np.asarray(self.labels(dim), dtype=object)
            frame.insert(list(frame.columns).index(dim) + 1, f"{dim}_label", names[frame[dim]])
        return frame

    def text(self) -> str:
        """Say the shape, the range and where the extremes are."""
        values = self.numpy("values").astype(np.float64)
        finite = np.isfinite(values)
        names, numbers = " × ".join(self.dims), " × ".join(map(str, self.sizes.values()))
        lines = [f"{self.title}: {self.quantity}, {names} = {numbers}"]
        if finite.any():
            for word, find in (("largest", np.nanargmax), ("smallest", np.nanargmin)):
                flat = int(find(np.where(finite, values, np.nan)))
                at = np.unravel_index(flat, values.shape)
                place = ", ".join(
                    f"{dim} {self.labels(dim)[i]}" for dim, i in zip(self.dims, at, strict=True)
                )
                lines.append(f"{word} {values.flat[flat]:.3g} at {place}")
        if not finite.all():
            lines.append(f"{int((~finite).sum())} entries are not finite")
        return "; ".join(lines)
