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
    vectors, writer, onto
        ``[write, d_model]``: what is written into the residual stream, activation × decoder; the
        number of the feature that writes it; the layer of the MLP that it is part of. One for each
        feature, in their order, or, in a cross-layer transcoder, one for every layer it writes to.
        Sorted by ``onto``, then position.
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
    writer: Tensor
    onto: Tensor
    errors: Tensor
    biases: Tensor
    counts: dict[int, int]

    def __len__(self) -> int:
        return len(self.layer)

    def totals(self) -> Tensor:
        """Return all that each feature writes, in whichever layer, ``[feature, d_model]``."""
        sums = self.vectors.new_zeros(len(self), self.vectors.shape[-1])
        return sums.index_add_(0, self.writer, self.vectors)

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
        none = torch.zeros(3, 0, dtype=torch.long, device=device)
        where, values = [none], [model.embeddings.new_zeros(0)]
        vectors, ends = [torch.zeros_like(model.embeddings[:0])], [none[:2]]
        made = [torch.zeros_like(model.written[i]) for i in range(model.n_layers)]
        biases = [torch.zeros_like(made[0][0]) for _ in made]
        counts: dict[int, int] = {}
        found = 0
        for i, one in sorted(transcoders.layers.items()):
            name, x = f"layer {i} of {transcoders.name}", model.reads[i]
            if i + one.steps > model.n_layers:
                raise CircuitError(
                    f"{name} writes into {one.steps} layers, and from this one on the model has "
                    f"{model.n_layers - i}"
                )
            z = _encoded(one.encode, x, name)
            counts[i] = z.shape[-1]
            position, index = z.nonzero(as_tuple=True)
            active = z[position, index].to(x)
            units, inverse = index.unique(return_inverse=True)
            biases[i] = one.bias(counts[i], z).to(x)
            number = torch.arange(found, found + len(index), device=device)
            found += len(index)
            for step in range(one.steps):
                own = active[:, None] * one.writers(units, counts[i], z, step).to(x)[inverse]
                written = torch.zeros_like(x).index_add_(0, position, own)
                if step == 0:
                    _check_affine(written + biases[i], one.decode(z).to(x), name)
                made[i + step] += written
                vectors.append(own)
                ends.append(torch.stack([number, torch.full_like(number, i + step)]))
            made[i] += biases[i]
            if one.skip is not None:
                made[i] += x @ one.skip.to(x).T
            where.append(torch.stack([torch.full_like(position, i), position, index]))
            values.append(active)
        layer, position, index = torch.cat(where, 1)
        writer, onto = torch.cat(ends, 1)
        order = torch.argsort(onto * len(model.prompt) + position[writer], stable=True)
        errors = [model.written[i] - one for i, one in enumerate(made)]
        return cls(
            layer,
            position,
            index,
            torch.cat(values),
            torch.cat(vectors)[order],
            writer[order],
            onto[order],
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
