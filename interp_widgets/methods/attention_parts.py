"""What attention needs beside q and k: value norms, cross-attention, the picture of patches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from interp_widgets.session import tap
from interp_widgets.session.sites import SiteError

if TYPE_CHECKING:
    from interp_widgets.session.anatomy import Anatomy
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

MOST_PIXELS = 448
"""Longest side of the picture that travels with a result."""


def value_norm(anatomy: Anatomy, layer: int, v: Tensor) -> Tensor | None:
    """Return the norm of what each head writes for each token, ``‖v W_O‖``, ``[head, position]``.

    By the Gram matrix of each head's part of W_O, so nothing of the width of the residual stream
    is made. None where the output projection is not a linear map whose weights are here.

    Parameters
    ----------
    anatomy
        Of the model.
    layer
        Which layer.
    v
        ``[kv_head, position, d_head]``.
    """
    path = anatomy.blocks[layer].output_projection
    weight = getattr(anatomy.root.get_submodule(path), "weight", None) if path else None
    if not isinstance(weight, Tensor) or weight.is_meta or not weight.is_floating_point():
        return None
    module = anatomy.root.get_submodule(str(path))
    heads = anatomy.attention(layer).heads
    inward = weight.T if isinstance(module, nn.Linear) else weight  # Conv1D keeps [in, out]
    if inward.ndim != 2 or inward.shape[0] != heads * v.shape[-1]:
        return None
    by_head = inward.detach().float().unflatten(0, (heads, -1))
    gram = by_head @ by_head.mT
    values = v.float().repeat_interleave(heads // v.shape[0], dim=0).to(gram.device)
    squared = ((values @ gram) * values).sum(-1)
    return squared.clamp_min(0).sqrt()


def cross_calls(
    session: Session, prompt: Prompt, decoder: Prompt, layers: Sequence[int] | None
) -> tuple[list[int], list[Tensor], list[Tensor], list[dict[str, Any]]]:
    """Return layers, and of each its cross-attention's q, k ``[head, position, d_head]`` and facts.

    Raises
    ------
    SiteError
        When the decoder's blocks call the attention function once only, or a layer is not there.
    """
    anatomy = session.anatomy
    calls = {i: anatomy.cross_call(i) for i in range(anatomy.n_layers)}
    places = {i: call for i, call in calls.items() if call is not None}
    if not places:
        raise SiteError(
            "this model has no cross-attention: its blocks call the attention function once; "
            "leave out decoder=…, which is for encoder–decoder models"
        )
    chosen = list(places if layers is None else layers)
    missing = [i for i in chosen if i not in places]
    if missing:
        raise SiteError(f"there is no cross-attention in layer {missing[0]}; it is in {[*places]}")
    inputs = {"decoder_input_ids": torch.tensor([decoder.ids], device=session.device)}
    read: dict[int, Any] = {}
    with torch.no_grad(), session.trace(prompt, **inputs) as tracer:
        for i in chosen:
            call = getattr(places[i].envoy(session.model).source, str(places[i].call))
            read[i] = call.inputs
        tracer.stop()
    facts = [{**tap.read_facts(read[i]).to_json(), "causal": False} for i in chosen]
    q, k = ([read[i][0][n][0].detach() for i in chosen] for n in (1, 2))
    return chosen, q, k, facts


def picture(prompt: Prompt, meta: dict[str, Any]) -> dict[str, Tensor]:
    """Return the image of a prompt of patches as uint8 ``[height, width, 3]``; say how it is cut.

    Values are stretched from the smallest to the largest: what the model reads is normalised.
    """
    last = re.fullmatch(r"(\d+),(\d+)", prompt.tokens[-1])
    if prompt.values is None or prompt.values.ndim != 4 or last is None:
        return {}
    rows, columns = int(last[1]) + 1, int(last[2]) + 1
    extra = len(prompt.tokens) - rows * columns
    if extra < 0:
        return {}
    image = prompt.values.detach().float().cpu()
    largest = max(image.shape[-2:])
    if largest > MOST_PIXELS:
        image = nn.functional.interpolate(image, scale_factor=MOST_PIXELS / largest, mode="area")
    low, high = image.amin(), image.amax()
    image = (image - low) / (high - low if high > low else 1)
    image = image[0].expand(3, -1, -1) if image.shape[1] == 1 else image[0, :3]
    meta["patches"] = {"extra": extra, "rows": rows, "columns": columns}
    return {"image": (image * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()}
