"""Does the circuit need all its nodes? Each is left out, on top of other nodes left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from interp_widgets.methods import catalogue
from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.circuits.ablation import AblationName
from interp_widgets.methods.circuits.completeness import Sets, subject_of
from interp_widgets.methods.circuits.metrics import MetricName
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import pose
from interp_widgets.methods.circuits.trials import Subject, Trials, bootstrap, limits
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch

SMALL = 0.01
"""A node whose loss never changes faithfulness by more than this is called superfluous: 1 % of the
behaviour, the paper's threshold."""


@dataclass(frozen=True)
class Minimality:
    """Metrics of the circuit without K, and without K and one node more ``[node, set, pair]``."""

    sets: Sets
    before: np.ndarray
    after: np.ndarray


def measure_minimality(trials: Trials, subject: Subject, sets: Sets) -> Minimality:
    """Leave each node out of the circuit without K, for every K (less the node itself)."""
    nodes = len(sets.nodes)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for i in range(nodes):
        own = np.arange(nodes) == i
        pairs += [(members & ~own, members | own) for members in sets.members]
    shape = (nodes, len(sets.members), trials.n_pairs)
    before = trials.measure([subject.without(a) for a, _ in pairs])
    after = trials.measure([subject.without(b) for _, b in pairs])
    return Minimality(sets, before.reshape(shape), after.reshape(shape))


def array_of(found: Minimality, trials: Trials, seed: int = 0) -> ArrayResult:
    """Return what each node adds, by the set left out beside it ``[node, set]``."""
    change = trials.share(found.before) - trials.share(found.after)
    best = np.abs(change).argmax(1)
    each = np.arange(len(best))
    pick = bootstrap(trials.n_pairs, seed=seed)
    draws = trials.shares_of_draws(found.before[each, best], pick) - trials.shares_of_draws(
        found.after[each, best], pick
    )
    largest = np.abs(change).max(1)
    idle = [n for n, value in zip(found.sets.nodes, largest, strict=True) if value < SMALL]
    note = f"Nodes that never change faithfulness by {SMALL:g}: {', '.join(idle) or 'none'}"
    return ArrayResult(
        {
            "values": change.astype(np.float32),
            "largest": change[each, best].astype(np.float32),
            "largest_interval": limits(draws).astype(np.float32),
        },
        {
            "dims": ["node", "set"],
            "labels": {"node": found.sets.nodes, "set": found.sets.names},
            "quantity": "faithfulness lost with the node, when the set is left out",
            "signed": True,
            "title": "Minimality of the circuit",
            "kinds": found.sets.kinds,
            "beside": [found.sets.names[i] for i in best],
            "superfluous": idle,
            "note": note,
        },
    )


@catalogue.method(
    "circuit_minimality",
    result="array",
    title="Minimality of a circuit",
    paper="Wang et al. 2022, arXiv:2211.00593, section 4.2",
    family="circuits",
    unit="node of a circuit",
    cost="2 forward passes per node, set of nodes and batch of pairs",
    tags="mechanistic, interventional, global, verification, full, circuit",
)
def minimality(
    run: Run,
    clean: Prompt | PromptBatch | Sequence[Prompt],
    corrupted: Prompt | PromptBatch | Sequence[Prompt],
    kept: Tensor,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    random: int = 10,
    metric: MetricName = "logit_difference",
    ablation: AblationName = "interchange",
    batch_size: int | None = None,
    seed: int = 0,
) -> ArrayResult:
    """Measure what each node of a circuit adds when other nodes of it are left out.

    A node may seem idle because another does the same. So F(C∖K) − F(C∖(K ∪ {v})) is measured for
    several sets K: nothing, the classes (without v), random sets. A node is needed if one of these
    differences is large.

    Parameters
    ----------
    clean, corrupted
        Pairs of prompts, best held out.
    kept
        The circuit's edges, a mask ``[n_forward, n_backward]`` or with positions as a third axis;
        ``iw.circuits.minimality(session, circuit, …)`` takes a circuit instead.
    classes
        Groups of nodes that do the same, ``{"name mover": ["9.9", "10.0"]}``.
    random
        Random sets: each node is in with probability one half.
    metric, ablation, batch_size
        As in :func:`iw.circuit`.

    Returns
    -------
    ArrayResult
        ``values [node, set]``; ``largest [node]`` the one of largest size, with
        ``largest_interval [node, 2]`` by bootstrap over pairs; ``meta["beside"]`` its set,
        ``meta["superfluous"]`` nodes below 0.01 everywhere.

    Raises
    ------
    CircuitError
        When the circuit has no nodes, or prompts and metric do not fit.

    Examples
    --------
    >>> found = iw.circuits.minimality(session, circuit, held_out, held_out_corrupted)
    >>> found.meta["superfluous"]
    """
    problem = pose(Pairs.of(clean, corrupted, batch_size), metric, ablation, seed=seed)
    subject = subject_of(problem.engine.graph, kept)
    trials = Trials(problem, run.progress)
    sets = Sets.of(subject.nodes, classes, random, seed)
    trials.expect(2 * len(sets.nodes) * len(sets.members))
    return array_of(measure_minimality(trials, subject, sets), trials, seed)
