"""Which concepts a model holds, where, and how much they matter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd

BUDGET = 32
"""More concepts than people read in one picture."""

OF_TARGET = "targets."
"""Prefix of the arrays ``[target, concept, layer]`` of results with several targets."""

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
    concept minus without, ``norm [layer]`` the mean norm of the examples' activations.
    ``presence [concept, layer, input]`` and ``token_presence [concept, layer, token]`` say how much
    of a concept is in an input and in each of its tokens: 1 as the examples with it, −1 as those
    without on average. ``member [concept, input]``: 1 an example with, −1 without, 0 neither.
    With several targets the arrays above are those of the first; ``targets.effect [target, concept,
    layer]`` and so on hold all of them, see :meth:`of_target`.
    ``meta``: ``concepts``, ``layers`` (labels), ``site``, ``target``, ``targets`` (names),
    ``filter``, ``probe`` (``name``, ``hash``, numbers of examples), ``alpha``, ``runs``, ``inputs``
    (texts), ``input_tokens``.

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
        if "presence" in self.arrays:
            wanted = (*expected, len(self.inputs))
            if tuple(self.arrays["presence"].shape) != wanted:
                raise ValueError(
                    f"presence must be [concept, layer, input] = {wanted}, got "
                    f"{tuple(self.arrays['presence'].shape)}"
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
    def targets(self) -> list[str]:
        """Names of the targets; one or none where there are not several."""
        return [str(name) for name in self.meta.get("targets") or ()]

    @property
    def inputs(self) -> list[str]:
        """The examples and other inputs as text."""
        return [str(text) for text in self.meta.get("inputs") or ()]

    def input_tokens(self, index: int) -> tuple[list[str], slice] | None:
        """Return the tokens of an input and where they are in ``token_presence``."""
        known = self.meta.get("input_tokens")
        if known is None or "token_presence" not in self.arrays:
            return None
        start = sum(len(tokens) for tokens in known[:index])
        return list(known[index]), slice(start, start + len(known[index]))

    def of_target(self, target: str | int) -> ConceptResult:
        """Return the same concepts with the numbers of one target.

        Raises
        ------
        KeyError
            When there is no such target; the message lists those there are.

        Examples
        --------
        >>> result = iw.concepts(sets, others, targets=[" she", " he"])
        >>> result.of_target("he").frame()
        """
        names = self.targets
        index = names.index(target) if target in names else target
        if not isinstance(index, int) or not 0 <= index < max(1, len(names)):
            raise KeyError(f"no target {target!r}; there are {', '.join(names) or 'none'}")
        own = {n: a for n, a in self.arrays.items() if not n.startswith(OF_TARGET)}
        for name, array in self.arrays.items():
            if name.startswith(OF_TARGET):
                own[name.removeprefix(OF_TARGET)] = array[index]
        quantities = self.meta.get("target_quantities")
        meta = {**self.meta, "targets": names[index : index + 1]}
        if quantities:
            meta["quantity"] = quantities[index]
            meta["target"] = str(quantities[index]).removeprefix("removal effect on the ")
        return type(self)(own, meta, self.recipe, self.session)

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
        """Return one row per concept and layer, and per target where there are several."""
        import pandas as pd

        if len(self.targets) > 1:
            parts = [self.of_target(i).frame() for i in range(len(self.targets))]
            for name, part in zip(self.targets, parts, strict=True):
                part.insert(0, "target", name)
            return pd.concat(parts, ignore_index=True)
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

    def input_frame(self, layer: int) -> pd.DataFrame:
        """Return one row per concept and input at one of the layers: ``presence`` and ``role``."""
        import pandas as pd

        roles = np.asarray(["without", "", "with"], dtype=object)
        concept, index = np.indices((len(self.concepts), len(self.inputs))).reshape(2, -1)
        return pd.DataFrame(
            {
                "concept": np.asarray(self.concepts, dtype=object)[concept],
                "input": np.asarray(self.inputs, dtype=object)[index],
                "presence": self.numpy("presence")[concept, layer, index],
                "role": roles[self.numpy("member")[concept, index].astype(int) + 1],
            }
        )

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the rows of :meth:`frame` at the selected layer and concept (``node``)."""
        node, layer = selection.get("node"), selection.get("layer")
        frame = self.frame()
        if node is None and layer is None:
            return frame.head(0)
        if layer is not None:
            frame = frame[[_number(name) == int(layer) for name in frame["layer"]]]
        if node is not None:
            frame = frame[frame["concept"] == str(node)]
        return frame.reset_index(drop=True)

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


def _number(layer: str) -> int | None:
    """Return the number in a layer's label: 3 for ``"3"`` and ``"blocks.3"``."""
    digits = re.findall(r"\d+", layer)
    return int(digits[-1]) if digits else None
