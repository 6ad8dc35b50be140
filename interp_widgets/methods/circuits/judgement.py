"""All tests of one circuit on the same pairs, as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from interp_widgets.methods import catalogue
from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.circuits import tests_of_circuits as statistics
from interp_widgets.methods.circuits.ablation import AblationName
from interp_widgets.methods.circuits.completeness import (
    Sets,
    circuits_of,
    measure_completeness,
    scatter_of,
    subject_of,
)
from interp_widgets.methods.circuits.evaluate import Faithfulness, sizes_of
from interp_widgets.methods.circuits.levels import Units
from interp_widgets.methods.circuits.metrics import MetricName
from interp_widgets.methods.circuits.minimality import array_of, measure_minimality
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import pose
from interp_widgets.methods.circuits.tally import Level
from interp_widgets.methods.circuits.trials import (
    Subject,
    Trials,
    bootstrap,
    limits,
    over_positions,
)
from interp_widgets.results.judgement import JudgementResult
from interp_widgets.session.prompts import Prompt, PromptBatch

INFLATED = 50
"""Random edges that those of the circuit are compared with."""
CHOICES = (
    "These figures hold for this ablation, for edges or nodes as cut here, for these positions and "
    "these prompts; iw.circuits.sensitivity shows what other choices give (Miller et al. 2024, "
    "arXiv:2407.08734)"
)


@catalogue.method(
    "circuit_judgement",
    result="judgement",
    title="Tests of a circuit",
    paper=(
        "Wang et al. 2022, arXiv:2211.00593 (faithfulness, completeness, minimality); "
        "Shi et al. 2024, arXiv:2410.13032 (hypothesis tests)"
    ),
    family="circuits",
    unit="circuit",
    cost="a forward pass per circuit measured and batch of pairs: about 2 · sets · nodes + "
    "4 · random circuits + edges tested, many of them in one pass",
    tags="mechanistic, interventional, global, verification, full, circuit",
)
def judgement(
    run: Run,
    clean: Prompt | PromptBatch | Sequence[Prompt],
    corrupted: Prompt | PromptBatch | Sequence[Prompt],
    kept: Tensor,
    *,
    scores: Tensor | None = None,
    level: Level = "edge",
    classes: Mapping[str, Sequence[str]] | None = None,
    sizes: Sequence[float] | None = None,
    random_circuits: int = 30,
    random_sets: int = 10,
    greedy: int = 4,
    edges_tested: int = 60,
    metric: MetricName = "logit_difference",
    ablation: AblationName = "interchange",
    batch_size: int | None = None,
    seed: int = 0,
    note: str = "",
) -> JudgementResult:
    """Test a circuit: faithfulness, completeness, minimality, random circuits, p-values.

    Parameters
    ----------
    clean, corrupted
        Pairs of prompts, best held out.
    kept
        The circuit's edges, a mask ``[n_forward, n_backward]`` or with positions as a third axis;
        ``iw.circuits.judge(session, circuit, …)`` takes a circuit instead.
    scores
        What ranks the units for the curve of faithfulness by size; without it there is none.
    level
        What ``scores`` are of, and what random circuits have as many of: ``"edge"`` or ``"node"``.
    classes
        Groups of nodes that are left out together, ``{"name mover": ["9.9", "10.0"]}``.
    sizes
        Sizes of the curve; default those of the MIB benchmark.
    random_circuits
        Connected circuits of equal size drawn at random; a test at the 5 % level needs 29 or more.
    random_sets, greedy
        Sets for completeness and minimality, see :func:`completeness`.
    edges_tested
        Edges, those of smallest |score|, compared with random added ones; 0 for none.
    metric, ablation, batch_size
        As in :func:`iw.circuit`.
    note
        A sentence for the report.

    Returns
    -------
    JudgementResult
        See there; ``.frame()`` is the table, ``.figure()`` the picture, ``.completeness`` and
        ``.minimality`` open as views.

    Raises
    ------
    CircuitError
        When the circuit has no nodes, or prompts and metric do not fit.

    Examples
    --------
    >>> iw.circuits.judge(session, circuit, held_out, held_out_corrupted).frame()
    """
    problem = pose(Pairs.of(clean, corrupted, batch_size), metric, ablation, seed=seed)
    subject = subject_of(problem.engine.graph, kept)
    if scores is not None:
        units = _units(subject, level, scores)
        if units.level == "edge" and not units.positional:
            subject = Subject(subject.graph.with_scores(units.scores), subject.kept)
    trials = Trials(problem, run.progress)
    sets = Sets.of(subject.nodes, classes, random_sets, seed)
    trials.expect(
        circuits_of(sets, greedy)
        + 2 * len(sets.nodes) * len(sets.members)
        + 2 * random_circuits
        + (2 * INFLATED + edges_tested if edges_tested else 0)
        + (len(sizes_of(units.total, sizes)) if scores is not None else 0)
    )
    curve = None if scores is None else _curve(trials, units, sizes)
    own, rest = trials.measure([subject.kept, subject.real & ~subject.kept])
    drawn = statistics.draw_random(trials, subject, random_circuits, seed, nodes=level == "node")
    complete = scatter_of(measure_completeness(trials, subject, sets, greedy), trials, seed)
    minimal = array_of(measure_minimality(trials, subject, sets), trials, seed)
    tests = [
        statistics.equivalence(own, trials.clean),
        statistics.independence(rest, trials.clean, seed=seed),
        statistics.sufficiency(own, trials.clean, drawn.only),
        statistics.partial_necessity(rest, trials.clean, drawn.without),
    ]
    if edges_tested and level == "edge":
        tests.append(
            statistics.edges_against_random(
                trials, subject, most=edges_tested, draws=INFLATED, seed=seed
            )
        )
    pick = bootstrap(trials.n_pairs, seed=seed)
    interval = limits(trials.shares_of_draws(np.stack([own, rest]), pick))
    arrays: dict[str, Any] = {
        "samples": np.stack([trials.clean, trials.corrupted, own, rest]),
        "own": np.concatenate([trials.share(np.stack([own, rest]))[:, None], interval], 1),
        "random": trials.share(drawn.only),
        "random_without": trials.share(drawn.without),
        "random_sizes": drawn.sizes,
        "completeness_network": complete.arrays["x"],
        "completeness_circuit": complete.arrays["y"],
        "completeness_interval": complete.arrays["gap_interval"],
        "members": complete.arrays["members"],
        "minimality": minimal.arrays["values"],
        "minimality_largest": minimal.arrays["largest"],
        "minimality_interval": minimal.arrays["largest_interval"],
    }
    if curve is not None:
        arrays["sizes"], arrays["kept_by_size"] = curve.sizes, curve.kept
        arrays["faithfulness"] = curve.values
        arrays["faithfulness_interval"] = curve.interval(seed=seed)
    size, total = int(subject.kept.sum()), int(subject.real.sum())
    if level == "node":
        size, total = len(subject.rows), subject.graph.n_forward - 1
    return JudgementResult(
        arrays,
        {
            "nodes": subject.nodes,
            "size": size,
            "total": total,
            "level": level,
            "n_pairs": trials.n_pairs,
            "metric": problem.metric.title,
            "ablation": problem.ablation.title,
            "completeness": complete.meta,
            "minimality": minimal.meta,
            "classes": {k: list(v) for k, v in (classes or {}).items()},
            "tests": [test.row() for test in tests],
            "checks": trials.checks,
            "note": ". ".join(part for part in (note, CHOICES) if part),
        },
    )


def _units(subject: Subject, level: Level, scores: Any) -> Units:
    ranked = np.asarray(scores.cpu() if isinstance(scores, Tensor) else scores, np.float32)
    return Units(subject.graph, level, ranked)


def _curve(trials: Trials, units: Units, sizes: Sequence[float] | None) -> Faithfulness:
    wanted = sizes_of(units.total, sizes)
    parts = [units.top(size) for size in wanted]
    real = trials.graph.real_edge_mask
    kept = []
    for part in parts:
        cut = part.cut.numpy()
        cut = cut[0] if cut.ndim == 4 else cut
        kept.append(over_positions(real, cut) & ~cut)
    return Faithfulness(
        sizes=np.array(wanted, np.int32),
        kept=np.array([part.count for part in parts], np.int32),
        samples=trials.measure(kept),
        clean_samples=trials.clean,
        corrupted_samples=trials.corrupted,
        total=units.total,
        level=units.level,
        checks=trials.checks,
    )
