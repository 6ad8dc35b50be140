"""What the model says next: the most likely tokens with their probabilities."""

from __future__ import annotations

import torch

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site

LOGITS = Site("logits")


@method(
    "next_tokens",
    result="array",
    family="lens",
    unit="output token",
    cost="1 forward pass; 2 while interventions are on",
    tags="behavioural, observational, local, hypothesis generation, token",
)
def next_tokens(run: Run, prompt: Prompt, *, k: int = 8, position: int = -1) -> ArrayResult:
    """Read the probabilities of the next token, largest first.

    The tokens are those of the model as it is, so that the bars stay in their places while
    interventions change the numbers; what is not among them is added up in the last bar.

    Parameters
    ----------
    prompt
        Its answer and foil are always among the tokens.
    k
        How many of the most likely tokens; 8 fit a column of a paper.
    position
        After which token of the prompt; -1 (default) is the last.

    Returns
    -------
    ArrayResult
        ``values [next token]``: probabilities that add up to 1; ``logits [next token]`` and
        ``ids``, without the last.

    Raises
    ------
    ValueError
        For a ``k`` or position out of range.

    Examples
    --------
    >>> prompt = session.prompt("The capital of France is", answer=" Paris")
    >>> iw.next_tokens(prompt).frame()
    """
    session = run.session
    own = session.capture(prompt, LOGITS, interventions="none")[LOGITS]
    if not -len(own) <= position < len(own):
        raise ValueError(f"position={position}: the prompt has {len(own)} tokens")
    if not 1 <= k <= own.shape[-1]:
        raise ValueError(f"k={k}: give 1 to {own.shape[-1]:,}, the size of the vocabulary")
    pinned = [token for token in (prompt.answer, prompt.foil) if token is not None]
    ids = own[position].topk(k).indices.tolist()
    ids = [*ids, *(token for token in dict.fromkeys(pinned) if token not in ids)]
    logits = session.capture(prompt, LOGITS)[LOGITS][position].float()
    values = logits.softmax(-1)[ids]
    rest = (1 - values.sum()).clamp_min(0)
    names = [session.token_string(i) for i in ids]
    meta = {
        "dims": ["next token"],
        "labels": {"next token": [*names, "all others"]},
        "quantity": "probability",
        "signed": False,
        "draw": "bars",
        "title": "Next token",
    }
    kept = {"logits": logits[ids], "ids": torch.tensor(ids)}
    return ArrayResult({"values": torch.cat([values, rest[None]]), **kept}, meta)
