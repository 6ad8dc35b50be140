"""Is everything that matters in the circuit? The same nodes left out of circuit and network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from interp_widgets.methods import catalogue
from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.circuits.ablation import AblationName
from interp_widgets.methods.circuits.metrics import MetricName
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import pose
from interp_widgets.methods.circuits.trials import Subject, Trials, bootstrap, limits
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.arrangement import component
from interp_widgets.results.graph import Graph
from interp_widgets.results.scatter import ScatterResult
from interp_widgets.session.prompts import Prompt, PromptBatch

Classes = Mapping[str, Sequence[str]]


@dataclass
class Sets:
    """Sets of a circuit's nodes: what each is called, how it came about, its members."""

    nodes: list[str]
    names: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    members: list[np.ndarray] = field(default_factory=list)

    def add(self, name: str, kind: str, members: np.ndarray) -> None:
        """Add a set (bool ``[node]``) unless it is there already."""
        if not any(np.array_equal(members, other) for other in self.members):
            self.names.append(name)
            self.kinds.append(kind)
            self.members.append(members)

    @classmethod
    def of(cls, nodes: list[str], classes: Classes | None, random: int, seed: int) -> Sets:
        """Return the empty set, every class, and random sets in which each node is half the time.

        Raises
        ------
        CircuitError
            When a class names nothing of the circuit that the network has.
        """
        found = cls(nodes)
        found.add("nothing", "nothing", np.zeros(len(nodes), bool))
        for name, members in (classes or {}).items():
            wanted = {component(member) for member in members}
            inside = np.array([node in wanted for node in nodes], bool)
            if inside.any():
                found.add(name, "class", inside)
        rng = np.random.default_rng(seed)
        possible = min(random, 2 ** len(nodes) - len(found.names))
        tries = 0
        while sum(kind == "random" for kind in found.kinds) < possible and tries < 50 * random:
            tries += 1
            number = sum(kind == "random" for kind in found.kinds) + 1
            found.add(f"random {number}", "random", rng.random(len(nodes)) < 0.5)
        return found


@dataclass(frozen=True)
class Completeness:
    """Metrics of the circuit and of the network without the same nodes ``[set, pair]``."""

    sets: Sets
    circuit: np.ndarray
    network: np.ndarray


def measure_completeness(
    trials: Trials, subject: Subject, sets: Sets, greedy: int = 5
) -> Completeness:
    """Leave sets of nodes out of the circuit and of the network; then grow the worst set.

    The greedy set starts empty and takes, step by step, the node that drives the two apart most.
    """
    steps = min(greedy, len(sets.nodes))
    sets = Sets(sets.nodes, list(sets.names), list(sets.kinds), list(sets.members))
    left = np.zeros(len(sets.nodes), bool)
    names: list[str] = []
    for _ in range(steps):
        free = np.flatnonzero(~left)
        larger = [_with(left, int(i)) for i in free]
        gap = np.abs(
            trials.share(trials.measure([subject.without(m) for m in larger]))
            - trials.share(trials.measure([subject.network_without(m) for m in larger]))
        )
        at = int(np.argmax(gap))
        left = larger[at]
        names.append(sets.nodes[free[at]])
        sets.add("greedy: " + ", ".join(names), "greedy", left)
    return Completeness(
        sets,
        trials.measure([subject.without(m) for m in sets.members]),
        trials.measure([subject.network_without(m) for m in sets.members]),
    )


def circuits_of(sets: Sets, greedy: int) -> int:
    """Return how many circuits :func:`measure_completeness` measures."""
    nodes = len(sets.nodes)
    steps = min(greedy, nodes)
    return 2 * (len(sets.members) + steps + sum(nodes - i for i in range(steps)))


def _with(members: np.ndarray, index: int) -> np.ndarray:
    found = members.copy()
    found[index] = True
    return found


def scatter_of(found: Completeness, trials: Trials, seed: int = 0) -> ScatterResult:
    r"""Return F(C\\K) against F(M\\K), one point for each set K."""
    pick = bootstrap(trials.n_pairs, seed=seed)
    x, y = trials.share(found.network), trials.share(found.circuit)
    gap = limits(
        trials.shares_of_draws(found.circuit, pick) - trials.shares_of_draws(found.network, pick)
    )
    worst = int(np.argmax(np.abs(y - x)))
    names = found.sets.names
    arrays = {
        "x": x.astype(np.float32),
        "y": y.astype(np.float32),
        "cell": np.arange(len(names))[:, None].astype(np.int64),
        "members": np.stack(found.sets.members).astype(np.uint8),
        "gap_interval": gap.astype(np.float32),
    }
    quantity = "faithfulness"
    meta = {
        "dims": ["set"],
        "labels": {"set": names},
        "x": {"title": "F(M∖K), network without K", "quantity": quantity},
        "y": {"title": "F(C∖K), circuit without K", "quantity": quantity},
        "title": "Completeness of the circuit",
        "kinds": found.sets.kinds,
        "nodes": found.sets.nodes,
        "incompleteness": float(abs(y - x)[worst]),
        "worst": names[worst],
        "note": f"Largest |F(C∖K) − F(M∖K)|: {abs(y - x)[worst]:.2f} (K = {names[worst]})",
    }
    return ScatterResult(arrays, meta)


@catalogue.method(
    "circuit_completeness",
    result="scatter",
    title="Completeness of a circuit",
    paper="Wang et al. 2022, arXiv:2211.00593, section 4.1",
    family="circuits",
    unit="set of nodes",
    cost="2 forward passes per set of nodes and batch of pairs; greedy: 2 per node and step",
    tags="mechanistic, interventional, global, verification, full, circuit",
)
def completeness(
    run: Run,
    clean: Prompt | PromptBatch | Sequence[Prompt],
    corrupted: Prompt | PromptBatch | Sequence[Prompt],
    kept: Tensor,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    random: int = 20,
    greedy: int = 5,
    metric: MetricName = "logit_difference",
    ablation: AblationName = "interchange",
    batch_size: int | None = None,
    seed: int = 0,
) -> ScatterResult:
    """Compare circuit and network after the same nodes are taken out of both.

    If the circuit holds all that matters, the network can do no more than the circuit once a set K
    of the circuit's nodes is ablated in both: F(C∖K) ≈ F(M∖K). A point above or below the diagonal
    is a set whose loss something outside the circuit makes up for (a backup), or makes worse.

    Parameters
    ----------
    clean, corrupted
        Pairs of prompts, best held out.
    kept
        The circuit's edges, a mask ``[n_forward, n_backward]`` or with positions as a third axis;
        ``iw.circuits.completeness(session, circuit, …)`` takes a circuit instead.
    classes
        Groups of nodes that are left out together, ``{"name mover": ["9.9", "10.0"]}``.
    random
        Random sets: each node is in with probability one half.
    greedy
        Size up to which the worst set is grown node by node; 0 for none.
    metric, ablation, batch_size
        As in :func:`iw.circuit`.

    Returns
    -------
    ScatterResult
        ``x`` F(M∖K) and ``y`` F(C∖K) ``[set]``, 1 for the whole network and 0 for everything
        ablated; ``members [set, node]``; ``gap_interval [set, 2]`` bootstrap limits of y − x;
        ``meta["incompleteness"]`` the largest |y − x|.

    Raises
    ------
    CircuitError
        When the circuit has no nodes, or prompts and metric do not fit.

    Examples
    --------
    >>> found = iw.circuits.completeness(session, circuit, held_out, held_out_corrupted)
    >>> found.meta["incompleteness"]
    """
    problem = pose(Pairs.of(clean, corrupted, batch_size), metric, ablation, seed=seed)
    subject = subject_of(problem.engine.graph, kept)
    trials = Trials(problem, run.progress)
    sets = Sets.of(subject.nodes, classes, random, seed)
    trials.expect(circuits_of(sets, greedy))
    return scatter_of(measure_completeness(trials, subject, sets, greedy), trials, seed)


def subject_of(graph: Graph, kept: Any) -> Subject:
    """Read the mask of a circuit.

    Raises
    ------
    CircuitError
        When it does not fit the network, or has no nodes between input and logits.
    """
    mask = np.asarray(kept.cpu() if isinstance(kept, Tensor) else kept, bool)
    if mask.shape[:2] != graph.shape or mask.ndim not in (2, 3):
        raise CircuitError(
            f"kept must be a mask {graph.shape}, or with positions; got {mask.shape}"
        )
    subject = Subject(graph, mask)
    if (mask & ~subject.real).any():
        raise CircuitError("kept has edges that run backwards in the network")
    if not len(subject.rows):
        raise CircuitError("the circuit has no heads or MLPs: there is nothing to leave out")
    return subject
