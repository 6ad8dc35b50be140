"""Causal mediation: effects of every mediator, and the way x → M → Y of the chosen one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.effects import MEANINGS
from interp_widgets.results.mediation import MediationResult
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import MODES, View, one_of
from interp_widgets.views.requests import on_worker
from interp_widgets.views.wire import Array

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("effects", "compare")
MOST_EXPORTED = 60_000
"""Effects of single pairs that a page carries; of more, only those of the largest mediators."""


@VIEWS.register("mediation")
class MediationView(View, bundle="mediation"):
    """A grid or bars of effects; for the chosen mediator what goes through it and around it.

    Parameters
    ----------
    result
        A :class:`MediationResult`.
    quantity
        ``"effect"`` (default), ``"TE"``, ``"NIE"``, ``"NDE"``, ``"NIE_rev"``, ``"interaction"``.
    mediator
        The chosen mediator, by name or number; by default the one of largest |effect|.
    show
        ``"effects"``, or ``"compare"``: faithfulness against the number of dimensions.
    slice
        Of a grid with three dims: the index in the last one.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Examples
    --------
    >>> iw.mediation(clean, corrupted, "heads").view(quantity="interaction", mediator="a9.h6")
    """

    def __init__(
        self,
        result: MediationResult,
        *,
        quantity: str = "effect",
        mediator: str | int | None = None,
        show: str = "effects",
        slice: int = 0,  # noqa: A002
        theme: str = "auto",
    ) -> None:
        one_of("quantity", quantity, ("effect", *result.quantities))
        one_of("show", show, SHOWN)
        if isinstance(mediator, str):
            one_of("mediator", mediator, result.mediators)
            mediator = result.mediators.index(mediator)
        count = len(result.mediators)
        chosen = result.ranked()[0] if mediator is None else int(mediator)
        if not -count <= chosen < count:
            raise ValueError(f"there is no mediator {chosen}: there are {count}")
        depth = result.shape[2] if len(result.shape) > 2 else 1
        if not 0 <= slice < depth:
            raise ValueError(f"there is no slice {slice}: there are {depth}")
        if len(result.shape) > 2 and mediator is None:
            slice = chosen % depth  # noqa: A001
        state = {
            "quantity": quantity,
            "mediator": chosen % count,
            "show": show,
            "slice": slice,
            "mode": "current",
        }
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Return names, the grid, and what the numbers mean."""
        result: MediationResult = self.current
        known = ("effect", *result.quantities)
        headline = "NIE" if result.interchange else "CE"
        if result.meta["direction"] == "denoising":
            headline = "−NIE_rev"
        return {
            "mediators": [
                {key: m.get(key) for key in ("name", "type", "layer", "head", "position", "unit")}
                | {"dims": m["dims"]}
                for m in result.meta["mediators"]
            ],
            "dims": result.dims,
            "shape": list(result.shape),
            "labels": {d: names for d, names in result.meta["labels"].items() if d in result.dims},
            "quantities": [[name, MEANINGS[name]] for name in known],
            "headline": headline,
            "quantity": result.quantity,
            "scale": result.meta["scale"],
            "direction": result.meta["direction"],
            "put": result.meta.get("put", ""),
            "metric": result.meta.get("metric", ""),
            "interchange": result.interchange,
            "two_sided": result.two_sided,
            "pairs": result.pairs,
            "strength": result.meta.get("strength", 1.0),
            "tunable": self.is_live and result.tuner is not None,
            "identity": float(np.nanmax(result.numpy("identity"))),
            "ends": [_number(x) for x in result.numpy("ends").mean(1)],
        }

    def first(self) -> dict[str, Any]:
        """Return the effects and their intervals."""
        mode = str(self.state.get("mode", "current")) if self.changed and self.state else "current"
        mode = mode if mode == "base" and self.known_base is not None else "current"
        return {"mode": mode, **self._tables(mode)}

    def on_tables(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return effects ``[quantity, mediator]`` with intervals, proportion and accuracy."""
        return self._tables(str(payload.get("mode", "current")))

    def on_pairs(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return total effect and effect of each pair for one mediator, and the pairs' texts."""
        result, index = self._at(payload)
        total = result.per_pair("TE" if result.two_sided else "effect")[index]
        return {
            "total": Array(total, "float32"),
            "effect": Array(result.per_pair()[index], "float32"),
            "texts": result.meta.get("pair_texts") or [[""]] * result.pairs,
        }

    @on_worker
    def on_strength(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Run one mediator at another strength; return its mean effects and those of each pair."""
        result, index = self._at(payload)
        strength = float(payload["strength"])
        patched = result.at_strength(index, strength)
        known = ("effect", *result.quantities)
        values = [result.effect_of(patched, name) for name in known]
        return {
            "strength": strength,
            "means": [_number(v.mean()) for v in values],
            "effect": Array(values[0], "float32"),
        }

    def _at(self, payload: dict[str, Any]) -> tuple[MediationResult, int]:
        mode = str(payload.get("mode", "current"))
        result: MediationResult = self.pick("current" if mode == "difference" else mode)
        index = int(payload["mediator"])
        if not 0 <= index < len(result.mediators):
            raise ValueError(f"there is no mediator {index}")
        return result, index

    def _tables(self, mode: str) -> dict[str, Any]:
        result: MediationResult = self.pick("current" if mode == "difference" else mode)
        known = ("effect", *result.quantities)
        mean = np.stack([result.mean(name) for name in known])
        limits = np.stack([result.interval(name) for name in known], 1)
        if mode == "difference":
            before: MediationResult = self.pick("base")
            mean = mean - np.stack([before.mean(name) for name in known])
            limits = np.full_like(limits, np.nan)
        faithful = np.full(len(result.mediators), np.nan)
        accuracy = result.accuracy
        return {
            "mean": Array(mean, "float32"),
            "low": Array(limits[0], "float32"),
            "high": Array(limits[1], "float32"),
            "proportion": Array(result.proportion, "float32"),
            "accuracy": Array(faithful if accuracy is None else accuracy, "float32"),
            "faithfulness": Array(result.faithfulness if result.two_sided else faithful, "float32"),
        }

    def table(self, payload: dict[str, Any]) -> pd.DataFrame:
        """Return the report where mediators are compared, else the effects."""
        mode = str(payload.get("mode", "current"))
        result: MediationResult = self.pick("base" if mode == "base" else "current")
        return result.report() if self.state.get("show") == "compare" else result.frame()

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name the effects of every mode and the single pairs of the mediators."""
        result: MediationResult = self.current
        modes = MODES if self.changed else MODES[:1]
        count = max(1, MOST_EXPORTED // (result.pairs * len(modes)))
        for mode in modes:
            yield "tables", {"mode": mode}
            for index in result.ranked()[:count]:
                yield "pairs", {"mediator": index, "mode": mode}

    def export_spec(self) -> dict[str, Any]:
        """Return the spec of a page without a kernel: nothing is run there."""
        return {**super().export_spec(), "tunable": False}

    def figure_options(self) -> dict[str, Any]:
        """Return the quantity, the chosen mediator and what is shown."""
        state = self.state
        return {
            "quantity": state.get("quantity", "effect"),
            "mediator": int(state.get("mediator") or 0),
            "show": state.get("show", "effects"),
            "slice": int(state.get("slice") or 0),
        }


def _number(x: Any) -> float | None:
    return float(x) if np.isfinite(x) else None
