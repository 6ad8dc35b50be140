"""How much each input token matters for what the model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.attention import attention
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.rows import in_chunks, scores_of_inputs
from interp_widgets.methods.target import Metric, Target
from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.tokens import TokensResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site, SiteError

Method = Literal["gradient_x_input", "integrated_gradients", "attention_rollout", "occlusion"]
LARGEST_GAP = 0.05  # share of the score difference that quadrature may miss without a note
QUERIES = 512  # rows of a pattern worked on at a time in the rollout


@method(
    "attribute",
    result="tokens",
    paper="Simonyan et al. 2013, arXiv:1312.6034; Sundararajan et al. 2017, arXiv:1703.01365; "
    "Abnar and Zuidema 2020, arXiv:2005.00928; Zeiler and Fergus 2013, arXiv:1311.2901",
    family="attribution",
    unit="input token",
    cost="gradient × input: 1 forward, 1 backward; integrated gradients: `steps` of both; "
    "occlusion: 1 forward per token; rollout: 1 forward",
    tags="attributional, observational, local, hypothesis generation, token",
)
def attribute(
    run: Run,
    prompt: Prompt,
    *,
    method: Method = "gradient_x_input",
    target: str | int | None = None,
    foil: str | int | None = None,
    metric: Metric | None = None,
    position: int = -1,
    targets: Sequence[int] | Literal["all"] | None = None,
    steps: int = 32,
    baseline: Literal["zero", "mean"] | int = "zero",
) -> TokensResult:
    """Attribute a prediction to the input tokens.

    Parameters
    ----------
    prompt
        Its answer and foil say what is explained, unless ``target`` does.
    method
        ``"gradient_x_input"``: gradient of the target with respect to a token's embedding, times
        the embedding's distance from the baseline. ``"integrated_gradients"`` (arXiv:1703.01365 eq.
        1): the same with the gradient averaged on the straight line from the baseline to the
        embedding. ``"occlusion"``: how much the target drops when the token's embedding is replaced
        by the baseline. ``"attention_rollout"`` (arXiv:2005.00928 §3): product over layers of
        attention averaged over heads, with half a weight for the residual connection; it explains
        no particular target.
    target
        Token (text or id) that is explained. None: the prompt's answer; without one the model's top
        token.
    foil
        Token that it is contrasted with: why the target *rather than* this one (arXiv:2202.10419).
        None: the prompt's foil, unless a target is given.
    metric
        What is explained: ``"logit_difference"`` (default with a foil), ``"logit"`` (default
        without), ``"log_probability"`` or ``"probability"``.
    position
        Where the target is read; −1, the last position.
    targets
        Positions of the prompt's own tokens to explain, each as the model predicts it from the
        position before, in the place of one target: a channel per position, the attribution matrix
        of a text. ``"all"``: every position but the first. A ``foil`` is the same for all.
    steps
        Points of the Gauss–Legendre quadrature of integrated gradients, 32 by default; whether they
        suffice is told by ``result.meta["completeness_gap"]``, and by a note when it is above 5 %.
    baseline
        What stands for "no token": ``"zero"`` embeddings (default, as most papers), the ``"mean"``
        embedding of the prompt, or the embedding of a token id. With RMSNorm and no position
        embedding (Llama, Qwen, Gemma) the model jumps at zero, and the line from there cannot be
        integrated: choose another.

    Returns
    -------
    TokensResult
        ``values [1, position]``, with targets ``[target, position]``, in units of the metric
        (rollout: shares that add up to 1). ``meta`` has ``targets`` (their positions) or
        ``score`` and, where the baseline was run, ``baseline_score`` and ``completeness_gap``: the
        sum of the attributions minus (score − baseline score).

    Raises
    ------
    ValueError
        For a position or number of steps out of range, or a target for the rollout; when target
        and foil are the same token, or both ``target`` and ``targets`` are given.
    SiteError
        When the model has no logits or, for the rollout, no attention.

    Examples
    --------
    >>> iw.attribute(prompt, method="integrated_gradients").frame()
    """
    if steps < 1:
        raise ValueError(f"steps={steps}: give at least 1; 32 is the default")
    if method == "attention_rollout":
        if target is not None or foil is not None or targets is not None:
            raise ValueError(
                "attention rollout follows attention alone and explains no particular target; "
                "leave target, foil and targets out, or choose another method"
            )
        return _rollout(run, prompt, position)
    session = run.session
    session.anatomy.locate("logits")
    aims, at = _aims(run, prompt, target, foil, metric, position, targets)
    site = _input_site(run, prompt)
    x = session.capture(prompt, site)[site]
    base = _baseline(run, prompt, site, x, baseline)
    explain: Callable[[_Case], tuple[Tensor, dict[str, Any]]] = {
        "gradient_x_input": _gradient_x_input,
        "integrated_gradients": lambda case: _integrated_gradients(case, steps),
        "occlusion": _occlusion,
    }[method]
    found = []
    for i, aim in enumerate(aims):
        run.progress(i, len(aims))
        found.append(explain(_Case(run, prompt, site, aim, x, base, (i, len(aims)))))
    title = method.replace("_", " ").capitalize().replace(" x ", " × ")
    name = method.replace("_", " ")
    meta = dict(found[0][1]) if at is None else _of_targets(prompt, at, [m for _, m in found])
    return TokensResult(
        {"values": torch.stack([values for values, _ in found]).float()},
        {
            "tokens": list(prompt.tokens),
            "channels": [name],
            "quantity": f"attribution in {aims[0].unit}",
            "signed": True,
            "target": aims[0].label,
            "method": method,
            "baseline": baseline,
            "position": position,
            "title": title,
            **meta,
        },
    )


def _aims(
    run: Run,
    prompt: Prompt,
    target: str | int | None,
    foil: str | int | None,
    metric: Metric | None,
    position: int,
    targets: Sequence[int] | Literal["all"] | None,
) -> tuple[list[Target], list[int] | None]:
    """Return what is explained, and the positions of the prompt's own tokens if it is those."""
    if targets is None:
        return [Target.of(run.session, prompt, target, metric, position, foil)], None
    if target is not None:
        raise ValueError("give either target, one token, or targets, positions of the prompt")
    length = len(prompt)
    at = list(range(1, length)) if targets == "all" else [int(p) % length for p in targets]
    given = [] if targets == "all" else list(targets)
    if not at or 0 in at or any(not -length <= p < length for p in given):
        raise ValueError(
            f"targets={targets}: give positions from 1 to {length - 1}; each token is read off the "
            "position before it"
        )
    if not prompt.ids:
        raise ValueError("this input has no tokens of its own to explain; give target instead")
    of = Target.of
    return [of(run.session, prompt, prompt.ids[p], metric, p - 1, foil) for p in at], at


def _of_targets(prompt: Prompt, at: list[int], metas: list[dict[str, Any]]) -> dict[str, Any]:
    notes = [f"{prompt.tokens[p]!r} ({p})" for p, m in zip(at, metas, strict=True) if "note" in m]
    meta: dict[str, Any] = {
        "channels": [f"{p} {prompt.tokens[p]}" for p in at],
        "channel_name": "Target",
        "targets": at,
        "target": "each token of the text, from those before it",
        "score": [m["score"] for m in metas],
    }
    if "completeness_gap" in metas[0]:
        meta["completeness_gap"] = [m["completeness_gap"] for m in metas]
    if notes:
        meta["note"] = (
            "the attributions do not add up to the score for "
            f"{', '.join(notes[:5])}{' …' if len(notes) > 5 else ''}: take more steps, or another "
            "baseline"
        )
    return meta


@dataclass(frozen=True)
class _Case:
    """One prompt's input ``x [position, d_model]`` at ``site``, its baseline, and the target."""

    run: Run
    prompt: Prompt
    site: Site
    target: Callable[[Tensor], Tensor]
    x: Tensor
    base: Tensor
    part: tuple[int, int] = (0, 1)

    def scores(self, inputs: Tensor) -> Tensor:
        return scores_of_inputs(
            self.run.session, self.prompt, self.site, inputs, self.target, gradient=False
        )[0]

    def slopes(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return scores_of_inputs(
            self.run.session, self.prompt, self.site, inputs, self.target, gradient=True
        )


def _gradient_x_input(case: _Case) -> tuple[Tensor, dict[str, Any]]:
    scores, slopes = case.slopes(case.x[None])
    return (slopes[0] * (case.x - case.base)).sum(-1), {"score": float(scores[0])}


def _integrated_gradients(case: _Case, steps: int) -> tuple[Tensor, dict[str, Any]]:
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    at = torch.as_tensor((nodes + 1) / 2, dtype=case.x.dtype, device=case.x.device)
    share = torch.as_tensor(weights / 2, dtype=torch.float64)
    along = case.x - case.base

    def work(rows: range) -> Tensor:
        inputs = case.base + at[rows.start : rows.stop, None, None] * along
        slopes = case.slopes(inputs)[1]
        part = share[rows.start : rows.stop].to(slopes.device, slopes.dtype)
        return (part[:, None, None] * slopes).sum(0, keepdim=True)

    average = in_chunks(case.run, steps, len(case.prompt), work, case.part).sum(0)
    values = (average * along).sum(-1)
    score, base = case.scores(torch.stack([case.x, case.base])).tolist()
    gap = float(values.sum()) - (score - base)
    meta: dict[str, Any] = {"score": score, "baseline_score": base, "steps": steps}
    meta["completeness_gap"] = gap
    if abs(gap) > LARGEST_GAP * abs(score - base):
        meta["note"] = (
            f"the attributions add up to {score - base + gap:.3g} and the score differs from the "
            f"baseline's by {score - base:.3g}: take more steps, or another baseline"
        )
    return values, meta


def _occlusion(case: _Case) -> tuple[Tensor, dict[str, Any]]:
    def work(rows: range) -> Tensor:
        inputs = case.x.expand(len(rows), *case.x.shape).clone()
        for row, position in enumerate(rows):
            inputs[row, position] = case.base[position]
        return case.scores(inputs)

    score = case.scores(case.x[None])
    drops = score - in_chunks(case.run, len(case.prompt), len(case.prompt), work, case.part)
    return drops, {"score": float(score[0])}


def _rollout(run: Run, prompt: Prompt, position: int) -> TokensResult:
    if not -len(prompt) <= position < len(prompt):
        raise ValueError(f"there is no position {position} in a prompt of {len(prompt)} tokens")
    values = rollout(attention(prompt), position, run.progress)
    return TokensResult(
        {"values": values[None]},
        {
            "tokens": list(prompt.tokens),
            "channels": ["attention rollout"],
            "quantity": "share of attention, rolled out",
            "signed": False,
            "method": "attention_rollout",
            "position": position,
            "title": f"Attention rollout to position {position % len(prompt)}",
        },
    )


def rollout(
    patterns: AttentionResult, position: int, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Return how much of each token reaches ``position`` after all layers, ``[position]``.

    With W the pattern averaged over heads, each layer is A = (W + I) / 2 with rows that add up to
    1, and the answer is row ``position`` of A_L ⋯ A_1. Only that row is carried along.
    """
    length = patterns.positions
    row = torch.zeros(length, dtype=torch.float64)
    row[position] = 1.0
    layers = list(reversed(patterns.layers))
    for i, layer in enumerate(layers):
        if progress is not None:
            progress(i, len(layers))
        passed = torch.zeros_like(row)
        for start in range(0, length, QUERIES):
            block = slice(start, min(start + QUERIES, length))
            if not row[block].any():
                continue
            heads = (patterns.tile(layer, head, query=block) for head in range(patterns.n_heads))
            mean = torch.stack([h.double().cpu() for h in heads]).mean(0)
            share = row[block] / (mean.sum(-1) + 1)
            passed += share @ mean
            passed[block] += share
        row = passed
    return row.float()


def _input_site(run: Run, prompt: Prompt) -> Site:
    """Return where the input becomes one vector per token of the prompt."""
    for site in (Site("embed"), Site("resid_pre", 0)):
        try:
            found = run.session.capture(prompt, site)[site]
        except SiteError:
            continue
        if found.shape[:1] == (len(prompt),):
            return site
    raise SiteError("this model has no activation with one vector per input token to attribute to")


def _baseline(
    run: Run, prompt: Prompt, site: Site, x: Tensor, baseline: Literal["zero", "mean"] | int
) -> Tensor:
    if baseline == "zero":
        return torch.zeros_like(x)
    if baseline == "mean":
        return x.mean(0, keepdim=True).expand_as(x).clone()
    if not prompt.ids:
        raise ValueError('this input has no tokens; choose baseline="zero" or "mean"')
    blank = run.session.prompt([baseline] * len(prompt))
    return run.session.capture(blank, site)[site]
