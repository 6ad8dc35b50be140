"""Two results against each other, linked with the heatmaps of both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.array import FIELDS
from interp_widgets.results.registry import VIEWS
from interp_widgets.results.scatter import ScatterResult
from interp_widgets.views.base import MODES, View
from interp_widgets.views.heatmap import OUTLINED, HeatmapView
from interp_widgets.views.wire import Array

if TYPE_CHECKING:
    import pandas as pd


@VIEWS.register("scatter")
class ScatterView(View, bundle="scatter"):
    """One point per cell of two results; a lasso outlines its cells in the heatmaps of both.

    Parameters
    ----------
    result
        What :func:`iw.scatter` returns.
    labels
        How many of the points that stand out carry their name.
    identity
        Whether the line y = x is drawn.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Examples
    --------
    >>> view = iw.scatter(values, patterns).view(labels=5)
    >>> view.brushed
    ["layer 9, head 6", "layer 9, head 9"]
    """

    def __init__(
        self,
        result: ScatterResult,
        *,
        labels: int = 10,
        identity: bool = True,
        theme: str = "auto",
    ) -> None:
        if labels < 0:
            raise ValueError(f"labels is a number of points, not {labels}")
        self.given = result
        state = {"mode": "current", "brushed": [], "labels": int(labels), "identity": identity}
        super().__init__(result, theme=theme, state=state)
        self._outlined: list[list[int]] = []
        self.observe(self._link, "state")

    def describe(self) -> dict[str, Any]:
        """Name dims, labels and axes, and say how the points correlate."""
        result: ScatterResult = self.current
        return {
            "dims": result.dims,
            "labels": result.meta["labels"],
            "numbers": _numbers(result),
            "x": result.meta["x"],
            "y": result.meta["y"],
            "selects": {dim: FIELDS[dim] for dim in result.dims if dim in FIELDS},
            "count": int(result.finite.sum()),
            "missing": int((~result.finite).sum()),
            "map": result.is_map,
            "links": dict(result.meta.get("links", {})),
        }

    def first(self) -> dict[str, Any]:
        """Send the points along."""
        mode = self.state.get("mode", "current") if self.changed and self.state else "current"
        return {"points": {"mode": mode, **self.on_points({"mode": mode})}}

    def on_points(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the points of a mode, their cells, which stand out and how they correlate."""
        result = self._shown(str(payload.get("mode", "current")))
        return {
            "x": Array(result.numpy("x"), "float32"),
            "y": Array(result.numpy("y"), "float32"),
            "cell": Array(result.numpy("cell"), "int32"),
            "outliers": [] if result.is_map else result.outliers(30),
            "pearson": _number(result.pearson),
            "spearman": _number(result.spearman),
            "count": int(result.finite.sum()),
            **_drawn(result),
        }

    def _shown(self, mode: str) -> ScatterResult:
        result: ScatterResult = self.pick(mode)
        if mode != "difference":
            return result
        before: ScatterResult = self.base
        if not np.array_equal(result.numpy("cell"), before.numpy("cell")):
            raise ValueError("base and current have other points; look at them one by one")
        change = {k: result.numpy(k) - before.numpy(k) for k in ("x", "y")}
        ends = {
            k: {**result.meta[k], "quantity": f"change of {result.meta[k]['quantity']}"}
            for k in ("x", "y")
        }
        meta = {**result.meta, **ends, "title": f"{result.title}, current − base"}
        return ScatterResult({**result.arrays, **change}, meta, result.recipe)

    # What the reader brushed.

    @property
    def brushed(self) -> list[str]:
        """The names of the brushed points."""
        names = self.pick("current").names
        return [names[i] for i in self.state["brushed"] if i < len(names)]

    def brushed_frame(self) -> pd.DataFrame:
        """Return the brushed points as :meth:`ScatterResult.frame` names them."""
        frame = self._shown(self.mode).frame()
        return frame.iloc[[i for i in self.state["brushed"] if i < len(frame)]]

    def _link(self, _change: Any = None) -> None:
        """Outline the brushed cells in the open heatmaps of both results; leave other outlines."""
        if self.is_closed or self.given.sources is None:
            return
        points = [i for i in self.state["brushed"] if i < len(self.given.arrays["x"])]
        cells = self.given.places(points[:OUTLINED])
        if cells == self._outlined:
            return
        x, y = self.given.sources
        for view in list(HeatmapView.opened):
            if view.is_closed or (view.given is not x and view.given is not y):
                continue
            before, now = (_in(view.given, x, found) for found in (self._outlined, cells))
            kept = [list(cell) for cell in view.outline if list(cell) not in before]
            view.outline = kept + [cell for cell in now if cell not in kept]
        self._outlined = cells

    # Figure and page.

    def figure_options(self) -> dict[str, Any]:
        """Return how many names, the brushed points and the line."""
        count = len(self.current.arrays["x"])
        brushed = [i for i in self.state["brushed"] if i < count]
        return {
            "labels": self.state["labels"],
            "identity": self.state["identity"],
            "brushed": brushed,
        }

    def figure_result(self) -> ScatterResult:
        """Return the points that are shown."""
        return self._shown(self.mode)

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name the points of every mode."""
        for mode in MODES if self.changed else MODES[:1]:
            yield "points", {"mode": mode}

    def close(self) -> None:
        """Take back the outlines of the brushed points."""
        if not self.is_closed:
            self.state = {**self.state, "brushed": []}
        super().close()


def _in(result: Any, x: Any, cells: list[list[int]]) -> list[list[int]]:
    """Find cells of the first array in ``result``, which may order dims and labels otherwise."""
    found = []
    labels = {dim: result.labels(dim) for dim in result.dims}
    names = {dim: x.labels(dim) for dim in x.dims}
    for cell in cells:
        place = dict(zip(x.dims, cell, strict=True))
        if all(names[d][place[d]] in labels[d] for d in x.dims):
            found.append(
                [
                    place[d] if names[d] == labels[d] else labels[d].index(names[d][place[d]])
                    for d in result.dims
                ]
            )
    return found


def _numbers(result: ScatterResult) -> dict[str, list[int]]:
    """Return the model's own numbers of layers, as :meth:`ArrayResult.numbers` does."""
    names = result.meta["labels"].get("layer")
    if "layer" not in result.dims or names is None:
        return {}
    digits = ["".join(c for c in name if c.isdigit()) for name in names]
    return {"layer": [int(d) if d else -1 for d in digits]}


def _drawn(result: ScatterResult) -> dict[str, Array]:
    """Return sizes as shares of the largest, and the lines between points, where there are any."""
    found = {}
    if "size" in result.arrays:
        size = result.numpy("size").astype(np.float32)
        found["size"] = Array(size / max(float(size.max()), 1e-12), "float32")
    if len(result.arrays.get("link", ())):
        found["link"] = Array(result.numpy("link"), "int32")
        found |= {k: Array(result.numpy(k), "float32") for k in ("link_weight", "link_value")}
    return found


def _number(x: float) -> float | None:
    return x if np.isfinite(x) else None
