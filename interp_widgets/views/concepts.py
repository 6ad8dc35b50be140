"""Concepts: the size of their effect, the inputs they are in, sliders that steer along them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from interp_widgets.results.concepts import ConceptResult
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import View, one_of
from interp_widgets.views.wire import Array

SORTS = ("effect", "p", "name")
SHOWN = ("effects", "inputs", "examples", "steer")
FLAGS = ("undefined", "not significant", "significant but negligible", "relevant")
TABLES = (
    "effect",
    "low",
    "high",
    "score",
    "score_null",
    "accuracy",
    "auc",
    "p",
    "p_corrected",
    "gap",
)
MOST_EXPORTED = 4_000_000
"""Numbers of inputs and tokens that an exported page carries; of more, only the shown layer."""


@VIEWS.register("concepts")
class ConceptsView(View, bundle="concepts"):
    """Bars with intervals, inputs and their tokens, examples, and a slider for each concept.

    Parameters
    ----------
    result
        A :class:`ConceptResult`.
    layer
        Index into the result's layers; by default the one with the largest effect.
    show
        ``"effects"`` (default), ``"inputs"``: a heatmap of concept × input, ``"examples"``: where
        the examples of the chosen concept lie, or ``"steer"``.
    concept
        Name of the chosen concept; by default the one with the largest effect.
    target
        Name of the target shown; ``"all"`` (default) shows one bar for each.
    sort
        ``"effect"`` (by size, default), ``"p"`` or ``"name"``.
    filter
        Text that a concept's name must contain.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Examples
    --------
    >>> iw.concepts({"capital": capitals}, others).view(show="inputs")
    """

    def __init__(
        self,
        result: ConceptResult,
        *,
        layer: int | None = None,
        show: str = "effects",
        concept: str | None = None,
        target: str = "all",
        sort: str = "effect",
        filter: str = "",  # noqa: A002
        theme: str = "auto",
    ) -> None:
        one_of("sort", sort, SORTS)
        one_of("show", show, SHOWN)
        if target != "all":
            one_of("target", target, result.targets)
        if concept is not None:
            one_of("concept", concept, result.concepts)
        count = len(result.layers)
        if layer is None:
            layer = _best_layer(result)
        if not -count <= layer < count:
            raise ValueError(f"layer {layer} is out of range: there are {count}")
        state = {
            "layer": layer % count,
            "show": show,
            "concept": None if concept is None else result.concepts.index(concept),
            "target": None if target == "all" else result.targets.index(target),
            "input": None,
            "sort": sort,
            "filter": str(filter),
        }
        self._reading: Any = None
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Return names, and what the numbers mean."""
        result: ConceptResult = self.current
        meta = result.meta
        return {
            "concepts": result.concepts,
            "layers": result.layers,
            "targets": result.targets or [""],
            "quantity": _common(meta.get("target_quantities")) or result.quantity,
            "score_name": result.score_name,
            "site": meta.get("site"),
            "target": meta.get("target") if len(result.targets) < 2 else None,
            "probe": meta.get("probe"),
            "alpha": meta.get("alpha", 0.05),
            "correction": meta.get("correction"),
            "runs": meta.get("runs"),
            "position": meta.get("position"),
            "tables": [name for name in TABLES if name in result.arrays],
            "has_inputs": "presence" in result.arrays,
            "can_steer": self._can_steer(result),
            "unit": "× typical norm" if "norm" in result.arrays else "× unit vector",
            "norms": _norms(result),
            **self._doing(),
        }

    def first(self) -> dict[str, Any]:
        """Return all effects."""
        return self._tables(self.current)

    def export_spec(self) -> dict[str, Any]:
        """Return the spec of a page without a kernel: nothing can be steered there."""
        return {**super().export_spec(), "can_steer": False}

    def on_tables(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return all effects ``[target, concept, layer]``."""
        return self._tables(self.pick(str(payload.get("mode", "current"))))

    def on_inputs(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return how much of each concept is in each input and token at one layer.

        ``presence [concept, input]``, ``member [concept, input]``, ``inputs`` (texts), and where
        there are tokens ``tokens`` (a list for each input) and ``token_presence [concept, token]``.
        """
        mode, layer = str(payload.get("mode", "current")), int(payload["layer"])
        result: ConceptResult = self.pick(mode)
        answer: dict[str, Any] = {
            "inputs": result.inputs,
            "member": Array(result.numpy("member").astype(np.int32), "int32"),
        }
        for name in ("presence", "token_presence"):
            if name in result.arrays:
                values = result.numpy(name)[:, layer]
                if mode == "difference":
                    values = values - self.pick("base").numpy(name)[:, layer]
                answer[name] = Array(np.ascontiguousarray(values), "float32")
        if "token_presence" in result.arrays:
            answer["tokens"] = result.meta["input_tokens"]
        return answer

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name the numbers from before the interventions, and the inputs of each layer."""
        modes = ["current"]
        if self.changed:
            yield "tables", {"mode": "base"}
            modes += ["base", "difference"]
        if "presence" not in self.current.arrays:
            return
        names = ("presence", "token_presence")
        size = sum(self.current.arrays[n].size for n in names if n in self.current.arrays)
        layers: Iterable[int] = range(len(self.current.layers))
        if size * len(modes) > MOST_EXPORTED:
            layers = [int(self.state.get("layer", 0))]
        for mode in modes:
            for layer in layers:
                yield "inputs", {"layer": layer, "mode": mode}

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the inputs where they are shown, else the effects."""
        result: ConceptResult = self.pick(payload.get("mode", "current"))
        if self.state.get("show") in ("inputs", "examples") and "presence" in result.arrays:
            return result.input_frame(int(self.state.get("layer", 0)))
        return result.frame()

    def figure_options(self) -> dict[str, Any]:
        """Return what is shown, at which layer, in which order."""
        state = self.state
        target = state.get("target")
        shown = state.get("show", "effects")
        return {
            "layer": int(state.get("layer") or 0),
            "show": "effects" if shown == "steer" else shown,
            "sort": state.get("sort", "effect"),
            "filter": state.get("filter", ""),
            "concept": state.get("concept"),
            "target": None if target is None else int(target),
            "input": state.get("input"),
        }

    # Steering.

    def on_steer(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Add strength × typical norm × vector at the concept's site; 0 takes it away again.

        The typical norm is the mean norm of the examples' activations there.
        """
        result: ConceptResult = self._steered
        concept, layer = int(payload["concept"]), int(payload["layer"])
        strength = float(payload["strength"])
        if not (0 <= concept < len(result.concepts) and 0 <= layer < len(result.layers)):
            raise ValueError(f"there is no concept {concept} at layer {layer}")
        if not np.isfinite(strength):
            raise ValueError(f"strength is {strength}; it has to be finite")
        vector = result.vector(concept, layer).astype(np.float64)
        if not np.isfinite(vector).all():
            raise ValueError(f"{result.concepts[concept]!r} has no vector at this layer")
        name = result.concepts[concept]
        direction = tuple(float(v) for v in vector)
        amount = strength * _unit(result, layer)
        site, number = steering_site(result, layer)
        interventions = self._live().interventions
        known = next(
            (
                item
                for item in interventions
                if item.kind == "steer"
                and (item.site, item.layer) == (site, number)
                and (item.label == name or item.direction == direction)
            ),
            None,
        )
        self._speaks = True
        if amount == 0:
            if known is not None:
                interventions.remove(known)
        elif known is not None:
            interventions.change(known, strength=amount, on=True)
        else:
            interventions.add(
                {
                    "kind": "steer",
                    "site": site,
                    "layer": number,
                    "direction": direction,
                    "strength": amount,
                    "label": name,
                }
            )
        return {"strength": strength, "amount": amount}

    @property
    def _steered(self) -> Any:
        """The result whose vectors the sliders use: the one the view was opened with."""
        return self._origin if self._origin is not None else self.current

    def _can_steer(self, result: ConceptResult) -> bool:
        return (
            self._session is not None
            and "vectors" in result.arrays
            and result.meta.get("site") not in (None, "given activations")
        )

    def _doing(self) -> dict[str, Any]:
        """Return what changes with every intervention: the sliders' places and the metric."""
        steering: dict[str, float] = {}
        if self._can_steer(self._steered):
            result: ConceptResult = self._steered
            places = [steering_site(result, i) for i in range(len(result.layers))]
            for item in self._live().interventions:
                place = (item.site, item.layer)
                if item.kind != "steer" or not item.on or place not in places:
                    continue
                if item.label in result.concepts:
                    layer = places.index(place)
                    key = f"{result.concepts.index(item.label)}-{layer}"
                    steering[key] = round(item.strength / _unit(result, layer), 6)
        reading = self._reading
        return {"steering": steering, "metric": reading.to_json() if reading else None}

    def _on_event(self, event: str) -> None:
        super()._on_event(event)
        if event != "interventions" or self._closed or not self._can_steer(self._steered):
            return
        self.spec = {**self.spec, **self._doing()}
        metric = getattr(self._session, "metric", None)
        if metric is not None:
            metric.ask(self._take)

    def _take(self, reading: Any) -> None:
        self._reading = reading
        if not self._closed:
            self.spec = {**self.spec, **self._doing()}

    def _tables(self, result: ConceptResult) -> dict[str, Any]:
        count = max(1, len(result.targets))
        parts = [result.of_target(i) for i in range(count)]
        tables: dict[str, Any] = {
            name: Array(np.stack([part.numpy(name) for part in parts]), "float32")
            for name in TABLES
            if name in result.arrays
        }
        flags = np.empty((count, *result.arrays["effect"].shape), np.int32)
        for at in np.ndindex(*flags.shape):
            flags[at] = FLAGS.index(parts[at[0]].flag(*at[1:]))
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


def _norms(result: ConceptResult) -> list[float] | None:
    if "norm" not in result.arrays:
        return None
    return [_unit(result, layer) for layer in range(len(result.layers))]


def _unit(result: ConceptResult, layer: int) -> float:
    if "norm" not in result.arrays:
        return 1.0
    norm = float(result.numpy("norm")[layer])
    return norm if np.isfinite(norm) and norm else 1.0


def _common(quantities: Any) -> str | None:
    """Say of what several targets' effects are effects."""
    return "removal effect (logits)" if quantities and len(quantities) > 1 else None


def _best_layer(result: ConceptResult) -> int:
    effect = np.abs(np.nan_to_num(result.numpy("effect").astype(np.float64)))
    return int(effect.max(axis=0).argmax()) if effect.size else 0
