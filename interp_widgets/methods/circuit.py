"""Circuits: which edges between components carry a behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods import catalogue
from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.circuits.eap import Ends, Progress, eap, eap_ig, exact
from interp_widgets.methods.circuits.engine import Loss, ModelEngine
from interp_widgets.methods.circuits.evaluate import (
    ENOUGH,
    Pairs,
    measure_cut,
    sizes_of,
)
from interp_widgets.methods.circuits.evaluate import (
    faithfulness as measure_faithfulness,
)
from interp_widgets.methods.circuits.metrics import Metric
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.session.prompts import Prompt, PromptBatch

TITLES = {"eap": "EAP", "eap-ig": "EAP-IG", "exact": "Exact edge patching"}
MOST_EXACT = 5_000
"""More edges than this take hours one by one."""


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
)
def circuit(
    run: Run,
    clean: Prompt | PromptBatch | Sequence[Prompt],
    corrupted: Prompt | PromptBatch | Sequence[Prompt],
    *,
    method: Literal["eap", "eap-ig", "exact"] = "eap-ig",
    steps: int = 5,
    endpoint: Literal["clean", "corrupted"] = "clean",
    metric: Literal["logit_difference", "kl"] = "logit_difference",
    size: float | None = None,
    faithfulness: bool = True,
    sizes: Sequence[float] | None = None,
    batch_size: int | None = None,
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
        ``"exact"``: every edge patched alone, for small models.
    steps
        Inputs averaged by EAP-IG; 5 is the paper's.
    endpoint
        Which end of the way EAP-IG includes: ``"clean"`` as in the paper, ``"corrupted"`` as in the
        authors' library.
    metric
        ``"logit_difference"`` of answer and foil, or ``"kl"`` divergence from the clean run, at the
        last position.
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
        clean from corrupted, or the model is not a sum of components (post-norm).

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
    pairs = Pairs.of(clean, corrupted, batch_size)
    session = run.session
    if method == "eap" and metric == "kl":
        raise CircuitError(
            "the KL divergence from the clean run has no gradient at the clean run, so EAP would "
            'score every edge 0; use method="eap-ig" or the logit difference'
        )
    engine = ModelEngine(session, pairs.batches[0][0])
    measure = Metric(metric)
    for batch, _ in pairs:
        measure.check(batch)
    wanted = sizes_of(engine.graph.n_edges, sizes) if faithfulness else []
    fixed = None if size is None else sizes_of(engine.graph.n_edges, [size])[0]
    if fixed is not None and faithfulness:
        wanted = sorted({*wanted, fixed})
    bar = _Bar(run, len(pairs.batches), method, steps, len(wanted))
    scores, values = _score(engine, pairs, measure, method, steps, endpoint, bar)
    graph = engine.graph.with_scores(scores)
    meta = _meta(graph, pairs, measure, method, steps, endpoint, values)
    arrays: dict[str, Any] = {}
    if wanted:
        curve = measure_faithfulness(engine, graph, pairs, measure, wanted, bar.second)
        arrays = {
            "faithfulness_sizes": curve.sizes,
            "faithfulness_edges": curve.edges,
            "faithfulness": curve.values.astype(np.float32),
            "metric_by_size": curve.metric.astype(np.float32),
        }
        meta |= {"checks": curve.checks}
        if fixed is None:
            enough = np.flatnonzero(curve.values >= ENOUGH)
            fixed = int(curve.sizes[enough[0]]) if len(enough) else None
    if fixed is None:
        fixed = max(1, round(0.05 * graph.n_edges))
    graph = graph.top_n(fixed).prune()
    result = CircuitResult.from_graph(graph, size=fixed, **meta)
    result.arrays.update(arrays)
    result.cutter = lambda mask: measure_cut(pairs, measure, mask)
    return result


def _score(
    engine: ModelEngine,
    pairs: Pairs,
    metric: Metric,
    method: str,
    steps: int,
    endpoint: Any,
    bar: _Bar,
) -> tuple[np.ndarray, dict[str, float]]:
    """Return mean scores and the mean metric of both ends."""
    total = np.zeros(engine.graph.shape, np.float64)
    ends = np.zeros(2)
    for clean, corrupted in pairs:

        def loss(logits: Tensor, clean: PromptBatch = clean) -> Loss:
            fixed = logits.detach()
            return lambda own: -metric.sign * metric.value(own, clean, fixed)

        both = Ends.of(engine, clean, corrupted)
        ours, theirs = both.logits, both.corrupted_logits
        if not bool(torch.isfinite(ours).all() and torch.isfinite(theirs).all()):
            raise CircuitError("the model's logits are not finite on these prompts")
        ends += [float(metric.value(x, clean, ours).double().sum()) for x in (ours, theirs)]
        if method == "exact":
            total += _exact(engine, clean, corrupted, loss, both, bar.first)
        elif method == "eap":
            total += eap(engine, clean, corrupted, loss, ends=both)
        else:
            total += eap_ig(
                engine,
                clean,
                corrupted,
                loss,
                steps=steps,
                endpoint=endpoint,
                ends=both,
                progress=bar.first,
            )
        bar.next()
    mean = ends / len(pairs)
    if not abs(mean[0] - mean[1]) > 1e-6 * max(1.0, abs(mean[0])):
        raise CircuitError(
            f"the {metric.title} is {mean[0]:.4g} on the clean and on the corrupted prompts: they "
            "have to differ for a circuit to explain the difference"
        )
    return total / len(pairs), {"clean": float(mean[0]), "corrupted": float(mean[1])}


def _exact(
    engine: ModelEngine,
    clean: PromptBatch,
    corrupted: PromptBatch,
    loss: Any,
    ends: Ends,
    progress: Progress,
) -> np.ndarray:
    if engine.graph.n_edges > MOST_EXACT:
        raise CircuitError(
            f"exact patching runs the model once per edge, and there are {engine.graph.n_edges:,}; "
            'it is meant for small models: use method="eap-ig"'
        )
    return exact(
        engine,
        clean,
        corrupted,
        loss,
        repeat=lambda batch, n: PromptBatch(batch.prompts * n),
        ends=ends,
        progress=progress,
    )


def _meta(
    graph: Graph,
    pairs: Pairs,
    metric: Metric,
    method: str,
    steps: int,
    endpoint: str,
    values: dict[str, float],
) -> dict[str, Any]:
    clean, corrupted = pairs.first
    scoring = TITLES[method]
    if method == "eap-ig":
        scoring += f", {steps} step{'s' if steps > 1 else ''}, {endpoint} end included"
    return {
        "title": f"Circuit by {TITLES[method]}",
        "scoring": scoring,
        "metric": metric.title,
        "ablation": "interchange with the corrupted prompt, all positions",
        "n_pairs": len(pairs),
        "tokens": list(clean.tokens),
        "corrupted_tokens": list(corrupted.tokens),
        "answer": clean.answer_token,
        "foil": clean.foil_token,
        "values": values,
        "n_edges": graph.n_edges,
    }


class _Bar:
    """One progress bar over scoring and measuring, in units of runs of the model."""

    def __init__(self, run: Run, batches: int, method: str, steps: int, sizes: int) -> None:
        self.run = run
        self.batches = batches
        self.share = 0.9 if method == "exact" else 3 * steps / (3 * steps + sizes + 2)
        self.share = self.share if sizes else 1.0
        self.done = 0

    def first(self, done: int, total: int) -> None:
        """Report within the scoring of a batch."""
        part = (self.done + done / total) / self.batches
        self.run.progress(round(1000 * self.share * part), 1000)

    def next(self) -> None:
        """Go on to the next batch."""
        self.done += 1
        self.first(0, 1)

    def second(self, done: int, total: int) -> None:
        """Report within the measuring of faithfulness."""
        self.run.progress(round(1000 * (self.share + (1 - self.share) * done / total)), 1000)
