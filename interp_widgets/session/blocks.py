"""The parts of a transformer block: which module reads what another wrote in a trial pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

from interp_widgets.session.location import Location
from interp_widgets.session.sites import STANDARD

if TYPE_CHECKING:
    from interp_widgets.session.trial import Event, Trial


@dataclass
class Block:
    """Where one block keeps its parts.

    Parameters
    ----------
    path
        The block.
    places
        Location of each standard site of this block, without those of the attention call.
    why_not
        Reason for each standard site that is not there.
    attention
        Path of the module that calls the attention function, None if there is none.
    cross
        Path of the module that attends to what an encoder wrote, None if there is none.
    output_projection, down_projection
        Paths of the matrices that write into the residual stream.
    mlp
        Path of the MLP, or of the down projection where the block has no module around it (BERT).
    norms
        Norms of the block outside attention, in the order they run.
    parallel
        Attention and MLP read the same residual stream (GPT-NeoX).
    norm_after
        The residual stream itself is normalised after each addition (BERT).
    """

    path: str
    places: dict[str, Location] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)
    attention: str | None = None
    cross: str | None = None
    output_projection: str | None = None
    down_projection: str | None = None
    mlp: str | None = None
    norms: tuple[str, ...] = ()
    parallel: bool = False
    norm_after: bool = False


def read_block(trial: Trial, path: str, attention: str | None, cross: str | None = None) -> Block:
    """Find the parts of the block at `path`.

    Parameters
    ----------
    trial
        A forward pass with its tensors.
    path
        The block.
    attention
        Path of the module that calls the attention function, if the block has one.
    cross
        Path of the module that attends to what an encoder wrote, if the block has one.
    """
    block = Block(path, attention=attention, cross=cross)
    before, after = trial.at(path, "input"), trial.at(path, "output")
    if before is None or after is None or before.tensor is None or after.tensor is None:
        for name in ("resid_pre", "resid_post", "attn_out", "resid_mid", "mlp_out", "mlp_post"):
            block.why_not[name] = "the block did not run, or does not take and return tensors"
        return block
    if trial.calls[path] > 1:
        reason = f"the same block runs {trial.calls[path]} times in one forward pass"
        block.why_not = dict.fromkeys(STANDARD, reason)
        return block
    block.places["resid_pre"] = Location(path, "input")
    block.places["resid_post"] = Location(path, "output", after.index)
    inside = trial.within(path)
    block.norms = tuple(
        e.path
        for e in inside
        if e.port == "output" and trial.is_norm(e.path) and not _below(e.path, attention)
    )
    tapped = "no module of its blocks calls transformers' attention function"
    block.why_not.update(dict.fromkeys(("q", "k", "v", "bias", "pattern"), tapped))
    if attention is None:
        block.why_not.update(dict.fromkeys(("attn_out", "z", "resid_mid"), tapped))
        for name in ("mlp_post", "mlp_out"):
            block.why_not[name] = "without a known attention no part of its blocks is the MLP"
        return block
    block.norm_after = any(
        e.storage == after.storage and e.path in block.norms for e in inside if e.port == "output"
    )
    end = _read_attention(trial, block, inside, before)
    if end is not None:
        _read_middle(trial, block, inside, end)
    _read_cross(trial, block, inside)
    _read_mlp(trial, block, inside, before, after)
    return block


def _read_cross(trial: Trial, block: Block, inside: list[Event]) -> None:
    """Find what the heads of cross-attention write: the input of its output projection."""
    core = None if block.cross is None else trial.at(block.cross, "output")
    projection = None if core is None else _writer(inside, core)
    if projection is None or not trial.is_linear(projection.path):
        block.why_not["cross_z"] = (
            "its blocks have no cross-attention"
            if block.cross is None
            else "its cross-attention calls no output projection"
        )
        return
    layout = "batch position (head d_head)"
    block.places["cross_z"] = Location(projection.path, "input", layout=layout)


def _read_attention(trial: Trial, block: Block, inside: list[Event], before: Event) -> Event | None:
    """Find what attention adds to the residual stream; return where attention ends."""
    core = trial.at(str(block.attention), "output")
    if core is None or core.tensor is None:
        block.why_not.update(dict.fromkeys(("z", "attn_out"), "its attention returns no tensor"))
        return None
    projection = _writer(inside, core)
    if projection is None or not trial.is_linear(projection.path):
        projection = next(
            (
                trial.at(e.path, "output")
                for e in inside
                if e.port == "input" and e.order > core.order and e.storage == core.storage
                if trial.is_linear(e.path)
            ),
            None,
        )
    if projection is None:
        block.why_not["z"] = "its attention calls no output projection"
    else:
        block.output_projection = projection.path
        layout = "batch position (head d_head)"
        block.places["z"] = Location(projection.path, "input", layout=layout)
    last = _through_elementwise(trial, inside, projection or core)
    if last.shape == before.shape:
        block.places["attn_out"] = Location(last.path, "output", last.index)
    else:
        block.why_not["attn_out"] = (
            "what its attention returns does not have the shape of the residual stream"
        )
    return max((last, core), key=lambda e: e.order)


def _through_elementwise(trial: Trial, inside: list[Event], start: Event) -> Event:
    """Follow a tensor through output norms (Gemma 2) and scales (DINOv2) to what is added."""
    last = start
    for event in inside:
        if (
            event.port == "input"
            and event.order > last.order
            and event.storage == last.storage
            and trial.is_elementwise(event.path)
        ):
            end = trial.at(event.path, "output")
            if end is not None and end.storage != last.storage:
                last = end
    return last


def _read_middle(trial: Trial, block: Block, inside: list[Event], end: Event) -> None:
    """Find the residual stream between attention and MLP."""
    known = {e.storage for e in trial.events if e.order <= end.order}
    entry = trial.at(block.path, "input")
    for event in inside:
        if event.port != "input" or event.order <= end.order or entry is None:
            continue
        if event.shape != entry.shape:
            continue
        if event.storage not in known:
            if block.norm_after and event.path in block.norms:
                block.places["resid_mid"] = Location(event.path, "output")
            else:
                block.places["resid_mid"] = Location(event.path, "input", shared=True)
            return
        if event.storage != end.storage:
            block.parallel = True
            block.why_not["resid_mid"] = "attention and MLP run side by side on resid_pre"
            return
    block.why_not["resid_mid"] = "no module after attention reads [batch, position, d_model]"


def _read_mlp(trial: Trial, block: Block, inside: list[Event], before: Event, after: Event) -> None:
    """Find what the MLP adds to the residual stream and its hidden units."""
    streams = [
        e
        for e in inside
        if e.port == "output" and e.shape == before.shape and e.storage != after.storage
    ]
    last = streams[-1] if streams else None
    writer = None if last is None else _writer(streams, last)
    attention_out = block.places.get("attn_out")
    if writer is None or (attention_out is not None and writer.path == attention_out.path):
        block.why_not.update(
            dict.fromkeys(
                ("mlp_post", "mlp_out"), "no MLP of its blocks writes [batch, position, d_model]"
            )
        )
        return
    block.places["mlp_out"] = Location(writer.path, "output", writer.index)
    source: Event | None = writer
    while source is not None and trial.is_elementwise(source.path):
        read = trial.at(source.path, "input")
        before_it = None if read is None else _writer(streams, read)
        source = None if before_it is source else before_it  # nn.Identity passes its memory on
    if source is not None and trial.is_linear(source.path):
        block.down_projection = source.path
        block.places["mlp_post"] = Location(source.path, "input", layout="batch position d_mlp")
        parent = source.path.rpartition(".")[0]
        block.mlp = parent if parent != block.path and _holds_mlp(trial, parent) else source.path
    else:
        block.mlp = None if source is None else source.path
        block.why_not["mlp_post"] = (
            "its MLP does not end in one matrix for all tokens (a mixture of experts)"
        )


def _holds_mlp(trial: Trial, parent: str) -> bool:
    start, end = trial.at(parent, "input"), trial.at(parent, "output")
    linear = [
        e.path for e in trial.within(parent) if e.port == "output" and trial.is_linear(e.path)
    ]
    return start is not None and end is not None and len(linear) > 1


def _writer(events: list[Event], read: Event) -> Event | None:
    """Return the module that made this memory, not those that passed it on."""
    return next((e for e in events if e.port == "output" and e.storage == read.storage), None)


def _below(path: str, parent: str | None) -> bool:
    return parent is not None and path.startswith(f"{parent}.")


def block_lists(root: nn.Module) -> dict[str, int]:
    """Return the paths of the outermost lists of repeated blocks, with their parameter counts."""
    found: dict[str, int] = {}
    for path, module in root.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if inside or not isinstance(module, nn.ModuleList) or len(module) == 0:
            continue
        kinds = {type(child) for child in module}
        nested = next(module[0].children(), None) is not None
        if nested and (len(kinds) == 1 or len(kinds) < len(module)):
            found[path] = sum(p.numel() for p in module.parameters())
    return found


def choose_stack(stacks: dict[str, int], wanted: str | None) -> str | None:
    """Return the list of blocks whose path holds `wanted`, or the one with most parameters."""
    if not stacks:
        return None
    if wanted is None:
        return max(stacks, key=lambda path: stacks[path])
    fitting = [path for path in stacks if wanted in path]
    if len(fitting) != 1:
        raise ValueError(
            f"stack={wanted!r} fits {len(fitting)} of this model's lists of blocks; they are: "
            f"{', '.join(stacks)}."
        )
    return fitting[0]
