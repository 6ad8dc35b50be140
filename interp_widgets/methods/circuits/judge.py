"""Tests of a circuit that somebody found: ``iw.circuits.judge`` and its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.completeness import completeness as run_completeness
from interp_widgets.methods.circuits.evaluate import prompts_and_metric, units_of, way_of
from interp_widgets.methods.circuits.judgement import judgement
from interp_widgets.methods.circuits.minimality import minimality as run_minimality
from interp_widgets.methods.circuits.pairs import Prompts
from interp_widgets.methods.circuits.sensitivity import sensitivity as run_sensitivity
from interp_widgets.methods.circuits.trials import mask_of
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.session.prompts import Prompt

if TYPE_CHECKING:
    from interp_widgets.results.array import ArrayResult
    from interp_widgets.results.judgement import JudgementResult
    from interp_widgets.results.scatter import ScatterResult
    from interp_widgets.session.session import Session

Classes = Mapping[str, Sequence[str]]

SAME = "The circuit was found on these very prompts: held-out ones say more"


def judge(
    session: Session,
    circuit: Any,
    clean: Prompts | None = None,
    corrupted: Prompts | None = None,
    *,
    classes: Classes | None = None,
    **options: Any,
) -> JudgementResult:
    """Test a circuit on held-out prompts: faithfulness, completeness, minimality, random circuits.

    Parameters
    ----------
    session
        The live session.
    circuit
        What :func:`iw.circuit` found, a known circuit, a graph, a mask, names of edges or of nodes.
    clean, corrupted
        Pairs of prompts that it was not found on; default the circuit's own, which the report says.
    classes
        Groups of nodes, ``{"name mover": ["9.9", "10.0"]}``; default the circuit's own.
    **options
        ``random_circuits``, ``random_sets``, ``greedy``, ``edges_tested``, ``sizes``, ``metric``,
        ``ablation`` (both default to the circuit's), ``batch_size``, ``seed``: see
        :func:`interp_widgets.methods.circuits.judgement.judgement`.

    Returns
    -------
    JudgementResult
        A table (``frame()``), a figure, and the parts as results with views of their own.

    Raises
    ------
    CircuitError
        When the circuit is empty or of another network, or prompts do not fit.

    Examples
    --------
    >>> report = iw.circuits.judge(session, circuit, held_out, held_out_corrupted)
    >>> report.frame(); report.figure("neurips")
    """
    options = {**_defaults(session, circuit, clean, corrupted, options), "classes": classes}
    ranking = _ranking(circuit)
    if ranking is not None:
        options |= {"scores": ranking.scores, "level": ranking.level}
    if _seen(circuit, options["clean"]):
        options["note"] = SAME
    return judgement(kept=_mask(session, circuit), **_with_classes(circuit, options))


def completeness(
    session: Session,
    circuit: Any,
    clean: Prompts | None = None,
    corrupted: Prompts | None = None,
    *,
    classes: Classes | None = None,
    **options: Any,
) -> ScatterResult:
    """Compare circuit and network after the same nodes are taken out of both.

    Arguments as in :func:`judge`; ``random``, ``greedy`` and what is returned as in
    :func:`interp_widgets.methods.circuits.completeness.completeness`.

    Examples
    --------
    >>> iw.circuits.completeness(session, circuit, held_out, held_out_corrupted, random=20)
    """
    options = {**_defaults(session, circuit, clean, corrupted, options), "classes": classes}
    return run_completeness(kept=_mask(session, circuit), **_with_classes(circuit, options))


def minimality(
    session: Session,
    circuit: Any,
    clean: Prompts | None = None,
    corrupted: Prompts | None = None,
    *,
    classes: Classes | None = None,
    **options: Any,
) -> ArrayResult:
    """Measure what each node of a circuit adds when other nodes of it are left out.

    Arguments as in :func:`judge`; ``random`` and what is returned as in
    :func:`interp_widgets.methods.circuits.minimality.minimality`.

    Examples
    --------
    >>> iw.circuits.minimality(session, circuit, held_out, held_out_corrupted)
    """
    options = {**_defaults(session, circuit, clean, corrupted, options), "classes": classes}
    return run_minimality(kept=_mask(session, circuit), **_with_classes(circuit, options))


def sensitivity(
    session: Session,
    circuit: Any,
    clean: Prompts | None = None,
    corrupted: Prompts | None = None,
    **options: Any,
) -> ArrayResult:
    """Measure the faithfulness of a circuit under all ways of ablation, by edges and by nodes.

    Arguments as in :func:`judge`; ``ablations``, ``templates`` and what is returned as in
    :func:`interp_widgets.methods.circuits.sensitivity.sensitivity`.

    Examples
    --------
    >>> iw.circuits.sensitivity(session, circuit, held_out, held_out_corrupted).meta["note"]
    """
    options = _defaults(session, circuit, clean, corrupted, options)
    options.pop("ablation", None)
    return run_sensitivity(kept=_mask(session, circuit), **options)


def _defaults(
    session: Session,
    circuit: Any,
    clean: Prompts | None,
    corrupted: Prompts | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the options with prompts, metric and ablation of the circuit where none are given."""
    source = circuit if isinstance(circuit, CircuitResult) else Graph.from_session(session)
    ours, theirs, metric = prompts_and_metric(
        session, source, clean, corrupted, options.get("metric")
    )
    return {
        **options,
        "clean": ours,
        "corrupted": theirs,
        "metric": metric,
        "ablation": options.get("ablation") or way_of(source),
    }


def _mask(session: Session, circuit: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(mask_of(session, circuit)))


def _with_classes(circuit: Any, options: dict[str, Any]) -> dict[str, Any]:
    if options["classes"] is None:
        options["classes"] = _classes_of(circuit)
    return options


def _classes_of(circuit: Any) -> dict[str, list[str]] | None:
    """Return the groups that a circuit names, if it does."""
    if isinstance(circuit, CircuitResult):
        groups = circuit.arrangement["groups"]
        return {group["name"]: list(group["members"]) for group in groups} or None
    return getattr(circuit, "groups", None)


def _ranking(circuit: Any) -> Any:
    """Return what a circuit ranks, if it has scores."""
    if not isinstance(circuit, CircuitResult | Graph):
        return None
    units = units_of(circuit)
    return units if units.scores.any() else None


def _seen(circuit: Any, clean: Any) -> bool:
    """Whether the circuit was found on some of these prompts."""
    recipe = circuit.recipe if isinstance(circuit, CircuitResult) else None
    if recipe is None:
        return False
    before = set(_ids_in(recipe.arguments.get("clean")))
    prompts = [clean] if isinstance(clean, Prompt) else list(clean)
    return any(tuple(prompt.ids) in before for prompt in prompts)


def _ids_in(value: Any) -> Iterator[tuple[int, ...]]:
    """Find the token ids of prompts in a recipe's argument."""
    if isinstance(value, Mapping):
        if "ids" in value:
            yield tuple(value["ids"])
        for item in value.values():
            yield from _ids_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _ids_in(item)
