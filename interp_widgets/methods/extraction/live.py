"""A circuit that was extracted, on its live model: measured again, cut out, compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interp_widgets.methods.circuits.roc import Recovery
from interp_widgets.methods.extraction.pruned import PrunedModel
from interp_widgets.methods.extraction.study import Reading, Study
from interp_widgets.results.task_circuit import TaskCircuit, names_in, node_parts
from interp_widgets.session.interventions import Ablate, Intervention
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    import pandas as pd

    from interp_widgets.results.array import ArrayResult
    from interp_widgets.results.extraction_sweep import ExtractionSweep


@dataclass(frozen=True)
class HeadComparison:
    """Heads that were kept beside heads found by hand.

    Attributes
    ----------
    hit, miss, extra
        In both, only found by hand, only kept.
    tpr, fpr
        Shares of the heads found by hand, and of the others, that were kept.
    roc
        How well ``delta_kl`` ranks them: ``auc``, ``frame()``, ``chart()``.
    """

    hit: tuple[str, ...]
    miss: tuple[str, ...]
    extra: tuple[str, ...]
    tpr: float
    fpr: float
    roc: Recovery

    def __str__(self) -> str:
        return (
            f"true positive rate {self.tpr:.2f}, false positive rate {self.fpr:.2f} "
            f"({len(self.hit)} shared, {len(self.miss)} missed, {len(self.extra)} extra); "
            f"{self.roc}"
        )


class LiveExtraction:
    """What a :class:`TaskCircuit` does with its model.

    Parameters
    ----------
    study
        The prompts, the means, and the session.
    reference
        Prompts of the means; empty for zero ablation.
    """

    def __init__(self, study: Study, reference: list[Prompt]) -> None:
        self.study, self.reference = study, reference
        self.state = study.session.interventions.key

    def measure(self, removed: Iterable[str]) -> Reading:
        """Run with nodes taken away and the session's interventions of now."""

        def work() -> Reading:
            return self._current().measure(removed)

        found: Reading = self.study.session.run(work, label="Circuit")
        return found

    def prune(self, removed: tuple[str, ...], *, check: bool) -> PrunedModel:
        """Cut nodes out of a copy of the model."""
        study = self.study
        return study.session.run(
            lambda: PrunedModel.of(self._current(), removed, check=check), label="Pruning"
        )

    def interventions(self, removed: Iterable[str]) -> list[Intervention]:
        """Return ablations that leave nodes out of the session's own model, head by head."""
        how: dict[str, Any] = {"method": "zero"}
        if self.reference:
            how = {"method": "mean_positional", "reference": self.reference}
        return [Ablate(**place_of(name), **how, label="not in the circuit") for name in removed]

    def keep(self, removed: Iterable[str]) -> None:
        """Leave nodes out of the session's model until its interventions are changed."""
        session = self.study.session
        items = self.interventions(removed)
        sites = list(dict.fromkeys(Site(item.site, item.layer) for item in items))

        def means() -> None:
            for i, prompt in enumerate(self.reference):
                session.progress(i, len(self.reference))
                session.capture(prompt, sites, "none")

        if sites:
            session.run(means, label="Means")
        session.interventions.load(items)

    def compare(self, circuit: TaskCircuit, reference: Any, *, mlps: bool) -> HeadComparison:
        """Compare with nodes found by hand."""
        there = set(circuit.meta["nodes"])
        known = [name for name in names_in(reference) if mlps or ".h" in name]
        lost = [name for name in known if ".h" in name and name not in there]
        if lost:
            raise ValueError(f"the reference names {lost[0]!r}, which this model does not have")
        frame = circuit.trace
        frame = frame[[mlps or ".h" in name for name in frame["node"]]]
        return compared(frame, set(known))

    def toggles(
        self, kept: list[str], nodes: Literal["heads", "mlps"], *, mlps: bool
    ) -> ArrayResult:
        """Measure every node put in or taken out, live."""
        from interp_widgets.methods.extraction.extract import circuit_toggles

        return circuit_toggles(
            self.study.prompts,
            self.reference or None,
            kept=kept,
            nodes=nodes,
            mlps=mlps,
            ablation="mean" if self.reference else "zero",
            success=self.study.success,
            answers=self._answers,
        )

    @property
    def _answers(self) -> list[list[str | int]] | None:
        answers = self.study.answers
        return None if answers is None else [list(some) for some in answers]

    def sweep(self, thresholds: Sequence[float] | None, **options: Any) -> ExtractionSweep:
        """Extract circuits at other thresholds from the same prompts."""
        from interp_widgets.methods.extraction.extract import extraction_sweep

        return extraction_sweep(
            self.study.prompts,
            self.reference or None,
            thresholds=thresholds,
            success=self.study.success,
            answers=self._answers,
            **options,
        )

    def _current(self) -> Study:
        """Return the study, measured anew where the session's interventions are others."""
        now = self.study.session.interventions.key
        if now != self.state:
            old = self.study
            self.study = Study(old.session, old.prompts, old.means, old.success, old.answers)
            self.state = now
        return self.study


def compared(frame: pd.DataFrame, known: set[str]) -> HeadComparison:
    """Compare the rows of a trace with the nodes known."""
    wanted = np.array([name in known for name in frame["node"]])
    kept = frame["kept"].to_numpy(bool)
    roc = Recovery.of(frame["delta_kl"].to_numpy(), wanted, "node")
    names = frame["node"].to_numpy()
    return HeadComparison(
        tuple(names[kept & wanted]),
        tuple(names[~kept & wanted]),
        tuple(names[kept & ~wanted]),
        float(kept[wanted].mean()),
        float(kept[~wanted].mean()),
        roc,
    )


def place_of(name: str) -> dict[str, Any]:
    """Return site, layer and head of a node, as interventions name them."""
    layer, head = node_parts(name)
    if head is None:
        return {"site": "mlp_out", "layer": layer}
    return {"site": "z", "layer": layer, "head": head}


def toggled_by(items: Iterable[Intervention]) -> tuple[set[str], list[Intervention]]:
    """Return the heads and MLPs that interventions ablate whole, and the other interventions."""
    nodes: set[str] = set()
    rest = []
    for item in items:
        whole = isinstance(item, Ablate) and item.unit is None and item.position is None
        if whole and item.site == "z" and item.head is not None:
            nodes |= {f"a{item.layer}.h{head}" for head in item.head}
        elif whole and item.site == "mlp_out":
            nodes.add(f"m{item.layer}")
        else:
            rest.append(item)
    return nodes, rest
