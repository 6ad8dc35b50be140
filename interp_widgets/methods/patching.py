"""Which activations carry the difference between two prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.patch_effects import HEADS, Ablation, Patches, largest
from interp_widgets.methods.prompt_pairs import PairGroup, Prompts, interval, position_labels
from interp_widgets.methods.target import UNITS, Metric
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.sites import Site, SiteError

Sites = Literal[
    "resid_pre",
    "resid_mid",
    "resid_post",
    "attn_out",
    "mlp_out",
    "z",
    "q",
    "k",
    "v",
    "pattern",
    "mlp_post",
]

WHERE = {
    "resid_pre": "residual stream before each block",
    "resid_mid": "residual stream between attention and MLP",
    "resid_post": "residual stream after each block",
    "attn_out": "attention outputs",
    "mlp_out": "MLP outputs",
    "z": "head outputs",
    "q": "queries",
    "k": "keys",
    "v": "values",
    "pattern": "attention patterns",
    "mlp_post": "MLP neurons",
}
VERBS = {"interchange": "Patching", "zero": "Zeroing", "mean": "Mean-ablating"}


@method(
    "patching",
    result="array",
    title="Activation patching",
    paper="Vig et al. 2020, arXiv:2004.12265; Zhang and Nanda 2023, arXiv:2309.16042; "
    "attribution patching: Syed et al. 2023, arXiv:2310.10348",
    family="patching",
    unit="layer and position, head, or neuron",
    cost="1 forward pass per cell, batched, from the patched block on; "
    "attribution: 2 forward, 1 backward",
    tags="mechanistic, interventional, local, verification, layer, head, neuron",
)
def patching(
    run: Run,
    clean: Prompts,
    corrupted: Prompts | None = None,
    site: Sites = "resid_pre",
    *,
    direction: Literal["denoise", "noise"] | None = None,
    metric: Metric = "logit_difference",
    method: Literal["exact", "attribution"] = "exact",
    ablation: Ablation = "interchange",
    layers: Sequence[int] | None = None,
    per_position: bool | None = None,
    neurons: int = 10,
    normalise: bool | None = None,
) -> ArrayResult:
    """Patch activations of one prompt into another, cell by cell, and measure what returns.

    The effect is normalised: 0 where the patch does nothing, 1 where it changes the metric as much
    as exchanging the whole prompt. Values outside 0 to 1 are kept.

    Without interventions only the blocks from the patched one on are run, and the last block's MLP
    and the unembedding at the last position only; both were compared with a whole pass first.

    Parameters
    ----------
    clean
        The prompt on which the model does the task, with answer and foil; or several.
    corrupted
        A prompt of the same number of tokens on which it does not; or as many. The effect is then
        the mean change over the mean difference. It may be left out for zero and mean ablation.
    site
        What is patched: the residual stream (``resid_pre``, ``resid_mid``, ``resid_post``),
        ``attn_out``, ``mlp_out``; of heads the output ``z``, the ``q``, ``k``, ``v`` that attention
        gets, the ``pattern``; or ``mlp_post``, single neurons.
    direction
        ``"denoise"``: clean activations into the corrupted run; finds what suffices. ``"noise"``:
        corrupted activations into the clean run; finds what is needed. Default: denoise for an
        interchange, noise for the others, which have no other direction.
    metric
        Of the clean prompt's answer (and foil), at the last position.
    method
        ``"exact"`` runs every patch; ``"attribution"`` estimates all of them from one gradient:
        (patch − activation) · d metric / d activation, as arXiv:2310.10348 §2.
    ablation
        What is put in place: ``"interchange"`` (the other prompt's activation), ``"zero"``, or
        ``"mean"`` (over the corrupted prompts, else the clean ones, and their positions; of a
        pattern over the prompts only).
    layers
        Layers to patch; default all.
    per_position
        Whether each position is a cell of its own. Default: yes for the residual stream and the
        outputs of attention and MLP, no for heads and neurons.
    neurons
        With ``mlp_post`` and ``"exact"``: how many neurons of each layer are run, those that the
        attribution estimate ranks first.
    normalise
        Whether effects are shares of the difference between the prompts. ``False``: changes of the
        metric itself. Default: yes where there is a corrupted prompt.

    Returns
    -------
    ArrayResult
        ``[layer, position]``, ``[layer, head]``, ``[layer, head, position]`` (keys and values of
        grouped queries: ``kv_head``; heads that a layer of a pruned model lacks are masked); of
        neurons ``[mlp_neuron]`` named ``L<layer>N<unit>``, with
        positions if asked, and ``[layer, neuron]`` when estimated. ``changes [pair, …]`` are the
        changes of the metric of each pair; of two pairs or more ``interval [2, …]`` is the 95 %
        bootstrap interval of the effect. ``meta`` has ``clean_score`` and ``corrupted_score``.

    Raises
    ------
    ValueError
        When prompts differ in length, a clean one has no answer (or no foil for a logit
        difference), or both ends give the same score.
    SiteError
        When the model has no such site or layer.

    Examples
    --------
    >>> iw.patching(clean, corrupted, site="z").frame().sort_values("value").tail(3)
    """
    noise = _direction(direction, ablation, corrupted) == "noise"
    sites = sites_of(run, site, layers)
    positions = site not in (*HEADS, "mlp_post") if per_position is None else per_position
    groups = PairGroup.of(run.session, clean, corrupted, metric, one_length=positions)
    if site == "pattern" and ablation == "mean" and len({g.length for g in groups}) > 1:
        raise ValueError(
            "patterns of prompts of different lengths have no mean; give prompts of one length"
        )
    patches = Patches(run, groups, sites, noise=noise, ablation=ablation, per_position=positions)
    ends = patches.ends()
    span = span_of(ends, metric, noise=noise, normalise=normalise)
    dims = [{"k": "kv_head", "v": "kv_head"}.get(site, "head")] if site in HEADS else []
    if dims == ["kv_head"] and run.session.anatomy.n_kv_heads == run.session.anatomy.n_heads:
        dims = ["head"]
    labels: dict[str, list[str]] = {"layer": [str(s.layer) for s in sites]}
    if method == "attribution":
        changes = patches.estimated()
        dims = ["layer", *(["neuron"] if site == "mlp_post" else dims)]
    elif site == "mlp_post":
        if neurons < 1:
            raise ValueError(f"neurons={neurons}: give at least one neuron of each layer")
        chosen = largest(patches.estimated(), sites, neurons)
        changes = patches.exact(chosen).flatten(1, 2)
        dims, labels = ["mlp_neuron"], {}
        labels["mlp_neuron"] = [f"L{s.layer}N{unit}" for s in sites for unit in chosen[s]]
    else:
        changes = patches.exact()
        dims = ["layer", *dims]
    if positions:
        dims.append("position")
        labels["position"] = position_labels(groups)
    title = f"{VERBS[ablation]} the {WHERE[site]}" + ", estimated" * (method == "attribution")
    meta = {
        "dims": dims,
        "labels": labels,
        "title": title,
        "site": site,
        "ablation": ablation,
        "metric": groups[0].targets[0].label if len(ends) == 1 else metric.replace("_", " "),
    }
    result = effects(changes, ends, span, metric, noise=noise, meta=meta)
    absent = patches.absent()
    if absent is None:
        return result
    return masked(result, absent[..., None] if positions else absent)


def effects(
    changes: Tensor,
    ends: Tensor,
    span: Tensor | None,
    metric: Metric,
    *,
    noise: bool,
    meta: dict[str, Any],
) -> ArrayResult:
    """Make the result of patches from the changes of the metric ``[pair, …]``.

    Parameters
    ----------
    changes
        ``[pair, …]``.
    ends
        The metric of the clean and of the corrupted prompts ``[pair, 2]``.
    span
        What an effect of 1 changes ``[pair]``; None: effects are changes of the metric.
    metric, noise
        As in :func:`patching`.
    meta
        Dims, labels, title and what else the result should say.
    """
    pairs = len(changes)
    values = changes.mean(0) / (1.0 if span is None else float(span.mean()))
    arrays = {"values": values + 0.0, "changes": changes}  # no −0
    if pairs > 1:
        arrays["interval"] = interval(changes, span).to(values)
    name = metric.replace("_", " ")
    unit = "" if UNITS[metric] == name else f", {UNITS[metric]}"
    scale = "0 = clean, 1 = corrupted" if noise else "0 = corrupted, 1 = clean"
    quantity = (
        f"change of the {name}{unit}"
        if span is None
        else f"normalised effect on the {name} ({scale})"
    )
    mean = ends.mean(0).tolist()
    scores = {"clean_score": mean[0]} | ({} if mean[1] != mean[1] else {"corrupted_score": mean[1]})
    return ArrayResult(
        arrays,
        {
            "quantity": quantity + (f", mean of {pairs} pairs" if pairs > 1 else ""),
            "signed": True,
            "direction": "noise" if noise else "denoise",
            "normalised": span is not None,
            "pairs": pairs,
            **scores,
            **meta,
        },
    )


def masked(result: ArrayResult, mask: Tensor) -> ArrayResult:
    """Mark cells in which nothing could be measured."""
    if bool(mask.any()):
        mask = mask.to(result.values.device)
        result.arrays["values"] = result.values.masked_fill(mask, float("nan"))
        result.arrays["mask"] = mask
    return result


def span_of(ends: Tensor, metric: Metric, *, noise: bool, normalise: bool | None) -> Tensor | None:
    """Return what an effect of 1 changes in each pair ``[pair]``; None for raw changes.

    Raises
    ------
    ValueError
        When clean and corrupted prompts give the same score, or there is no corrupted one.
    """
    alone = bool(ends.isnan().any())
    if normalise is False or (alone and normalise is None):
        return None
    if alone:
        raise ValueError(
            "effects are normalised by the corrupted prompt's score: give corrupted prompts, or "
            "normalise=False"
        )
    span = (ends[:, 1] - ends[:, 0]) * (1 if noise else -1)
    clean = float(ends[:, 0].mean())
    if abs(float(span.mean())) < 1e-6 * max(1.0, abs(clean)):
        raise ValueError(
            f"clean and corrupted prompt have the same {metric.replace('_', ' ')} "
            f"({clean:.4g}), so there is no difference to trace; choose prompts or a "
            "metric that differ"
        )
    return span


def sites_of(run: Run, site: str, layers: Sequence[int] | None) -> list[Site]:
    """Return a site of each layer asked for.

    Raises
    ------
    SiteError
        When the model has no logits, no such site or layer, or layers is empty.
    """
    anatomy = run.session.anatomy
    anatomy.locate("logits")
    if layers is None:
        return anatomy.expand(site)
    if not layers:
        raise SiteError("layers is empty; give at least one, or leave it out for all")
    for layer in layers:
        anatomy.locate(site, layer)
    return [Site(site, layer) for layer in layers]


def _direction(direction: str | None, ablation: Ablation, corrupted: Prompts | None) -> str:
    if ablation == "interchange":
        if corrupted is None:
            raise ValueError(
                "an interchange needs corrupted prompts, one for each clean one; or choose "
                'ablation="zero" or "mean"'
            )
        return direction or "denoise"
    if direction == "denoise":
        raise ValueError(
            f"{ablation} ablation takes something away from the clean run: its direction is "
            '"noise"; denoising puts clean activations into the corrupted run'
        )
    return "noise"
