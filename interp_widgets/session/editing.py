"""Interventions inside a trace: what each one needs, and how it changes a tensor."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from interp_widgets.session.errors import InterventionError
from interp_widgets.session.interventions import Ablate, Clamp, Intervention, Patch, Scale, Steer
from interp_widgets.session.sites import DIMS, Site

if TYPE_CHECKING:
    from torch import Tensor

    from interp_widgets.session.anatomy import Anatomy
    from interp_widgets.session.location import Location

ROLES = {"query": "position", "kv_head": "head"}

Index = tuple[Any, ...]
Fetch = Callable[[dict[str, Any], Site], "Tensor"]


@dataclass(frozen=True)
class Op:
    """One intervention with all it needs to run.

    Parameters
    ----------
    item
        The intervention.
    rows
        Rows of the batch that it changes; None means all.
    value
        What it puts there (mean of the references, source of a patch, direction), without a batch
        dimension and with the dimensions of ``dims``; None when it needs nothing.
    dims
        Roles of the dimensions of ``value``.
    """

    item: Intervention
    rows: tuple[int, ...] | None = None
    value: Tensor | None = None
    dims: tuple[str, ...] = ()


@dataclass
class Stage:
    """All changes of one place in the model, applied by one block of nnsight code.

    Parameters
    ----------
    site
        The activation.
    location
        Where it lives; for ``pattern`` the place of v, whose attention call is recomputed.
    ops
        The changes, in order.
    lengths
        Real positions of each row of the batch.
    order
        When a forward pass reaches the place.
    """

    site: Site
    location: Location
    ops: list[Op] = field(default_factory=list)
    lengths: tuple[int, ...] = ()
    order: float = 0.0

    def apply(self, model: Any) -> None:
        """Change the activation; runs inside a trace, as a stored edit."""
        if self.site.name == "pattern":
            self._apply_to_pattern(model)
            return
        location = self.location
        value = location.to_heads(location.read(model))
        dims = roles_of(location.layout, value.ndim)
        location.write(model, location.from_heads(self.change(value, dims)))

    def change(self, value: Tensor, dims: tuple[str, ...]) -> Tensor:
        """Return a changed copy of a tensor whose dimensions have the roles ``dims``."""
        changed = value.clone()
        for op in self.ops:
            apply_op(changed, dims, op, self.lengths)
        return changed

    def _apply_to_pattern(self, model: Any) -> None:
        call = getattr(self.location.envoy(model).source, str(self.location.call))
        args, kwargs = call.inputs
        pattern = self.change(pattern_of_call(args, kwargs), ("batch", "head", "position", "unit"))
        result = call.output
        z = mix(pattern, args[3], result[0])
        call.output = (z, *result[1:])


def pattern_of_call(args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """Return the pattern ``[batch, head, query, key]`` that an attention call is about to use."""
    module, q, k = args[:3]
    mask = args[4] if len(args) > 4 else kwargs.get("attention_mask")
    group = q.shape[1] // k.shape[1]
    scaling = kwargs.get("scaling")
    scores = q @ k.repeat_interleave(group, dim=1).transpose(2, 3)
    scores = scores * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if kwargs.get("softcap") is not None:
        scores = torch.tanh(scores / kwargs["softcap"]) * kwargs["softcap"]
    if kwargs.get("position_bias") is not None:
        scores = scores + kwargs["position_bias"]
    lowest = torch.finfo(scores.dtype).min
    if mask is not None:
        mask = mask[..., : k.shape[2]]
        scores = scores.masked_fill(~mask, lowest) if mask.dtype == torch.bool else scores + mask
    else:
        causal = kwargs.get("is_causal")
        causal = getattr(module, "is_causal", True) if causal is None else causal
        if causal and q.shape[2] > 1:
            hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(hidden, lowest)
    if kwargs.get("s_aux") is not None:
        sinks = kwargs["s_aux"].reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        return torch.cat([scores, sinks], dim=-1).float().softmax(-1)[..., :-1].to(q.dtype)
    return scores.float().softmax(-1).to(q.dtype)


def mix(pattern: Tensor, v: Tensor, like: Tensor) -> Tensor:
    """Return z, shaped as the attention call returns it, from a pattern and v."""
    mixed = pattern.to(v.dtype) @ v.repeat_interleave(pattern.shape[1] // v.shape[1], dim=1)
    return mixed.transpose(1, 2).reshape(like.shape).contiguous()


def roles_of(layout: str, ndim: int) -> tuple[str, ...]:
    """Return the roles of a tensor's dimensions: batch, position, head, unit."""
    dims = layout.replace("(", "").replace(")", "").split()
    if len(dims) != ndim or "batch" not in dims:
        dims = {4: ["batch", "head", "position", "unit"], 3: ["batch", "position", "unit"]}.get(
            ndim, ["batch", "unit"] if ndim == 2 else []
        )
    if not dims:
        raise InterventionError(
            f"an activation with {ndim} dimensions cannot be changed by position"
        )
    *front, _ = dims
    return (*(ROLES.get(d, d) for d in front), "unit")


def apply_op(tensor: Tensor, dims: tuple[str, ...], op: Op, lengths: tuple[int, ...]) -> None:
    """Change ``tensor`` in place as ``op`` says."""
    item = op.item
    if len(lengths) != tensor.shape[0]:
        lengths = (_size(tensor, dims, "position"),) * tensor.shape[0]
    for group in groups_of(op, lengths):
        length = min(lengths[row] for row in group)
        wanted = {
            "batch": None if len(group) == tensor.shape[0] else tuple(group),
            "position": positions(item.position, length, item),
            "head": item.head,
            "unit": item.unit,
        }
        index = index_of(tensor.shape, dims, wanted)
        old = tensor[index]
        tensor[index] = _new(tensor, dims, op, old, wanted, [lengths[row] for row in group])


def groups_of(op: Op, lengths: tuple[int, ...], *, by_length: bool = False) -> list[list[int]]:
    """Return the rows that ``op`` changes, grouped where its positions mean the same."""
    rows = range(len(lengths)) if op.rows is None else op.rows
    relative = op.item.position is not None and any(p < 0 for p in op.item.position)
    groups: dict[int, list[int]] = {}
    for row in rows:
        groups.setdefault(lengths[row] if relative or by_length else -1, []).append(row)
    return list(groups.values())


def _new(
    tensor: Tensor,
    dims: tuple[str, ...],
    op: Op,
    old: Tensor,
    wanted: dict[str, Any],
    lengths: list[int],
) -> Tensor:
    item = op.item
    if isinstance(item, Scale):
        return old * item.factor
    if isinstance(item, Clamp):
        return torch.full_like(old, item.value)
    if isinstance(item, Steer):
        assert op.value is not None
        direction = op.value.to(device=old.device, dtype=old.dtype)
        if direction.numel() != old.shape[-1]:
            raise InterventionError(
                f"{item.describe()}: the direction has {direction.numel()} numbers and "
                f"{item.where()} has {old.shape[-1]}"
            )
        return old + item.strength * direction
    if isinstance(item, Ablate) and item.method == "zero":
        return torch.zeros_like(old)
    if op.value is None:
        return _mean_over_positions(tensor, dims, wanted, lengths).expand_as(old)
    value = op.value.to(device=old.device, dtype=old.dtype)
    value = value.permute([op.dims.index(d) for d in dims if d in op.dims])
    for at, dim in enumerate(dims):
        if dim not in op.dims:
            value = value.unsqueeze(at)
    chosen = {dim: which for dim, which in wanted.items() if dim in op.dims}
    if "position" in op.dims and "position" in dims:
        taken = getattr(item, "source_position", None)
        size = value.shape[dims.index("position")]
        chosen["position"] = positions(item.position if taken is None else taken, size, item)
        if chosen["position"] is None and size != _size(tensor, dims, "position"):
            raise InterventionError(
                f"{item.describe()}: the other prompt has {size} positions and this one "
                f"{_size(tensor, dims, 'position')}; say which with position= and source_position="
            )
    if item.site == "pattern" and value.shape[-1] != tensor.shape[-1]:
        raise InterventionError(
            f"{item.describe()}: a pattern can only come from a prompt of the same length, and the "
            f"other one has {value.shape[-1]} tokens"
        )
    return value[index_of(value.shape, dims, chosen)].expand_as(old)


def _mean_over_positions(
    tensor: Tensor, dims: tuple[str, ...], wanted: dict[str, Any], lengths: list[int]
) -> Tensor:
    """Return the mean over the real positions of each row, for the chosen heads and units."""
    part = tensor[index_of(tensor.shape, dims, dict(wanted, position=None))]
    if "position" not in dims:
        return part
    at = dims.index("position")
    size = part.shape[at]
    if min(lengths) == size:
        return part.mean(dim=at, keepdim=True)
    steps = torch.arange(size, device=part.device)
    real = steps[None] < torch.tensor(lengths, device=part.device)[:, None]
    shape = [1] * part.ndim
    shape[0], shape[at] = real.shape
    real = real.view(shape)
    return (part * real).sum(dim=at, keepdim=True) / real.sum(dim=at, keepdim=True)


def positions(
    wanted: tuple[int, ...] | None, length: int, item: Intervention
) -> tuple[int, ...] | None:
    """Turn positions into indices of a prompt of ``length`` tokens.

    Raises
    ------
    InterventionError
        When the prompt does not have one of them.
    """
    if wanted is None:
        return None
    wrong = next((p for p in wanted if not -length <= p < length), None)
    if wrong is not None:
        raise InterventionError(
            f"{item.describe()}: there is no position {wrong} in a prompt of {length} tokens; "
            "switch the intervention off or change its position"
        )
    return tuple(p % length for p in wanted)


def index_of(shape: Sequence[int], dims: tuple[str, ...], wanted: dict[str, Any]) -> Index:
    """Return an index that keeps every dimension: slices where they do, else broadcast lists."""
    parts: list[Any] = []
    for size, dim in zip(shape, dims, strict=True):
        chosen = wanted.get(dim)
        if chosen is None:
            parts.append(slice(None))
        elif chosen == tuple(range(chosen[0], chosen[0] + len(chosen))) and chosen[-1] < size:
            parts.append(slice(chosen[0], chosen[-1] + 1))
        else:
            parts.append(list(chosen))
    lists = [p for p in parts if isinstance(p, list)]
    if len(lists) < 2:
        return tuple(parts)
    full: list[Any] = []
    for at, (size, part) in enumerate(zip(shape, parts, strict=True)):
        entries = torch.tensor(part if isinstance(part, list) else range(*part.indices(size)))
        full.append(entries.view([-1 if i == at else 1 for i in range(len(shape))]))
    return tuple(full)


def _size(tensor: Tensor, dims: tuple[str, ...], role: str) -> int:
    return tensor.shape[dims.index(role)] if role in dims else 1


# -- from interventions to stages ----------------------------------------------


def plan(
    anatomy: Anatomy,
    items: Iterable[tuple[Intervention, tuple[int, ...] | None]],
    lengths: tuple[int, ...],
    fetch: Fetch,
) -> list[Stage]:
    """Group interventions by place, in model order, and fetch what they need.

    Parameters
    ----------
    anatomy
        Where the model's parts are.
    items
        Interventions, each with the rows of the batch that it changes (None means all).
    lengths
        Real positions of each row.
    fetch
        Returns a clean activation of a prompt (as JSON): ``fetch(prompt, site)``.
    """
    stages: dict[Site, Stage] = {}
    for item, rows in items:
        site = Site(item.site, item.layer)
        stage = stages.get(site)
        if stage is None:
            location = anatomy.locate(site)
            if site.name == "pattern":
                location = anatomy.locate("v", site.layer)
            order = anatomy.order(location) + 0.1 * (site.name == "pattern")
            stage = stages[site] = Stage(site, location, [], lengths, order)
        value, dims = value_of(item, site, max(lengths), fetch)
        stage.ops.append(Op(item, rows, value, dims))
    return sorted(stages.values(), key=lambda stage: stage.order)


def value_of(
    item: Intervention, site: Site, length: int, fetch: Fetch
) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return what an intervention puts in place, and the roles of its dimensions."""
    if isinstance(item, Steer):
        return torch.tensor(item.direction), ("unit",)
    if isinstance(item, Patch):
        value = fetch(item.source, site)
        return value, site_roles(site, value.ndim)
    if isinstance(item, Ablate) and item.method == "resample":
        value = fetch(choose_reference(item, length), site)
        dims = site_roles(site, value.ndim)
        if site.name != "pattern" and "position" in dims:
            value = value.narrow(dims.index("position"), 0, length)
        return value, dims
    if isinstance(item, Ablate) and item.reference and item.method.startswith("mean"):
        values = [fetch(prompt, site) for prompt in item.reference]
        dims = site_roles(site, values[0].ndim)
        if site.name == "pattern" or item.method == "mean_positional":
            if len({v.shape for v in values}) > 1:
                what = "patterns" if site.name == "pattern" else "positions"
                raise InterventionError(
                    f"{item.describe()}: {what} of prompts of different lengths have no mean; "
                    "give reference prompts of one length"
                )
            return torch.stack(values).mean(0), dims
        at = dims.index("position")
        mean = torch.cat(values, at).mean(at)
        return mean, tuple(d for d in dims if d != "position")
    return None, ()


def choose_reference(item: Ablate, length: int) -> dict[str, Any]:
    """Draw the reference prompt of a resample ablation; it has to cover the prompt's positions."""
    same = item.site == "pattern"
    fitting = [
        p
        for p in item.reference
        if (len(p.get("ids", ())) == length if same else len(p.get("ids", ())) >= length)
        or "values" in p
    ]
    if not fitting:
        need = f"exactly {length}" if same else f"at least {length}"
        raise InterventionError(
            f"{item.describe()}: no reference prompt has {need} tokens, as this prompt needs; "
            "give longer ones"
        )
    return random.Random(item.seed).choice(fitting)  # noqa: S311 - a reproducible draw


def site_roles(site: Site, ndim: int) -> tuple[str, ...]:
    """Return the roles of the dimensions of a captured activation of one prompt."""
    dims = DIMS.get(site.name)
    if dims is None or len(dims) != ndim:
        dims = ("position", "unit")[-ndim:] if ndim <= 2 else ("head", "position", "unit")
    *front, _ = dims
    return (*(ROLES.get(d, d) for d in front), "unit")
