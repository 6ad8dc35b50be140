"""Reading a mechanism from a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interp_widgets.methods.claims.direction import Direction
from interp_widgets.methods.claims.edges import Edges
from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.mechanism import Mechanism, Parts
from interp_widgets.methods.claims.token_read import TokenRead

KINDS: dict[str, type[Mechanism]] = {c.kind: c for c in (Parts, TokenRead, Direction, Edges)}


def from_json(data: Mapping[str, Any]) -> Mechanism:
    """Read what a mechanism's ``to_json`` wrote.

    Raises
    ------
    ClaimError
        For an unknown kind or field.
    """
    values = dict(data)
    kind = values.pop("kind", None)
    if kind not in KINDS:
        raise ClaimError(f"there is no mechanism {kind!r}; there are {', '.join(KINDS)}")
    try:
        return KINDS[kind](**values)
    except TypeError as error:
        raise ClaimError(f"not a mechanism of this version: {error}") from error
