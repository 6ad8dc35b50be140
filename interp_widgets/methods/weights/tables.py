"""Token tables made of stacks of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interp_widgets.methods.weights.space import token_texts
from interp_widgets.results.token_table import TokenTable

if TYPE_CHECKING:
    from interp_widgets.methods.weights.topk import Top
    from interp_widgets.session.session import Session

SIGNS = {1: "+", -1: "−"}


def chosen_layers(session: Session, layers: Sequence[int] | None) -> list[int]:
    """Return the layers asked for.

    Raises
    ------
    ValueError
        When one is not there, or none is given.
    """
    count = session.anatomy.n_layers
    chosen = list(range(count)) if layers is None else list(layers)
    if not chosen or any(not 0 <= i < count for i in chosen):
        raise ValueError(f"layers={chosen}: give at least one of 0 to {count - 1}")
    return chosen


def table_of(
    session: Session,
    tops: dict[str, list[Top]],
    places: Sequence[tuple[int, int]],
    meta: dict[str, Any],
    *,
    signs: Sequence[int] = (1, -1),
    probabilities: bool = True,
) -> TokenTable:
    """Join the top tokens of each column into one table.

    Parameters
    ----------
    tops
        Of each column what :func:`top_tokens` found, in parts that follow one another.
    places
        Layer and unit of each row.
    """
    whole: dict[str, list[Tensor]] = {"ids": [], "logits": [], "probability": [], "entropy": []}
    for parts in tops.values():
        for name, found in whole.items():
            found.append(torch.cat([getattr(part, name).cpu() for part in parts]))
    arrays = {name: torch.stack(parts, 1) for name, parts in whole.items()}
    if not probabilities:
        arrays["probability"] = torch.full_like(arrays["logits"], float("nan"))
        arrays["entropy"] = torch.full_like(arrays["entropy"], float("nan"))
    where = torch.tensor(places, dtype=torch.int32).view(-1, 2)
    arrays["layer"], arrays["unit"] = where[:, 0].clone(), where[:, 1].clone()
    arrays["used"], texts = token_texts(session, arrays["ids"])
    given = {
        "columns": list(tops),
        "signs": [SIGNS[s] for s in signs],
        "texts": texts,
        "unit_name": "neuron",
        **meta,
    }
    return TokenTable({k: v.contiguous() for k, v in arrays.items()}, given)
