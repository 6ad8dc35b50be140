"""A model as the list of linear maps, norms and activations that CD-T goes through."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from interp_widgets.methods.cdt.rules import Parts, through_norm
from interp_widgets.methods.circuits.wiring import (
    Attention,
    Captured,
    CircuitError,
    close,
    first,
    matrix,
    norm_between,
    projections_of,
    read_attention,
    read_places,
    reading_copy,
)
from interp_widgets.methods.mlp_parts import MlpParts
from interp_widgets.session.location import Location
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Rotate = Callable[[Parts], Parts]


@dataclass(frozen=True)
class BlockParts:
    """One block: its attention, its MLP, and the norms before, after and between them.

    Norms are modules or None. ``added`` are the norms of the residual stream itself after each of
    the two additions (BERT).
    """

    attention: Attention
    weights: dict[str, tuple[Tensor, Tensor | None]]
    output: Tensor
    output_bias: Tensor | None
    attention_norm: nn.Module | None
    attention_out_norm: nn.Module | None
    mlp: MlpParts | None
    mlp_norm: nn.Module | None
    mlp_out_norm: nn.Module | None
    added: tuple[nn.Module | None, nn.Module | None]
    parallel: bool
    turn: Callable[[str, Parts], Parts] | None
    """Puts q or k ``[…, position, head, d_head]`` through head norms and rotary embedding; None
    where the model's own way is not known."""


@dataclass(frozen=True)
class Network:
    """A whole model.

    ``ending`` are the modules from the last residual to the logits, applied to position ``at`` of
    it (None: to all positions).
    """

    blocks: tuple[BlockParts, ...]
    ending: tuple[nn.Module, ...]
    at: int | None
    softcap: float | None
    scale: float


_known: weakref.WeakKeyDictionary[object, Network] = weakref.WeakKeyDictionary()


def network_of(session: Session, prompt: Prompt) -> Network:
    """Return the session's model as CD-T reads it, found once and checked on ``prompt``.

    Raises
    ------
    CircuitError, SiteError
        When a part of the model is of a form that is not known.
    """
    known = _known.get(session.anatomy)
    if known is None:
        found = read_places(session, prompt)
        mlps = MlpParts.of(session, prompt) if session.anatomy.has_mlp else None
        blocks = tuple(
            _block(session, i, found, None if mlps is None else mlps[i], prompt)
            for i in range(session.anatomy.n_layers)
        )
        known = _known[session.anatomy] = Network(blocks, *_ending(session, prompt))
    return known


def _block(
    session: Session, i: int, found: Captured, mlp: MlpParts | None, prompt: Prompt
) -> BlockParts:
    root, block = session.anatomy.root, session.anatomy.blocks[i]
    attention = read_attention(session, i, found)

    def module(path: str | None) -> nn.Module | None:
        return None if path is None else root.get_submodule(path)

    before = found[reading_copy(block.places["resid_pre"])]
    attn_out = found[reading_copy(block.places["attn_out"])]
    total = before + attn_out
    added: tuple[nn.Module | None, nn.Module | None] = (None, None)
    if block.norm_after:
        added = module(block.norms[0]), module(block.norms[1])
        total = found[Location(block.norms[0], "output")]
    mlp_norm: str | None = None
    mlp_out_norm: str | None = None
    if mlp is not None:
        stream = before if block.parallel else total
        entry = _input_of(session, prompt, mlp.up)
        mlp_norm = None if block.norm_after else norm_between(block, found, stream, entry)
        if mlp_norm == "":
            mlp_norm = next(
                (n for n in block.norms if close(found[Location(n, "output")], entry)), ""
            )
        if mlp_norm == "":
            raise CircuitError(f"layer {i}: its MLP reads something else than the normed stream")
        written = block.places["mlp_out"].path
        mlp_out_norm = written if written in block.norms and not block.norm_after else None
    projection = root.get_submodule(attention.output)
    out_norm = attention.output_norm if attention.output_norm in block.norms else None
    return BlockParts(
        attention=attention,
        weights=projections_of(root, attention),
        output=matrix(projection).detach().unflatten(0, (attention.heads, -1)),
        output_bias=_bias(projection),
        attention_norm=module(attention.norm),
        attention_out_norm=module(out_norm),
        mlp=mlp,
        mlp_norm=module(mlp_norm),
        mlp_out_norm=module(mlp_out_norm),
        added=added,
        parallel=block.parallel,
        turn=_turn(session, i, attention, found, prompt),
    )


def _bias(module: nn.Module) -> Tensor | None:
    bias = getattr(module, "bias", None)
    return bias.detach() if isinstance(bias, Tensor) else None


def _input_of(session: Session, prompt: Prompt, path: str) -> Tensor:
    place = Location(path, "input")
    args, kwargs = prompt.inputs()
    kept: list[Tensor] = []
    with session.worker.locked(), torch.no_grad(), session.model.trace(*args, **kwargs):
        kept.append(first(place.read(session.model)).detach().clone())
    return kept[0]


def _turn(
    session: Session, i: int, attention: Attention, found: Captured, prompt: Prompt
) -> Callable[[str, Parts], Parts] | None:
    """Find what happens to q and k between the projections and the attention function."""
    root = session.anatomy.root
    acts = session.capture(prompt, [Site("q", i), Site("k", i)], interventions="none")
    made: dict[str, Tensor] = {}
    for j, path in enumerate(attention.projections):
        value = attention.widen(j, found[Location(path, "output")])
        made |= attention.split(j, value)
    wanted = {slot: acts[Site(slot, i)].transpose(-2, -3)[None] for slot in "qk"}
    wanted["k"] = wanted["k"].repeat_interleave(attention.group, -2)
    norms = {slot: _head_norm(root, attention, slot) for slot in "qk"}
    for rotate in _rotations(root, made["q"]):
        for normed in (False, True):

            def turn(
                slot: str, parts: Parts, *, rotate: Rotate = rotate, normed: bool = normed
            ) -> Parts:
                norm = norms[slot] if normed else None
                return rotate(parts if norm is None else through_norm(parts, norm))

            if normed and norms["q"] is None:
                continue
            own = {s: turn(s, Parts(made[s], torch.zeros_like(made[s]))).total for s in "qk"}
            if all(close(own[s], wanted[s]) for s in "qk"):
                return turn
    return None


def _head_norm(root: nn.Module, attention: Attention, slot: str) -> nn.Module | None:
    for name, module in root.get_submodule(attention.path).named_modules():
        weight = getattr(module, "weight", None)
        fits = isinstance(weight, Tensor) and weight.shape == (attention.d_head,)
        if fits and name.rpartition(".")[2].startswith(slot):
            return module
    return None


def _rotations(root: nn.Module, like: Tensor) -> list[Rotate]:
    """Return the identity, and the rotations by the model's rotary modules in their usual form."""
    found: list[Rotate] = [lambda parts: parts]
    for module in root.modules():
        if not type(module).__name__.endswith("RotaryEmbedding"):
            continue
        for options in ({}, {"layer_type": "sliding_attention"}, {"layer_type": "full_attention"}):
            try:
                _angles(module, options, like)
            except (TypeError, ValueError, AttributeError, KeyError):
                continue
            found.append(partial(_rotated, module, options))
    return found


def _angles(module: nn.Module, options: dict[str, str], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin ``[1, position, width]``; ``like`` is ``[row, position, head, d]``."""
    positions = torch.arange(like.shape[-3], device=like.device)[None]
    cos, sin = type(module).forward(module, like, positions, **options)
    return cos, sin


def _rotated(module: nn.Module, options: dict[str, str], parts: Parts) -> Parts:
    cos, sin = _angles(module, options, parts.relevant)
    width = cos.shape[-1]

    def turn(x: Tensor) -> Tensor:
        some, other = x[..., :width], x[..., width:]
        a, b = some.chunk(2, -1)
        c, s = (t.to(x.dtype)[..., None, :] for t in (cos, sin))
        return torch.cat([some * c + torch.cat([-b, a], -1) * s, other], -1)

    return parts.each(turn)


def _ending(
    session: Session, prompt: Prompt
) -> tuple[tuple[nn.Module, ...], int | None, float | None, float]:
    """Find the modules from the last residual to the logits, and which position they take."""
    anatomy = session.anatomy
    last, end = Site("resid_post", anatomy.n_layers - 1), Site("logits")
    acts = session.capture(prompt, [last, end], interventions="none")
    residual, logits = acts[last], acts[end].to(acts[last].dtype)
    start = anatomy.order(Location(anatomy.blocks[-1].path, "output"))
    after = sorted(
        (anatomy.order(Location(name, "output")), name)
        for name, module in anatomy.root.named_modules()
        if not any(True for _ in module.children())
        and not isinstance(module, nn.Dropout | nn.Identity)
        and anatomy.order(Location(name, "output")) > start
    )
    modules = tuple(anatomy.root.get_submodule(name) for _, name in after)
    config = getattr(anatomy.root, "config", None)
    config = getattr(config, "text_config", config)
    softcap = getattr(config, "final_logit_softcapping", None)
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    positions: tuple[int | None, ...] = (None,) if logits.ndim == 2 else (0, -1)
    for at in positions:
        value = residual if at is None else residual[at]
        with torch.no_grad():
            for module in modules:
                value = type(module).forward(module, value)
            value = value * scale
            value = value if softcap is None else softcap * torch.tanh(value / softcap)
        if close(value, logits):
            return modules, at, softcap, scale
    raise CircuitError(
        f"the way from the last residual to the logits of {type(anatomy.root).__name__} is not a "
        "chain of matrices, norms and activations"
    )
