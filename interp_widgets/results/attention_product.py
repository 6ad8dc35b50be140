"""How one query and one key make one weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Product:
    """How one query and one key make one weight.

    Parameters
    ----------
    q, k
        The two vectors, `[d_head]`, as the attention function gets them (rotary applied).
    terms
        `q * k * scaling`, `[d_head]`: what each dimension adds to the score.
    dot
        Sum of `terms`.
    score
        The score that enters the softmax: `dot`, soft-capped and with the position bias where the
        model has them; minus infinity for a hidden key.
    weight
        The attention weight.
    """

    q: Tensor
    k: Tensor
    terms: Tensor
    dot: float
    score: float
    weight: float
