"""What kind of head each one is: scores on random repeated tokens, and on prompts of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.direct_logit_attribution import Shares
from interp_widgets.methods.head_circuits import copying_scores
from interp_widgets.methods.target import Target
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site

ATTENTION = {
    "previous_token": "mean weight on the token just before",
    "current_token": "mean weight on the token itself",
    "first_token": "mean weight on the first token",
    "duplicate_token": "mean weight on the first copy of the token, in the repeat",
    "induction": "mean weight on what followed the first copy, in the repeat",
}
COPYING = "copying"
DIRECT = "direct_effect"
ANSWER = "attention_to_answer"
MOVER = "name_mover"


@method(
    "head_scores",
    result="array",
    title="Kinds of heads",
    paper="Olsson et al. 2022, arXiv:2209.11895 (previous token, induction); "
    "Wang et al. 2022, arXiv:2211.00593 (duplicate token, name movers); Elhage et al. 2021 "
    "(copying)",
    family="attention",
    unit="attention head",
    cost="1 forward pass of random tokens, 1 of each prompt; copying: weights",
    tags="mechanistic, observational, global, hypothesis generation, head, motif",
)
def head_scores(
    run: Run,
    session: Session,
    prompts: Prompt | PromptBatch | Sequence[Prompt] | None = None,
    *,
    length: int = 25,
    batch: int = 4,
    tokens: Sequence[str | int] | None = None,
    threshold: float = 0.4,
    seed: int = 0,  # noqa: ARG001 - the run has it
) -> ArrayResult:
    """Score every head as previous-token, duplicate-token, induction, copying head and so on.

    Sequences of random tokens, each repeated once, tell what a head attends to by position and by
    identity without any language. The session's interventions apply.

    Parameters
    ----------
    session
        Whose model.
    prompts
        Prompts of a task with answers and foils: adds ``attention_to_answer`` (weight from the last
        position on the answer where it stands in the prompt), ``direct_effect`` (the head's direct
        share of the logit difference, in logits) and ``name_mover``: attention to the answer times
        copying, where both are positive and the head raises the answer directly.
    length
        Random tokens of a sequence before it repeats.
    batch
        Sequences.
    tokens
        Tokens to draw from and to measure copying on; default the whole vocabulary without special
        tokens, and for copying 100 of it.
    threshold
        Score from which a head is named in ``meta["named"]``.
    seed
        Of the random tokens.

    Returns
    -------
    ArrayResult
        ``[score, layer, head]``: attention scores and name movers 0 to 1, copying −1 to 1, the
        direct effect in logits. ``meta["named"]`` has the heads of each kind, strongest first,
        as ``"layer.head"``.

    Raises
    ------
    SiteError
        When the model has no attention patterns to read.
    ValueError
        When the model's positions do not hold the repeated sequence, or no token is left to draw.

    Examples
    --------
    >>> iw.head_scores(iw.demo()).meta["named"]["induction"]
    """
    session.anatomy.locate("pattern", 0)
    pool = token_pool(session, tokens)
    repeats, start = repeated_tokens(session, pool, batch, length, run.generator())
    run.progress(0, 3)
    scores = by_attention(session, repeats, start, length)
    run.progress(1, 3)
    spread = pool[:: max(1, len(pool) // 100)][:100]
    scores[COPYING] = copying_scores(session, spread).float()
    run.progress(2, 3)
    if prompts is not None:
        chosen = [prompts] if isinstance(prompts, Prompt) else list(prompts)
        scores |= on_task(session, chosen)
        moved = scores[ANSWER].clamp_min(0) * scores[COPYING].clamp_min(0)
        scores[MOVER] = moved * (scores[DIRECT] > 0)
    values = torch.stack([score.float().cpu() for score in scores.values()])
    named = {name: _named(score, threshold) for name, score in scores.items() if name != DIRECT}
    return ArrayResult(
        {"values": values},
        {
            "dims": ["score", "layer", "head"],
            "labels": {"score": list(scores), "layer": [str(i) for i in range(values.shape[1])]},
            "quantity": "score",
            "signed": True,
            "title": "Kinds of heads",
            "named": named,
            "what": {name: WHAT[name] for name in scores},
        },
    )


WHAT = {
    **ATTENTION,
    COPYING: "share of positive eigenvalues of the OV circuit over tokens",
    ANSWER: "weight from the last position on the answer",
    DIRECT: "direct share of the logit difference, in logits",
    MOVER: "attention to the answer × copying",
}


def by_attention(
    session: Session, repeats: PromptBatch, start: int, length: int
) -> dict[str, Tensor]:
    """Return attention scores on sequences of ``length`` tokens repeated after ``start`` others.

    Each is a mean over sequences and the queries it is defined for, ``[layer, head]``.
    """
    first = torch.arange(start + 1, start + 2 * length)
    second = torch.arange(start + length, start + 2 * length)
    places = {
        "previous_token": (first, first - 1),
        "current_token": (first, first),
        "first_token": (first, torch.zeros_like(first)),
        "duplicate_token": (second, second - length),
        "induction": (second, second - length + 1),
    }
    rows: dict[str, list[Tensor]] = {name: [] for name in places}
    for layer in range(session.anatomy.n_layers):
        site = Site("pattern", layer)
        pattern = session.capture(repeats, site)[site].float()
        for name, (query, key) in places.items():
            rows[name].append(pattern[:, :, query, key].mean((0, 2)))
    return {name: torch.stack(found) for name, found in rows.items()}


def on_task(session: Session, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
    """Return attention to the answer and the direct effect of every head, mean over prompts."""
    layers = range(session.anatomy.n_layers)
    attention, direct = [], []
    for prompt in prompts:
        target = Target.of(session, prompt)
        direct.append(Shares.of(session, prompt, target).heads.float())
        at = [i for i, token in enumerate(prompt.ids) if token == target.answer]
        found = session.capture(prompt, [Site("pattern", i) for i in layers])
        last = torch.stack([found[Site("pattern", i)][:, -1].float() for i in layers])
        attention.append(last[..., at].sum(-1))
    return {ANSWER: torch.stack(attention).mean(0), DIRECT: torch.stack(direct).mean(0)}


def _named(scores: Tensor, threshold: float) -> list[str]:
    """Name the heads that reach the threshold, strongest first."""
    heads = scores.shape[1]
    order = scores.flatten().argsort(descending=True).tolist()
    return [f"{i // heads}.{i % heads}" for i in order if float(scores.flatten()[i]) >= threshold]


def repeated_tokens(
    session: Session, pool: Sequence[int], batch: int, length: int, generator: torch.Generator
) -> tuple[PromptBatch, int]:
    """Return sequences of random tokens, each repeated once, and how many tokens stand before."""
    draw = torch.randint(len(pool), (batch, length), generator=generator)
    rows = [[pool[int(i)] for i in row] for row in draw]
    start = _beginning(session)
    return session.prompts([session.prompt([*start, *row, *row]) for row in rows]), len(start)


def token_pool(session: Session, tokens: Sequence[str | int] | None = None) -> list[int]:
    """Return the tokens to draw from: those given, or the vocabulary without special ones.

    Raises
    ------
    ValueError
        When there are not two.
    """
    if tokens is not None:
        pool = [session.token_id(token) for token in tokens]
    else:
        special: Any = getattr(session.tokenizer, "all_special_ids", None) or ()
        root: Any = session.anatomy.root
        count = root.get_input_embeddings().weight.shape[0]
        known = len(session.tokenizer) if session.tokenizer is not None else count
        pool = [i for i in range(min(count, known)) if i not in set(special)]
    if len(pool) < 2:
        raise ValueError("there are not two tokens to draw from; give tokens=[…]")
    return pool


def _beginning(session: Session) -> list[int]:
    """Return the token that this tokenizer puts before every text, if any."""
    if session.tokenizer is None:
        return []
    ids = list(session.tokenizer("a")["input_ids"])
    bos = getattr(session.tokenizer, "bos_token_id", None)
    return [bos] if bos is not None and ids[:1] == [bos] else []
