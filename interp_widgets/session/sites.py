"""The standard names of activations, and a name with its layer: a site.

A site is written `"resid_post.3"`: a standard name, and the layer after a dot where the name has
one layer each. Anything else is the path of a module of the model (`"encoder.layers.0.linear1"`)
and stands for its output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

DIMS: Final[dict[str, tuple[str, ...]]] = {
    "embed": ("position", "d_model"),
    "resid_pre": ("position", "d_model"),
    "q": ("head", "position", "d_head"),
    "k": ("kv_head", "position", "d_head"),
    "v": ("kv_head", "position", "d_head"),
    "bias": ("head", "distance"),
    "pattern": ("head", "query", "key"),
    "z": ("position", "head", "d_head"),
    "attn_out": ("position", "d_model"),
    "cross_z": ("position", "head", "d_head"),
    "resid_mid": ("position", "d_model"),
    "mlp_post": ("position", "d_mlp"),
    "mlp_out": ("position", "d_model"),
    "resid_post": ("position", "d_model"),
    "logits": ("position", "vocabulary"),
}
"""Dimensions of each standard site for one prompt; a batch puts `batch` first.

`bias` is what a learned position bias adds to the scores (T5), by distance `key - query` from `1 -
length` to `length - 1`; other families do not have it. Where each pair of positions has a number of
its own (particle transformers) it is `[head, query, key]`. `cross_z` is what the heads of a
decoder's cross-attention write (T5, BART), by position of the decoder.
"""

STANDARD: Final[tuple[str, ...]] = tuple(DIMS)
"""The standard names, in the order in which a pre-norm block makes them."""

WITHOUT_LAYER: Final[frozenset[str]] = frozenset({"embed", "logits"})
"""Standard names which a model has once, not once per layer."""

_WITH_LAYER = re.compile(rf"({'|'.join(STANDARD)})\.(\d+)")


class SiteError(ValueError):
    """A site that this model does not have; the message names those that it has."""


@dataclass(frozen=True, order=True)
class Site:
    """One activation of a model: a standard name with a layer, or the path of a module.

    Parameters
    ----------
    name
        One of `STANDARD`, or the path of a module, which stands for that module's output.
    layer
        Layer, counted from 0. None for `embed`, `logits` and module paths; for another standard
        name None means every layer, which `Anatomy.expand` turns into one site per layer.

    Examples
    --------
    >>> Site.parse("resid_post.3")
    Site(name='resid_post', layer=3)
    """

    name: str
    layer: int | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise SiteError("A site needs a name, for example 'resid_post'.")
        if self.layer is not None and (self.name in WITHOUT_LAYER or self.name not in DIMS):
            raise SiteError(
                f"{self.name!r} has no layers, so layer {self.layer} cannot be asked for: "
                f"write {self.name!r} alone."
            )

    @classmethod
    def parse(cls, site: str | Site | tuple[str, int | None]) -> Site:
        """Read a site from `"resid_post.3"`, `("resid_post", 3)` or a Site.

        Raises
        ------
        SiteError
            If the name is empty or a layer is given to a name without layers.
        """
        if isinstance(site, Site):
            return site
        if isinstance(site, tuple):
            return cls(*site)
        if not isinstance(site, str):
            raise SiteError(
                "A site is written as 'resid_post.3' or ('resid_post', 3), not as "
                f"{type(site).__name__}."
            )
        text = site.strip()
        match = _WITH_LAYER.fullmatch(text)
        return cls(match[1], int(match[2])) if match else cls(text)

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions for one prompt, `("position", "d_model")`; empty for a module path."""
        return DIMS.get(self.name, ())

    def __str__(self) -> str:
        return self.name if self.layer is None else f"{self.name}.{self.layer}"


def missing(site: Site, there: Iterable[str], reason: str = "") -> SiteError:
    """Make the one error for a site that a model does not have."""
    because = f": {reason}" if reason else ""
    return SiteError(
        f"This model has no site {str(site)!r}{because}. Its sites are: {', '.join(there)}; "
        "any other module by its path."
    )
