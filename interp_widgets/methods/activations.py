"""Any activation of the model as a labelled array."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.anatomy import Anatomy
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import DIMS, WITHOUT_LAYER, Site, SiteError

MOST_PATTERN_CELLS = 2**27  # every head's pattern: 512 MB in float32

QUANTITIES = {
    "embed": "token embedding",
    "resid_pre": "residual stream before the block",
    "resid_mid": "residual stream between attention and MLP",
    "resid_post": "residual stream after the block",
    "attn_out": "what attention adds to the residual stream",
    "mlp_out": "what the MLP adds to the residual stream",
    "mlp_post": "hidden unit of the MLP, after its nonlinearity",
    "q": "query",
    "k": "key",
    "v": "value",
    "z": "head output before the output projection",
    "pattern": "attention probability",
    "logits": "logit",
}
POSITIONS = ("position", "query", "key")
"""Dims whose entries are a prompt's tokens."""


@method(
    "activations",
    result="array",
    family="activations",
    unit="any site",
    cost="1 forward pass",
    tags="mechanistic, observational, local, hypothesis generation, layer, head, neuron",
)
def activations(
    run: Run,
    prompt: Prompt | PromptBatch,
    site: str | Site = "resid_post",
    layer: int | None = None,
) -> ArrayResult:
    """Read an activation.

    Parameters
    ----------
    prompt
        A prompt, or a batch of prompts (``session.prompts([...])``): then there is a dim ``batch``,
        and positions after a row's length are masked.
    site
        A standard site (``session.anatomy.sites``), or the path of a module, whose output is read:
        that works for any torch module.
    layer
        One layer; None stacks all layers that have the site in a first dim ``layer``.

    Returns
    -------
    ArrayResult
        ``values`` with named dims, for example ``[layer, position, d_model]``; positions carry
        their tokens.

    Raises
    ------
    SiteError
        When the model has no such site or layer; the message names those there are.
    ValueError
        When every head's pattern would not fit; ``iw.attention`` computes them on demand.

    Examples
    --------
    >>> iw.activations(prompt, "resid_post").sel(layer=3).shape      # [position, d_model]
    """
    session = run.session
    wanted = Site.parse(site)
    if layer is not None:
        if wanted.layer is not None and wanted.layer != layer:
            raise SiteError(f"site={str(wanted)!r} and layer={layer} name two layers; give one")
        if wanted.name not in DIMS:
            raise SiteError(f"{wanted.name!r} is a module, which has no layers; leave layer out")
        wanted = Site(wanted.name, layer)
    if wanted.name == "pattern":
        anatomy = session.anatomy
        layers = anatomy.layers_of("pattern") if wanted.layer is None else [wanted.layer]
        check_patterns(anatomy, prompt, list(layers))
    captured = session.capture(prompt, wanted)
    sites = list(captured)
    stacked = wanted.layer is None and wanted.name in DIMS and wanted.name not in WITHOUT_LAYER
    values = torch.stack([captured[s] for s in sites]) if stacked else captured[sites[0]]
    if not isinstance(values, Tensor):
        raise SiteError(f"the module {wanted.name!r} returns no tensor; choose one inside it")
    inner = _dims(wanted, values.ndim - stacked, tuple(values.shape[stacked:]), prompt)
    dims = ["layer", *inner] if stacked else inner
    arrays = {"values": values}
    if isinstance(prompt, PromptBatch):
        arrays = _without_padding(values, dims, prompt)
        values = arrays["values"]
    labels = _labels(dims, tuple(values.shape), prompt)
    if stacked:
        labels["layer"] = [str(s.layer) for s in sites]
    meta = {
        "dims": dims,
        "labels": labels,
        "quantity": QUANTITIES.get(wanted.name, f"output of {wanted.name}"),
        "site": str(wanted),
        "title": str(wanted),
        "signed": wanted.name != "pattern" and bool((values < 0).any()),
    }
    return ArrayResult(arrays, meta)


def _dims(site: Site, ndim: int, shape: tuple[int, ...], prompt: Prompt | PromptBatch) -> list[str]:
    """Name the dims of one captured tensor; those of other modules are guessed from their sizes."""
    batch = ["batch"] if isinstance(prompt, PromptBatch) else []
    if len(site.dims) + len(batch) == ndim:
        return [*batch, *site.dims]
    if site.name == "logits":
        return [*batch, "class"]
    length = max(prompt.lengths)
    names: list[str] = []
    for i, size in enumerate(shape):
        if batch and i == 0:
            names.append("batch")
        elif size == length and "position" not in names and (i < ndim - 1 or ndim == 1):
            names.append("position")
        else:
            names.append("unit" if i == ndim - 1 else f"dim {i}")
    return names


def _labels(
    dims: list[str], shape: tuple[int, ...], prompt: Prompt | PromptBatch
) -> dict[str, list[str]]:
    if isinstance(prompt, PromptBatch):
        return {}
    return {
        dim: list(prompt.tokens)
        for dim, size in zip(dims, shape, strict=True)
        if dim in POSITIONS and size == len(prompt)
    }


def _without_padding(values: Tensor, dims: list[str], prompt: PromptBatch) -> dict[str, Tensor]:
    """Mask what stands where a row's prompt has ended: a copy with NaN there, and the mask."""
    if prompt.lengths[0] == max(prompt.lengths) == min(prompt.lengths):
        return {"values": values}
    padding = ~prompt.mask.to(values.device)
    batch = dims.index("batch")
    mask = torch.zeros([1] * values.ndim, dtype=torch.bool, device=values.device)
    for dim in POSITIONS:
        if dim in dims:
            shape = [1] * values.ndim
            shape[batch], shape[dims.index(dim)] = padding.shape
            mask = mask | padding.view(shape)
    values = values if values.is_floating_point() else values.float()
    return {"values": values.masked_fill(mask, float("nan")), "mask": mask}


def check_patterns(anatomy: Anatomy, prompt: Prompt | PromptBatch, layers: Sequence[int]) -> None:
    """Raise ValueError when the patterns of all heads of ``layers`` would not fit."""
    if not layers:
        return
    heads = anatomy.attention(layers[0]).heads
    cells = len(layers) * heads * len(prompt.lengths) * max(prompt.lengths) ** 2
    if cells > MOST_PATTERN_CELLS:
        raise ValueError(
            f"all patterns of {max(prompt.lengths):,} tokens are {cells:,} numbers; give one "
            "layer, or use iw.attention(prompt), which computes the one you look at"
        )
