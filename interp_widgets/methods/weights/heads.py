"""Attention heads in vocabulary space: which token turns into which, which attends to which."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.circuits.wiring import (
    Attention,
    matrix,
    projections_of,
    read_attention,
    read_places,
)
from interp_widgets.methods.weights.space import Inverse, Space, some_prompt, token_texts
from interp_widgets.methods.weights.tables import SIGNS
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.token_table import TokenTable
from interp_widgets.session.session import Session

Which = Literal["VO", "QK"]
ROWS, COLUMNS = 512, 4096
"""Size of the blocks in which a token × token matrix is looked through."""

_known: weakref.WeakKeyDictionary[object, list[Attention]] = weakref.WeakKeyDictionary()


def head_matrices(session: Session, layer: int) -> dict[str, Tensor]:
    """Return a layer's matrices by head: ``q, k, v [head, d_model, d_head]``, ``o`` transposed.

    Under grouped-query attention keys and values are repeated for each query head. ``o`` is
    ``[head, d_model, d_head]`` too: column j of ``v`` is read and column j of ``o`` is written.

    Raises
    ------
    ValueError
        When the layer is not there.
    CircuitError
        When how the attention makes q, k and v is not known.
    """
    anatomy = session.anatomy
    if not 0 <= layer < anatomy.n_layers:
        raise ValueError(f"there is no layer {layer}; there are 0 to {anatomy.n_layers - 1}")
    known = _known.get(anatomy)
    if known is None:
        found = read_places(session, some_prompt(session))
        known = [read_attention(session, i, found) for i in range(anatomy.n_layers)]
        _known[anatomy] = known
    attention = known[layer]
    slots = {name: w.float() for name, (w, _) in projections_of(anatomy.root, attention).items()}
    output = matrix(anatomy.root.get_submodule(attention.output)).detach().float()
    slots["o"] = output.unflatten(0, (attention.heads, -1)).transpose(1, 2)
    return slots


def head_factors(
    session: Session, layer: int, head: int, which: Which, inverse: Inverse
) -> tuple[Tensor, Tensor]:
    """Return the two factors ``[vocabulary, d_head]`` of a head's token × token matrix.

    Raises
    ------
    ValueError
        When layer or head is not there.
    """
    space, parts = Space.of(session), head_matrices(session, layer)
    count = len(parts["q"])
    if not 0 <= head < count:
        raise ValueError(f"layer {layer} has no head {head}; it has 0 to {count - 1}")
    reading = space.reading(inverse)
    if which == "VO":
        return reading @ parts["v"][head], space.write.float() @ parts["o"][head]
    scale = parts["q"].shape[-1] ** -0.5
    return reading @ parts["q"][head] * scale, reading @ parts["k"][head]


def top_pairs(
    a: Tensor, b: Tensor, k: int, *, sign: int = 1, identical: bool = True, run: Run | None = None
) -> tuple[Tensor, Tensor]:
    """Find the largest entries of ``a @ bᵀ`` block by block.

    Parameters
    ----------
    a, b
        ``[n, d]`` and ``[m, d]``.
    k
        Entries to keep.
    sign
        −1 finds the most negative ones.
    identical
        Whether entries on the diagonal count.

    Returns
    -------
    (Tensor, Tensor)
        Values ``[k]``, largest first, and places ``[k, 2]``.
    """
    most = min(k, len(a) * len(b) - (0 if identical else min(len(a), len(b))))
    best = a.new_empty(0)
    places = torch.empty(0, 2, dtype=torch.long, device=a.device)
    for top in range(0, len(a), ROWS):
        if run is not None:
            run.progress(top, len(a))
        for left in range(0, len(b), COLUMNS):
            block = sign * (a[top : top + ROWS] @ b[left : left + COLUMNS].T)
            if not identical:
                block.diagonal(top - left).fill_(-torch.inf)
            if len(best) == most:
                at = (block > best[-1]).nonzero()
            else:
                flat = block.flatten().topk(min(most, block.numel())).indices
                at = torch.stack([flat // block.shape[1], flat % block.shape[1]], 1)
            found = block[at[:, 0], at[:, 1]]
            best = torch.cat([best, found])
            places = torch.cat([places, at + torch.tensor([top, left], device=a.device)])
            best, order = best.topk(min(most, len(best)))
            places = places[order]
    return best * sign, places


@method(
    "head_pairs",
    result="token_table",
    family="weights",
    unit="pair of tokens",
    cost="no forward pass; 2 · vocabulary² · d_head operations",
    paper="Dar et al. 2022, arXiv:2209.02535",
    tags="mechanistic, observational, global, hypothesis generation, head",
)
def head(
    run: Run,
    session: Session,
    layer: int,
    head: int,
    *,
    which: Which = "VO",
    k: int = 500,
    tokens: Sequence[int] | None = None,
    inverse: Inverse = "transpose",
    negative: bool = False,
    identical: bool = True,
) -> TokenTable:
    """List the token pairs that a head connects most strongly.

    Of the matrix that turns tokens into tokens (VO: attending to the first makes the second more
    likely) or lets them attend (QK: a query at the first looks for the second), only the largest
    entries are found, block by block; the matrix itself is never held. In a model with rotary
    positions QK holds for two tokens at the same position.

    Parameters
    ----------
    session
        The model; its interventions do not matter.
    layer, head
        The head. Under grouped-query attention this is the query head with its group's keys and
        values.
    which
        ``"VO"`` (default) or ``"QK"``.
    k
        Pairs to keep.
    tokens
        Only pairs of these token ids; None takes the whole vocabulary.
    inverse
        How reading is projected: ``"transpose"`` (default, cheap) with the input embedding,
        ``"pinv"`` with its pseudo-inverse, which is exact where tokens' vectors overlap.
    negative
        Whether to list the most negative pairs instead.
    identical
        Whether pairs of a token with itself are listed.

    Returns
    -------
    TokenTable
        A row for each pair, with the matrix entry as score (its opposite under the sign −).

    Raises
    ------
    ValueError
        When layer, head or a token is not there.

    Examples
    --------
    >>> iw.weights.head(session, 3, 1, k=50).frame()
    """
    a, b = head_factors(session, layer, head, which, inverse)
    chosen = _tokens(tokens, len(a), a.device)
    sign = -1 if negative else 1
    values, places = top_pairs(a[chosen], b[chosen], k, sign=sign, identical=identical, run=run)
    values = values * sign
    ids = chosen[places].int().cpu()
    used, texts = token_texts(session, ids)
    count = len(ids)
    scores = values.float().cpu()[:, None, None, None].expand(count, 2, 1, 1).contiguous()
    nothing = torch.full_like(scores, float("nan"))
    columns = ["attends to", "writes"] if which == "VO" else ["query", "key"]
    note = "without positions: as for two tokens at the same place"
    return TokenTable(
        {
            "ids": ids[:, :, None, None].contiguous(),
            "logits": scores,
            "probability": nothing,
            "entropy": nothing[..., 0].contiguous(),
            "layer": torch.full((count,), layer, dtype=torch.int32),
            "unit": torch.arange(count, dtype=torch.int32),
            "used": used,
        },
        {
            "columns": columns,
            "signs": [SIGNS[sign]],
            "texts": texts,
            "unit_name": "pair",
            "quantity": "entry of the token × token matrix",
            "title": f"{which} of head {layer}.{head} of {session.name} in tokens",
            "roles": ["", ""],
            "note": note if which == "QK" and session.anatomy.rotary else "",
        },
    )


@method(
    "head_block",
    result="array",
    family="weights",
    unit="pair of tokens",
    cost="no forward pass",
    paper="Dar et al. 2022, arXiv:2209.02535",
    tags="mechanistic, observational, global, hypothesis generation, head",
)
def head_block(
    run: Run,  # noqa: ARG001
    session: Session,
    layer: int,
    head: int,
    tokens: Sequence[int],
    *,
    which: Which = "VO",
    inverse: Inverse = "transpose",
) -> ArrayResult:
    """Show a head's token × token matrix for some tokens.

    Parameters
    ----------
    session, layer, head, which, inverse
        As in :func:`head`.
    tokens
        Token ids of rows and columns.

    Returns
    -------
    ArrayResult
        ``[from, to]``.

    Examples
    --------
    >>> iw.weights.head_block(session, 3, 1, prompt.ids)
    """
    a, b = head_factors(session, layer, head, which, inverse)
    chosen = _tokens(tokens, len(a), a.device)
    names = [session.token_string(int(i)) for i in chosen]
    return ArrayResult(
        {"values": a[chosen] @ b[chosen].T},
        {
            "dims": ["from", "to"],
            "labels": {"from": names, "to": names},
            "quantity": "entry of the token × token matrix",
            "title": f"{which} of head {layer}.{head}",
            "signed": True,
        },
    )


def _tokens(tokens: Sequence[int] | None, size: int, device: torch.device) -> Tensor:
    if tokens is None:
        return torch.arange(size, device=device)
    wrong = [t for t in tokens if not 0 <= t < size]
    if wrong or not len(tokens):
        raise ValueError(f"tokens={list(tokens)[:8]}: give ids from 0 to {size - 1}")
    return torch.tensor(list(tokens), device=device)
