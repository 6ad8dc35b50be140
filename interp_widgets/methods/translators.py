"""Affine maps of the tuned lens: from a file, tensors or linear layers."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

Affine = tuple[Tensor, Tensor]


def translators_of(given: Any, rows: int, width: int) -> list[Affine]:
    """Return one ``(weight [d_model, d_model], bias [d_model])`` per row; empty for None.

    Parameters
    ----------
    given
        A path of a safetensors file, or a list of pairs or linear layers, as
        :func:`interp_widgets.logit_lens` takes them.
    rows, width
        How many maps there must be, and d_model.

    Raises
    ------
    ValueError
        When their number or shape does not fit the model, or one is not finite.

    Examples
    --------
    >>> translators_of([(torch.zeros(8, 8), torch.zeros(8))] * 3, rows=3, width=8)
    """
    if given is None:
        return []
    pairs = _from_file(given) if isinstance(given, str) else [_pair(t) for t in given]
    if len(pairs) != rows:
        raise ValueError(
            f"there are {len(pairs)} translators for {rows} rows: give one for the embedding and "
            "one for each block but the last"
        )
    for i, (weight, bias) in enumerate(pairs):
        if tuple(weight.shape) != (width, width) or tuple(bias.shape) != (width,):
            raise ValueError(
                f"translator {i} has weight {tuple(weight.shape)} and bias {tuple(bias.shape)}; "
                f"this model needs ({width}, {width}) and ({width},)"
            )
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise ValueError(f"translator {i} holds numbers that are not finite")
    return pairs


def translate(maps: list[Affine], row: int, residual: Tensor) -> Tensor:
    """Add the row's map of the residual ``[..., d_model]`` to it; without maps return it."""
    if not maps:
        return residual
    weight, bias = (x.to(residual.device, residual.dtype) for x in maps[row])
    return residual + torch.nn.functional.linear(residual, weight, bias)


def _pair(translator: Any) -> Affine:
    weight, bias = getattr(translator, "weight", None), getattr(translator, "bias", None)
    if weight is None:
        try:
            weight, bias = translator
        except (TypeError, ValueError):
            raise ValueError(
                f"a translator is a pair (weight, bias) or a linear layer, "
                f"not a {type(translator).__name__}"
            ) from None
    weight = torch.as_tensor(weight).detach()
    return weight, weight.new_zeros(len(weight)) if bias is None else torch.as_tensor(bias).detach()


def _from_file(path: str) -> list[Affine]:
    from safetensors.torch import load_file

    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in load_file(path).items():
        match = re.search(r"(\d+)\.(weight|bias)$", name)
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = tensor
    if sorted(found) != list(range(len(found))) or not all("weight" in f for f in found.values()):
        raise ValueError(
            f"{path} should hold 0.weight, 0.bias, 1.weight, …; it has layers {sorted(found)}"
        )
    pairs = ((found[i]["weight"], found[i].get("bias")) for i in range(len(found)))
    return [(w, w.new_zeros(len(w)) if b is None else b) for w, b in pairs]
