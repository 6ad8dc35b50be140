"""Two arrays against each other: one point for each cell that both have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.array import FIELDS, ArrayResult
from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 40_000
"""More points than this are one dark cloud, and too much for a page."""


class ScatterResult(Result):
    """One point for each cell that two arrays have in common.

    ``arrays``: ``x`` and ``y`` ``[point]``, ``cell`` ``[point, dim]``, the index of each point in
    the first array. ``meta``: ``dims``, ``labels`` of the first array, ``x`` and ``y`` (title and
    quantity).

    Where x and y are a place (``meta["map"]``), such as the angles of particles, correlations say
    nothing and are left out. Points may have a ``size [point]``, and lines between them:
    ``link [line, 2]`` with ``link_weight`` (their width, at most 1) and ``link_value`` (their
    colour), named in ``meta["links"]``.

    Attributes
    ----------
    sources
        The two arrays, while they are in memory; None after loading from a file.

    Examples
    --------
    >>> values, patterns = (iw.patching(clean, corrupted, site=s) for s in ("v", "pattern"))
    >>> iw.scatter(values, patterns).pearson
    0.31
    """

    kind = "scatter"
    sources: tuple[ArrayResult, ArrayResult] | None = None

    def _check(self) -> None:
        count = len(self.arrays["x"])
        shapes = self.arrays["y"].shape, self.arrays["cell"].shape
        if shapes != ((count,), (count, len(self.meta["dims"]))):
            raise ValueError(f"{count} points do not fit y and cells of shapes {shapes}")
        links = self.arrays.get("link")
        if links is not None and len(links) and not 0 <= links.min() <= links.max() < count:
            raise ValueError(f"a line joins a point that is not among the {count}")

    @classmethod
    def of(cls, x: ArrayResult, y: ArrayResult) -> ScatterResult:
        """Match the cells of two arrays by their dims and the labels in them.

        Raises
        ------
        ValueError
            When they have other dims, no cell in common, or more than 40,000.
        """
        if set(x.dims) != set(y.dims) or not x.dims:
            raise ValueError(
                f"{x.title!r} has the dims {', '.join(x.dims) or 'none'} and {y.title!r} "
                f"{', '.join(y.dims) or 'none'}; a point needs the same in both: take a slice or a "
                "mean first and show it with iw.show(…, dims=…)"
            )
        indices = [_common(x, y, dim) for dim in x.dims]
        count = math.prod(len(pairs) for pairs in indices)
        if not count:
            empty = next(d for d, pairs in zip(x.dims, indices, strict=True) if not pairs)
            raise ValueError(f"no {empty} is in both {x.title!r} and {y.title!r}")
        if count > MOST_POINTS:
            raise ValueError(
                f"{count:,} points are one dark cloud; compare at most {MOST_POINTS:,}, for "
                "example the means over a dim"
            )
        mine = [[i for i, _ in pairs] for pairs in indices]
        theirs = {d: [j for _, j in pairs] for d, pairs in zip(x.dims, indices, strict=True)}
        cell = np.stack(np.meshgrid(*mine, indexing="ij"), -1).reshape(count, -1)
        other = y.numpy("values").transpose([y.dims.index(d) for d in x.dims])
        values = {
            "x": x.numpy("values")[np.ix_(*mine)].reshape(-1).astype(np.float32),
            "y": other[np.ix_(*(theirs[d] for d in x.dims))].reshape(-1).astype(np.float32),
            "cell": cell.astype(np.int64),
        }
        meta = {
            "dims": x.dims,
            "labels": x.meta["labels"],
            "x": {"title": x.title, "quantity": x.quantity},
            "y": {"title": y.title, "quantity": y.quantity},
            "title": f"{y.title} against {x.title}",
        }
        result = cls(values, meta)
        result.sources = (x, y)
        return result

    @property
    def dims(self) -> list[str]:
        """The dims whose entries name a point."""
        return list(self.meta["dims"])

    @property
    def is_map(self) -> bool:
        """Whether x and y are a place."""
        return bool(self.meta.get("map", False))

    @property
    def names(self) -> list[str]:
        """What each point is called, for example ``"layer 9, head 6"``."""
        labels = self.meta["labels"]
        columns = [
            [f"{d} {labels[d][i] if d in labels else i}" for i in self.arrays["cell"][:, k]]
            for k, d in enumerate(self.dims)
        ]
        return [", ".join(parts) for parts in zip(*columns, strict=True)]

    @property
    def short_names(self) -> list[str]:
        """The same for a label in a picture, for example ``"9.6"``."""
        labels = self.meta["labels"]
        columns = [
            [str(labels[d][i]).strip() if d in labels else str(i) for i in column]
            for d, column in zip(self.dims, self.arrays["cell"].T, strict=True)
        ]
        return [".".join(parts) for parts in zip(*columns, strict=True)]

    @property
    def finite(self) -> np.ndarray:
        """Which points have two finite values."""
        return np.isfinite(self.numpy("x")) & np.isfinite(self.numpy("y"))

    @property
    def pearson(self) -> float:
        """Correlation of the values over the finite points; NaN where one does not vary."""
        return _correlation(self.numpy("x")[self.finite], self.numpy("y")[self.finite])

    @property
    def spearman(self) -> float:
        """Correlation of the ranks (ties get their mean rank)."""
        import pandas as pd

        ranks = [pd.Series(self.numpy(k)[self.finite]).rank().to_numpy() for k in ("x", "y")]
        return _correlation(*ranks)

    def outliers(self, most: int = 10) -> list[int]:
        """Return the points that stand out most: farthest from the medians, in units of the spread.

        The spread is the median distance from the median (the mean one where that is zero). Only
        points beyond three spreads count.
        """
        far = np.zeros(len(self.arrays["x"]))
        finite = self.finite
        for key in ("x", "y"):
            values = self.numpy(key)[finite].astype(np.float64)
            distance = np.abs(values - np.median(values)) if len(values) else values
            spread = (np.median(distance) or distance.mean()) if len(values) else 1.0
            far[finite] = np.maximum(far[finite], distance / (spread or 1.0))
        order = np.argsort(-far, kind="stable")[:most]
        return [int(i) for i in order if far[i] > 3]

    def places(self, points: Iterable[int]) -> list[list[int]]:
        """Return the cells of some points in the first array."""
        return [[int(i) for i in self.arrays["cell"][int(p)]] for p in points]

    def frame(self) -> pd.DataFrame:
        """Return one row per point: index and label in each dim, ``x`` and ``y``."""
        import pandas as pd

        frame = pd.DataFrame(self.arrays["cell"], columns=pd.Index(self.dims))
        for dim, names in self.meta["labels"].items():
            at = frame.columns.get_loc(dim)
            assert isinstance(at, int)
            frame.insert(at + 1, f"{dim}_label", [names[i] for i in frame[dim]])
        return frame.assign(x=self.numpy("x"), y=self.numpy("y"))

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the points at what is selected; layers count as in the model."""
        frame = self.frame()
        known = False
        for dim in self.dims:
            wanted = selection.get(FIELDS.get(dim, ""))
            if wanted is None:
                continue
            known = True
            named = dim == "layer" and "layer_label" in frame
            column = frame["layer_label"] if named else frame[dim]
            frame = frame[column.astype(str) == str(wanted)]
        return frame.reset_index(drop=True) if known else frame.head(0)

    def text(self) -> str:
        """Say how many points there are, how they correlate, and which stand out."""
        count = int(self.finite.sum())
        found = f"Pearson r = {self.pearson:.2f}, Spearman ρ = {self.spearman:.2f}"
        lines = [f"{self.title}: {count} points{'' if self.is_map else ', ' + found}"]
        if len(self.arrays.get("link", ())):
            lines.append(f"{len(self.arrays['link'])} lines between them")
        names = self.names
        x, y = self.numpy("x"), self.numpy("y")
        apart = [] if self.is_map else self.outliers(3)
        lines += [f"{names[i]} at x = {x[i]:.3g}, y = {y[i]:.3g}" for i in apart]
        if count < len(x):
            lines.append(f"{len(x) - count} points are not finite")
        return "; ".join(lines)


def _common(x: ArrayResult, y: ArrayResult, dim: str) -> list[tuple[int, int]]:
    """Pair the entries of a dim that have the same label."""
    mine, theirs = x.labels(dim), y.labels(dim)
    if mine == theirs:
        return [(i, i) for i in range(len(mine))]
    where = {name: j for j, name in reversed(list(enumerate(theirs)))}
    return [(i, where[name]) for i, name in enumerate(mine) if name in where]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x.astype(np.float64), y.astype(np.float64))[0, 1])
