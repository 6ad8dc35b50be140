"""Extracting the heads and MLPs that a task needs: ``iw.extract_circuit`` and its sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.extraction.live import LiveExtraction, toggled_by
from interp_widgets.methods.extraction.pruned import weights_without_embeddings
from interp_widgets.methods.extraction.study import (
    AblationName,
    Study,
    Success,
    nodes_of,
    prompt_list,
)
from interp_widgets.methods.extraction.surgery import Surgeon, weights_saved
from interp_widgets.methods.extraction.sweep import Order, Sweep, in_order, sweep
from interp_widgets.results.arrangement import component
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.extraction_sweep import ExtractionSweep
from interp_widgets.results.task_circuit import TaskCircuit, node_parts
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.session import Session

PAPER = "García-Carrasco et al. 2024, arXiv:2412.15750"
LOW, HIGH, COUNT = 1e-5, 1.0, 30
"""Thresholds of the paper: 30, evenly spaced on a logarithmic scale."""


@method(
    "extract_circuit",
    result="task_circuit",
    title="Extracted circuit",
    paper=PAPER,
    family="circuits",
    tags="mechanistic, interventional, global, hypothesis generation, circuit, head, layer",
    unit="attention head, MLP",
    cost="1 forward pass per head and MLP over all prompts, from its layer on",
)
def extract_circuit(
    run: Run,
    prompts: Prompt | PromptBatch | Sequence[Prompt],
    reference: Prompt | PromptBatch | Sequence[Prompt] | None = None,
    *,
    threshold: float = 0.05,
    ablation: AblationName = "mean",
    mlps: bool = True,
    order: Order = "reverse",
    success: Success = "top",
    answers: Sequence[Sequence[str | int]] | None = None,
    seed: int = 0,  # noqa: ARG001 - the run has it
) -> TaskCircuit:
    """Find the heads and MLPs that a task needs, by one greedy sweep from the last layer back.

    Each head, and after a layer's heads its MLP, is replaced by what it writes on average at each
    position (or by nothing). Where the KL divergence of the next token from the whole model's grows
    by less than ``threshold``, it stays replaced. ``found.prune()`` then cuts all that out of a
    copy of the model.

    The session's interventions apply. What is kept depends on the template of the prompts, on their
    length, on mean or zero, and, inside a layer, on the order of the heads.

    Parameters
    ----------
    prompts
        Prompts of one template: all of one length. A few hundred (the paper: 250).
    reference
        Prompts of the same template that means are taken over, others than those measured. None
        takes every second of ``prompts`` for the means.
    threshold
        Nats that the divergence may grow with one node. A negative growth is below any threshold.
    ablation
        ``"mean"``: the mean at each position; ``"zero"``: nothing.
    mlps
        Whether MLPs may go, too.
    order
        Of heads inside a layer: ``"reverse"`` (layers from the last, heads from 0) as in the paper,
        or ``"shuffled"`` with ``seed``.
    success
        What counts as accurate: ``"top"``, the answer is the top token (prompts without answers:
        the whole model's own top token); ``"over_foil"``, its logit is above the foil's.
    answers
        For each prompt the tokens that are right, where several are.
    seed
        Of a shuffled order.

    Returns
    -------
    TaskCircuit
        ``heads``, ``mlps``, ``trace``, ``kl``, ``accuracy``; ``prune()``, ``compare()``,
        ``measure()``. Look at KL beside accuracy: a broken model can still say the right token.

    Raises
    ------
    CircuitError
        When prompts differ in length, answers are missing, or the model has no heads, or parts
        that the residual stream is no sum of.
    ValueError
        For a threshold that is not a number.

    Examples
    --------
    >>> found = iw.extract_circuit(prompts, threshold=0.05)
    >>> found.figure(), found.prune().benchmark()
    """
    if not threshold == threshold:  # noqa: PLR0124 - NaN
        raise ValueError("the threshold is NaN; it has to be a number of nats")
    study = Study.of(run.session, prompts, reference, ablation, success, answers)
    layers = nodes_of(run.session, mlps=mlps)
    nodes = in_order(layers, order, run.seed or 0)
    found = sweep(study, nodes, threshold, run.progress)
    total = weights_without_embeddings(run.session.anatomy.root)
    surgeon = Surgeon(run.session, study.prompts[0], found.removed, study.means)
    theirs = _references(prompts, reference, ablation)
    meta = {
        **_shape(run.session, layers),
        "nodes": list(found.nodes),
        "mlps": mlps,
        "threshold": threshold,
        "ablation": ablation,
        "order": order,
        "length": study.length,
        "n_prompts": len(study.prompts),
        "n_reference": len(theirs),
        "baseline_accuracy": study.measure(()).accuracy,
        "weights": [total, total - weights_saved(surgeon)],
        "tokens": list(study.prompts[0].tokens),
        "title": "Extracted circuit",
    }
    arrays: dict[str, Any] = {
        "delta_kl": found.delta.astype(np.float32),
        "kept": found.kept,
        "kl": found.kl.astype(np.float32),
        "accuracy": found.accuracy.astype(np.float32),
        **{f"mean.{name}": value for name, value in study.means.items()},
    }
    result = TaskCircuit(arrays, meta)
    result.study = LiveExtraction(study, theirs)
    return result


@method(
    "extraction_sweep",
    result="extraction_sweep",
    title="Circuits by size",
    paper=PAPER,
    family="circuits",
    tags="mechanistic, interventional, global, hypothesis generation, circuit, head, layer",
    unit="attention head, MLP",
    cost="1 forward pass per head and MLP, for each threshold, setting and repeat; what was run "
    "before is not run again",
)
def extraction_sweep(
    run: Run,
    prompts: Prompt | PromptBatch | Sequence[Prompt],
    reference: Prompt | PromptBatch | Sequence[Prompt] | None = None,
    *,
    thresholds: Sequence[float] | None = None,
    ablations: Sequence[AblationName] = ("mean",),
    mlps: Sequence[bool] = (True,),
    repeats: int = 1,
    order: Order = "reverse",
    success: Success = "top",
    answers: Sequence[Sequence[str | int]] | None = None,
    seed: int = 0,
) -> ExtractionSweep:
    """Extract circuits at many thresholds: how small they get, and what that costs.

    Parameters
    ----------
    prompts, reference
        As in :func:`extract_circuit`.
    thresholds
        In nats; default 30 from 1e-5 to 1, evenly spaced on a logarithmic scale (the paper's).
    ablations, mlps
        Settings; every combination is run.
    repeats
        Runs of each, each on another random half of ``prompts`` with means over the other half (or
        over a random half of ``reference``). With one repeat the prompts are taken as in
        :func:`extract_circuit`.
    order, success, answers, seed
        As in :func:`extract_circuit`; the seed also draws the halves.

    Returns
    -------
    ExtractionSweep
        KL, accuracy and size by threshold, setting and repeat.

    Raises
    ------
    CircuitError
        As :func:`extract_circuit`.
    ValueError
        For thresholds that are not above 0, or no settings.

    Examples
    --------
    >>> sizes = iw.extraction_sweep(prompts, ablations=["mean", "zero"], mlps=[True, False])
    >>> sizes.figure("aaai", width="text")
    """
    values = np.geomspace(LOW, HIGH, COUNT) if thresholds is None else np.array(thresholds, float)
    values = np.unique(values)
    if not len(values) or not (values > 0).all():
        raise ValueError("thresholds are numbers of nats above 0, at least one")
    settings = [(a, bool(m)) for a in dict.fromkeys(ablations) for m in dict.fromkeys(mlps)]
    if not settings or repeats < 1:
        raise ValueError("there has to be at least one ablation, one of mlps and one repeat")
    everyone = [name for names in nodes_of(run.session, mlps=True) for name in names]
    total = weights_without_embeddings(run.session.anatomy.root)
    shape = (len(settings), repeats, len(values))
    arrays: dict[str, Any] = {
        name: np.zeros(shape, np.float32) for name in ("kl", "accuracy", "n_heads", "n_mlps")
    }
    arrays["weights"] = np.zeros(shape, np.int64)
    arrays["kept"] = np.ones((*shape, len(everyone)), bool)
    arrays["baseline"] = np.zeros(shape[:2], np.float32)
    at = {name: i for i, name in enumerate(everyone)}
    done, steps = 0, len(settings) * repeats * len(values)
    counted = 0
    for repeat in range(repeats):
        ours, theirs, right = _drawn(prompts, reference, answers, repeats, repeat, seed)
        studies = {
            a: Study.of(run.session, ours, theirs, a, success, right)
            for a in dict.fromkeys(ablations)
        }
        for s, (ablation, with_mlps) in enumerate(settings):
            study = studies[ablation]
            counted = len(study.prompts)
            layers = nodes_of(run.session, mlps=with_mlps)
            nodes = in_order(layers, order, seed + repeat)
            arrays["baseline"][s, repeat] = study.measure(()).accuracy
            for t, threshold in enumerate(values):
                begin = done

                def progress(i: int, n: int, begin: int = begin) -> None:
                    run.progress(begin * n + i, steps * n)

                found = sweep(study, nodes, float(threshold), progress)
                surgeon = Surgeon(run.session, study.prompts[0], found.removed, study.means)
                cell = (s, repeat, t)
                arrays["kept"][(*cell, [at[name] for name in found.removed])] = False
                _enter(arrays, cell, found, everyone, total - weights_saved(surgeon))
                done += 1
    arrays["thresholds"] = values
    names = [f"{a}, {'heads and MLPs' if m else 'heads only'}" for a, m in settings]
    meta = {
        **_shape(run.session, nodes_of(run.session, mlps=True)),
        "settings": [
            {"ablation": a, "mlps": m, "name": name}
            for (a, m), name in zip(settings, names, strict=True)
        ],
        "nodes": everyone,
        "total": total,
        "n_prompts": counted,
        "title": "Circuits by size",
    }
    return ExtractionSweep(arrays, meta)


@method(
    "circuit_toggles",
    result="array",
    title="A circuit, node by node",
    paper=PAPER,
    family="circuits",
    tags="mechanistic, interventional, global, verification, circuit, head, layer",
    unit="attention head, MLP",
    cost="1 forward pass per head (or MLP) over all prompts",
)
def circuit_toggles(
    run: Run,
    prompts: Prompt | PromptBatch | Sequence[Prompt],
    reference: Prompt | PromptBatch | Sequence[Prompt] | None = None,
    *,
    kept: Sequence[str] | None = None,
    nodes: Literal["heads", "mlps"] = "heads",
    ablation: AblationName = "mean",
    mlps: bool = True,
    success: Success = "top",
    answers: Sequence[Sequence[str | int]] | None = None,
) -> ArrayResult:
    """Measure what each head adds to a circuit: the divergence with it put in or taken out.

    A click on a head in the view ablates it in the session, and the circuit is measured again
    without it; a head that is not in the circuit is put back by a click. KL and accuracy of the
    circuit stand below the grid. Other interventions of the session apply as they are.

    Parameters
    ----------
    prompts, reference, ablation, success, answers
        As in :func:`extract_circuit`.
    kept
        Heads and MLPs of the circuit; None: all.
    nodes
        Whether heads or MLPs are toggled.
    mlps
        Whether MLPs that are not named are gone; ``False``: all of them stay.

    Returns
    -------
    ArrayResult
        ``[layer, head]`` (or ``[layer]``), in nats: KL without the head less KL with it, beside all
        others of the circuit. ``meta["kl"]``, ``meta["accuracy"]`` are the circuit's,
        ``meta["kept"]`` its nodes.

    Examples
    --------
    >>> iw.circuit_toggles(prompts, kept=found.kept).view(outline=found.outline)
    """
    session = run.session
    everyone = [name for names in nodes_of(session, mlps=True) for name in names]
    stays = set(everyone) if kept is None else _named(kept, everyone, mlps=mlps)
    clicked, rest = toggled_by(session.interventions.active)
    stays ^= clicked & set(everyone)
    with session.interventions.set_aside(but=rest):
        study = Study.of(session, prompts, reference, ablation, success, answers)
        removed = set(everyone) - stays
        now = study.measure(removed)
        chosen = [name for name in everyone if (".h" in name) == (nodes == "heads")]
        layers = nodes_of(session, mlps=True)
        width = max(sum(".h" in name for name in names) for names in layers)
        shape = (len(layers), width) if nodes == "heads" else (len(layers),)
        values = np.full(shape, np.nan, np.float32)
        for i, name in enumerate(reversed(chosen)):
            run.progress(i, len(chosen))
            other = study.measure(removed ^ {name}).divergence
            layer, head = node_parts(name)
            change = other - now.divergence
            values[(layer,) if head is None else (layer, head)] = (
                change if name in stays else -change
            )
    arrays = {"values": values, **({"mask": np.isnan(values)} if np.isnan(values).any() else {})}
    heads = [name for name in stays if ".h" in name]
    return ArrayResult(
        arrays,
        {
            "dims": ["layer", "head"] if nodes == "heads" else ["layer"],
            "labels": {"layer": [str(i) for i in range(len(layers))]},
            "quantity": "KL without the node less KL with it (nats)",
            "signed": True,
            "site": "z" if nodes == "heads" else "mlp_out",
            "kl": now.divergence,
            "accuracy": now.accuracy,
            "kept": [name for name in everyone if name in stays],
            "note": (
                f"Circuit of {len(heads)} heads and {len(stays) - len(heads)} MLPs: KL "
                f"{now.divergence:.3g} nats, accuracy {now.accuracy:.3f} "
                f"(whole model {study.measure(()).accuracy:.3f}), {len(study.prompts)} prompts"
            ),
        },
    )


def _shape(session: Session, layers: Sequence[Sequence[str]]) -> dict[str, Any]:
    heads = [sum(".h" in name for name in names) for names in layers]
    return {
        "layers": len(layers),
        "heads": max(heads),
        "even": len(set(heads)) == 1,
        "has_mlps": session.anatomy.has_mlp,
        "parallel": session.anatomy.parallel,
    }


def _references(prompts: Any, reference: Any, ablation: AblationName) -> list[Prompt]:
    if ablation == "zero":
        return []
    return prompt_list(prompts)[1::2] if reference is None else prompt_list(reference)


def _drawn(
    prompts: Any, reference: Any, answers: Any, repeats: int, repeat: int, seed: int
) -> tuple[list[Prompt], list[Prompt] | None, Any]:
    """Return prompts to measure, prompts of the means and answers of one repeat."""
    ours = prompt_list(prompts)
    theirs = None if reference is None else prompt_list(reference)
    if repeats == 1:
        return ours, theirs, answers
    if len(ours) < 4 or (theirs is not None and len(theirs) < 2):
        raise CircuitError("repeats draw halves of the prompts: give at least 4")
    rng = np.random.default_rng([seed, repeat])
    pick = rng.permutation(len(ours))
    half = len(ours) // 2
    mine, others = sorted(pick[:half].tolist()), sorted(pick[half:].tolist())
    right = None if answers is None else [answers[i] for i in mine]
    if theirs is None:
        return [ours[i] for i in mine], [ours[i] for i in others], right
    some = rng.permutation(len(theirs))[: max(1, len(theirs) // 2)]
    return [ours[i] for i in mine], [theirs[i] for i in sorted(some.tolist())], right


def _enter(
    arrays: dict[str, Any],
    cell: tuple[int, int, int],
    found: Sweep,
    everyone: Sequence[str],
    weights: int,
) -> None:
    left = set(everyone) - set(found.removed)
    heads = sum(".h" in name for name in left)
    numbers = {
        "kl": found.kl[-1],
        "accuracy": found.accuracy[-1],
        "n_heads": heads,
        "n_mlps": len(left) - heads,
        "weights": weights,
    }
    for name, value in numbers.items():
        arrays[name][cell] = value


def _named(kept: Sequence[str], everyone: Sequence[str], *, mlps: bool) -> set[str]:
    found = {component(name) for name in kept}
    unknown = sorted(found - set(everyone))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no head or MLP of this model")
    return found if mlps else found | {name for name in everyone if ".h" not in name}
