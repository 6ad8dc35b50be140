"""Reading activations: one trace, many sites, with gradients if asked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nnsight
import torch
from torch import Tensor, nn

from interp_widgets.session.engines import Engine, LocalEngine
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from interp_widgets.session.anatomy import Anatomy
    from interp_widgets.session.location import Location


@dataclass(frozen=True)
class Gradients:
    """Activations and how a metric changes with them.

    Parameters
    ----------
    values
        Activation of each site.
    grads
        d metric / d activation, same shapes; zeros where the metric does not depend on the site.
    metric
        The metric's value.
    """

    values: dict[Site, Tensor]
    grads: dict[Site, Tensor]
    metric: Tensor


def capture(
    model: Any,
    anatomy: Anatomy,
    batch: Mapping[str, Any] | Tensor,
    sites: str | Site | Iterable[str | Site],
    *,
    engine: Engine | None = None,
    squeeze: bool | None = None,
) -> dict[Site, Tensor]:
    """Read many sites in one trace.

    Parameters
    ----------
    model
        The nnsight model, or an edited copy of it: then the activations are those after the edits.
    anatomy
        Where its parts are.
    batch
        Keyword arguments of the model (`input_ids`, `attention_mask`, `pixel_values`, …), or its
        one input.
    sites
        What to read; a name without a layer means all layers.
    engine
        Where to run; None runs here.
    squeeze
        Whether to drop the batch dimension; None drops it for a batch of one.

    Returns
    -------
    dict of Site to Tensor
        In the order asked, detached, shaped as `Site.dims` says (`resid_post [position, d_model]`),
        with `batch` in front unless squeezed. Tensors can share memory with each other: do not
        write into them.

    Raises
    ------
    SiteError
        If a site is not there.

    Examples
    --------
    >>> capture(model, anatomy, {"input_ids": ids}, ["resid_post", "z.2"])[Site("z", 2)].shape
    torch.Size([9, 4, 8])
    """
    anatomy.prepare(batch)
    wanted = anatomy.expand(sites)
    places, patterns = _plan(anatomy, wanted)
    found: dict[Location, Tensor] = {}
    if places:
        with torch.no_grad():
            found = _read(model, anatomy, batch, places, engine or LocalEngine())
    one = _rows(batch) == 1 if squeeze is None else squeeze
    values: dict[Site, Tensor] = {}
    for site in wanted:
        if site in patterns:
            values[site] = _patterns(anatomy, site, found, batch)
        else:
            place = anatomy.locate(site)
            values[site] = shaped(found[place].detach(), place)
    _own_memory(values)
    return {site: value[0] if one and value.ndim else value for site, value in values.items()}


def _plan(
    anatomy: Anatomy, wanted: list[Site]
) -> tuple[list[Location], dict[Site, list[Location]]]:
    """Return the places to read in the model's order, and what patterns need."""
    places: dict[Location, None] = {}
    patterns: dict[Site, list[Location]] = {}
    for site in wanted:
        if site.name == "pattern":
            needs = [
                anatomy.locate(name, site.layer) for name in anatomy.pattern_needs(site.layer or 0)
            ]
            patterns[site] = needs
            places.update(dict.fromkeys(needs))
        else:
            places[anatomy.locate(site)] = None
    return sorted(places, key=anatomy.order), patterns


def _read(
    model: Any,
    anatomy: Anatomy,
    batch: Mapping[str, Any] | Tensor,
    places: list[Location],
    engine: Engine,
) -> dict[Location, Tensor]:
    edits = bool(getattr(model, "_edits", ()))  # edits of later places must find them
    stop = anatomy.order(places[-1]) < anatomy.end and not edits
    with engine.trace(model, batch) as tracer:
        values = [place.read(model) for place in places]
        nnsight.save(values)
        if stop:
            tracer.stop()
    return dict(zip(places, values, strict=True))


def shaped(tensor: Tensor, place: Location) -> Tensor:
    """Return a tensor read at a place with the dimensions of its site, batch first."""
    if place.layout == "batch head query key bias":
        from interp_widgets.session.tap import by_distance

        return by_distance(tensor[0])[None]
    return place.to_heads(tensor)


def _patterns(
    anatomy: Anatomy, site: Site, found: dict[Location, Tensor], batch: Mapping[str, Any] | Tensor
) -> Tensor:
    from interp_widgets.results.attention import attention_pattern

    layer = site.layer or 0
    facts = anatomy.attention(layer)
    q, k = (found[anatomy.locate(name, layer)].detach() for name in ("q", "k"))
    bias = None
    if "bias" in anatomy.pattern_needs(layer):
        place = anatomy.locate("bias", layer)
        bias = shaped(found[place].detach(), place)
    valid = valid_keys(batch)
    rows = []
    for row in range(q.shape[0]):
        group = facts.heads // facts.kv_heads
        heads = [
            attention_pattern(
                q[row, head],
                k[row, head // group],
                scaling=facts.scaling,
                softcap=facts.softcap,
                window=facts.window,
                causal=facts.causal,
                valid=None if valid is None else valid[row],
                bias=None if bias is None else bias[row if facts.pairwise else 0, head],
                sink=facts.sinks[head] if facts.sinks else None,
            )
            for head in range(facts.heads)
        ]
        rows.append(torch.stack(heads))
    return torch.stack(rows)


def valid_keys(batch: Mapping[str, Any] | Tensor) -> Tensor | None:
    """Return which positions are real, `[batch, position]`, or None if all are."""
    mask = None if isinstance(batch, Tensor) else batch.get("attention_mask")
    if not isinstance(mask, Tensor) or mask.ndim != 2 or bool(mask.all()):
        return None
    return mask.bool()


def _rows(batch: Mapping[str, Any] | Tensor) -> int:
    tensors = (
        [batch]
        if isinstance(batch, Tensor)
        else [v for v in batch.values() if isinstance(v, Tensor)]
    )
    return int(tensors[0].shape[0]) if tensors and tensors[0].ndim else 1


def _own_memory(values: dict[Site, Tensor]) -> None:
    """Copy what is a small part of a larger block of memory, so that the rest can be freed."""
    used: dict[int, int] = {}
    for value in values.values():
        block = value.untyped_storage()
        used[block._cdata] = used.get(block._cdata, 0) + value.nbytes  # noqa: SLF001  # identity of the memory
    for site, value in values.items():
        block = value.untyped_storage()
        if 2 * used[block._cdata] < block.nbytes():  # noqa: SLF001
            values[site] = value.clone()


def capture_with_grad(
    model: Any,
    anatomy: Anatomy,
    batch: Mapping[str, Any] | Tensor,
    sites: str | Site | Iterable[str | Site],
    metric: Callable[[Tensor], Tensor],
    *,
    engine: Engine | None = None,
    squeeze: bool | None = None,
) -> Gradients:
    """Read sites and the gradient of a metric by them: one forward and one backward pass.

    Weights take no part in the gradient, so memory holds the activations' graph alone.

    Parameters
    ----------
    model, anatomy, batch, sites, engine, squeeze
        As in `capture`; `pattern` has no gradient, since the model need not compute it.
    metric
        Takes the logits, shaped as `capture` gives them, and returns one number as a tensor.

    Returns
    -------
    Gradients
        Values, gradients and the metric, all detached.

    Raises
    ------
    ValueError
        If the metric does not return one number, or does not depend on the model.

    Examples
    --------
    >>> capture_with_grad(model, anatomy, batch, ["z"], lambda logits: logits[-1, 5] - logits[-1,
    7])
    """
    anatomy.prepare(batch)
    wanted = anatomy.expand(sites)
    if any(site.name == "pattern" for site in wanted):
        raise ValueError(
            "A pattern is computed from q and k: ask for the gradient of q, k or z instead."
        )
    end = anatomy.locate("logits")
    places, _ = _plan(anatomy, wanted)
    one = _rows(batch) == 1 if squeeze is None else squeeze
    inner = [place for place in places if place != end]
    seed_at, batch = _seed(anatomy, batch)
    order = sorted({*inner, *([] if seed_at is None else [seed_at])}, key=anatomy.order)
    run_on = engine or LocalEngine()
    with torch.enable_grad(), frozen(anatomy.root), run_on.trace(model, batch):
        read = []
        for place in order:
            value = place.read(model)
            if place == seed_at:
                value = value + torch.zeros(
                    (), dtype=value.dtype, device=value.device, requires_grad=True
                )
                place.write(model, value)
            read.append(value)
        logits = end.read(model)
        read.append(logits)
        score = metric(logits[0] if one else logits)
        _check_metric(score)
        grads = torch.autograd.grad(score, read, allow_unused=True)
        kept = ([value.detach() for value in read], grads, score.detach())
        nnsight.save(kept)
    values, gradients, number = kept
    tensors = dict(zip([*order, end], zip(values, gradients, strict=True), strict=True))
    result = Gradients({}, {}, number)
    for site in wanted:
        place = anatomy.locate(site)
        value, grad = tensors[place]
        grad = torch.zeros_like(value) if grad is None else grad
        result.values[site] = shaped(value, place)[0] if one else shaped(value, place)
        result.grads[site] = shaped(grad, place)[0] if one else shaped(grad, place)
    return result


def _seed(
    anatomy: Anatomy, batch: Mapping[str, Any] | Tensor
) -> tuple[Location | None, Mapping[str, Any] | Tensor]:
    """Choose where the gradient's graph starts: at a float input itself, else at the embedding."""
    if isinstance(batch, Tensor):
        if batch.is_floating_point():
            return None, batch.detach().clone().requires_grad_()
    else:
        floats = {k: v for k, v in batch.items() if isinstance(v, Tensor) and v.is_floating_point()}
        if floats:
            return None, {
                **batch,
                **{k: v.detach().clone().requires_grad_() for k, v in floats.items()},
            }
    return anatomy.locate("embed"), batch


def _check_metric(score: Any) -> None:
    if not isinstance(score, Tensor) or score.numel() != 1:
        what = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
        raise ValueError(f"The metric must return one number as a tensor, not {what}.")
    if not score.requires_grad:
        raise ValueError("The metric does not depend on the logits, so it has no gradient.")


@contextmanager
def frozen(root: nn.Module) -> Iterator[None]:
    """Keep weights out of gradients, and give them back as they were."""
    free = [parameter for parameter in root.parameters() if parameter.requires_grad]
    for parameter in free:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in free:
            parameter.requires_grad_(True)
