"""How the story changes with the way of ablation, with edges or nodes, positions and prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from interp_widgets.methods import catalogue
from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.circuits.ablation import ABLATIONS, AblationName
from interp_widgets.methods.circuits.completeness import subject_of
from interp_widgets.methods.circuits.metrics import MetricName
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import pose
from interp_widgets.methods.circuits.trials import (
    Subject,
    Trials,
    between,
    bootstrap,
    limits,
    over_positions,
)
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch

FAR = 0.2
"""Figures that lie further apart than this tell different stories."""


@catalogue.method(
    "circuit_sensitivity",
    result="array",
    title="Faithfulness under other choices",
    paper="Miller et al. 2024, arXiv:2407.08734",
    family="circuits",
    unit="way of ablation",
    cost="6 forward passes per way of ablation and batch of pairs; optimal: 100 with gradients",
    tags="mechanistic, interventional, global, verification, circuit",
)
def sensitivity(
    run: Run,
    clean: Prompt | PromptBatch | Sequence[Prompt],
    corrupted: Prompt | PromptBatch | Sequence[Prompt],
    kept: Tensor,
    *,
    ablations: Sequence[AblationName] = tuple(ABLATIONS),
    templates: Mapping[str, Sequence[int]] | None = None,
    metric: MetricName = "logit_difference",
    batch_size: int | None = None,
    seed: int = 0,
) -> ArrayResult:
    """Measure the faithfulness of one circuit under all ways of ablation, by edges and by nodes.

    With edges, every edge outside the circuit is cut; with nodes, all edges of every component that
    the circuit does not use, and none between those it uses. A circuit that tells positions apart
    is also measured with its edges whole at all positions.

    Parameters
    ----------
    clean, corrupted
        Pairs of prompts, best held out.
    kept
        The circuit's edges, a mask ``[n_forward, n_backward]`` or with positions as a third axis;
        ``iw.circuits.sensitivity(session, circuit, …)`` takes a circuit instead.
    ablations
        Ways to compare; default all.
    templates
        Numbers of the pairs of each template, ``{"ABBA": [0, 2], "BABA": [1, 3]}``: each is also
        measured by itself.
    metric, batch_size
        As in :func:`iw.circuit`.

    Returns
    -------
    ArrayResult
        ``values [ablation, cut, prompts]``; NaN where an ablation does not work on these prompts.
        ``interval [ablation, cut, prompts, 2]`` by bootstrap over pairs. ``meta["note"]`` warns of
        choices that move the figure by more than 0.2, ``meta["failed"]`` says why one is missing.

    Raises
    ------
    CircuitError
        When no way of ablation works.
    ValueError
        For a template without pairs or of pairs that are not there.

    Examples
    --------
    >>> table = iw.circuits.sensitivity(session, circuit, held_out, held_out_corrupted)
    >>> table.meta["note"]; table.frame()
    """
    pairs = Pairs.of(clean, corrupted, batch_size)
    groups = _groups(pairs, clean, templates)
    if not ablations:
        raise ValueError("give at least one way of ablation")
    failed: dict[str, str] = {}
    values: list[Any] = []
    cuts: list[str] = []
    for i, way in enumerate(ablations):

        def progress(done: int, total: int, i: int = i) -> None:
            run.progress(round(1000 * (i + done / total)), 1000 * len(ablations))

        try:
            problem = pose(pairs, metric, way, seed=seed, progress=progress)
            ways = _ways(subject_of(problem.engine.graph, kept))
            cuts = list(ways)
            trials = Trials(problem)
            samples = trials.measure(list(ways.values()))
        except CircuitError as error:
            failed[way] = str(error)
            values.append(None)
            continue
        progress(1, 1)
        values.append([_measured(trials, samples, rows, seed) for rows in groups.values()])
    if len(failed) == len(ablations):
        raise CircuitError(next(iter(failed.values())))
    empty = np.full((len(groups), len(cuts), 3), np.nan)
    table = np.stack([empty if v is None else np.stack(v) for v in values]).transpose(0, 2, 1, 3)
    labels: dict[str, list[str]] = {
        "ablation": list(ablations),
        "cut": cuts,
        "prompts": list(groups),
    }
    return ArrayResult(
        {
            "values": table[..., 0].astype(np.float32),
            "interval": table[..., 1:].astype(np.float32),
        },
        {
            "dims": ["ablation", "cut", "prompts"],
            "labels": labels,
            "quantity": "faithfulness of the circuit",
            "signed": True,
            "title": "Faithfulness under other choices",
            "failed": failed,
            "note": warning(table[..., 0], labels, failed),
        },
    )


def warning(
    values: np.ndarray, labels: Mapping[str, Sequence[str]], failed: Mapping[str, str]
) -> str:
    """Say which choices move faithfulness by more than 0.2.

    Parameters
    ----------
    values
        ``[ablation, cut, prompts]``.
    """
    words = {"ablation": "the way of ablation", "cut": "what is cut", "prompts": "the template"}
    found = []
    for axis, (dim, names) in enumerate(labels.items()):
        if len(names) < 2:
            continue
        spread = _spread(values, axis)
        if spread.size == 0 or not np.nanmax(spread) > FAR:
            continue
        at = np.unravel_index(np.nanargmax(spread), spread.shape)
        line = np.moveaxis(values, axis, -1)[at]
        low, high = int(np.nanargmin(line)), int(np.nanargmax(line))
        found.append(
            f"{words[dim]} changes the story: {line[low]:.2f} with {names[low]}, "
            f"{line[high]:.2f} with {names[high]}"
        )
    if not found:
        found = [f"no choice moves faithfulness by more than {FAR:g}"]
    return "; ".join([*found, *(f"{way} is missing: {why}" for way, why in failed.items())])


def _spread(values: np.ndarray, axis: int) -> np.ndarray:
    """Return largest less smallest along an axis, NaN where fewer than two are there."""
    there = np.isfinite(values).sum(axis) > 1
    high = np.where(np.isfinite(values), values, -np.inf).max(axis)
    low = np.where(np.isfinite(values), values, np.inf).min(axis)
    with np.errstate(invalid="ignore"):
        spread = np.where(there, high - low, np.nan)
    return spread if there.any() else np.empty(0)


def _ways(subject: Subject) -> dict[str, np.ndarray]:
    """Return what stays, by the way of cutting, all in one shape."""
    graph, kept = subject.graph, subject.kept
    flat = np.asarray(kept.any(-1)) if kept.ndim == 3 else kept
    found = {"edges": kept}
    if kept.ndim == 3:
        found["edges at all positions"] = over_positions(flat, kept)
    rows, columns = np.nonzero(flat)
    used = {graph.forward[r].component for r in rows}
    used |= {graph.backward[c].component for c in columns}
    found["nodes"] = over_positions(between(graph, used), kept)
    return found


def _measured(trials: Trials, samples: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return faithfulness and limits on some pairs ``[cut, 3]``."""
    pick = rows[bootstrap(len(rows), seed=seed)]
    value = trials.shares_of_draws(samples, rows[None])[:, 0]
    return np.concatenate([value[:, None], limits(trials.shares_of_draws(samples, pick))], 1)


def _groups(
    pairs: Pairs, clean: Any, templates: Mapping[str, Sequence[int]] | None
) -> dict[str, np.ndarray]:
    """Return the pairs of each template by their place in the batches."""
    given = [clean] if isinstance(clean, Prompt) else list(clean)
    lengths = sorted({len(prompt) for prompt in given})
    order = [i for n in lengths for i, prompt in enumerate(given) if len(prompt) == n]
    place = {pair: at for at, pair in enumerate(order)}
    found = {"all": np.arange(len(pairs))}
    for name, numbers in (templates or {}).items():
        wrong = [i for i in numbers if i not in place]
        if wrong or not len(numbers):
            raise ValueError(
                f"template {name!r} names pair {wrong[0]}, and there are {len(given)}"
                if wrong
                else f"template {name!r} has no pairs"
            )
        found[name] = np.array(sorted(place[int(i)] for i in numbers))
    return found
