"""Concepts with the size of their effect, its interval and its test, and a slider to steer."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from interp_widgets.results.concepts import ConceptResult
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import View, one_of
from interp_widgets.views.wire import Array

SORTS = ("effect", "p", "name")
FLAGS = ("undefined", "not significant", "significant but negligible", "relevant")
TABLES = ("effect", "low", "high", "score", "score_null", "accuracy", "auc", "p", "p_corrected")


@VIEWS.register("concepts")
class ConceptsView(View, bundle="concepts"):
    """Bars with intervals for each concept, by layer; sort, filter, steer.

    Parameters
    ----------
    result
        A :class:`ConceptResult`.
    layer
        Index into the result's layers; by default the one with the largest effect.
    sort
        ``"effect"`` (by size, default), ``"p"`` or ``"name"``.
    filter
        Text that a concept's name must contain.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Examples
    --------
    >>> iw.concepts({"capital": capitals}, others).view(sort="p")
    """

    def __init__(
        self,
        result: ConceptResult,
        *,
        layer: int | None = None,
        sort: str = "effect",
        filter: str = "",  # noqa: A002
        theme: str = "auto",
    ) -> None:
        one_of("sort", sort, SORTS)
        count = len(result.layers)
        if layer is None:
            layer = _best_layer(result)
        if not -count <= layer < count:
            raise ValueError(f"layer {layer} is out of range: there are {count}")
        state = {"layer": layer % count, "sort": sort, "filter": str(filter), "concept": None}
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Return names, what was measured and how."""
        result: ConceptResult = self.current
        meta = result.meta
        return {
            "concepts": result.concepts,
            "layers": result.layers,
            "quantity": result.quantity,
            "score_name": result.score_name,
            "site": meta.get("site"),
            "target": meta.get("target"),
            "probe": meta.get("probe"),
            "alpha": meta.get("alpha", 0.05),
            "correction": meta.get("correction"),
            "runs": meta.get("runs"),
            "tables": [name for name in TABLES if name in result.arrays],
            "can_steer": self.session is not None and "vectors" in result.arrays,
            "has_gap": "gap" in result.arrays,
        }

    def first(self) -> dict[str, Any]:
        """Return all numbers."""
        return self._tables("current")

    def export_spec(self) -> dict[str, Any]:
        """Return the spec of a page without a kernel: nothing can be steered there."""
        return {**super().export_spec(), "can_steer": False}

    def on_tables(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return all numbers ``[concept, layer]``."""
        return self._tables(str(payload.get("mode", "current")))

    def export_requests(self) -> Any:
        """Name the numbers from before the interventions."""
        if self.changed:
            yield "tables", {"mode": "base"}

    def on_steer(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Add strength × gap × vector at the concept's site; strength 0 takes it away again.

        ``gap`` is the mean projection with the concept minus without, so that strength 1 moves an
        input by as much as the concept does; without it the unit vector is added as it is.
        """
        result: ConceptResult = self.pick("current")
        concept, layer = int(payload["concept"]), int(payload["layer"])
        strength = float(payload["strength"])
        if not (0 <= concept < len(result.concepts) and 0 <= layer < len(result.layers)):
            raise ValueError(f"there is no concept {concept} at layer {layer}")
        if not np.isfinite(strength):
            raise ValueError(f"strength is {strength}; it has to be finite")
        vector = result.vector(concept, layer).astype(np.float64)
        if not np.isfinite(vector).all():
            raise ValueError(f"{result.concepts[concept]!r} has no vector at this layer")
        direction = tuple(float(v) for v in vector)
        amount = strength * self._gap(result, concept, layer)
        site, number = steering_site(result, layer)
        interventions = self._live().interventions
        items = list(interventions)
        known = next(
            (i for i in items if i.kind == "steer" and (i.site, i.layer) == (site, number)
             and i.direction == direction),
            None,
        )  # fmt: skip
        if amount == 0:
            if known is not None:
                interventions.remove(known)
        elif known is not None:
            interventions.load(
                [replace(known, strength=amount, on=True) if i is known else i for i in items]
            )
        else:
            interventions.add(
                {
                    "kind": "steer",
                    "site": site,
                    "layer": number,
                    "direction": direction,
                    "strength": amount,
                }
            )
        return {"strength": strength, "amount": amount}

    @staticmethod
    def _gap(result: ConceptResult, concept: int, layer: int) -> float:
        if "gap" not in result.arrays:
            return 1.0
        gap = float(result.numpy("gap")[concept, layer])
        return gap if np.isfinite(gap) and gap else 1.0

    def _tables(self, mode: str) -> dict[str, Any]:
        result: ConceptResult = self.pick(mode)
        shape = result.arrays["effect"].shape
        tables: dict[str, Any] = {
            name: Array(result.numpy(name), "float32") for name in TABLES if name in result.arrays
        }
        flags = np.empty(tuple(shape), np.int32)
        for at in np.ndindex(*flags.shape):
            flags[at] = FLAGS.index(result.flag(*at))
        return {**tables, "flag": Array(flags, "int32")}


def steering_site(result: ConceptResult, layer: int) -> tuple[str, int | None]:
    """Return site and layer number of the result's ``layer``-th layer.

    Raises
    ------
    ValueError
        When the result does not say where its vectors live.
    """
    site = result.meta.get("site")
    if not site:
        raise ValueError("these concepts were made from arrays: they have no site to steer at")
    digits = re.findall(r"\d+", result.layers[layer])
    return str(site), int(digits[-1]) if digits else None


def _best_layer(result: ConceptResult) -> int:
    effect = np.abs(np.nan_to_num(result.numpy("effect").astype(np.float64)))
    return int(effect.max(axis=0).argmax()) if effect.size else 0
