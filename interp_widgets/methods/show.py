"""Any tensor in the view of a labelled array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.activations import POSITIONS
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt


def show(
    tensor: Any,
    dims: Sequence[str] | None = None,
    labels: Mapping[str, Sequence[Any]] | None = None,
    prompt: Prompt | None = None,
    *,
    title: str = "tensor",
    quantity: str = "value",
    signed: bool | None = None,
    mask: Any = None,
) -> ArrayResult:
    """Show any tensor, for example one saved in a trace, as a heatmap of any two of its dims.

    Parameters
    ----------
    tensor
        A torch tensor on any device, a numpy array (masked arrays too), or nested lists of numbers,
        with any number of dims, none included. It is not copied, unless there is a mask.
    dims
        A name for each dim. Default: ``dim 0``, ``dim 1``, …
    labels
        Names of the entries of a dim, by dim.
    prompt
        The prompt it came from: links the selection with the other views of its session, and
        labels the dims called ``position``, ``query`` or ``key`` that have its length.
    title, quantity
        What it is, and what is measured, in which unit.
    signed
        Whether zero is the middle of the colour scale; None: when there are negative values.
    mask
        True where a cell holds nothing that counts: it gets a mark of its own and is left out of
        scale, means and tables. Of the tensor's shape, or of size 1 in some dims.

    Returns
    -------
    ArrayResult
        Without a recipe: it can be saved and drawn, but not run again.

    Raises
    ------
    TypeError, ValueError
        When it is not numeric, or names or mask do not fit.

    Examples
    --------
    >>> with session.trace(prompt):
    ...     h = session.model.transformer.h[5].output.save()
    >>> iw.show(h, dims=("batch", "position", "hidden"), prompt=prompt)
    """
    if mask is None and isinstance(tensor, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(tensor)
    values = _tensor(np.ma.getdata(tensor) if isinstance(tensor, np.ma.MaskedArray) else tensor)
    if prompt is not None and not isinstance(prompt, Prompt):
        raise TypeError(f"prompt must be made by session.prompt(...), not {type(prompt).__name__}")
    names = [f"dim {i}" for i in range(values.ndim)] if dims is None else [str(d) for d in dims]
    if len(names) != values.ndim:
        shape = " × ".join(map(str, values.shape))
        raise ValueError(
            f"{len(names)} dims {tuple(names)} for a tensor with {values.ndim}: {shape}"
        )
    entries = {str(dim): [str(x) for x in given] for dim, given in (labels or {}).items()}
    if prompt is not None:
        for dim, size in zip(names, values.shape, strict=True):
            if dim in POSITIONS and size == len(prompt):
                entries.setdefault(dim, list(prompt.tokens))
    meta: dict[str, Any] = {"dims": names, "labels": entries, "title": title, "quantity": quantity}
    if signed is not None:
        meta["signed"] = signed
    session = prompt.session if prompt is not None else None
    if mask is None:
        return ArrayResult({"values": values}, meta, session=session)
    hidden = torch.as_tensor(np.asarray(mask, dtype=bool)) if not isinstance(mask, Tensor) else mask
    result = ArrayResult({"values": values, "mask": hidden.bool()}, meta, session=session)
    floating = values if values.is_floating_point() else values.float()
    nothing = hidden.bool().to(values.device)
    result.arrays["values"] = floating.masked_fill(nothing, float("nan"))
    return result


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        try:
            value = torch.as_tensor(np.asarray(value))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{type(value).__name__} is not a tensor of numbers ({error}); "
                "give a torch tensor, a numpy array or nested lists of equal lengths"
            ) from error
    if value.is_complex():
        raise TypeError("complex numbers have no colour; show .abs(), .angle(), .real or .imag")
    if value.dtype == torch.bool:
        value = value.to(torch.uint8)
    return value.detach()
