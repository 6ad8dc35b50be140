"""One question, several methods: whether they rank the same units alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from interp_widgets.methods import cav
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.circuits.engine import ModelEngine
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import Problem, pose
from interp_widgets.methods.circuits.scorers import SCORERS, find
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.direct_logit_attribution import direct_logit_attribution
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site

Unit = Literal["head", "node", "edge"]
LEARNED = ("edge-pruning", "ugs", "cdt-search")
"""Methods that take minutes: only when they are asked for."""
OWN = {
    "direct": "Direct logit attribution",
    "attention": "Attention",
    "probe": "Probe",
}
"""Methods beside those of circuits; they score heads."""


@method(
    "crosscheck",
    result="array",
    title="Agreement of methods",
    paper="Bereska and Gavves 2024, arXiv:2404.14082 §5; Krishna et al. 2022, arXiv:2202.01602",
    family="circuits",
    unit="pair of methods",
    cost="what the methods cost",
    tags="mechanistic, interventional, global, verification, head, layer, circuit",
)
def crosscheck(
    run: Run,
    clean: Prompt | PromptBatch | Sequence[Prompt],
    corrupted: Prompt | PromptBatch | Sequence[Prompt],
    methods: Sequence[str] | None = None,
    *,
    by: Unit = "head",
    top: int = 5,
    threshold: float = 0.5,
    draws: int = 199,
    batch_size: int | None = None,
    seed: int = 0,
) -> ArrayResult:
    """Score the same units by several methods and say how far their rankings agree.

    No single method counts as verification. Where one disagrees with exact patching, it does not
    measure what patching measures on these prompts; where all agree, they may still share a blind
    spot.

    Parameters
    ----------
    clean, corrupted
        Pairs of prompts as in :func:`iw.circuit`, the clean ones with answer and foil.
    methods
        Names of ``iw.circuits.SCORERS``; for heads also ``"direct"`` (direct logit attribution),
        ``"attention"`` (how far the last token's attention changes between the two prompts) and
        ``"probe"`` (how well the head's output tells them apart, area under the curve, on pairs
        held out). Default: all that score these units and take no training.
    by
        ``"head"``, ``"node"`` (heads and MLPs) or ``"edge"``.
    top
        Units of largest |score| whose overlap is counted.
    threshold
        Rank correlation below which two methods are named as disagreeing.
    draws, seed
        Null: rankings in random order.

    Returns
    -------
    ArrayResult
        ``[method, other]``: Spearman's correlation of |score|. ``scores [method, unit]``,
        ``overlap [method, other]`` (share of the ``top`` units in common), ``p [method, other]``.
        ``meta["disagreements"]``, also in ``meta["note"]``; ``meta["units"]``.

    Raises
    ------
    CircuitError
        For an unknown method, one that does not score these units, or fewer than two.

    Examples
    --------
    >>> iw.crosscheck(clean, corrupted, ["exact", "eap", "attention"]).view()
    """
    names = _chosen(methods, by)
    pairs = Pairs.of(clean, corrupted, batch_size)
    if methods is None and len(pairs) < 4:
        names = [name for name in names if name != "probe"]
    scores, failed = {}, {}
    for i, name in enumerate(names):

        def within(done: int, total: int, i: int = i) -> None:
            run.progress(i * 1000 + 1000 * done // max(total, 1), 1000 * len(names))

        try:
            scores[name] = np.abs(_score(name, run, pairs, by, seed, within))
        except CircuitError as error:
            if methods is not None:
                raise
            failed[name] = str(error)
    names = list(scores)
    if len(names) < 2:
        raise CircuitError(f"agreement needs two methods, and only {names} ran: {failed}")
    table = np.stack([scores[name] for name in names])
    agreement = spearman(table)
    overlap = _overlap(table, top)
    rng = np.random.default_rng(seed)
    null = np.stack([_shuffled(table, rng) for _ in range(draws)])
    p = (1 + (null >= agreement).sum(0)) / (1 + draws)
    titles = [_title(name) for name in names]
    apart = [
        f"{titles[i]} and {titles[j]} (ρ = {agreement[i, j]:.2f})"
        for i in range(len(names))
        for j in range(i)
        if not agreement[i, j] >= threshold
    ]
    note = f"Disagree (ρ below {threshold:g}): " + "; ".join(apart) if apart else ""
    return ArrayResult(
        {
            "values": agreement.astype(np.float32),
            "scores": table.astype(np.float32),
            "overlap": overlap.astype(np.float32),
            "p": p.astype(np.float32),
        },
        {
            "dims": ["method", "other"],
            "labels": {"method": titles, "other": titles},
            "quantity": f"rank correlation of |score| over {table.shape[1]:,} {by}s",
            "signed": True,
            "title": f"Agreement of methods on {by}s",
            "names": names,
            "units": _units(pairs, by),
            "disagreements": apart,
            "failed": failed,
            **({"note": note} if note else {}),
        },
    )


def spearman(table: np.ndarray) -> np.ndarray:
    """Return rank correlations ``[method, method]`` of ``[method, unit]``; ties share a rank."""
    ranks = np.stack([_ranks(row) for row in table])
    ranks = ranks - ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((ranks @ ranks.T) / np.outer(lengths, lengths))


def _ranks(row: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def _shuffled(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return spearman(np.stack([rng.permutation(row) for row in table]))


def _overlap(table: np.ndarray, top: int) -> np.ndarray:
    k = min(top, table.shape[1])
    sets = [set(np.argsort(-row, kind="stable")[:k].tolist()) for row in table]
    return np.array([[len(a & b) / k for b in sets] for a in sets])


def _chosen(methods: Sequence[str] | None, by: Unit) -> list[str]:
    level = "edge" if by == "edge" else "node"
    own = list(OWN) if by == "head" else []
    able = [name for name, s in SCORERS.items() if level in s.levels]
    if methods is None:
        return [*(name for name in able if name not in LEARNED), *own]
    for name in methods:
        if name not in (*able, *own):
            raise CircuitError(
                f"{name!r} does not score {by}s; these do: {', '.join([*able, *own])}"
            )
    if len(set(methods)) < 2:
        raise CircuitError("agreement needs two methods or more")
    return list(dict.fromkeys(methods))


def _score(
    name: str,
    run: Run,
    pairs: Pairs,
    by: Unit,
    seed: int,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    """Return scores ``[unit]``."""
    if name in OWN:
        return _by_head(name, run, pairs, seed)
    level: Literal["edge", "node"] = "edge" if by == "edge" else "node"
    scorer = find(name, level, positions=False)
    problem: Problem = pose(pairs, "logit_difference", level=level, seed=seed)
    options = {**scorer.settle(None, None), "endpoint": "clean", "seed": seed}
    found = np.asarray(scorer.score(problem, options, progress))
    if by == "edge":
        return np.asarray(found[problem.engine.graph.real_edge_mask])
    rows = _rows(problem.engine, by)
    return np.asarray(found[rows])


def _rows(engine: ModelEngine, by: Unit) -> list[int]:
    nodes = engine.graph.forward
    return [i for i, node in enumerate(nodes) if i and (by == "node" or node.name.startswith("a"))]


def _units(pairs: Pairs, by: Unit) -> list[str]:
    engine = ModelEngine(pairs.session, pairs.batches[0][0])
    if by == "edge":
        graph = engine.graph
        rows, columns = np.nonzero(graph.real_edge_mask)
        return [
            f"{graph.forward[r].name}->{graph.backward[c].name}"
            for r, c in zip(rows, columns, strict=True)
        ]
    return [engine.graph.forward[i].name for i in _rows(engine, by)]


def _by_head(name: str, run: Run, pairs: Pairs, seed: int) -> np.ndarray:
    """Return ``[layer · head]`` by a method that is none of circuits."""
    both = [(a, b) for clean, corrupted in pairs for a, b in zip(clean, corrupted, strict=True)]
    if name == "direct":
        ours = direct_logit_attribution([a for a, _ in both]).numpy("values")
        theirs = direct_logit_attribution([_asked(b, a) for a, b in both]).numpy("values")
        return np.asarray((ours - theirs).reshape(-1))
    layers = range(run.session.anatomy.n_layers)
    if name == "attention":
        total: Any = 0
        for a, b in both:
            found = [run.session.capture(p, [Site("pattern", i) for i in layers]) for p in (a, b)]
            last = [
                np.concatenate([f[Site("pattern", i)][:, -1].float().cpu().numpy() for i in layers])
                for f in found
            ]
            total = total + np.abs(last[0] - last[1]).sum(1) / 2
        return np.asarray(total / len(both))
    return _probe(run, both, layers, seed)


def _probe(run: Run, both: Sequence[tuple[Prompt, Prompt]], layers: range, seed: int) -> np.ndarray:
    """Return how well each head's output at the last token tells clean from corrupted, held out."""
    if len(both) < 4:
        raise CircuitError("a probe needs four pairs or more: half to fit and half to measure")
    sides = []
    for side in range(2):
        rows = []
        for pair in both:
            found = run.session.capture(pair[side], [Site("z", i) for i in layers])
            rows.append(
                np.concatenate([found[Site("z", i)][-1].double().cpu().numpy() for i in layers])
            )
        sides.append(np.stack(rows, 1))
    scores = []
    for high, low in zip(*sides, strict=True):
        try:
            parts = cav.held_out_projections(high, low, folds=2, seed=seed)
        except ValueError:  # the head writes the same on both
            scores.append(0.0)
            continue
        scores.append(max(0.0, 2 * cav.auc(*parts) - 1))
    return np.array(scores)


def _asked(prompt: Prompt, like: Prompt) -> Prompt:
    """Return a prompt with another's answer and foil."""
    return prompt.session.prompt(list(prompt.ids), answer=like.answer, foil=like.foil)


def _title(name: str) -> str:
    return OWN[name] if name in OWN else SCORERS[name].title
