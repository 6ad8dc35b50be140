"""What the tests of a claim share: the claim as plain data, its inputs, the runs they need."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from interp_widgets.methods.claims import statistics
from interp_widgets.methods.claims.inputs import Inputs
from interp_widgets.methods.claims.kinds import from_json
from interp_widgets.methods.claims.mechanism import Draws, Mechanism
from interp_widgets.methods.claims.readings import MetricName, Readings, Runner

LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """One test of a claim.

    Parameters
    ----------
    lamp
        ``"F"`` (falsifiable), ``"R"`` (reproducible), ``"P"`` (predictive).
    name, wanted
        What was tested, and what had to come out.
    value, low, high
        What came out, with 95 % limits where there are any.
    p
        p-value, where there is one.
    passed
        None where it was not tested, or is told beside the others.
    reading
        What it says.
    """

    lamp: str
    name: str
    wanted: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    passed: bool | None = None
    reading: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data; numbers that are not finite become None."""
        data = asdict(self)
        for name in ("value", "low", "high", "p"):
            if data[name] is not None:
                number = float(data[name])
                data[name] = number if np.isfinite(number) else None
        return data


@dataclass
class Trial:
    """A claim on trial: its record, its inputs, and what runs them.

    Parameters
    ----------
    record
        The sealed record (``claim.record``).
    runner
        Runs the model; means come from the seen inputs.
    inputs
        ``seen``, ``on``, and ``shifted``, ``controls``, ``paraphrases`` where the claim has them.
    n_random, seeds
        Random mechanisms per seed, and seeds.
    seed
        The first seed.
    """

    record: Mapping[str, Any]
    runner: Runner
    inputs: Mapping[str, Inputs]
    n_random: int = 20
    seeds: int = 3
    seed: int = 0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def prediction(self) -> Mapping[str, Any]:
        """The prediction as plain data."""
        found: Mapping[str, Any] = self.record["prediction"]
        return found

    @property
    def metric(self) -> MetricName:
        """The metric."""
        name: MetricName = self.prediction["metric"]
        return name

    @property
    def size(self) -> float:
        """Least change, or the most for a claim that nothing changes."""
        return float(self.prediction["min_size"])

    @property
    def stays(self) -> bool:
        """Whether the claim is that nothing changes."""
        return bool(self.prediction["effect"] == "stays")

    @functools.cached_property
    def mechanism(self) -> Mechanism:
        """What is changed."""
        return from_json(self.record["mechanism"])

    @functools.cached_property
    def plain(self) -> dict[str, Readings]:
        """The unchanged model on each set of inputs."""
        return {name: self.runner.plain(inputs) for name, inputs in self.inputs.items()}

    def ablated(self, name: str, mechanism: Mechanism | None = None) -> Readings:
        """Read a set of inputs with the mechanism (or another) changed."""
        if mechanism is None:
            return self._ablated(name)
        return self.runner.changed(
            self.inputs[name], mechanism, self.plain[name].choice, seed=self.seed
        )

    @functools.cached_property
    def draws(self) -> list[Draws]:
        """Random mechanisms of each seed."""
        return [
            self.mechanism.draw(self.runner, self.n_random, self.seed + i)
            for i in range(self.seeds)
        ]

    @functools.cached_property
    def random(self) -> list[np.ndarray]:
        """Effect of each random mechanism ``[draw]``, for each seed."""
        return [np.array([self.effect("on", m) for m in some.mechanisms]) for some in self.draws]

    def change(self, name: str, mechanism: Mechanism | None = None) -> np.ndarray:
        """Return the change of the metric on each input, positive in the predicted direction."""
        before = self.plain[name].metric(self.metric)
        after = self.ablated(name, mechanism).metric(self.metric)
        return after - before if self.prediction["effect"] == "rises" else before - after

    def effect(self, name: str, mechanism: Mechanism | None = None) -> float:
        """Return the mean change; for a claim that nothing changes, how large it is."""
        mean = float(self.change(name, mechanism).mean())
        return abs(mean) if self.stays else mean

    def holds(self, effect: float) -> bool:
        """Whether an effect is as large, or as small, as predicted."""
        return effect < self.size if self.stays else effect >= self.size

    def competent(self, readings: Readings) -> bool:
        """Whether the behaviour is there at all."""
        return bool(readings.correct.mean() >= float(self.record["floor"]))

    def accuracy(self, name: str) -> tuple[float, float, float]:
        """Return accuracy with 95 % limits."""
        correct = self.plain[name].correct.astype(float)
        return (float(correct.mean()), *statistics.interval(correct, seed=self.seed))

    def expected(self) -> int:
        """Guess how many forward passes there will be, for the progress bar."""
        return self.n_random * self.seeds + 40

    @functools.cached_property
    def _known(self) -> dict[str, Readings]:
        return {}

    def _ablated(self, name: str) -> Readings:
        if name not in self._known:
            self._known[name] = self.runner.changed(
                self.inputs[name], self.mechanism, self.plain[name].choice, seed=self.seed
            )
        return self._known[name]
