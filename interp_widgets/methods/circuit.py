"""Circuits: which edges between components carry a behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from interp_widgets.methods import catalogue
from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.circuits.ablation import AblationName
from interp_widgets.methods.circuits.evaluate import (
    faithfulness as measure_faithfulness,
)
from interp_widgets.methods.circuits.evaluate import (
    measure_cut,
    sizes_of,
)
from interp_widgets.methods.circuits.levels import Units
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import Problem, pose
from interp_widgets.methods.circuits.scorers import Scorer, find
from interp_widgets.methods.circuits.tally import Level
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.session.prompts import Prompt, PromptBatch


@catalogue.method(
    "circuit",
    result="circuit",
    title="Circuit",
    paper=(
        "Syed et al. 2023, arXiv:2310.10348 (EAP); Hanna et al. 2024, arXiv:2403.17806 (EAP-IG); "
        "Mueller et al. 2025, arXiv:2504.13151 (sizes, faithfulness)"
    ),
    family="circuits",
    unit="edge between components",
    cost="2 forward passes and 1 forward and backward pass per step, for each batch of pairs; "
    "13 forward passes for faithfulness",
    tags="mechanistic, interventional, global, hypothesis generation, circuit, head, layer, neuron",
)
def circuit(
    run: Run,
    clean: Prompt | PromptBatch | Sequence[Prompt],
    corrupted: Prompt | PromptBatch | Sequence[Prompt],
    *,
    method: str = "eap-ig",
    steps: int | None = None,
    options: Mapping[str, float | str | Sequence[float]] | None = None,
    endpoint: Literal["clean", "corrupted"] = "clean",
    metric: Literal["logit_difference", "kl"] = "logit_difference",
    level: Level = "edge",
    positions: bool = False,
    ablation: AblationName = "interchange",
    size: float | None = None,
    faithfulness: bool = True,
    sizes: Sequence[float] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> CircuitResult:
    """Score every edge between heads, MLPs, embeddings and logits, and choose a circuit.

    An edge's score is how much of the behaviour is lost when this edge alone carries what it
    carries on the corrupted prompt; q, k and v inputs of a head are edges of their own. The circuit
    is the set of edges of largest |score|, pruned to paths from the input to the logits. What it
    keeps is measured, not estimated: all other edges carry corrupted values, edges inside carry
    recomputed ones.

    The session's interventions apply to both prompts.

    Parameters
    ----------
    clean, corrupted
        A pair of prompts, or lists of pairs, of equal length pair by pair; the clean ones with
        answer and foil for the logit difference.
    method
        ``"eap"``: gradient at the clean prompt; ``"eap-ig"``: gradients averaged on the way from
        the corrupted to the clean embeddings, which sees edges into saturated components;
        ``"eap-ig-activations"``: averaged over what each writer itself writes;
        ``"clean-corrupted"``: averaged over both ends; ``"exact"``: every edge patched alone, for
        small models. By the KL divergence from the clean run, whatever ``metric`` is: ``"acdc"``,
        edges cut one after the other; ``"edge-pruning"`` and ``"ugs"``, gates learned by gradient
        descent. ``"flow-routes"``: who wrote what is read, without metric and corrupted prompt.
        ``iw.circuits.SCORERS`` lists all, with papers and options.
    steps
        Inputs averaged by EAP-IG (5, the paper's), or steps of learning gates (300).
    options
        Constants of the method, by name: ``{"taus": [0.1, 0.01]}`` of ACDC, ``{"sparsity": 0.98}``
        of Edge Pruning, ``{"price": 0.001}`` of UGS; default ``SCORERS[method].options``.
    endpoint
        Which end of the way EAP-IG includes: ``"clean"`` as in the paper, ``"corrupted"`` as in the
        authors' library.
    metric
        ``"logit_difference"`` of answer and foil, or ``"kl"`` divergence from the clean run, at the
        last position.
    level
        ``"edge"``: edges between components; ``"node"``: heads and MLPs with all their edges;
        ``"neuron"``: single dimensions of what a component writes, as in the MIB benchmark.
    positions
        Whether an edge or node at each position is a unit of its own (prompts of one length).
    ablation
        What cut edges carry: ``"interchange"`` (what they carry on the corrupted prompt),
        ``"zero"``, ``"mean"``, ``"mean_positional"``, ``"resample"`` or ``"optimal"``; see
        :class:`~interp_widgets.methods.circuits.ablation.Ablation`.
    size
        Edges of the circuit: a number, or a share of all as a float. Default: the smallest size
        measured with a faithfulness of at least 0.85; without ``faithfulness``, 5 %.
    faithfulness
        Whether to measure faithfulness by size, which the view's slider shows.
    sizes
        Sizes to measure; default 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50 and 100 % of the edges.
    batch_size
        Pairs per run; default as many as fit into about 512 MB.

    Returns
    -------
    CircuitResult
        Scores ``[n_forward, n_backward]`` in units of the metric per pair, the chosen edges, the
        metric on the clean and corrupted prompts, faithfulness by size.

    Raises
    ------
    CircuitError
        When prompts of a pair differ in length, answer or foil is missing, the metric does not tell
        clean from corrupted, the method has no such option, or the model is not a sum of components
        (post-norm).

    Notes
    -----
    Results depend on the way of ablation (here: interchange with the corrupted prompt), on edges
    instead of nodes, on positions (here: all together) and on the template of the prompts
    (Miller et al. 2024, arXiv 2407.08734). All four are part of the result.

    Examples
    --------
    >>> found = iw.circuit(clean, corrupted, method="eap-ig")
    >>> found.top(5); found.faithfulness
    """
    scorer = find(method, level, positions=positions)
    chosen = {**scorer.settle(steps, options), "endpoint": endpoint, "seed": seed}
    pairs = Pairs.of(clean, corrupted, batch_size)
    problem = pose(pairs, metric, ablation, level=level, positions=positions, seed=seed)
    total = Units(problem.engine.graph, level, np.zeros(problem.shape, np.int8)).total
    wanted = sizes_of(total, sizes) if faithfulness else []
    fixed = None if size is None else sizes_of(total, [size])[0]
    if fixed is not None and faithfulness:
        wanted = sorted({*wanted, fixed})
    bar = _Bar(run, scorer.runs(problem, chosen), len(wanted))
    scores = scorer.score(problem, chosen, bar.first)
    if fixed is None and "in_circuit" in problem.arrays:  # the method chose one itself
        fixed = int(problem.arrays["in_circuit"].sum())
        wanted = sorted({*wanted, fixed}) if faithfulness else []
    values = problem.values()
    units = Units(problem.engine.graph, level, scores.astype(np.float32))
    if level == "edge" and not positions:
        units = Units(units.graph.with_scores(scores), level, units.scores)
    arrays: dict[str, Any] = dict(problem.arrays)
    meta = _meta(problem, scorer, chosen, values)
    if wanted:
        curve = measure_faithfulness(problem, units, wanted, bar.second)
        arrays |= {
            "faithfulness_sizes": curve.sizes,
            "faithfulness_edges": curve.kept,
            "faithfulness": curve.values.astype(np.float32),
            "faithfulness_interval": curve.interval().astype(np.float32),
            "metric_by_size": curve.metric.astype(np.float32),
        }
        meta |= {"checks": curve.checks}
        fixed = fixed if fixed is not None else curve.smallest()
    if fixed is None:
        fixed = max(1, round(0.05 * total))
    part = units.top(fixed)
    result = CircuitResult.from_graph(_scored(part.graph, units), size=fixed, **meta)
    if not (level == "edge" and not positions):
        arrays["unit_scores"] = units.scores
    result.arrays.update(arrays)
    result.cutter = lambda mask: measure_cut(problem, mask)
    return result


def _scored(graph: Graph, units: Units) -> Graph:
    """Give the edges scores to be drawn by: their own, summed over positions, or of their ends.

    An edge between nodes has the smaller of their scores, with the writer's sign, so that the
    strongest edges are those within the circuit of the best nodes. Input and logits do not count.
    """
    scores = units.scores
    if units.level == "edge":
        return graph.with_scores(scores.sum(-1) if units.positional else scores)
    own = scores.reshape(len(scores), -1).sum(1)
    sizes = {node.component: abs(float(x)) for node, x in zip(graph.forward, own, strict=True)}
    ends = max(sizes.values())
    sizes["input"] = ends
    writers = np.array([sizes[node.component] for node in graph.forward])
    readers = np.array([sizes.get(node.component, ends) for node in graph.backward])
    drawn = np.minimum(writers[:, None], readers[None]) * np.where(own < 0, -1, 1)[:, None]
    return graph.with_scores(np.where(graph.real_edge_mask, drawn, 0))


def _constant(value: float | str | Sequence[float]) -> str:
    if isinstance(value, str):
        return value
    return "/".join(f"{x:g}" for x in value) if isinstance(value, Sequence) else f"{value:g}"


def _meta(
    problem: Problem, scorer: Scorer, options: dict[str, Any], values: dict[str, float]
) -> dict[str, Any]:
    clean, corrupted = problem.pairs.first
    title = scorer.title
    facts = []
    if scorer.steps > 2:
        facts.append(f"{options['steps']} step{'s' if options['steps'] > 1 else ''}")
    if title == "EAP-IG":
        facts.append(f"{options['endpoint']} end included")
    facts += [f"{name} {_constant(options[name])}" for name in scorer.options]
    scoring = ", ".join([title, *facts])
    where = "each position by itself" if problem.positions else "all positions"
    return {
        "title": f"Circuit by {title}",
        "scoring": scoring,
        "metric": problem.metric.title,
        "level": problem.level,
        "d_model": problem.pairs.session.anatomy.d_model,
        "ablation": f"{problem.ablation.title}, {where}",
        "n_pairs": len(problem.pairs),
        "tokens": list(clean.tokens),
        "corrupted_tokens": list(corrupted.tokens),
        "answer": clean.answer_token,
        "foil": clean.foil_token,
        "values": values,
        "n_edges": problem.engine.graph.n_edges,
    }


class _Bar:
    """One progress bar over scoring and measuring, by their runs over all pairs."""

    def __init__(self, run: Run, runs: float, sizes: int) -> None:
        self.run = run
        self.share = runs / (runs + sizes + 2) if sizes else 1.0

    def first(self, done: int, total: int) -> None:
        """Report within the scoring."""
        self.run.progress(round(1000 * self.share * done / total), 1000)

    def second(self, done: int, total: int) -> None:
        """Report within the measuring of faithfulness."""
        self.run.progress(round(1000 * (self.share + (1 - self.share) * done / total)), 1000)
