"""The discovery methods by name: each scores the edges, nodes or neurons of a problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from interp_widgets.methods.circuits import eap as attribution
from interp_widgets.methods.circuits.problem import Case, Problem
from interp_widgets.methods.circuits.tally import Level
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.session.prompts import PromptBatch

Progress = Callable[[int, int], None]
MOST_EXACT = 5_000
"""More units than this take hours one by one."""


class Score(Protocol):
    """Scores a problem; ``options`` are the method's own (``steps``, ``endpoint``, …)."""

    def __call__(self, problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
        """Return scores of the problem's shape, means over pairs."""


@dataclass(frozen=True)
class Scorer:
    """A discovery method: its title, what it can score, and whether it looks at positions."""

    title: str
    score: Score
    levels: tuple[Level, ...] = ("edge",)
    positions: bool = False


SCORERS: dict[str, Scorer] = {}


def scorer(
    name: str, title: str, *, levels: tuple[Level, ...] = ("edge",), positions: bool = False
) -> Callable[[Score], Score]:
    """Register a discovery method; ``iw.circuit(method=name)`` runs it."""

    def add(score: Score) -> Score:
        SCORERS[name] = Scorer(title, score, levels, positions)
        return score

    return add


def find(name: str, level: Level, *, positions: bool) -> Scorer:
    """Return a discovery method.

    Raises
    ------
    CircuitError
        When there is no such method, or it does not work at the level or by position.
    """
    if name not in SCORERS:
        raise CircuitError(f"method is one of {', '.join(SCORERS)}, not {name!r}")
    found = SCORERS[name]
    if level not in found.levels:
        raise CircuitError(
            f"{found.title} scores {' and '.join(f'{x}s' for x in found.levels)}, not {level}s"
        )
    if positions and not found.positions:
        raise CircuitError(f"{found.title} does not tell positions apart")
    return found


ALL: tuple[Level, ...] = ("edge", "node", "neuron")


def _by_batch(
    problem: Problem, progress: Progress, score: Callable[[Case, Progress], np.ndarray]
) -> np.ndarray:
    """Return the mean of scores over pairs, batch by batch."""
    total: np.ndarray | None = None
    batches = len(problem.pairs.batches)
    for i, case in enumerate(problem.cases()):

        def within(done: int, of: int, i: int = i) -> None:
            progress(i * 1000 + 1000 * done // of, batches * 1000)

        part = score(case, within).astype(np.float64)
        total = part if total is None else total + part
        progress((i + 1) * 1000, batches * 1000)
    assert total is not None
    return total / len(problem.pairs)


def _keeping(problem: Problem) -> dict[str, Any]:
    return {"level": problem.level, "positions": problem.positions}


@scorer("eap", "EAP", levels=ALL, positions=True)
def eap(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Attribution patching (:func:`attribution.eap`)."""
    if problem.metric.name == "kl":
        raise CircuitError(
            "the KL divergence from the clean run has no gradient at the clean run, so EAP would "
            'score every edge 0; use method="eap-ig" or the logit difference'
        )
    del options

    def one(case: Case, _: Progress) -> np.ndarray:
        return attribution.eap(
            problem.engine, case.clean, case.values, case.loss, note=case.note, **_keeping(problem)
        )

    return _by_batch(problem, progress, one)


@scorer("eap-ig", "EAP-IG", levels=ALL, positions=True)
def eap_ig(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Attribution patching with gradients integrated over inputs."""

    def one(case: Case, within: Progress) -> np.ndarray:
        return attribution.eap_ig(
            problem.engine,
            case.clean,
            case.values,
            case.loss,
            steps=options["steps"],
            endpoint=options["endpoint"],
            note=case.note,
            progress=within,
            **_keeping(problem),
        )

    return _by_batch(problem, progress, one)


@scorer("eap-ig-activations", "EAP-IG over activations", levels=ALL, positions=True)
def eap_ig_activations(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Attribution patching with gradients integrated over what each writer writes."""

    def one(case: Case, within: Progress) -> np.ndarray:
        return attribution.eap_ig_activations(
            problem.engine,
            case.clean,
            case.values,
            case.loss,
            steps=options["steps"],
            note=case.note,
            progress=within,
            **_keeping(problem),
        )

    return _by_batch(problem, progress, one)


@scorer("clean-corrupted", "Clean-corrupted attribution", levels=ALL, positions=True)
def clean_corrupted(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Attribution patching with the mean of the gradients at both ends."""
    del options

    def one(case: Case, within: Progress) -> np.ndarray:
        return attribution.clean_corrupted(
            problem.engine,
            case.clean,
            case.values,
            case.loss,
            note=case.note,
            progress=within,
            **_keeping(problem),
        )

    return _by_batch(problem, progress, one)


@scorer("exact", "Exact patching", levels=("edge", "node"))
def exact(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Cut every edge, or every component, alone."""
    del options
    graph = problem.engine.graph
    units = graph.n_edges if problem.level == "edge" else graph.n_forward
    if units > MOST_EXACT:
        raise CircuitError(
            f"exact patching runs the model once per edge, and there are {units:,}; "
            'it is meant for small models: use method="eap-ig"'
        )

    def one(case: Case, within: Progress) -> np.ndarray:
        return attribution.exact(
            problem.engine,
            case.clean,
            case.values,
            case.loss,
            repeat=lambda batch, n: PromptBatch(batch.prompts * n),
            level="edge" if problem.level == "edge" else "node",
            note=case.note,
            progress=within,
        )

    return _by_batch(problem, progress, one)
