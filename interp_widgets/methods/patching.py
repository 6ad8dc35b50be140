"""Which activations carry the difference between two prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.rows import Cell, gradients, in_chunks, replace_cells
from interp_widgets.methods.target import Metric, Target
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site, SiteError

Sites = Literal["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z"]

WHERE = {
    "resid_pre": "residual stream before each block",
    "resid_mid": "residual stream between attention and MLP",
    "resid_post": "residual stream after each block",
    "attn_out": "attention outputs",
    "mlp_out": "MLP outputs",
    "z": "head outputs",
}


@method(
    "patching",
    result="array",
    title="Activation patching",
    paper="Vig et al. 2020, arXiv:2004.12265; Zhang and Nanda 2023, arXiv:2309.16042; "
    "attribution patching: Syed et al. 2023, arXiv:2310.10348",
    family="patching",
    unit="layer and position, or head",
    cost="1 forward pass per cell, batched; attribution: 2 forward, 1 backward",
)
def patching(
    run: Run,
    clean: Prompt,
    corrupted: Prompt,
    *,
    site: Sites = "resid_pre",
    direction: Literal["denoise", "noise"] = "denoise",
    metric: Metric = "logit_difference",
    method: Literal["exact", "attribution"] = "exact",
    layers: Sequence[int] | None = None,
    per_position: bool = False,
) -> ArrayResult:
    """Patch activations of one prompt into another, cell by cell, and measure what returns.

    The effect is normalised: 0 where the patch does nothing, 1 where it changes the metric as much
    as exchanging the whole prompt. Values outside 0 to 1 are kept.

    Parameters
    ----------
    clean
        The prompt on which the model does the task, with answer and foil.
    corrupted
        A prompt of the same number of tokens on which it does not.
    site
        What is patched: the residual stream (``resid_pre``, ``resid_mid``, ``resid_post``),
        ``attn_out``, ``mlp_out`` per layer and position, or ``z``, the outputs of the heads.
    direction
        ``"denoise"``: clean activations into the corrupted run; finds what suffices. ``"noise"``:
        corrupted activations into the clean run; finds what is needed.
    metric
        Of the clean prompt's answer (and foil), at the last position.
    method
        ``"exact"`` runs every patch; ``"attribution"`` estimates all of them from one gradient:
        (patch − activation) · d metric / d activation, as arXiv:2310.10348 §2.
    layers
        Layers to patch; default all.
    per_position
        For ``z``: one cell per head and position instead of one per head.

    Returns
    -------
    ArrayResult
        ``[layer, position]``, ``[layer, head]`` or ``[layer, head, position]``; ``meta`` has
        ``clean_score`` and ``corrupted_score``.

    Raises
    ------
    ValueError
        When the prompts differ in length, the clean one has no answer (or no foil for a logit
        difference), or both give the same score.
    SiteError
        When the model has no such site or layer.

    Examples
    --------
    >>> iw.patching(clean, corrupted, site="z").frame().sort_values("value").tail(3)
    """
    session = run.session
    _check_pair(clean, corrupted)
    if clean.answer is None:
        raise ValueError('the clean prompt has no answer: session.prompt(text, answer=" Mary", …)')
    target = Target.of(session, clean, metric=metric)
    sites = _sites(run, site, layers)
    scores = []
    for prompt in (clean, corrupted):
        logits = session.capture(prompt, [*sites, Site("logits")])[Site("logits")]
        scores.append(float(target(logits[None])[0]))
    if abs(scores[0] - scores[1]) < 1e-6 * max(1.0, abs(scores[0])):
        raise ValueError(
            f"clean and corrupted prompt have the same {target.label} ({scores[0]:.4g}), so there "
            "is no difference to trace; choose prompts or a metric that differ"
        )
    into, source = (corrupted, clean) if direction == "denoise" else (clean, corrupted)
    before, after = reversed(scores) if direction == "denoise" else scores
    estimate = _attribution if method == "attribution" else _exact
    change = estimate(run, into, source, sites, target, before, per_position=per_position)
    head = ["head"] if site == "z" else []
    dims = ["layer", *head, *(["position"] if not head or per_position else [])]
    labels = {"layer": [str(s.layer) for s in sites]}
    if "position" in dims:
        labels["position"] = _pair_labels(clean, corrupted)
    ends = "0 = corrupted, 1 = clean" if direction == "denoise" else "0 = clean, 1 = corrupted"
    return ArrayResult(
        {"values": change / (after - before) + 0.0},  # no −0
        {
            "dims": dims,
            "labels": labels,
            "quantity": f"normalised effect on the {metric.replace('_', ' ')} ({ends})",
            "signed": True,
            "title": f"Patching the {WHERE[site]}" + (", estimated" * (method == "attribution")),
            "site": site,
            "direction": direction,
            "metric": target.label,
            "clean_score": scores[0],
            "corrupted_score": scores[1],
        },
    )


def _check_pair(clean: Prompt, corrupted: Prompt) -> None:
    if len(clean) != len(corrupted):
        raise ValueError(
            f"the clean prompt has {len(clean)} tokens and the corrupted one {len(corrupted)}; "
            "patching puts position i into position i, so give prompts of equal length "
            f"({'|'.join(clean.tokens[:30])} and {'|'.join(corrupted.tokens[:30])})"
        )


def _sites(run: Run, site: str, layers: Sequence[int] | None) -> list[Site]:
    anatomy = run.session.anatomy
    anatomy.locate("logits")
    if layers is None:
        return anatomy.expand(site)
    if not layers:
        raise SiteError("layers is empty; give at least one, or leave it out for all")
    for layer in layers:
        anatomy.locate(site, layer)
    return [Site(site, layer) for layer in layers]


def _exact(
    run: Run,
    into: Prompt,
    source: Prompt,
    sites: list[Site],
    target: Target,
    before: float,
    *,
    per_position: bool,
) -> Tensor:
    """Return the change of the target for every patch, ``[layer, …]``."""
    values = run.session.capture(source, sites)
    heads = range(values[sites[0]].shape[1]) if sites[0].name == "z" else [None]
    positions = range(len(into)) if sites[0].name != "z" or per_position else [None]
    cells = [Cell(s, position, head) for s in sites for head in heads for position in positions]

    def work(rows: range) -> Tensor:
        chunk = cells[rows.start : rows.stop]
        return replace_cells(run.session, into, chunk, values, target)

    changes = in_chunks(run, len(cells), len(into), work) - before
    shape = [len(sites), *(len(part) for part in (heads, positions) if part != [None])]
    return changes.reshape(shape).float()


def _attribution(
    run: Run,
    into: Prompt,
    source: Prompt,
    sites: list[Site],
    target: Target,
    before: float,
    *,
    per_position: bool,
) -> Tensor:
    """Estimate the same from the gradient of the unpatched run."""
    del before  # the gradient gives the change itself
    values = run.session.capture(source, sites)
    slopes = gradients(run.session, into, sites, target)
    rows = []
    for i, s in enumerate(sites):
        run.progress(i, len(sites))
        change = (values[s] - slopes.values[s]).float() * slopes.grads[s].float()
        row = change.sum(-1)  # [position] or [position, head]
        if s.name == "z":
            row = row.T if per_position else row.sum(0)
        rows.append(row)
    return torch.stack(rows)


def _pair_labels(clean: Prompt, corrupted: Prompt) -> list[str]:
    """Name positions by their token, by both where the prompts differ."""
    pairs = zip(clean.tokens, corrupted.tokens, strict=True)
    return [a if a == b else f"{a} /{b}" for a, b in pairs]
