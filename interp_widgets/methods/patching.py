"""Which activations carry the difference between two prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.rows import Cell, in_chunks, replace_cells
from interp_widgets.methods.target import Metric, Target
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site, SiteError

Prompts = Prompt | PromptBatch | Sequence[Prompt]
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
    clean: Prompts,
    corrupted: Prompts,
    site: Sites = "resid_pre",
    *,
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
        The prompt on which the model does the task, with answer and foil; or several.
    corrupted
        A prompt of the same number of tokens on which it does not; or as many. The effect is then
        the mean change over the mean difference.
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
        When prompts differ in length, a clean one has no answer (or no foil for a logit
        difference), or both ends give the same score.
    SiteError
        When the model has no such site or layer.

    Examples
    --------
    >>> iw.patching(clean, corrupted, site="z").frame().sort_values("value").tail(3)
    """
    pairs = _pairs(clean, corrupted)
    sites = _sites(run, site, layers)
    estimate = _attribution if method == "attribution" else _exact
    changes, scores = [], []
    for i, pair in enumerate(pairs):
        target, ends = _ends(run, pair, sites, metric)
        into, source = reversed(pair) if direction == "denoise" else pair
        part = (i, len(pairs))
        changes.append(estimate(run, into, source, sites, target, per_position, part))
        scores.append(ends)
    mean = torch.tensor(scores, dtype=torch.float64).mean(0).tolist()
    span = (mean[0] - mean[1]) * (1 if direction == "denoise" else -1)
    if abs(span) < 1e-6 * max(1.0, abs(mean[0])):
        raise ValueError(
            f"clean and corrupted prompt have the same {metric.replace('_', ' ')} "
            f"({mean[0]:.4g}), so there is no difference to trace; choose prompts or a "
            "metric that differ"
        )
    head = ["head"] if site == "z" else []
    dims = ["layer", *head, *(["position"] if not head or per_position else [])]
    labels = {"layer": [str(s.layer) for s in sites]}
    if "position" in dims:
        labels["position"] = _labels(pairs)
    scale = "0 = corrupted, 1 = clean" if direction == "denoise" else "0 = clean, 1 = corrupted"
    many = f", mean of {len(pairs)} pairs" if len(pairs) > 1 else ""
    return ArrayResult(
        {"values": torch.stack(changes).mean(0) / span + 0.0},  # no −0
        {
            "dims": dims,
            "labels": labels,
            "quantity": f"normalised effect on the {metric.replace('_', ' ')} ({scale}){many}",
            "signed": True,
            "title": f"Patching the {WHERE[site]}" + ", estimated" * (method == "attribution"),
            "site": site,
            "direction": direction,
            "metric": target.label if len(pairs) == 1 else metric.replace("_", " "),
            "pairs": len(pairs),
            "clean_score": mean[0],
            "corrupted_score": mean[1],
        },
    )


def _pairs(clean: Prompts, corrupted: Prompts) -> list[tuple[Prompt, Prompt]]:
    """Pair prompts in order, and check that they fit."""
    lists = [[p] if isinstance(p, Prompt) else list(p) for p in (clean, corrupted)]
    if len(lists[0]) != len(lists[1]) or not lists[0]:
        raise ValueError(
            f"{len(lists[0])} clean and {len(lists[1])} corrupted prompts make no pairs; give as "
            "many of one as of the other, at least one"
        )
    pairs = list(zip(*lists, strict=True))
    for a, b in pairs:
        if len(a) != len(b):
            raise ValueError(
                f"the clean prompt has {len(a)} tokens and the corrupted one {len(b)}; patching "
                "puts position i into position i, so give prompts of equal length "
                f"({'|'.join(a.tokens[:30])} and {'|'.join(b.tokens[:30])})"
            )
        if a.answer is None:
            raise ValueError(
                'the clean prompt has no answer: session.prompt(text, answer=" Mary", …)'
            )
    if len({len(a) for a, _ in pairs}) > 1:
        raise ValueError(
            "the pairs have different lengths, so their positions have no mean; give pairs of one "
            "template"
        )
    return pairs


def _ends(
    run: Run, pair: tuple[Prompt, Prompt], sites: list[Site], metric: Metric
) -> tuple[Target, list[float]]:
    """Return the target of a pair and its value on the clean and on the corrupted prompt."""
    target = Target.of(run.session, pair[0], metric=metric)
    logits = [run.session.capture(p, [*sites, Site("logits")])[Site("logits")] for p in pair]
    return target, [float(target(values[None])[0]) for values in logits]


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
    per_position: bool,  # noqa: FBT001
    part: tuple[int, int],
) -> Tensor:
    """Return the change of the target for every patch, ``[layer, …]``."""
    values = run.session.capture(source, sites)
    logits = run.session.capture(into, Site("logits"))[Site("logits")]
    heads = range(values[sites[0]].shape[1]) if sites[0].name == "z" else [None]
    positions = range(len(into)) if sites[0].name != "z" or per_position else [None]
    cells = [Cell(s, position, head) for s in sites for head in heads for position in positions]

    def work(rows: range) -> Tensor:
        chunk = cells[rows.start : rows.stop]
        return replace_cells(run.session, into, chunk, values, target)

    changes = in_chunks(run, len(cells), len(into), work, part) - target(logits[None])
    shape = [len(sites), *(len(dim) for dim in (heads, positions) if dim != [None])]
    return changes.reshape(shape).float()


def _attribution(
    run: Run,
    into: Prompt,
    source: Prompt,
    sites: list[Site],
    target: Target,
    per_position: bool,  # noqa: FBT001
    part: tuple[int, int],
) -> Tensor:
    """Estimate the same from the gradient of the unpatched run."""
    run.progress(*part)
    values = run.session.capture(source, sites)
    slopes = run.session.gradients(into, lambda logits: target(logits[None])[0], sites)
    rows = []
    for s in sites:
        change = (values[s] - slopes.values[s]).float() * slopes.grads[s].float()
        row = change.sum(-1)  # [position] or [position, head]
        if s.name == "z":
            row = row.T if per_position else row.sum(0)
        rows.append(row)
    return torch.stack(rows)


def _labels(pairs: list[tuple[Prompt, Prompt]]) -> list[str]:
    """Name positions by their tokens: by both where a pair differs, by three of many."""
    names = []
    for tokens in zip(*(prompt.tokens for pair in pairs for prompt in pair), strict=True):
        different = list(dict.fromkeys(tokens))
        names.append(" /".join(different[:3]) + " /…" * (len(different) > 3))
    return names
