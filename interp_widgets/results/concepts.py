"""Which concepts a model holds, where, and how much they matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd

BUDGET = 32
"""More concepts than people read in one picture."""

COLUMNS = (
    "effect",
    "low",
    "high",
    "linear_effect",
    "score",
    "score_null",
    "accuracy",
    "auc",
    "p",
    "p_corrected",
    "p_sign",
    "n_positive",
)


class ConceptResult(Result):
    """Concept vectors with the size of their effect, its interval and its test.

    Arrays ``[concept, layer]``: ``effect`` with its bootstrap interval ``low``, ``high``
    (``meta["quantity"]`` says of what, in which unit), ``score`` (``meta["score_name"]``: TCAV
    score, or held-out accuracy without a target), ``accuracy`` (held out), ``auc``, ``p`` and
    ``p_corrected`` (two-sided; ``meta["correction"]``), ``significant`` and ``negligible`` (bool);
    with a target also ``linear_effect`` (mean gradient · vector · gap), ``score_null`` (mean score
    of random counterparts) and ``p_sign`` (test of the score alone). ``vectors
    [concept, layer, d]`` have unit norm; ``gap [concept, layer]`` is the mean projection with the
    concept minus without.
    ``meta``: ``concepts``, ``layers`` (labels), ``site``, ``target``, ``filter``, ``probe``
    (``name``, ``hash``, numbers of examples), ``alpha``, ``runs``.

    Examples
    --------
    >>> result = iw.concepts({"capital": capitals}, others, layers=[1, 2])
    >>> result.flag(0, 0)
    'relevant'
    """

    kind = "concepts"

    def _check(self) -> None:
        shape = tuple(self.arrays["effect"].shape)
        expected = (len(self.meta["concepts"]), len(self.meta["layers"]))
        if shape != expected:
            raise ValueError(f"effect must be [concept, layer] = {expected}, got {shape}")
        for name in ("low", "high", "score", "p", "p_corrected"):
            if name in self.arrays and tuple(self.arrays[name].shape) != shape:
                raise ValueError(
                    f"{name} must have the shape of effect, {shape}, "
                    f"got {tuple(self.arrays[name].shape)}"
                )

    @property
    def concepts(self) -> list[str]:
        """Names of the concepts."""
        return list(self.meta["concepts"])

    @property
    def layers(self) -> list[str]:
        """Labels of the layers."""
        return [str(layer) for layer in self.meta["layers"]]

    @property
    def quantity(self) -> str:
        """What ``effect`` measures, with its unit."""
        return str(self.meta.get("quantity", "effect"))

    @property
    def score_name(self) -> str:
        """What ``score`` is called."""
        return str(self.meta.get("score_name", "score"))

    @property
    def note(self) -> str | None:
        """A warning for the reader when there are more concepts than people take in."""
        if len(self.concepts) <= BUDGET:
            return None
        return (
            f"{len(self.concepts)} concepts: people take in about {BUDGET}; "
            "the largest effects are shown first"
        )

    def flag(self, concept: int, layer: int) -> str:
        """Return what a reader should think of a concept at a layer.

        ``"relevant"``, ``"significant but negligible"``, ``"not significant"``, or ``"undefined"``
        where the numbers are not finite.
        """
        if not np.isfinite(self.numpy("effect")[concept, layer]):
            return "undefined"
        if "significant" in self.arrays:
            significant = bool(self.numpy("significant")[concept, layer])
        elif "p_corrected" in self.arrays:
            alpha = float(self.meta.get("alpha", 0.05))
            significant = bool(self.numpy("p_corrected")[concept, layer] < alpha)
        else:
            return "undefined"
        if not significant:
            return "not significant"
        small = "negligible" in self.arrays and bool(self.numpy("negligible")[concept, layer])
        return "significant but negligible" if small else "relevant"

    def order(self, layer: int | None = None) -> list[int]:
        """Return the concepts by |effect|, largest first: at one layer, or at their best one."""
        effect = np.abs(np.nan_to_num(self.numpy("effect")))
        key = effect.max(axis=1) if layer is None else effect[:, layer]
        return [int(i) for i in np.argsort(-key, kind="stable")]

    def vector(self, concept: str | int, layer: int) -> np.ndarray:
        """Return a concept's unit vector ``[d]`` at the ``layer``-th of the result's layers."""
        if isinstance(concept, str):
            if concept not in self.concepts:
                raise KeyError(f"no concept {concept!r}; there are {', '.join(self.concepts)}")
            concept = self.concepts.index(concept)
        return self.numpy("vectors")[concept, layer]

    def frame(self) -> pd.DataFrame:
        """Return one row per concept and layer."""
        import pandas as pd

        concept, layer = np.indices((len(self.concepts), len(self.layers))).reshape(2, -1)
        columns: dict[str, Any] = {
            "concept": np.asarray(self.concepts, dtype=object)[concept],
            "layer": np.asarray(self.layers, dtype=object)[layer],
        }
        for name in COLUMNS:
            if name in self.arrays:
                columns[name] = self.numpy(name)[concept, layer]
        columns["flag"] = [self.flag(c, i) for c, i in zip(concept, layer, strict=True)]
        return pd.DataFrame(columns)

    def text(self) -> str:
        """Say the largest effects, with interval, test and flag."""
        effect, low, high = (self.numpy(name) for name in ("effect", "low", "high"))
        lines = []
        for c in self.order()[:8]:
            best = int(np.argmax(np.abs(np.nan_to_num(effect[c]))))
            line = f"{self.concepts[c]} {effect[c, best]:+.3g}"
            line += f" [{low[c, best]:.3g}, {high[c, best]:.3g}] at {self.layers[best]}"
            lines.append(f"{line} ({self.flag(c, best)})")
        text = f"{self.title}: {self.quantity}; " + ", ".join(lines)
        return f"{text}. {self.note}" if self.note else text
