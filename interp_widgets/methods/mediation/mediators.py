"""Mediators: the units inside a model through which a change of the prompt may pass to its output.

A mediator is plain data, so that recipes can hold it, with two acts: ``encode`` reads its value
from an activation, ``decode`` returns the activation with another value in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from interp_widgets.session.sites import Site

Position = int | Sequence[int] | None
"""A token position (negative: from the end), one for each pair, or None: all."""

TYPES: dict[str, type[Mediator]] = {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Mediator(Mapping[str, Any]):
    """A whole activation: a layer, a submodule, a head; at one position or all.

    Parameters
    ----------
    site
        Standard name (``"resid_post"``, ``"mlp_out"``, ``"z"`` …) or the path of a module, whose
        output is meant.
    layer
        Of a standard name.
    position
        Token position in the clean prompt, negative ones from the end; one for each pair as a list;
        None: all.
    head
        Of ``z``, ``q``, ``k`` and ``v``; None: all heads together.
    name
        For readers; default: what it is.

    Examples
    --------
    >>> Mediator(site="z", layer=9, head=6)
    >>> Mediator(site="resid_post", layer=5, position=-1)
    """

    aligned: ClassVar[bool] = True
    """Whether its coordinates are those that the model computes in (basis-aligned)."""
    linear: ClassVar[bool] = True
    """Whether its value is a linear function of the activation."""
    type: ClassVar[str] = "activation"

    site: str = ""
    layer: int | None = None
    position: Position = None
    head: int | None = None
    name: str = ""

    def __init_subclass__(cls) -> None:
        TYPES[cls.type] = cls

    def encode(self, h: Tensor) -> Tensor:
        """Return the mediator's value ``[..., m]`` in an activation ``[..., d]``."""
        return h

    def decode(self, h: Tensor, value: Tensor) -> Tensor:
        """Return the activation with this value of the mediator in place of its own."""
        return value.to(h)

    def move(self, h: Tensor, value: Tensor, strength: float | Tensor = 1.0) -> Tensor:
        """Take the mediator a share of the way from its own value to another one."""
        if isinstance(strength, float) and strength == 1.0:
            return self.decode(h, value)
        own = self.encode(h)
        return self.decode(h, own + strength * (value.to(own) - own))

    @property
    def parts(self) -> tuple[Mediator, ...]:
        """What is written: itself, or the members of a set."""
        return (self,)

    @property
    def where(self) -> Site:
        """The site."""
        return Site(self.site, self.layer)

    @property
    def reads_at(self) -> Site:
        """The site at which its value is read."""
        return self.where

    @property
    def kind(self) -> str:
        """What sort of unit it is: ``"head"``, ``"MLP"``, ``"residual stream"`` …"""  # noqa: D400
        names = {"attn_out": "attention", "mlp_out": "MLP", "mlp_post": "MLP neurons"}
        if self.site.startswith("resid") or self.site == "embed":
            return "residual stream"
        if self.site in ("z", "q", "k", "v"):
            return (
                "attention" if self.head is None else "head" + f" {self.site}" * (self.site != "z")
            )
        return names.get(self.site, "module")

    def size(self, width: int) -> int:
        """Return its number of dimensions at one position, of an activation of ``width``."""
        return width

    @property
    def label(self) -> str:
        """Its name, or what it is in the field's shorthand: ``a9.h6``, ``resid_post.5@-1``."""
        return self.name or self._short() + self._at()

    def _short(self) -> str:
        if self.head is not None:
            return f"a{self.layer}.h{self.head}" + f"<{self.site}>" * (self.site != "z")
        return f"m{self.layer}" if self.site == "mlp_out" else str(self.where)

    def _at(self) -> str:
        if self.position is None:
            return ""
        return f"@{self.position}" if isinstance(self.position, int) else "@…"

    # A mapping, so that a recipe can hold it.

    def __getitem__(self, key: str) -> Any:
        if key == "type":
            return self.type
        if key not in self._keys():
            raise KeyError(key)
        return getattr(self, key)

    def _keys(self) -> list[str]:
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]

    def __iter__(self) -> Iterator[str]:
        return iter(["type", *self._keys()])

    def __len__(self) -> int:
        return 1 + len(self._keys())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label})"


TYPES["activation"] = Mediator


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Neurons(Mediator):
    """Some coordinates of an activation: one neuron of an MLP, or a set of them.

    Parameters
    ----------
    units
        Coordinates; of ``mlp_post`` they are neurons.

    Examples
    --------
    >>> Neurons(site="mlp_post", layer=3, units=[17, 25])
    """

    type: ClassVar[str] = "neurons"
    units: Sequence[int] = ()

    def encode(self, h: Tensor) -> Tensor:
        """Return the units ``[..., unit]``."""
        return h[..., list(self.units)]

    def decode(self, h: Tensor, value: Tensor) -> Tensor:
        """Return the activation with other values of the units."""
        out = h.clone()
        out[..., list(self.units)] = value.to(h)
        return out

    @property
    def kind(self) -> str:
        """One neuron or a set."""
        return "neuron" if len(self.units) == 1 else "neuron set"

    def size(self, width: int) -> int:  # noqa: ARG002
        """Return the number of units."""
        return len(self.units)

    def _short(self) -> str:
        if self.site == "mlp_post" and len(self.units) == 1:
            return f"L{self.layer}N{self.units[0]}"
        shown = ",".join(map(str, self.units[:4])) + ",…" * (len(self.units) > 4)
        return f"{self.where}[{shown}]"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Subspace(Mediator):
    """A linear subspace of an activation: ``h + Bᵀ (value − B h)`` with orthonormal rows of B.

    Parameters
    ----------
    basis
        Directions ``[k, d]`` (or one, ``[d]``); made orthonormal when used.

    Examples
    --------
    >>> Subspace(site="resid_post", layer=5, position=-1, basis=direction)
    """

    aligned: ClassVar[bool] = False
    type: ClassVar[str] = "subspace"
    basis: Any = None

    def _rows(self, h: Tensor) -> Tensor:
        rows = torch.as_tensor(self.basis).to(h.device)
        return orthonormal(rows.double()).to(h.dtype)

    def encode(self, h: Tensor) -> Tensor:
        """Return the coordinates in the subspace ``[..., k]``."""
        return h @ self._rows(h).T

    def decode(self, h: Tensor, value: Tensor) -> Tensor:
        """Return the activation with other coordinates in the subspace, the rest kept."""
        rows = self._rows(h)
        return h + (value.to(h) - h @ rows.T) @ rows

    @property
    def kind(self) -> str:
        """A direction or a subspace."""
        return "direction" if self.size(0) == 1 else "subspace"

    def size(self, width: int) -> int:  # noqa: ARG002
        """Return the dimensions of the subspace."""
        shape = tuple(self.basis.shape)
        return shape[0] if len(shape) == 2 else 1

    def _short(self) -> str:
        return f"{self.size(0)}-dim of {self.where}"


def orthonormal(rows: Tensor) -> Tensor:
    """Return orthonormal rows that span the same space ``[k, d]``.

    Raises
    ------
    ValueError
        When the rows are linearly dependent or not finite.
    """
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or not bool(torch.isfinite(rows).all()):
        raise ValueError(f"a basis has finite rows [k, d], got shape {tuple(rows.shape)}")
    q, r = torch.linalg.qr(rows.T)
    scale = rows.norm(dim=1).max().clamp_min(1e-30)
    if rows.shape[0] > rows.shape[1] or bool((r.diagonal().abs() < 1e-9 * scale).any()):
        raise ValueError("the rows of a basis have to be linearly independent")
    return (q * r.diagonal().sign()).T
