"""The discovery methods by name: each scores the edges, nodes or neurons of a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

from interp_widgets.methods.circuits import acdc as searching
from interp_widgets.methods.circuits import eap as attribution
from interp_widgets.methods.circuits import edge_pruning as pruning
from interp_widgets.methods.circuits import flow_routes as flowing
from interp_widgets.methods.circuits import gradient_sampling as sampling
from interp_widgets.methods.circuits.engine import Loss
from interp_widgets.methods.circuits.gates import Gates, Trial
from interp_widgets.methods.circuits.metrics import Metric
from interp_widgets.methods.circuits.problem import Case, Problem
from interp_widgets.methods.circuits.tally import Level
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.session.prompts import PromptBatch

Progress = Callable[[int, int], None]
MOST_EXACT = 5_000
"""More units than this take hours one by one."""


class Score(Protocol):
    """Scores a problem; ``options`` are ``steps``, ``endpoint``, ``seed`` and the method's own."""

    def __call__(self, problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
        """Return scores of the problem's shape, means over pairs."""


Runs = Callable[[Problem, Mapping[str, Any]], float]


def _by_steps(_: Problem, options: Mapping[str, Any]) -> float:
    return 3 * int(options["steps"]) + 2


@dataclass(frozen=True)
class Scorer:
    """A discovery method.

    Parameters
    ----------
    title
        Its name for readers.
    score
        Runs it.
    paper
        Where it comes from.
    levels, positions
        What it can score, and whether it tells positions apart.
    steps
        Default number of steps.
    options
        Its own constants with their defaults, which ``iw.circuit(options={…})`` changes.
    runs
        About how many forward passes over all pairs it takes, for the progress bar.
    """

    title: str
    score: Score
    paper: str = ""
    levels: tuple[Level, ...] = ("edge",)
    positions: bool = False
    steps: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    runs: Runs = _by_steps

    def settle(self, steps: int | None, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return steps and constants, defaults filled in.

        Raises
        ------
        CircuitError
            For a constant that the method does not have.
        """
        given = dict(options or {})
        unknown = sorted(set(given) - set(self.options))
        if unknown:
            takes = ", ".join(f"{k}={v!r}" for k, v in self.options.items()) or "none"
            raise CircuitError(f"{self.title} has no option {unknown[0]!r}; it takes {takes}")
        return {"steps": self.steps if steps is None else steps, **self.options, **given}


SCORERS: dict[str, Scorer] = {}


def scorer(name: str, title: str, **about: Any) -> Callable[[Score], Score]:
    """Register a discovery method; ``iw.circuit(method=name)`` runs it.

    ``about`` are the other fields of :class:`Scorer`.
    """

    def add(score: Score) -> Score:
        SCORERS[name] = Scorer(title, score, **about)
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


def _attribute(
    problem: Problem, progress: Progress, score: Callable[..., np.ndarray], **options: Any
) -> np.ndarray:
    """Return the mean over pairs of one of the functions of :mod:`attribution`."""

    def one(case: Case, within: Progress) -> np.ndarray:
        return score(
            problem.engine,
            case.clean,
            case.values,
            case.loss,
            level=problem.level,
            positions=problem.positions,
            note=case.note,
            progress=within,
            **options,
        )

    return _by_batch(problem, progress, one)


@scorer("eap", "EAP", paper="arXiv:2310.10348", levels=ALL, positions=True)
def eap(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Attribution patching (:func:`attribution.eap`)."""
    if problem.metric.name == "kl":
        raise CircuitError(
            "the KL divergence from the clean run has no gradient at the clean run, so EAP would "
            'score every edge 0; use method="eap-ig" or the logit difference'
        )
    del options
    return _attribute(problem, progress, attribution.eap)


@scorer("eap-ig", "EAP-IG", steps=5, paper="arXiv:2403.17806", levels=ALL, positions=True)
def eap_ig(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Attribution patching with gradients integrated over inputs."""
    own = {name: options[name] for name in ("steps", "endpoint")}
    return _attribute(problem, progress, attribution.eap_ig, **own)


@scorer(
    "eap-ig-activations",
    "EAP-IG over activations",
    paper="arXiv:2403.17806",
    levels=ALL,
    positions=True,
    steps=5,
    runs=lambda problem, options: 3 * options["steps"] * (2 * problem.engine.graph.layers + 1),
)
def eap_ig_activations(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Attribution patching with gradients integrated over what each writer writes."""
    score = attribution.eap_ig_activations
    return _attribute(problem, progress, score, steps=options["steps"])


@scorer(
    "clean-corrupted",
    "Clean-corrupted attribution",
    paper="arXiv:2403.17806",
    levels=ALL,
    positions=True,
    steps=2,
)
def clean_corrupted(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Attribution patching with the mean of the gradients at both ends."""
    del options
    return _attribute(problem, progress, attribution.clean_corrupted)


def _units(problem: Problem) -> int:
    graph = problem.engine.graph
    return graph.n_edges if problem.level == "edge" else graph.n_forward


@scorer(
    "exact",
    "Exact patching",
    paper="arXiv:2304.05969",
    levels=("edge", "node"),
    runs=lambda problem, _: 1.5 * _units(problem),
)
def exact(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Cut every edge, or every component, alone."""
    del options
    units = _units(problem)
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
            repeat=_repeat,
            level=_level(problem),
            note=case.note,
            progress=within,
        )

    return _by_batch(problem, progress, one)


@scorer(
    "acdc",
    "ACDC",
    paper="arXiv:2304.14997",
    options={"taus": searching.TAUS},
    runs=lambda problem, options: 0.5 * problem.engine.graph.n_edges * len(options["taus"]),
)
def acdc(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Greedy search by the KL divergence; the score is the largest threshold that keeps an edge.

    The circuits themselves are in the result as ``kept_by_tau`` ``[tau, n_forward, n_backward]``.
    """
    taus = [float(tau) for tau in options["taus"]]
    kept = searching.acdc(
        problem.engine, _trials(problem), repeat=_repeat, taus=taus, progress=progress
    )
    problem.arrays |= {"taus": np.array(taus, np.float32), "kept_by_tau": kept}
    return searching.kept_scores(kept, taus)


@scorer(
    "edge-pruning",
    "Edge Pruning",
    paper="arXiv:2406.16778",
    levels=("edge", "node"),
    positions=True,
    steps=300,
    options={"sparsity": 0.95, "rate": 0.2},
    runs=lambda problem, options: 6 * options["steps"] / len(problem.pairs.batches),
)
def edge_pruning(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Gates learned under a target of sparsity; without noise they are ``gate`` in the result."""
    scores, gate = pruning.edge_pruning(
        problem.engine,
        _trials(problem),
        _gates(problem),
        steps=options["steps"],
        sparsity=options["sparsity"],
        rate=options["rate"],
        seed=options["seed"],
        progress=progress,
    )
    problem.arrays["gate"] = gate
    return scores


@scorer(
    "ugs",
    "Uniform gradient sampling",
    paper="arXiv:2409.09951",
    levels=("edge", "node"),
    positions=True,
    steps=300,
    options={"price": 1e-3, "rate": 0.1},
    runs=lambda problem, options: 6 * options["steps"] / len(problem.pairs.batches),
)
def gradient_sampling(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Probabilities that a unit has to be whole."""
    return sampling.gradient_sampling(
        problem.engine,
        _trials(problem),
        _gates(problem),
        steps=options["steps"],
        price=options["price"],
        rate=options["rate"],
        seed=options["seed"],
        progress=progress,
    )


@scorer(
    "flow-routes",
    "Information-flow routes",
    paper="arXiv:2403.00824",
    positions=True,
    runs=lambda *_: 3,
)
def flow_routes(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Proximity on the clean run; neither the metric nor the corrupted prompt matters."""
    del options

    def one(case: Case, _: Progress) -> np.ndarray:
        return flowing.flow_routes(
            problem.engine, case.clean, positions=problem.positions, note=case.note
        )

    return _by_batch(problem, progress, one)


@scorer(
    "cdt",
    "CD-T",
    paper="arXiv:2407.00886",
    levels=("edge", "node"),
    positions=True,
    options={"attention": "frozen"},
    runs=lambda problem, _: 0.05 * _units(problem),
)
def cdt(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Contextual decomposition: what each writer's deviation from its mean adds to the metric.

    ``attention`` is ``"frozen"``, ``"relative"`` (as the authors' code) or ``"difference"``, see
    :func:`interp_widgets.methods.cdt.decompose.decompose`.
    """
    from interp_widgets.methods.cdt.scoring import scores

    return scores(problem, attention=options["attention"], progress=progress)


@scorer(
    "cdt-search",
    "CD-T search",
    paper="arXiv:2407.00886",
    levels=("node",),
    positions=True,
    options={
        "attention": "relative",
        "l1": 0,
        "per_round": 2,
        "rounds": 32,
        "faithful": 0.9,
        "tolerance": 0.01,
    },
    runs=lambda problem, options: 0.05 * problem.engine.graph.n_forward * options["rounds"],
)
def cdt_search(problem: Problem, options: dict[str, Any], progress: Progress) -> np.ndarray:
    """Search by contextual decomposition, then prune greedily by faithfulness.

    In each round the ``per_round`` nodes that matter most for those of the round before are kept,
    from the logits down to layer 0 and again, until what was found is ``faithful`` or ``rounds``
    are over. Pruning drops what costs at most ``tolerance`` of faithfulness.
    """
    from interp_widgets.methods.cdt.scoring import searched_scores

    return searched_scores(
        problem,
        per_round=int(options["per_round"]),
        rounds=int(options["rounds"]),
        enough=float(options["faithful"]),
        tolerance=float(options["tolerance"]),
        how="l1" if options["l1"] else "dot",
        attention=options["attention"],
        progress=progress,
    )


def _repeat(batch: PromptBatch, n: int) -> PromptBatch:
    return PromptBatch(batch.prompts * n)


def _level(problem: Problem) -> Literal["edge", "node"]:
    return "edge" if problem.level == "edge" else "node"


def _gates(problem: Problem) -> Gates:
    length = len(problem.pairs.first[0]) if problem.positions else None
    return Gates(problem.engine.graph, _level(problem), length)


def _trials(problem: Problem) -> list[Trial]:
    """Return the batches with the KL divergence from the clean run as the loss."""
    found = []
    for case in problem.cases():
        written, logits = problem.engine.writers(case.clean)
        case.note(written, logits)
        found.append(Trial(case.clean, case.values, _divergence(case, logits)))
    return found


def _divergence(case: Case, clean: Tensor) -> Loss:
    """Return the KL divergence ``[batch]`` of logits from the clean run's."""
    return lambda own: Metric("kl").value(own, case.clean, clean)
