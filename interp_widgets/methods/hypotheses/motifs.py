"""H4: small circuits come again and again (Olsson et al. 2022, arXiv:2209.11895)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.head_circuits import composition, copying_scores
from interp_widgets.methods.head_scores import repeated_tokens, token_pool
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site

SCORES = ("induction", "previous_token", "duplicate_token")
ALL = (*SCORES, "induction_worst", "copying", "suppression")


@method(
    "motifs",
    result="array",
    title="Motifs of heads (H4)",
    paper="Olsson et al. 2022, arXiv:2209.11895; McDougall et al. 2023, arXiv:2310.04625 "
    "(copy suppression); Bereska and Gavves 2024, arXiv:2404.14082 §3",
    family="hypotheses",
    unit="attention head",
    cost="1 forward pass for each length of block; copying and composition: weights",
    tags="mechanistic, observational, global, hypothesis generation, head, motif",
)
def motifs(
    run: Run,
    session: Session,
    *,
    lengths: Sequence[int] | None = None,
    batch: int = 4,
    tokens: Sequence[str | int] | None = None,
    weights: bool = True,
    draws: int = 50,
    seed: int = 0,  # noqa: ARG001 - the run has it
) -> ArrayResult:
    """Score heads on random blocks of several lengths, each repeated once.

    One length does not tell induction from copying at a fixed distance: a head that looks back by
    the length it was trained on has a high score there and none at others. So blocks of several
    lengths are used, and ``induction_worst`` is the score at the worst of them.

    Parameters
    ----------
    session
        Whose model; its interventions apply.
    lengths
        Lengths of the blocks; default four between 5 and 25, as the model's positions allow.
    batch
        Sequences of each length.
    tokens
        Tokens to draw from; default the vocabulary.
    weights
        Whether to read ``copying`` (−1 to 1, share of positive eigenvalues of the OV circuit),
        ``suppression`` (attention to copies times negative copying) and composition from weights.
    draws, seed
        Null of a score: the weight on keys displaced at random, largest of all heads.

    Returns
    -------
    ArrayResult
        ``[score, layer, head]``. ``by_length [length, score, layer, head]``.
        ``meta["findings"]``: the best head of each kind against displaced keys; K-composition of
        the best previous-token head with the best induction head against all other pairs of heads.

    Raises
    ------
    ValueError
        When the model's positions do not hold two blocks of three tokens.

    Examples
    --------
    >>> iw.hypotheses.motifs(iw.demo()).view()
    """
    pool = token_pool(session, tokens)
    chosen = list(lengths) if lengths is not None else _lengths(session)
    generator = run.generator()
    by_length, displaced = [], []
    for i, length in enumerate(chosen):
        run.progress(i, len(chosen) + 1)
        repeats, start = repeated_tokens(session, pool, batch, length, generator)
        own, null = attention_scores(session, repeats, start, length, draws, generator)
        by_length.append(own)
        displaced.append(null)
    scores = torch.stack(by_length)
    rows = [*scores.mean(0), scores[:, 0].min(0).values]
    names = list(ALL[:4])
    if weights:
        spread = pool[:: max(1, len(pool) // 100)][:100]
        copying = copying_scores(session, spread).float().cpu()
        seen = torch.maximum(rows[0], rows[2])
        rows += [copying, (-copying).clamp_min(0) * seen]
        names = list(ALL)
    values = torch.stack(rows)
    null = torch.stack(displaced).mean(0)
    found = [
        _best(name, values[k], null[:, k].flatten(1).max(1).values) for k, name in enumerate(SCORES)
    ]
    worst = values[names.index("induction_worst")]
    found.append(_best("induction at the worst length", worst, null[:, 0].flatten(1).max(1).values))
    if weights and session.anatomy.n_layers > 1:
        found += _composed(session, values[1], values[0])
    layers = [str(i) for i in range(values.shape[1])]
    return ArrayResult(
        {"values": values, "by_length": scores},
        {
            "dims": ["score", "layer", "head"],
            "labels": {"score": names, "layer": layers},
            "quantity": "score",
            "signed": True,
            "title": "Motifs of heads",
            "lengths": chosen,
            "findings": found,
        },
    )


def attention_scores(
    session: Session,
    repeats: PromptBatch,
    start: int,
    length: int,
    draws: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return scores ``[score, layer, head]``, and the same at displaced keys ``[draw, …]``.

    A displaced key is one that the query sees and that is neither the token before, nor the copy,
    nor what followed it; each query has its own.
    """
    end = start + 2 * length
    first, second = torch.arange(start + 1, end), torch.arange(start + length, end)
    places = [(second, second - length + 1), (first, first - 1), (second, second - length)]
    away = [_displaced(query, length, start, draws, generator) for query, _ in places]
    own, null = [], []
    for layer in range(session.anatomy.n_layers):
        site = Site("pattern", layer)
        pattern = session.capture(repeats, site)[site].float().cpu()
        own.append(torch.stack([pattern[:, :, q, k].mean((0, 2)) for q, k in places]))
        if draws:
            rows = [
                torch.stack([pattern[:, :, q, k].mean((0, 2)) for k in keys])
                for (q, _), keys in zip(places, away, strict=True)
            ]
            null.append(torch.stack(rows, 1))
    nulls = torch.stack(null, 2) if draws else torch.empty(0)
    return torch.stack(own, 1), nulls


def _displaced(
    query: Tensor, length: int, start: int, draws: int, generator: torch.Generator | None
) -> Tensor:
    """Return other keys of each query ``[draw, query]``; the first queries have no choice."""
    keys = torch.zeros(draws, len(query), dtype=torch.long)
    for i, q in enumerate(query.tolist()):
        taken = {q - 1, q - length, q - length + 1, q}
        free = [k for k in range(start, q) if k not in taken] or [max(0, q - 2)]
        pick = torch.randint(len(free), (draws,), generator=generator)
        keys[:, i] = torch.tensor(free)[pick]
    return keys


def _lengths(session: Session) -> list[int]:
    most = getattr(session.anatomy.root.config, "max_position_embeddings", None) or 52
    longest = min(25, (int(most) - 2) // 2)
    if longest < 3:
        raise ValueError(f"two blocks of three tokens do not fit into {most} positions")
    return sorted({int(x) for x in np.linspace(min(5, longest), longest, 4)})


def _best(name: str, values: Tensor, null: Tensor) -> dict[str, object]:
    layer, head = divmod(int(values.argmax()), values.shape[1])
    return finding(
        "H4",
        f"{name.replace('_', '-')} score of the best head, {layer}.{head}",
        float(values.max()),
        null.numpy(),
        "weights on displaced keys, best head of each draw",
    )


def _composed(session: Session, previous: Tensor, induction: Tensor) -> list[dict[str, object]]:
    """Return the K-composition of the two heads of the induction circuit."""
    heads = induction.shape[1]
    receiver = int(induction[1:].argmax()) + heads
    before = (receiver // heads) * heads
    sender = int(previous.flatten()[:before].argmax())
    scores = composition(session, draws=1).numpy("values")[1]
    own, rest = scores[receiver, sender], scores.copy()
    rest[receiver, sender] = np.nan
    others = rest[np.isfinite(rest)]
    if not len(others):
        return []
    names = [f"{i // heads}.{i % heads}" for i in (sender, receiver)]
    return [
        finding(
            "H4",
            f"K-composition of previous-token head {names[0]} and induction head {names[1]}",
            float(own),
            others,
            "all other pairs of heads",
            note="‖W_QK W_OV‖ / (‖W_QK‖ ‖W_OV‖), above random matrices",
        )
    ]
