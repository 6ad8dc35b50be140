"""Paths and sets of mediators, and the shorthands that name mediators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from interp_widgets.methods.mediation.mediators import TYPES, Mediator, Neurons
from interp_widgets.session.sites import Site, SiteError

HEAD = re.compile(r"a(\d+)\.h(\d+)(?:<([qkv])>)?")
MLP = re.compile(r"m(\d+)")
NEURON = re.compile(r"L(\d+)N(\d+)")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Path(Mediator):
    """Edges from component to component, each end to the next: what one writes for another to read.

    Parameters
    ----------
    nodes
        Names as in circuits: a writer, inputs of readers, ``["a0.h1", "a2.h3<q>", "logits"]``. Each
        is both reader and writer of the next edge. Two nodes are one edge.

    Examples
    --------
    >>> Path(nodes=["a0.h1", "a2.h3<k>", "logits"])
    """

    type: ClassVar[str] = "path"
    nodes: Sequence[str] = ()

    @property
    def where(self) -> Site:
        """A path is at no single site."""
        raise SiteError(f"the path {self.label} has no site of its own")

    @property
    def kind(self) -> str:
        """An edge or a path."""
        return "edge" if len(self.nodes) == 2 else "path"

    def _short(self) -> str:
        return "->".join(self.nodes)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Together(Mediator):
    """A set of mediators that change in one run.

    Examples
    --------
    >>> Together(members=["a9.h6", "a9.h9", "a10.h0"], name="name movers")
    """

    type: ClassVar[str] = "set"
    members: Sequence[Any] = ()

    def __post_init__(self) -> None:
        found = [mediator_of(member) for member in self.members]
        if not found or any(isinstance(m, Path) for m in found):
            raise ValueError("a set needs members, and edges cannot be members of one")
        object.__setattr__(self, "members", found)

    @property
    def parts(self) -> tuple[Mediator, ...]:
        """The members, in the order given."""
        return tuple(part for member in self.members for part in member.parts)

    @property
    def kind(self) -> str:
        """A set."""
        return "set"

    def _short(self) -> str:
        shown = " + ".join(m.label for m in self.members[:3])
        return shown + f" + {len(self.members) - 3} more" * (len(self.members) > 3)


def mediator_of(given: str | Mapping[str, Any]) -> Mediator:
    """Read a mediator from its shorthand, from plain data, or take it as it is.

    Shorthands: ``"a9.h6"`` (head), ``"m3"`` (MLP), ``"L3N17"`` (neuron), ``"resid_post.5"`` or any
    other site, the path of a module, ``"a0.h1->a2.h3<q>->logits"`` (path); each but a path can have
    a position: ``"resid_post.5@-1"``.

    Raises
    ------
    ValueError
        When it is none of these.
    """
    if isinstance(given, Mediator):
        return given
    if isinstance(given, Mapping):
        data = dict(given)
        kind = TYPES.get(str(data.pop("type", "activation")))
        if kind is None:
            raise ValueError(f"mediators are of type {', '.join(TYPES)}, not {given['type']!r}")
        return kind(**data)
    return read(given)


def read(text: str) -> Mediator:
    """Read a shorthand; see :func:`mediator_of`."""
    if "->" in text:
        nodes = [part.strip() for part in text.split("->")]
        return Path(nodes=nodes)
    what, _, at = text.strip().rpartition("@") if "@" in text else (text.strip(), "", "")
    position: int | None = None
    if at:
        try:
            position = int(at)
        except ValueError:
            raise ValueError(
                f"{text!r}: after @ comes a position, a number; negative ones count from the end"
            ) from None
    if found := HEAD.fullmatch(what):
        site = found[3] or "z"
        return Mediator(site=site, layer=int(found[1]), head=int(found[2]), position=position)
    if found := MLP.fullmatch(what):
        return Mediator(site="mlp_out", layer=int(found[1]), position=position)
    if found := NEURON.fullmatch(what):
        units = [int(found[2])]
        return Neurons(site="mlp_post", layer=int(found[1]), units=units, position=position)
    try:
        site_of = Site.parse(what)
    except SiteError as error:
        raise ValueError(f"{text!r} names no mediator: {error}") from error
    return Mediator(site=site_of.name, layer=site_of.layer, position=position)
