"""How much of an effect passes through each mediator, and how much around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import NotLiveError, Result
from interp_widgets.results.bootstrap import Bootstrap
from interp_widgets.results.effects import (
    CONTROLLED,
    INTERCHANGE,
    effects,
    faithfulness_of,
    ratio_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from interp_widgets.results.circuit import CircuitResult
    from interp_widgets.results.scatter import ScatterResult


class MediationResult(Result):
    """The metric of every pair with every mediator overwritten, and the effects that follow.

    Arrays: ``ends [2, pair]``, the metric Y of the clean prompts x and of their counterfactuals x′;
    ``patched [2, mediator, pair]``, the metric of both with the mediator overwritten; NaN where a
    side was not run. ``identity [mediator]``: by how much TE = NDE − NIE_rev is missed, relative.
    ``expected [pair]`` (±1), if there: which answer an interchange should make right.
    With held-out pairs ``held_ends``, ``held_patched``; with control prompts ``control_kl
    [mediator, control]`` in nats. From a search: ``estimate [mediator, pair]``, ``score
    [mediator]``, ``basis.<i> [k, d]``.

    ``meta``: ``mediators`` (name, type, site, layer, head, position, unit, dims, aligned, linear),
    ``dims`` and ``labels`` of the grid they fill (none for a list), ``kind``, ``direction``,
    ``scale``, ``strength``, ``metric``, ``unit``, ``pair_texts``; of a search ``order``, the places
    of the mediators among the candidates.

    Examples
    --------
    >>> result = iw.mediation(clean, corrupted, "heads")
    >>> result.frame().sort_values("effect").tail(3); result.grid("interaction"); result.report()
    """

    kind = "mediation"

    tuner: Callable[[int, float], Any] | None = None
    """Runs one mediator at another strength; set by the method, never saved."""

    def _check(self) -> None:
        ends, patched = self.arrays["ends"], self.arrays["patched"]
        count = len(self.meta["mediators"])
        if tuple(ends.shape)[:1] != (2,) or tuple(patched.shape) != (2, count, ends.shape[1]):
            raise ValueError(
                f"ends of shape {tuple(ends.shape)} and patched of shape {tuple(patched.shape)} "
                f"do not fit [2, pair] and [2, mediator, pair] of {count} mediators"
            )
        dims = list(self.meta.setdefault("dims", []))
        self.meta.setdefault("labels", {})
        self.meta.setdefault("direction", "noising")
        self.meta.setdefault("scale", "difference")
        self.meta.setdefault("kind", "interchange")
        if dims and int(np.prod(self.shape)) != count:
            raise ValueError(f"a grid of {self.shape} does not hold {count} mediators")
        self._tables: dict[str, Any] = {}

    # What was measured.

    @property
    def mediators(self) -> list[str]:
        """Names of the mediators."""
        return [str(m["name"]) for m in self.meta["mediators"]]

    @property
    def dims(self) -> list[str]:
        """Dims of the grid that the mediators fill; ``["mediator"]`` for a list."""
        return list(self.meta["dims"]) or ["mediator"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dim."""
        if not self.meta["dims"]:
            return (len(self.meta["mediators"]),)
        sizes = [len(self.meta["labels"].get(dim) or ()) for dim in self.meta["dims"]]
        known = int(np.prod([n for n in sizes if n]))
        return tuple(n or len(self.meta["mediators"]) // max(1, known) for n in sizes)

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return int(self.arrays["ends"].shape[1])

    @property
    def interchange(self) -> bool:
        """Whether the mediator's value on the other prompt was put in place."""
        return str(self.meta["kind"]) == "interchange"

    @property
    def two_sided(self) -> bool:
        """Whether there are counterfactual prompts."""
        return bool(np.isfinite(self.numpy("ends")[1]).all())

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the effects: of an interchange, or of a value that is put in place."""
        if self.interchange:
            return INTERCHANGE
        return CONTROLLED if self.two_sided else ("CE",)

    @property
    def quantity(self) -> str:
        """What an effect is a change of, with its unit."""
        metric = str(self.meta.get("metric", "metric"))
        if self.meta["scale"] == "ratio":
            return f"relative change of the {ratio_of(str(self.meta.get('metric_name', metric)))}"
        unit = str(self.meta.get("unit", ""))
        return f"change of the {metric}" + (f", {unit}" if unit and unit not in metric else "")

    @property
    def bootstrap(self) -> Bootstrap:
        """1,000 resamples of the pairs, drawn with seed 0; the same for every number."""
        if "bootstrap" not in self._tables:
            self._tables["bootstrap"] = Bootstrap(self.pairs)
        found: Bootstrap = self._tables["bootstrap"]
        return found

    # Effects.

    def per_pair(self, quantity: str = "effect") -> np.ndarray:
        """Return an effect of every mediator on every pair ``[mediator, pair]``.

        Parameters
        ----------
        quantity
            ``"effect"`` (NIE when noising, −NIE_rev when denoising), or one of ``quantities``.

        Raises
        ------
        KeyError
            For another name.
        """
        return effects(
            self.numpy("ends"), self.numpy("patched"), quantity, self._form, self.quantities
        )

    @property
    def _form(self) -> tuple[str, str, str]:
        meta = self.meta
        return str(meta["direction"]), str(meta["scale"]), str(meta.get("metric_name", ""))

    def mean(self, quantity: str = "effect") -> np.ndarray:
        """Return the mean over pairs ``[mediator]``."""
        return self._table(quantity)[0]

    def interval(self, quantity: str = "effect") -> np.ndarray:
        """Return the 95 % bootstrap interval of the mean ``[2, mediator]``; NaN of one pair."""
        return self._table(quantity)[1]

    def _table(self, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        if quantity not in self._tables:
            values = self.per_pair(quantity)
            self._tables[quantity] = values.mean(1), self.bootstrap.interval(values)
        found: tuple[np.ndarray, np.ndarray] = self._tables[quantity]
        return found

    @property
    def proportion(self) -> np.ndarray:
        """Proportion mediated, effect ÷ TE ``[mediator]``; NaN unless TE's interval excludes 0."""
        if not self.two_sided:
            return np.full(len(self.mediators), np.nan)
        total, (low, high) = self.mean("TE"), self.interval("TE")
        sure = (low > 0) | (high < 0)
        if self.pairs == 1:
            sure = np.abs(total) > 1e-6 * max(1.0, float(np.abs(self.numpy("ends")).max()))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sure, self.mean("effect") / total, np.nan)

    @property
    def accuracy(self) -> np.ndarray | None:
        """Interchange-intervention accuracy (IIA) ``[mediator]``.

        Share of the pairs in which the clean prompt with the mediator's counterfactual value is
        answered as the counterfactual prompt is. Pairs that the model does not solve on both sides
        do not count; NaN without any, None where the expected answers are not known.
        """
        if "expected" not in self.arrays or not self.interchange:
            return None
        (y, other), expected = self.numpy("ends"), self.numpy("expected")
        solved = (y > 0) & (np.sign(other) == expected)
        if not solved.any():
            return np.full(len(self.mediators), np.nan)
        right = np.sign(self.numpy("patched")[0]) == expected
        return np.asarray(right[:, solved].mean(1))

    @property
    def faithfulness(self) -> np.ndarray:
        """(Y(x′, M(x)) − Y(x′)) ÷ (Y(x) − Y(x′)) ``[mediator]``: only the mediator as in x."""
        return faithfulness_of(self.numpy("ends"), self.numpy("patched"))

    # Tables.

    def frame(self) -> pd.DataFrame:
        """Return one row per mediator: effects with intervals, proportion, accuracy, identity."""
        import pandas as pd

        kept = ("name", "type", "layer", "head", "position", "unit", "dims", "aligned", "linear")
        rows = {key: [m.get(key) for m in self.meta["mediators"]] for key in kept}
        table: dict[str, Any] = {"mediator": rows.pop("name"), **rows}
        for name in ("effect", *self.quantities):
            low, high = self.interval(name)
            table |= {name: self.mean(name), f"{name}_low": low, f"{name}_high": high}
        table["proportion"] = self.proportion
        if self.accuracy is not None:
            table["IIA"] = self.accuracy
        table["identity"] = self.numpy("identity")
        if "score" in self.arrays:
            table["score"] = self.numpy("score")
        if "estimate" in self.arrays:
            table["estimate"] = self.numpy("estimate").mean(1)
        return pd.DataFrame(table)

    def pair_frame(self) -> pd.DataFrame:
        """Return one row per mediator and pair: the pair's texts and its effects."""
        import pandas as pd

        count, pairs = len(self.mediators), self.pairs
        mediator, pair = np.indices((count, pairs)).reshape(2, -1)
        texts = self.meta.get("pair_texts") or [[""]] * pairs
        table: dict[str, Any] = {
            "mediator": np.asarray(self.mediators, dtype=object)[mediator],
            "pair": pair,
            "clean": np.asarray([t[0] for t in texts], dtype=object)[pair],
            "counterfactual": np.asarray([t[-1] for t in texts], dtype=object)[pair],
        }
        for name in ("effect", *self.quantities):
            table[name] = self.per_pair(name).reshape(-1)
        return pd.DataFrame(table)

    def report(self) -> pd.DataFrame:
        """Return the survey's four criteria, and the goals a mediator serves, one row each.

        ``faithfulness``; ``IIA``; sparsity as ``dims`` and ``share`` of what the model's blocks
        write; ``generality``, faithfulness on held-out pairs ÷ on these; selectivity: ``KL`` from
        the unchanged output on control prompts (nats) and ``effect_per_nat``. NaN where held-out
        pairs or controls were not given. ``goals``: see :func:`interp_widgets.mediators.goals`.
        """
        import pandas as pd

        from interp_widgets.results.goals import served

        mine = self.faithfulness if self.two_sided else np.full(len(self.mediators), np.nan)
        nothing = np.full(len(self.mediators), np.nan)
        held, kl = nothing, nothing
        if "held_patched" in self.arrays:
            held = faithfulness_of(self.numpy("held_ends"), self.numpy("held_patched"))
        if "control_kl" in self.arrays:
            kl = self.numpy("control_kl").mean(1)
        dims = np.asarray([m["dims"] for m in self.meta["mediators"]])
        with np.errstate(divide="ignore", invalid="ignore"):
            table = pd.DataFrame(
                {
                    "mediator": self.mediators,
                    "type": [m["type"] for m in self.meta["mediators"]],
                    "effect": self.mean("effect"),
                    "faithfulness": mine,
                    "IIA": nothing if self.accuracy is None else self.accuracy,
                    "dims": dims,
                    "share": dims / float(self.meta.get("total_dims") or np.nan),
                    "held_out": held,
                    "generality": held / mine,
                    "KL": kl,
                    "effect_per_nat": np.abs(self.mean("effect")) / kl,
                }
            )
        table["goals"] = [
            served(row, m)
            for (_, row), m in zip(table.iterrows(), self.meta["mediators"], strict=True)
        ]
        return table

    # Other forms.

    def grid(self, quantity: str = "effect") -> ArrayResult:
        """Return an effect as a labelled array over layers, heads and positions: a heatmap.

        Examples
        --------
        >>> iw.mediation(clean, corrupted, "heads").grid("NDE").view()
        """
        low, high = self.interval(quantity)
        labels = dict(self.meta["labels"]) or {"mediator": self.mediators}
        name = {"effect": "effect"}.get(quantity, quantity)
        return ArrayResult(
            {
                "values": self.mean(quantity).reshape(self.shape),
                "interval": np.stack([low, high]).reshape(2, *self.shape),
            },
            {
                "dims": self.dims,
                "labels": labels,
                "quantity": f"{name}: {self.quantity}",
                "signed": True,
                "title": f"{self.title}: {name}",
            },
            self.recipe,
        )

    def candidates(self) -> ArrayResult:
        """Return what a search scored all its candidates by, as a labelled array.

        Raises
        ------
        ValueError
            When the result is not from a search.
        """
        if "candidate_score" not in self.arrays:
            raise ValueError("this result is not from a search; iw.mediator_search makes one")
        scores = self.numpy("candidate_score")
        dims = list(self.meta.get("candidate_dims") or ["candidate"])
        labels = dict(self.meta.get("candidate_labels") or {})
        known = int(np.prod([len(labels[d]) for d in dims if d in labels]))
        shape = [len(labels[d]) if d in labels else len(scores) // known for d in dims]
        names = {"das": "interchange accuracy", "mask": "gate"}
        what = names.get(str(self.meta.get("search")), f"effect: {self.quantity}")
        return ArrayResult(
            {"values": scores.reshape(shape)},
            {
                "dims": dims,
                "labels": labels,
                "quantity": what,
                "signed": what.startswith("effect"),
                "title": f"{self.title}: all candidates",
            },
            self.recipe,
        )

    def subset(self, order: Sequence[int]) -> MediationResult:
        """Return some of the mediators, in another order, as a list."""
        at = list(order)
        arrays = dict(self.arrays)
        arrays["patched"] = self.arrays["patched"][:, at]
        for name in ("identity", "score", "estimate", "control_kl"):
            if name in arrays:
                arrays[name] = arrays[name][at]
        if "held_patched" in arrays:
            arrays["held_patched"] = arrays["held_patched"][:, at]
        meta = {**self.meta, "dims": [], "labels": {}}
        meta["mediators"] = [self.meta["mediators"][i] for i in at]
        meta["order"] = at
        found = MediationResult(arrays, meta, self.recipe, self.session)
        tuner = self.tuner
        if tuner is not None:
            found.tuner = lambda i, strength: tuner(at[i], strength)
        return found

    def comparison(self) -> ScatterResult:
        """Return faithfulness against the number of dimensions, a point for each mediator."""
        from interp_widgets.results.scatter import ScatterResult

        labels = {"mediator": self.mediators}
        axes = {
            "dimensions": np.asarray([m["dims"] for m in self.meta["mediators"]], float),
            "faithfulness": self.faithfulness,
        }
        x, y = (
            ArrayResult(
                {"values": values},
                {"dims": ["mediator"], "labels": labels, "quantity": name, "title": name},
            )
            for name, values in axes.items()
        )
        return ScatterResult.of(x, y)

    def to_circuit(self, k: int) -> CircuitResult:
        """Return the ``k`` heads and MLPs of largest |effect| with all edges among them.

        The input and the logits belong to it. Position by position the largest counts.

        Raises
        ------
        ValueError
            When the mediators are no heads or MLPs.
        """
        from interp_widgets.results.nodes import circuit_of

        return circuit_of(self, k)

    def ranked(self) -> list[int]:
        """Return the mediators by |effect|, largest first."""
        size = np.abs(np.nan_to_num(self.mean("effect")))
        return [int(i) for i in np.argsort(-size, kind="stable")]

    def at_strength(self, mediator: int | str, strength: float) -> np.ndarray:
        """Run one mediator at another strength; return the metric ``[2, pair]``.

        Raises
        ------
        NotLiveError
            When the result is not attached to a session: call ``result.rerun(session)``.
        """
        index = self.mediators.index(mediator) if isinstance(mediator, str) else mediator
        if self.tuner is None:
            raise NotLiveError(
                "a mediator can be run at another strength only while the result is live: "
                "result.rerun(session) makes it so"
            )
        if not 0 <= strength <= 1:
            raise ValueError(f"strength {strength} is not a share between 0 and 1")
        return np.asarray(self.tuner(index, float(strength)), dtype=np.float64)

    def effect_of(self, patched: np.ndarray, quantity: str = "effect") -> np.ndarray:
        """Return an effect ``[pair]`` of other values of the patched metric ``[2, pair]``."""
        found = effects(self.numpy("ends"), patched[:, None], quantity, self._form, self.quantities)
        return np.asarray(found[0])

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the mediators at the selected layer, head, token and unit."""
        frame = self.frame()
        columns = {"layer": "layer", "head": "head", "token": "position", "unit": "unit"}
        known = False
        for field, column in columns.items():
            wanted = selection.get(field)
            if wanted is not None and frame[column].notna().any():
                known = True
                frame = frame[frame[column] == wanted]
        if selection.get("node") is not None and self.mediators.count(str(selection["node"])):
            known = True
            frame = frame[frame["mediator"] == str(selection["node"])]
        return frame.reset_index(drop=True) if known else frame.head(0)

    def text(self) -> str:
        """Say the total effect, and the mediators that carry most of it."""
        lines = []
        if self.two_sided:
            total, (low, high) = self.mean("TE"), self.interval("TE")
            limits = "" if self.pairs == 1 else f" [{low[0]:.3g}, {high[0]:.3g}]"
            lines.append(f"{self.title}: total effect {total[0]:.3g}{limits} ({self.quantity})")
        else:
            lines.append(f"{self.title} ({self.quantity})")
        effect, (low, high) = self.mean(), self.interval()
        for i in self.ranked()[:5]:
            limits = "" if self.pairs == 1 else f" [{low[i]:.3g}, {high[i]:.3g}]"
            lines.append(f"{self.mediators[i]} {effect[i]:+.3g}{limits}")
        return "; ".join(lines)
