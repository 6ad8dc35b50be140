"""What a discovery method is asked: pairs, a metric, a way of ablation, a level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.ablation import Ablation, AblationName
from interp_widgets.methods.circuits.engine import Loss, ModelEngine
from interp_widgets.methods.circuits.metrics import Metric, MetricName
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.tally import Level
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.session.prompts import PromptBatch


@dataclass
class Case:
    """One batch: the clean prompts, what cut edges carry, and the logits with all edges cut."""

    clean: PromptBatch
    values: Tensor
    cut_logits: Tensor
    problem: Problem

    def loss(self, logits: Tensor) -> Loss:
        """Take the clean logits; return minus the behaviour's metric as a loss per row."""
        fixed, metric = logits.detach(), self.problem.metric
        return lambda own: -metric.sign * metric.value(own, self.clean, fixed)

    def note(self, _written: Tensor, logits: Tensor) -> None:
        """Record the metric of the clean run and of the run with all edges cut."""
        self.problem.record(self, logits)


@dataclass
class Problem:
    """Pairs of prompts, what is measured on them, and how components are taken away.

    A discovery method goes through :meth:`cases`, and calls ``case.note`` with each clean run, or
    hands it to the scoring function. What it finds beside scores goes into ``arrays``, which the
    result keeps.
    """

    engine: ModelEngine
    pairs: Pairs
    metric: Metric
    ablation: Ablation
    level: Level = "edge"
    positions: bool = False
    ends: dict[str, list[float]] = field(default_factory=lambda: {"clean": [], "corrupted": []})
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the scores."""
        graph = self.engine.graph
        if self.level == "neuron":
            return graph.n_forward, self.pairs.session.anatomy.d_model or 1
        shape = graph.shape if self.level == "edge" else (graph.n_forward,)
        return (*shape, len(self.pairs.first[0])) if self.positions else shape

    def cases(self) -> Iterator[Case]:
        """Yield the batches with what cut edges carry in each."""
        for i, (clean, _) in enumerate(self.pairs):
            yield Case(clean, *self.ablation.values(i), self)

    def record(self, case: Case, logits: Tensor) -> None:
        """Keep the metric of both ends of a batch, pair by pair.

        Raises
        ------
        CircuitError
            When logits are not finite.
        """
        for name, own in (("clean", logits), ("corrupted", case.cut_logits)):
            if not bool(torch.isfinite(own).all()):
                raise CircuitError("the model's logits are not finite on these prompts")
            self.ends[name] += self.metric.value(own, case.clean, logits).double().tolist()

    def values(self) -> dict[str, float]:
        """Return the mean metric of the clean and of the ablated network.

        Raises
        ------
        CircuitError
            When they do not differ.
        """
        clean, corrupted = (float(np.mean(self.ends[name])) for name in ("clean", "corrupted"))
        if not abs(clean - corrupted) > 1e-6 * max(1.0, abs(clean)):
            raise CircuitError(
                f"the {self.metric.title} is {clean:.4g} with all edges whole and with all cut: "
                "they have to differ for a circuit to explain the difference"
            )
        return {"clean": clean, "corrupted": corrupted}


def pose(
    pairs: Pairs,
    metric: MetricName,
    ablation: AblationName = "interchange",
    *,
    level: Level = "edge",
    positions: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Problem:
    """Find the model's wiring, check that the prompts have what the metric needs, fit the ablation.

    Raises
    ------
    CircuitError
        When one of these does not work; the message says which.
    """
    engine = ModelEngine(pairs.session, pairs.batches[0][0])
    measure = Metric(metric)
    for batch, _ in pairs:
        measure.check(batch)
    lengths = sorted({len(batch[0]) for batch, _ in pairs})
    if positions and len(lengths) > 1:
        raise CircuitError(
            f"positions can be told apart only among prompts of one length, and these"
            f" have {lengths}"
        )
    fitted = Ablation.fit(ablation, engine, pairs, seed=seed, progress=progress)
    return Problem(engine, pairs, measure, fitted, level, positions)
