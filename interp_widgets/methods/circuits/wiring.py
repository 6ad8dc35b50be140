"""How components read and write the residual stream: found on a prompt, checked in numbers."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from interp_widgets.methods.readout import COARSE, TOLERANCE
from interp_widgets.results.graph import SLOTS
from interp_widgets.session.location import Location

if TYPE_CHECKING:
    from interp_widgets.session.blocks import Block
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Layout = Literal["separate", "blocks", "interleaved"]
Captured = dict[Location, Tensor]


class CircuitError(ValueError):
    """A circuit of edges cannot be measured on this model or input; the message says why."""


@dataclass(frozen=True)
class Attention:
    """How a layer's heads read and write.

    ``projections`` are the paths of the q, k and v matrices: three (``separate``), or one whose
    output holds all q, all k, all v (``blocks``: GPT-2, Phi-3) or q, k and v head by head
    (``interleaved``: GPT-NeoX).
    """

    path: str
    norm: str | None
    projections: tuple[str, ...]
    layout: Layout
    output: str
    output_norm: str | None
    heads: int
    kv_heads: int
    d_head: int

    @property
    def group(self) -> int:
        """Query heads that share a key and value head."""
        return self.heads // self.kv_heads

    def slots(self, j: int) -> tuple[str, ...]:
        """Which of q, k, v projection ``j`` makes."""
        return (SLOTS[j],) if self.layout == "separate" else SLOTS

    def split(self, j: int, output: Tensor) -> dict[str, Tensor]:
        """View projection ``j``'s output as ``{"q": [..., head, d_head], …}``.

        k and v have ``kv_heads`` heads, or as many as q once they were widened.
        """
        if self.layout == "separate":
            return {SLOTS[j]: output.unflatten(-1, (-1, self.d_head))}
        if self.layout == "interleaved":
            by_head = output.unflatten(-1, (self.heads, 3, self.d_head))
            return dict(zip(SLOTS, by_head.unbind(-2), strict=True))
        q = self.heads * self.d_head
        kv = (output.shape[-1] - q) // 2
        parts = output.split([q, kv, kv], dim=-1)
        return {
            slot: part.unflatten(-1, (-1, self.d_head))
            for slot, part in zip(SLOTS, parts, strict=True)
        }

    def join(self, parts: dict[str, Tensor]) -> Tensor:
        """Return a projection's output from what :meth:`split` made of it."""
        if self.layout == "interleaved":
            return torch.stack([parts[slot] for slot in SLOTS], -2).flatten(-3)
        return torch.cat([part.flatten(-2) for part in parts.values()], dim=-1)

    def widen(self, j: int, output: Tensor) -> Tensor:
        """Give every query head its own copy of k and v in projection ``j``'s output."""
        if self.group == 1:
            return output
        parts = {
            slot: part if slot == "q" else part.repeat_interleave(self.group, -2)
            for slot, part in self.split(j, output).items()
        }
        return self.join(parts)


@dataclass(frozen=True)
class Reading:
    """Where what a reader reads can be replaced, and the norm to apply by hand before, if any."""

    place: Location
    norm: str | None = None


@dataclass(frozen=True)
class Layer:
    """One block."""

    start: Location
    attention: Attention
    mlp: Reading | None
    mlp_out: Location | None


@dataclass(frozen=True)
class Wiring:
    """How all components of a model read and write, with what that needs of their weights."""

    root: nn.Module
    layers: tuple[Layer, ...]
    logits: Reading

    def module(self, path: str) -> nn.Module:
        """Return a module of the model."""
        return self.root.get_submodule(path)

    def norm(self, path: str | None, x: Tensor) -> Tensor:
        """Apply a norm by hand, past nnsight's hooks; no norm returns ``x``."""
        if path is None:
            return x
        module = self.module(path)
        normed: Tensor = type(module).forward(module, x)
        return normed

    def read_weights(self, layer: int) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Return the matrices and biases of a layer, see :func:`projections_of`."""
        return projections_of(self.root, self.layers[layer].attention)

    def head_outputs(self, layer: int, z: Tensor) -> Tensor:
        """Return what each head writes: ``[head, batch, position, d_model]``.

        Parameters
        ----------
        z
            ``[batch, position, head * d_head]``, the input of the output projection.

        Notes
        -----
        Without the output projection's bias, which is the same in every run. Where a norm follows
        (Gemma 2, OLMo 2), a head's output is its share of what that norm returns: the norm's gain
        and scale in this run applied to the head alone. The shares add up to the norm's output.
        """
        attention = self.layers[layer].attention
        module = self.module(attention.output)
        weight = matrix(module).unflatten(0, (attention.heads, -1))
        split = z.unflatten(-1, (attention.heads, -1))
        outputs = torch.einsum("bthe,hed->hbtd", split, weight)
        if attention.output_norm is None:
            return outputs
        bias = getattr(module, "bias", None)
        if bias is not None:
            outputs = outputs + bias / attention.heads
        total = outputs.sum(0)
        gain = self.norm(attention.output_norm, torch.ones_like(total))
        shaped = total * gain
        scale = (self.norm(attention.output_norm, total) * shaped).sum(-1, keepdim=True)
        scale = scale / (shaped * shaped).sum(-1, keepdim=True).clamp_min(1e-30)
        return outputs * gain * scale


def projections_of(
    root: nn.Module, attention: Attention
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return of each slot the matrix ``[head, d_model, d_head]`` and bias ``[head, d_head]``.

    Under grouped-query attention k and v are repeated for each query head.
    """
    found: dict[str, tuple[Tensor, Tensor | None]] = {}
    for j, path in enumerate(attention.projections):
        module = root.get_submodule(path)
        weights = attention.split(j, attention.widen(j, matrix(module).detach()))
        bias = getattr(module, "bias", None)
        biases = {} if bias is None else attention.split(j, attention.widen(j, bias.detach()))
        for slot, weight in weights.items():
            found[slot] = weight.transpose(0, 1), biases.get(slot)
    return found


def matrix(module: nn.Module) -> Tensor:
    """Return a linear module's weight as ``[in, out]``."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    if not weight.is_floating_point():
        raise CircuitError(
            f"{type(module).__name__} keeps its weight quantised ({weight.dtype}); "
            "load the model in bfloat16 or float32 to measure edges"
        )
    return weight if type(module).__name__ == "Conv1D" else weight.T


_known: weakref.WeakKeyDictionary[object, Wiring] = weakref.WeakKeyDictionary()


def wiring_of(session: Session, prompt: Prompt) -> Wiring:
    """Return the session's wiring, found once on ``prompt``, without interventions.

    Raises
    ------
    CircuitError
        When the residual stream is not the sum of what attention and MLPs write, or a reader's way
        of reading is not known.
    """
    known = _known.get(session.anatomy)
    if known is None:
        known = _known[session.anatomy] = _find(session, prompt)
    return known


def _find(session: Session, prompt: Prompt) -> Wiring:
    anatomy = session.anatomy
    name = type(anatomy.root).__name__
    for i, block in enumerate(anatomy.blocks):
        if block.norm_after:
            raise CircuitError(
                f"{name} normalises the residual stream itself after each addition (post-norm), so "
                "it is not the sum of what components wrote and edges have no meaning; "
                "use iw.patching"
            )
        if block.attention is None or "z" not in block.places or "attn_out" not in block.places:
            why = block.why_not.get("z") or block.why_not.get("attn_out") or "it has no attention"
            raise CircuitError(f"layer {i} of {name} has no heads to measure: {why}")
    if not anatomy.blocks:
        raise CircuitError(
            f"{name} has no blocks of attention and MLP, so it has no graph of edges"
        )
    found = read_places(session, prompt)
    layers = tuple(_layer(session, i, found) for i in range(anatomy.n_layers))
    wiring = Wiring(anatomy.root, layers, _ending(session, found))
    _check_heads(session, wiring, found)
    return wiring


def read_places(session: Session, prompt: Prompt) -> Captured:
    """Read every place that may matter, in one forward pass."""
    anatomy = session.anatomy
    wanted: dict[Location, None] = {}
    for i, block in enumerate(anatomy.blocks):
        paths = [*block.norms, *_matrices(session, block), str(block.output_projection)]
        paths += [block.mlp] if block.mlp else []
        for path in paths:
            wanted[Location(path, "input")] = None
            wanted[Location(path, "output")] = None
        for site in ("resid_pre", "resid_post", "attn_out", "mlp_out"):
            if site in block.places:
                wanted[reading_copy(block.places[site])] = None
        wanted[anatomy.locate("v", i)] = None
    for end in (anatomy.final_norm, anatomy.unembed):
        if end is not None:
            wanted[Location(end, "input")] = None
    places = sorted(wanted, key=anatomy.order)
    found: Captured = {}
    args, kwargs = prompt.inputs()
    with session.worker.locked(), torch.no_grad(), session.model.trace(*args, **kwargs):
        for place in places:
            found[place] = first(place.read(session.model))
    return {place: value.detach().clone() for place, value in found.items()}


def first(value: Any) -> Tensor:
    """Return the first entry of a tuple, or the tensor itself."""
    tensor: Tensor = value[0] if isinstance(value, tuple) else value
    return tensor


def reading_copy(place: Location) -> Location:
    """Return the place as it is read: without what only writing and splitting need."""
    return Location(place.path, place.port, place.index)


def _matrices(session: Session, block: Block) -> list[str]:
    """Return a block's matrices inside attention, without the output projection, as they run."""
    anatomy = session.anatomy
    root = anatomy.root.get_submodule(str(block.attention))
    paths = []
    for inner, module in root.named_modules():
        path = f"{block.attention}.{inner}"
        weight = getattr(module, "weight", None)
        ran = anatomy.order(Location(path, "output")) > 0
        if path == block.output_projection or isinstance(module, nn.Embedding):
            continue
        if inner and ran and getattr(weight, "ndim", 0) == 2:
            paths.append(path)
    return sorted(paths, key=lambda path: anatomy.order(Location(path, "output")))


def close(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors are equal up to the rounding of their dtype."""
    if a is None or b is None or a.shape != b.shape:
        return False
    limit = TOLERANCE.get(b.dtype, COARSE) * float(b.abs().max().clamp_min(1e-6))
    return bool((a - b).abs().max() <= limit)


def _layer(session: Session, i: int, found: Captured) -> Layer:
    anatomy, block = session.anatomy, session.anatomy.blocks[i]
    name = f"layer {i} of {type(anatomy.root).__name__}"

    places = {site: reading_copy(place) for site, place in block.places.items()}
    before, attn_out = found[places["resid_pre"]], found[places["attn_out"]]
    total = before + attn_out
    mlp_out = found[places["mlp_out"]] if "mlp_out" in places else None
    if not close(total if mlp_out is None else total + mlp_out, found[places["resid_post"]]):
        raise CircuitError(
            f"{name} does not simply add what attention and MLP write to the residual stream, "
            "so edges have no meaning; use iw.patching"
        )
    attention = read_attention(session, i, found)
    _check_group(session, attention, name)
    if attention.output_norm not in (None, *block.norms):
        attention = _plain_output(attention, found, attn_out, name)
    mlp = None
    if mlp_out is not None:
        mlp = _mlp_reading(block, found, before if block.parallel else total, attention.norm, name)
    return Layer(places["resid_pre"], attention, mlp, places.get("mlp_out"))


def read_attention(session: Session, i: int, found: Captured) -> Attention:
    """Say how a layer's heads read and write.

    Raises
    ------
    CircuitError
        When its attention reads something else than the normed residual stream, or how it makes q,
        k and v is not known.
    """
    anatomy, block = session.anatomy, session.anatomy.blocks[i]
    name = f"layer {i} of {type(anatomy.root).__name__}"
    projections = _matrices(session, block)
    layout = _layout(session, i, projections, found, name)
    before = found[reading_copy(block.places["resid_pre"])]
    norm = norm_between(block, found, before, found.get(Location(projections[0], "input")))
    if norm == "":
        raise CircuitError(
            f"{name}: its attention reads something else than the normed residual stream"
        )
    facts = anatomy.attention(i)
    output, written = str(block.output_projection), block.places["attn_out"].path
    return Attention(
        path=str(block.attention),
        norm=norm,
        projections=tuple(projections),
        layout=layout,
        output=output,
        output_norm=None if written == output else written,
        heads=facts.heads,
        kv_heads=facts.kv_heads,
        d_head=facts.d_head,
    )


def _check_group(session: Session, attention: Attention, name: str) -> None:
    """Refuse norms over all shared keys together: a query head has no key of its own then."""
    if attention.group == 1 or attention.kv_heads == 1:
        return
    width = attention.kv_heads * attention.d_head
    for module in session.anatomy.root.get_submodule(attention.path).modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.shape == (width,):
            raise CircuitError(
                f"{name} normalises the keys of all heads together and shares them between query "
                "heads, so the key input of one query head cannot be changed alone; use iw.patching"
            )


def _plain_output(attention: Attention, found: Captured, attn_out: Tensor, name: str) -> Attention:
    """Accept a module around the output projection (BERT-like wrappers) that changes nothing."""
    from dataclasses import replace

    if not close(found.get(Location(attention.output, "output")), attn_out):
        raise CircuitError(f"{name}: something unknown happens to what its attention writes")
    return replace(attention, output_norm=None)


def norm_between(block: Block, found: Captured, before: Tensor, after: Tensor | None) -> str | None:
    """Return the norm from ``before`` to ``after``; None when they are equal, "" if unknown."""
    if close(after, before):
        return None
    for path in block.norms:
        if close(found[Location(path, "output")], after) and close(
            found[Location(path, "input")], before
        ):
            return path
    return ""


def _mlp_reading(
    block: Block, found: Captured, stream: Tensor, attention_norm: str | None, name: str
) -> Reading:
    """Say where the MLP's own reading of the residual stream can be replaced."""
    entry = found.get(Location(str(block.mlp), "input")) if block.mlp else None
    norm = norm_between(block, found, stream, entry)
    if norm is None:
        return Reading(Location(str(block.mlp), "input"))
    if norm == "":  # the MLP has no module of its own around it (OPT, ViT): take the norm before
        after = [n for n in block.norms if close(found[Location(n, "input")], stream)]
        norm = next((n for n in after if n != attention_norm), "")
        if norm == "":
            raise CircuitError(
                f"{name}: its MLP reads something else than the normed residual stream"
            )
    if norm == attention_norm:
        return Reading(Location(str(block.mlp), "input"), norm=norm)
    return Reading(Location(norm, "input"))


def _layout(session: Session, i: int, projections: list[str], found: Captured, name: str) -> Layout:
    """Say how q, k and v lie in the projections' outputs; v has to be what attention gets."""
    facts = session.anatomy.attention(i)
    outputs = [found[Location(path, "output")] for path in projections]
    counts = (facts.heads, facts.kv_heads, facts.kv_heads)
    v = found[session.anatomy.locate("v", i)].transpose(1, 2)
    candidates: list[Layout] = []
    if [o.shape[-1] for o in outputs] == [n * facts.d_head for n in counts]:
        initials = "".join(path.rpartition(".")[2][0] for path in projections)
        candidates = ["separate"] if initials == "qkv" else []
    elif len(outputs) == 1 and outputs[0].shape[-1] == sum(counts) * facts.d_head:
        candidates = ["blocks", "interleaved"] if counts[0] == counts[1] else ["blocks"]
    for layout in candidates:
        trial = Attention(
            "", None, tuple(projections), layout, "", None, counts[0], counts[1], facts.d_head
        )
        if close(trial.split(len(outputs) - 1, outputs[-1])["v"], v):
            return layout
    shapes = ", ".join(
        f"{p.rpartition('.')[2]} → {o.shape[-1]}" for p, o in zip(projections, outputs, strict=True)
    )
    raise CircuitError(
        f"{name}: how its attention makes q, k and v is not known "
        f"({shapes or 'no matrices found'}), so their inputs cannot be told apart"
    )


def _ending(session: Session, found: Captured) -> Reading:
    anatomy = session.anatomy
    last = found[reading_copy(anatomy.blocks[-1].places["resid_post"])]
    for path in (anatomy.final_norm, anatomy.unembed):
        if path is not None and close(found[Location(path, "input")], last):
            return Reading(Location(path, "input"))
    raise CircuitError(
        "the way from the last residual to the logits is not known in "
        f"{type(anatomy.root).__name__}"
    )


def _check_heads(session: Session, wiring: Wiring, found: Captured) -> None:
    """Raise when heads and bias do not add up to what attention writes."""
    for i, layer in enumerate(wiring.layers):
        attention = layer.attention
        total = wiring.head_outputs(i, found[Location(attention.output, "input")]).sum(0)
        bias = getattr(wiring.module(attention.output), "bias", None)
        if bias is not None and attention.output_norm is None:
            total = total + bias
        if not close(total, found[reading_copy(session.anatomy.blocks[i].places["attn_out"])]):
            raise CircuitError(
                f"layer {i} of {type(wiring.root).__name__}: what its heads write does not add up "
                "to what its attention writes"
            )
