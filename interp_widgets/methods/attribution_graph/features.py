"""What transcoders make of one prompt: active features, what they write, and what is left over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.readout import COARSE, TOLERANCE

if TYPE_CHECKING:
    from interp_widgets.methods.attribution_graph.frozen_model import FrozenModel
    from interp_widgets.methods.attribution_graph.transcoders import Transcoders


@dataclass(frozen=True, eq=False)
class Features:
    """The active features of a prompt, sorted by layer, then position, then index.

    Attributes
    ----------
    layer, position, index
        ``[feature]``: where each is active and which of its transcoder it is.
    activation
        ``[feature]``, in the transcoder's units.
    vectors
        ``[feature, d_model]``: what each writes into the residual stream, activation × decoder.
    errors
        ``[layer, position, d_model]``: what the MLP wrote and the transcoder did not; of a layer
        without a transcoder all of it.
    biases
        ``[layer, d_model]``: what the transcoder writes without any feature.
    counts
        Features of each layer's transcoder, by layer.
    """

    layer: Tensor
    position: Tensor
    index: Tensor
    activation: Tensor
    vectors: Tensor
    errors: Tensor
    biases: Tensor
    counts: dict[int, int]

    def __len__(self) -> int:
        return len(self.layer)

    @classmethod
    def of(cls, model: FrozenModel, transcoders: Transcoders) -> Features:
        """Encode what every MLP of the prompt reads.

        Raises
        ------
        CircuitError
            When a transcoder does not fit the model, or its decoder is not a matrix and a bias.
        """
        beyond = [i for i in transcoders.layers if not 0 <= i < model.n_layers]
        if beyond:
            raise CircuitError(
                f"{transcoders.name} has a transcoder for layer {beyond[0]}; this model has layers "
                f"0 to {model.n_layers - 1}"
            )
        device = model.embeddings.device
        where: list[Tensor] = []
        values: list[Tensor] = []
        vectors: list[Tensor] = []
        errors: list[Tensor] = []
        biases: list[Tensor] = []
        counts: dict[int, int] = {}
        for i in range(model.n_layers):
            x, y = model.reads[i], model.written[i]
            if i not in transcoders:
                errors.append(y)
                biases.append(torch.zeros_like(y[0]))
                continue
            one = transcoders[i]
            z = _encoded(one.encode, x, f"layer {i} of {transcoders.name}")
            counts[i] = z.shape[-1]
            position, index = z.nonzero(as_tuple=True)
            active = z[position, index]
            units, inverse = index.unique(return_inverse=True)
            rows = one.writers(units, counts[i], z).to(y)[inverse]
            bias = one.bias(counts[i], z).to(y)
            own = active[:, None].to(y) * rows
            made = bias.expand_as(y).clone().index_add_(0, position, own)
            _check_affine(made, one.decode(z).to(y), f"layer {i} of {transcoders.name}")
            if one.skip is not None:
                made = made + x @ one.skip.to(x).T
            where.append(torch.stack([torch.full_like(position, i), position, index]))
            values.append(active.to(y))
            vectors.append(own)
            errors.append(y - made)
            biases.append(bias)
        none = torch.zeros(3, 0, dtype=torch.long, device=device)
        empty = model.embeddings.new_zeros(0)
        layer, position, index = torch.cat([none, *where], 1)
        return cls(
            layer,
            position,
            index,
            torch.cat([empty, *values]),
            torch.cat([empty.reshape(0, model.embeddings.shape[-1]), *vectors]),
            torch.stack(errors),
            torch.stack(biases),
            counts,
        )


def _encoded(encode: object, x: Tensor, name: str) -> Tensor:
    try:
        z = encode(x)  # type: ignore[operator]
    except (RuntimeError, ValueError, IndexError) as error:
        raise CircuitError(
            f"{name} cannot encode vectors of width {x.shape[-1]}: {error}"
        ) from error
    if not isinstance(z, Tensor) or z.shape[:-1] != x.shape[:-1]:
        raise CircuitError(f"{name}: encode takes {[*x.shape]} and has to return one row for each")
    if not torch.isfinite(z).all():
        raise CircuitError(f"{name} gives features that are not finite on this prompt")
    return z.detach()


def _check_affine(ours: Tensor, theirs: Tensor, name: str) -> None:
    limit = TOLERANCE.get(ours.dtype, COARSE) * float(theirs.abs().max().clamp_min(1e-6))
    if ours.shape != theirs.shape or float((ours - theirs).abs().max()) > limit:
        raise CircuitError(
            f"{name}: what decode returns is not the sum of what it returns for each feature alone "
            "and a bias, so that its features have no share of it"
        )
