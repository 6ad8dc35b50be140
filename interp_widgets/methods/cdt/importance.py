"""How much each word or phrase adds to a prediction: ``iw.phrase_importance``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.cdt.decompose import split
from interp_widgets.methods.cdt.relevance import relevance_to_targets
from interp_widgets.methods.cdt.sources import Rule, Source
from interp_widgets.methods.cdt.units import spans
from interp_widgets.methods.target import Target
from interp_widgets.results.tokens import TokensResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site

UNSEEN = "the session's interventions are not in these numbers: CD-T goes through the weights alone"


@method(
    "phrase_importance",
    result="tokens",
    title="Importance of phrases",
    paper="Hsu et al. 2024, arXiv:2407.00886 (CD-T); Murdoch et al. 2018, arXiv:1801.05453 (CD)",
    family="attribution",
    unit="word or phrase",
    cost="1 forward pass, and about 5 for every 64 words or phrases",
    tags="attributional, observational, local, hypothesis generation, token",
)
def phrase_importance(
    run: Run,
    prompt: Prompt,
    *,
    units: Literal["token", "word", "phrase", "sentence"] | Sequence[Sequence[int]] = "word",
    target: str | int | tuple[int, int] | None = None,
    foil: str | int | None = None,
    level: int = 0,
    position: int = -1,
    attention: Literal["relative", "frozen", "difference"] = "frozen",
) -> TokensResult:
    """Split a prediction between the words or phrases of the input and everything else.

    The embeddings of a phrase are the relevant part, those of all other tokens the rest; both go
    through the network side by side and add up to its own logits. Unlike the sum of its words'
    attributions, a phrase's score has their interaction in it: *not good* is one source.

    Parameters
    ----------
    prompt
        A text for a language model or a classifier.
    units
        What is scored: each ``"word"`` (default), ``"token"``, ``"phrase"`` (between punctuation
        marks), ``"sentence"``, or lists of positions, such as ``[[2, 3], [7]]``.
    target
        Token or class that is explained. None: the prompt's answer; without one the model's top
        one. (layer, head): that head's output before W_O, of which each unit has a share.
    foil
        Token or class that it is contrasted with. None: the prompt's foil, else the closest
        competitor, which is the one of the largest logit among the others. A head has none.
    level
        Layer whose input is split: 0, the embeddings; later, words in their context.
    position
        Where a language model's logits, or the head, are read; −1, the last position. A
        classifier's head is read at every position.
    attention
        ``"frozen"`` (default, as in the paper's first version, which is about text): patterns are
        those of the whole input; ``"relative"``: the phrase attends by its own queries and keys;
        ``"difference"``: moving a pattern counts too, see :func:`iw.cdt.decompose`.

    Returns
    -------
    TokensResult
        ``values [2, position]`` in logits: channel ``"relevant"``, target minus foil of the
        phrase's part of the logits, and ``"rest"``, the same of everything else: about what would
        be left without the phrase. Tokens of a unit share its number; tokens in no unit are NaN.
        ``meta`` has ``units`` (lists of positions), ``unit_scores``, ``unit_rest`` and ``score``,
        the prediction's own, which each pair adds up to. For a head both are shares of absolute
        values from 0 to 1 (the paper's "l1"): mean|β| / (mean|β| + mean|γ|) over what the head
        writes, and the rest to 1.

    Raises
    ------
    ValueError
        For positions out of range or in two units, a level that is no layer or after the target
        head, a foil of a head, or target and foil that are the same.
    CircuitError
        When there is no such head, or the model is of a form that is not known.

    Examples
    --------
    >>> result = iw.phrase_importance(prompt, units="phrase")
    >>> list(zip(result.meta["units"], result.meta["unit_scores"]))
    >>> iw.phrase_importance(prompt, target=(3, 2))  # what head 3.2 reads
    """
    session = run.session
    groups = spans(prompt, units) if isinstance(units, str) else _given(units, len(prompt))
    if not 0 <= level < session.anatomy.n_layers:
        raise ValueError(
            f"there is no layer {level} to split the input of: 0 to {session.anatomy.n_layers - 1}"
        )
    sources = [Source(level, None, group, words=True) for group in groups]
    if target is not None and not isinstance(target, str | int):
        scores = _to_head(run, prompt, sources, target, foil, position, attention)
    else:
        scores = _to_logits(run, prompt, sources, target, foil, position, attention)
    relevant, rest = scores.relevant, scores.rest
    values = relevant.new_full((2, len(prompt)), torch.nan)
    for i, group in enumerate(groups):
        values[0, list(group)], values[1, list(group)] = relevant[i], rest[i]
    meta = {
        "tokens": list(prompt.tokens),
        "channels": ["relevant", "rest"],
        "channel_name": "Part",
        "quantity": scores.quantity,
        "signed": scores.signed,
        "target": scores.target,
        "method": "contextual decomposition",
        "title": f"Importance of {units if isinstance(units, str) else 'phrase'}s",
        "units": [list(group) for group in groups],
        "unit_scores": [float(v) for v in relevant],
        "unit_rest": [float(v) for v in rest],
        "score": scores.total,
        "level": level,
    }
    if session.interventions.active:
        meta["note"] = UNSEEN
    return TokensResult({"values": values.float()}, meta)


@dataclass(frozen=True)
class _Scores:
    """The two parts of what is explained ``[unit]``, and what they are."""

    relevant: Tensor
    rest: Tensor
    total: float
    target: str
    quantity: str
    signed: bool


def _to_logits(
    run: Run,
    prompt: Prompt,
    sources: Sequence[Source],
    target: str | int | None,
    foil: str | int | None,
    position: int,
    attention: Rule,
) -> _Scores:
    """Read the target's logit minus the foil's."""
    aim = _aim(run, prompt, target, foil, position)
    parts = split(
        run.session,
        prompt,
        sources,
        attention=attention,
        position=position,
        progress=run.progress,
    )
    return _Scores(
        aim(parts.relevant),
        aim(parts.rest),
        float(aim(parts.total[None])[0]),
        aim.label,
        "share of the logit difference (logits)",
        signed=True,
    )


def _to_head(
    run: Run,
    prompt: Prompt,
    sources: Sequence[Source],
    target: tuple[int, int],
    foil: str | int | None,
    position: int,
    attention: Rule,
) -> _Scores:
    """Read shares of a head's output."""
    layer, head = (int(i) for i in target)
    name = f"output of head {layer}.{head}"
    if foil is not None:
        raise ValueError(f"foil={foil!r} is for logits: the {name} has none")
    if sources[0].layer > layer:
        raise ValueError(
            f"the input of layer {sources[0].layer} is split after head {layer}.{head}"
        )
    at = None if _logits(run, prompt).ndim == 1 else (position,)
    shares = relevance_to_targets(
        run.session,
        prompt,
        sources,
        [Source(layer, head, at)],
        how="l1",
        attention=attention,
        progress=run.progress,
    )
    if at is not None:
        name = f"{name} at {prompt.tokens[position]!r} ({position % len(prompt)})"
    relevant = torch.from_numpy(shares)
    return _Scores(relevant, 1 - relevant, 1.0, name, "share of the head's output", signed=False)


def _aim(
    run: Run, prompt: Prompt, target: str | int | None, foil: str | int | None, position: int
) -> Target:
    """Return the target against its foil or closest competitor, for logits of one position."""
    session = run.session
    answer = Target.of(session, prompt, target, "logit", position).answer
    against = session.token_id(foil) if foil is not None else None
    if against is None and target is None:
        against = prompt.foil
    if against is None:
        logits = _logits(run, prompt)
        against = _competitor(logits if logits.ndim == 1 else logits[position], answer)
    if against == answer:
        raise ValueError("target and foil are the same: their difference is always zero")
    names = [
        repr(session.token_string(i)) if prompt.ids else f"class {i}" for i in (answer, against)
    ]
    return Target("logit_difference", answer, against, -1, f"logit of {names[0]} over {names[1]}")


def _logits(run: Run, prompt: Prompt) -> Tensor:
    """Return ``[position, vocabulary]``, of a classifier ``[class]``."""
    site = Site("logits")
    return run.session.capture(prompt, site, interventions="none")[site]


def _competitor(logits: Tensor, answer: int) -> int:
    others = logits.clone()
    others[answer] = -torch.inf
    return int(others.argmax())


def _given(units: Sequence[Sequence[int]], length: int) -> list[tuple[int, ...]]:
    """Check positions that a user gave."""
    groups = [tuple(int(p) for p in group) for group in units]
    flat = [p for group in groups for p in group]
    if not groups or not all(groups) or not all(-length <= p < length for p in flat):
        raise ValueError(f"units={units!r}: give lists of positions from 0 to {length - 1}")
    if len({p % length for p in flat}) < len(flat):
        raise ValueError(f"units={units!r}: a position may be in one unit only")
    return [tuple(p % length for p in group) for group in groups]
