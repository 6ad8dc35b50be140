"""Causal mediation: which parts of a model carry the effect of a change of the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.mediation.alignment import aligned_groups
from interp_widgets.methods.mediation.criteria import control_divergence
from interp_widgets.methods.mediation.criteria import held_out as score_held_out
from interp_widgets.methods.mediation.estimate import Direction, Estimator, Scale, result_of
from interp_widgets.methods.mediation.names import Given, choose, width_of_model
from interp_widgets.methods.mediation.sources import Kind
from interp_widgets.methods.prompt_pairs import Prompts
from interp_widgets.methods.target import Metric
from interp_widgets.results.graph import Graph
from interp_widgets.results.mediation import MediationResult
from interp_widgets.session.prompts import Prompt

Places = Literal["each"] | Sequence[int] | Mapping[str, int | Sequence[int]]
PAPER = (
    "Mueller et al. 2024, arXiv:2408.01416; Vig et al. 2020, arXiv:2004.12265; Pearl 2001, "
    "arXiv:1301.2300"
)


@method(
    "mediation",
    result="mediation",
    title="Causal mediation",
    paper=PAPER,
    family="patching",
    unit="neuron, head, layer and position, submodule, edge, path, subspace or feature",
    cost="2 forward passes per mediator and pair, batched, from its block on",
    tags="mechanistic, interventional, local, verification, neuron, head, layer, feature, circuit",
)
def mediation(
    run: Run,
    clean: Prompts,
    corrupted: Prompts | None = None,
    mediators: Given = "heads",
    *,
    metric: Metric = "logit_difference",
    kind: Kind = "interchange",
    direction: Direction = "noising",
    positions: Places | None = None,
    layers: Sequence[int] | None = None,
    scale: Scale = "difference",
    strength: float = 1.0,
    vector: Tensor | float | None = None,
    held_out: Sequence[Prompts] | None = None,
    controls: Sequence[Prompt] | None = None,
    seed: int = 0,
) -> MediationResult:
    """Estimate how much of a prompt's effect on the output passes through each mediator.

    For a clean prompt x and its counterfactual x′, with Y the metric and M the mediator: total
    effect TE = Y(x′) − Y(x); natural indirect effect NIE = Y(x, M(x′)) − Y(x), through the
    mediator; natural direct effect NDE = Y(x′, M(x)) − Y(x), around it; reverse indirect effect
    NIE_rev = Y(x′, M(x)) − Y(x′); interaction TE − NDE − NIE. TE = NDE − NIE_rev is checked on the
    first pair of every run with the mediator overwritten by its own value.

    The session's interventions apply.

    Parameters
    ----------
    clean, corrupted
        Prompts with answer and foil, and their counterfactuals, pair by pair. Prompts of a pair may
        differ in length: their tokens are aligned. Counterfactuals may be left out for other kinds
        than an interchange.
    mediators
        A grid: ``"heads"``, ``"mlps"``, ``"attention"``, ``"resid_pre"``, ``"resid_mid"``,
        ``"resid_post"``; or one or more mediators: ``"a9.h6"``, ``"m3"``, ``"L3N17"``,
        ``"resid_post.5@-1"``, ``"a0.h1->a2.h3<q>->logits"`` (an edge or path), or objects of
        ``iw.mediators`` (:class:`Neurons`, :class:`Subspace`, :class:`Feature`,
        :class:`Together`).
    metric
        Y, of the clean prompt's answer (and foil) in all runs, at the last position.
    kind
        What is put in the mediator's place: ``"interchange"``, its value on the other prompt;
        ``"zero"``; ``"mean"`` over the counterfactual prompts and its positions; ``"resample"``,
        another pair's; ``"noise"``, Gaussian of three standard deviations of the embeddings added;
        ``"add"`` and ``"constant"``, a ``vector``. For all but an interchange the effects are
        CE = Y(x, m) − Y(x), the controlled direct effect CDE = Y(x′, m) − Y(x, m), and CE_rev;
        ``"noise"`` and ``"add"`` move the own value of either run, so that CDE holds the mediator
        to no one value.
    direction
        What the view and ``effect`` show. ``"noising"``: NIE, counterfactual values into clean
        runs, what is needed. ``"denoising"``: −NIE_rev, clean values into counterfactual runs,
        what suffices. Both are measured.
    positions
        Of a grid: ``"each"``, a list, or names with a position (or one for each pair). Default: all
        positions of a prompt together.
    layers
        Of a grid; default all.
    scale
        ``"difference"`` of the metric, or ``"ratio"``: Y as a probability (for a logit difference
        the ratio of two), effects ``Y_changed ÷ Y_unchanged − 1`` as Vig et al.
    strength
        Share of the way from the mediator's own value to the new one.
    vector
        For ``"add"`` and ``"constant"``: a number, or as many as the mediators have dimensions.
    held_out
        (clean, corrupted) of other templates, for the generality of :meth:`report`. Positions
        count from the end there where lengths differ.
    controls
        Unrelated prompts, for its selectivity: the mediator of each gets the next one's value.
    seed
        Of noise and resampling.

    Returns
    -------
    MediationResult
        ``ends [2, pair]``, ``patched [2, mediator, pair]``, from which all effects follow, with
        95 % bootstrap intervals over pairs (1,000 resamples).

    Raises
    ------
    ValueError
        When prompts do not pair, a mediator has no counterpart in the other prompt, or arguments do
        not go together.
    SiteError
        When the model has no such mediator.
    CircuitError
        For edges of a model whose residual stream is not a sum.

    Examples
    --------
    >>> result = iw.mediation(clean, corrupted, "heads")
    >>> result.frame()[["mediator", "TE", "NIE", "NDE", "interaction"]]
    """
    session = run.session
    groups = aligned_groups(session, clean, corrupted, metric)
    chosen = choose(session, mediators, groups, layers, positions)
    options: dict[str, Any] = {"kind": kind, "vector": vector, "seed": seed, "strength": strength}
    estimator = Estimator(run, groups, **options)
    result = result_of(
        estimator,
        chosen.mediators,
        metric=metric,
        direction=direction,
        scale=scale,
        meta={"dims": list(chosen.dims), "labels": chosen.labels, **facts(run)},
    )
    if held_out is not None:
        if len(held_out) != 2:
            raise ValueError("held_out is (clean prompts, counterfactual prompts)")
        result.arrays |= score_held_out(
            run,
            (held_out[0], held_out[1]),
            chosen.mediators,
            groups,
            metric=metric,
            **options,
        )
    if controls is not None:
        result.arrays["control_kl"] = control_divergence(
            run, controls, chosen.mediators, groups, **options
        )
    return result


def facts(run: Run) -> dict[str, Any]:
    """Return what a result keeps of the model: its size, and its graph of components."""
    found: dict[str, Any] = {"total_dims": width_of_model(run.session)}
    try:
        graph = Graph.from_session(run.session)
    except (CircuitError, ValueError):
        return found
    sizes = {
        "layers": graph.layers,
        "heads": graph.heads,
        "parallel": graph.parallel,
        "mlps": graph.mlps,
    }
    return {**found, "network": sizes}
