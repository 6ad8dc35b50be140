"""Features as mediators: of a sparse dictionary, and coordinates of an invertible map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from interp_widgets.methods.mediation.mediators import Mediator
from interp_widgets.session.sites import Site


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Feature(Mediator):
    """A feature of a sparse dictionary: a sparse autoencoder's, or a transcoder's.

    It is on by ``f = relu(encoder · (h − centre) + bias)``, 0 up to ``threshold``; a new value adds
    ``(new − f) decoder`` to the activation. What the dictionary does not explain, its error, and
    all other features stay as they are, so that putting its own value back changes nothing.

    Parameters
    ----------
    encoder, decoder
        Its row and column ``[d]``.
    bias, threshold, centre
        Of the encoder (threshold: JumpReLU's); ``centre`` is the decoder's bias where the encoder
        takes it away first.
    reads
        Where it is read, if not where it writes: ``"transformer.h.3.ln_2"`` of a transcoder that
        writes to ``mlp_out``.
    """

    aligned: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    type: ClassVar[str] = "feature"
    encoder: Any = None
    decoder: Any = None
    bias: float = 0.0
    threshold: float = 0.0
    centre: Any = None
    reads: str | None = None

    @property
    def reads_at(self) -> Site:
        """Where the encoder reads."""
        return Site.parse(self.reads) if self.reads else self.where

    def encode(self, h: Tensor) -> Tensor:
        """Return how far it is on ``[..., 1]``."""
        row = torch.as_tensor(self.encoder).to(h)
        x = h if self.centre is None else h - torch.as_tensor(self.centre).to(h)
        on = (x @ row + float(self.bias)).relu()
        return torch.where(on > self.threshold, on, torch.zeros_like(on))[..., None]

    def decode(self, h: Tensor, value: Tensor) -> Tensor:
        """Return the activation with the feature on by ``value``, everything else kept."""
        return self.shift(h, value - self.encode(h))

    def shift(self, h: Tensor, change: Tensor) -> Tensor:
        """Return the activation with the feature on by that much more."""
        return h + change.to(h) * torch.as_tensor(self.decoder).to(h)

    @property
    def kind(self) -> str:
        """A feature."""
        return "feature"

    def size(self, width: int) -> int:  # noqa: ARG002
        """Return 1."""
        return 1

    def _short(self) -> str:
        return f"feature of {self.where}"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Featurizer(Mediator):
    """Some coordinates of an invertible, possibly non-linear, map of an activation.

    Functions are not plain data: it goes into :func:`measure`, not into ``iw.mediation``.

    Parameters
    ----------
    forward, inverse
        The map ``[..., d]`` to ``[..., d]`` and back.
    dims
        Its coordinates that are the mediator; None: all.
    """

    aligned: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    type: ClassVar[str] = "featurizer"
    forward: Callable[[Tensor], Tensor] = lambda h: h
    inverse: Callable[[Tensor], Tensor] = lambda h: h
    dims: Sequence[int] = ()

    def encode(self, h: Tensor) -> Tensor:
        """Return the coordinates ``[..., dim]``."""
        return self.forward(h)[..., list(self.dims)]

    def decode(self, h: Tensor, value: Tensor) -> Tensor:
        """Return the activation with other coordinates under the map."""
        mapped = self.forward(h).clone()
        mapped[..., list(self.dims)] = value.to(mapped)
        return self.inverse(mapped)

    @property
    def kind(self) -> str:
        """A coordinate of a map."""
        return "non-linear feature"

    def size(self, width: int) -> int:  # noqa: ARG002
        """Return the number of coordinates."""
        return len(self.dims)
