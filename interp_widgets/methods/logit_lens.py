"""What each layer would predict: the final norm and unembedding applied to every residual."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.readout import Readout
from interp_widgets.results.lens import LensResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site

CELLS = 2**21  # logits held at a time, a few times over: 8 MB in float32
LOWEST = -1e4  # log-probability of what a model rules out with −∞; its probability is 0 still


@method(
    "logit_lens",
    result="lens",
    paper="nostalgebraist 2020, interpreting GPT: the logit lens",
    family="lens",
    unit="residual stream",
    cost="1 forward pass, and one unembedding per layer",
)
def logit_lens(
    run: Run, prompt: Prompt, *, k: int = 10, positions: Sequence[int] | None = None
) -> LensResult:
    """Read every layer's residual stream as a prediction.

    The model's own final norm, unembedding and logit soft-cap are applied to the residual stream
    before the first block and after each block. The last row is the model's own output. Layers ×
    positions × vocabulary is never held: positions are worked through in chunks.

    Parameters
    ----------
    prompt
        With an answer, its rank and probability in every cell; with a foil too, their logit
        difference.
    k
        How many of the best tokens to keep per cell; 10 fills a hover card.
    positions
        Positions to read; default all. Fewer are cheaper on long prompts.

    Returns
    -------
    LensResult
        ``ids``, ``probs``, ``logits`` ``[layer, position, k]``, best first; ``entropy`` and ``kl``
        (KL divergence from the final distribution to the cell's, as in arXiv:2303.08112 §3; nats)
        ``[layer, position]``; with an answer ``answer_rank`` (0 is the best), ``answer_prob``; with
        a foil ``logit_difference``. ``layer`` 0 is the embedding, ``i + 1`` the output of block i.

    Raises
    ------
    SiteError
        When the model has no logits per position.
    ValueError
        When ``k`` or a position is out of range.

    Examples
    --------
    >>> lens = iw.logit_lens(session.prompt("The capital of France is", answer=" Paris"))
    >>> lens.top(layer=-1, position=-1)[:3]
    """
    readout = Readout.of(run.session, prompt)
    n_layers = run.session.anatomy.n_layers
    rows = [Site("resid_pre", 0), *(Site("resid_post", i) for i in range(n_layers))]
    values = run.session.capture(prompt, [*rows, Site("logits")])
    final = values[Site("logits")]
    if not 1 <= k <= final.shape[-1]:
        raise ValueError(f"k={k}: give 1 to {final.shape[-1]:,}, the size of the vocabulary")
    kept = _positions(positions, len(prompt))
    chunk = max(1, CELLS // final.shape[-1])
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(kept), chunk):
        at = torch.tensor(kept[start : start + chunk], device=final.device)
        own = final[at].float()
        log_final = log_softmax(own)
        cells = []
        for i, row in enumerate(rows):
            run.progress(start * len(rows) + i * len(at), len(kept) * len(rows))
            logits = own if i == n_layers else readout(values[row][at.to(values[row].device)])
            cells.append(
                read_cells(logits.to(own.device), log_final, k, prompt.answer, prompt.foil)
            )
        parts.append({name: torch.stack([c[name] for c in cells]) for name in cells[0]})
    arrays = {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
    return LensResult(arrays, _meta(run, prompt, kept, n_layers, arrays["ids"]))


def read_cells(
    logits: Tensor,
    log_final: Tensor,
    k: int,
    answer: int | None = None,
    foil: int | None = None,
) -> dict[str, Tensor]:
    """Summarise logits ``[position, vocabulary]`` beside the model's own log-probabilities.

    Returns
    -------
    dict
        ``ids``, ``probs``, ``logits`` ``[position, k]``, ``entropy`` and ``kl`` ``[position]`` in
        nats, and what answer and foil allow.
    """
    log_probs = log_softmax(logits)
    probs = log_probs.exp()
    best, ids = logits.topk(k, dim=-1)
    p_final = log_final.exp()
    cells = {
        "ids": ids.int(),
        "probs": probs.gather(-1, ids),
        "logits": best,
        "entropy": -_dot(probs, log_probs),
        "kl": _dot(p_final, log_final) - _dot(p_final, log_probs),
    }
    if answer is not None:
        own = logits[:, answer]
        cells["answer_rank"] = (logits > own[:, None]).sum(-1).int()
        cells["answer_prob"] = log_probs[:, answer].exp()
        if foil is not None:
            cells["logit_difference"] = own - logits[:, foil]
    return cells


def log_softmax(logits: Tensor) -> Tensor:
    """Return finite log-probabilities, so that 0 · log 0 is 0."""
    return torch.log_softmax(logits, dim=-1).clamp_(min=LOWEST)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("pv,pv->p", a, b)


def _positions(wanted: Sequence[int] | None, length: int) -> list[int]:
    if wanted is None:
        return list(range(length))
    wrong = [i for i in wanted if not -length <= i < length]
    if wrong or not wanted:
        raise ValueError(
            f"positions={list(wanted)}: give at least one of 0 to {length - 1} (or −1 for the last)"
        )
    return [int(i) % length for i in wanted]


def _meta(
    run: Run, prompt: Prompt, positions: list[int], n_layers: int, ids: Tensor
) -> dict[str, object]:
    session = run.session
    shown = {int(i) for i in ids.unique().tolist()}
    shown.update(i for i in (prompt.answer, prompt.foil) if i is not None)
    return {
        "tokens": [prompt.tokens[i] for i in positions],
        "positions": positions,
        "layers": ["embed", *map(str, range(n_layers))],
        "sites": ["resid_pre.0", *(f"resid_post.{i}" for i in range(n_layers))],
        "strings": {str(i): session.token_string(i) for i in sorted(shown)},
        "answer": prompt.answer,
        "foil": prompt.foil,
    }
