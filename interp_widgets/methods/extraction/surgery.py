"""Cutting heads and MLPs out of a copy of a model: smaller matrices and constants."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nnsight
import torch
from torch import Tensor, nn

from interp_widgets.methods.circuits.wiring import (
    Attention,
    CircuitError,
    Wiring,
    matrix,
    wiring_of,
)
from interp_widgets.methods.extraction.study import Means
from interp_widgets.results.task_circuit import node_parts
from interp_widgets.session.location import Location

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

COUNTS = ("num_heads", "num_attention_heads", "n_head", "n_heads")
SHARED_COUNTS = ("num_key_value_heads", "num_kv_heads")


class Constant(nn.Module):
    """Writes the same at every prompt, position by position: what a part wrote on average.

    Parameters
    ----------
    value
        ``[position, d_model]``, or ``[1, d_model]`` for the same at every position.
    outputs
        Entries of the tuple that the part returned; None where it returned a tensor.
    """

    value: Tensor

    def __init__(self, value: Tensor, outputs: int | None) -> None:
        super().__init__()
        self.register_buffer("value", value)
        self.outputs = outputs

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the constant, for as many rows as come in."""
        states = args[0] if args else kwargs["hidden_states"]
        value = self.value
        if len(value) > 1:
            check_length(states, len(value))
        value = value.to(states.dtype).expand(len(states), states.shape[1], -1).clone()
        return value if self.outputs is None else (value, *(None,) * (self.outputs - 1))


class ConstantAttention(Constant):
    """The same in the place of an attention module, by whose name sessions know it."""


class PositionalLinear(nn.Module):
    """A matrix with a bias of its own at each position.

    Parameters
    ----------
    weight
        ``[out, in]``.
    bias
        ``[position, out]``.
    """

    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_buffer("bias", bias)

    def forward(self, states: Tensor) -> Tensor:
        """Multiply ``[batch, position, in]`` and add each position's bias."""
        check_length(states, len(self.bias))
        return states @ self.weight.T + self.bias.to(states.dtype)


class SharedHeads(nn.Module):
    """Keys or values of which some are used by several query heads.

    Parameters
    ----------
    linear
        Makes each once.
    heads
        Which of them each query head uses.
    d_head
        Width of one.
    """

    def __init__(self, linear: nn.Module, heads: Sequence[int], d_head: int) -> None:
        super().__init__()
        self.linear, self.heads, self.d_head = linear, list(heads), d_head

    def forward(self, states: Tensor) -> Tensor:
        """Return ``[batch, position, query head * d_head]``."""
        made: Tensor = self.linear(states).unflatten(-1, (-1, self.d_head))
        return made[..., self.heads, :].flatten(-2)


def check_length(states: Tensor, length: int) -> None:
    """Refuse inputs of another length than the constants were made for."""
    if states.shape[1] != length:
        raise CircuitError(
            f"this model was cut out of a larger one with constants for prompts of {length} "
            f"tokens, and got {states.shape[1]}. Give prompts of that template, or cut it out with "
            'ablation="zero", which leaves no constants'
        )


@dataclass(frozen=True)
class Kept:
    """What stays of one layer's attention.

    Attributes
    ----------
    heads
        Query heads that stay.
    shared
        Key and value heads that any of them uses.
    uses
        Which of those each query head uses.
    """

    attention: Attention
    heads: tuple[int, ...]

    @property
    def shared(self) -> list[int]:
        """Key and value heads that stay."""
        return sorted({head // self.attention.group for head in self.heads})

    @property
    def uses(self) -> list[int]:
        """Which of the shared heads each query head uses."""
        return [self.shared.index(head // self.attention.group) for head in self.heads]

    @property
    def even(self) -> bool:
        """Whether every shared head serves as many query heads."""
        return len(set(Counter(self.uses).values())) == 1

    @property
    def kv_heads(self) -> int:
        """Key and value heads that the attention function gets."""
        return len(self.shared) if self.even else len(self.heads)

    def columns(self, j: int, width: int) -> Tensor:
        """Return which outputs of projection ``j`` stay."""
        parts = self.attention.split(j, torch.arange(width))
        joint = self.attention.layout != "separate" and not self.even
        wide = [self.shared[i] for i in self.uses] if joint else self.shared
        return self.attention.join(
            {slot: part[list(self.heads) if slot == "q" else wide] for slot, part in parts.items()}
        )

    @property
    def rows(self) -> Tensor:
        """Which inputs of the output projection stay."""
        every = torch.arange(self.attention.heads * self.attention.d_head)
        return every.unflatten(0, (self.attention.heads, -1))[list(self.heads)].flatten()


class Surgeon:
    """Says what replaces each module of a model that loses parts.

    Parameters
    ----------
    session
        Whose model.
    prompt
        One of the template, on which the model's wiring is found.
    removed
        Names of heads and MLPs.
    means
        What they wrote on average; empty: nothing.
    """

    def __init__(
        self, session: Session, prompt: Prompt, removed: Iterable[str], means: Means
    ) -> None:
        self.session, self.prompt, self.means = session, prompt, means
        self.wiring: Wiring = wiring_of(session, prompt)
        self.root = self.wiring.root
        self.gone: dict[int, set[int]] = {}
        self.gone_mlps: set[int] = set()
        for name in removed:
            layer, head = node_parts(name)
            if head is None:
                self.gone_mlps.add(layer)
            else:
                self.gone.setdefault(layer, set()).add(head)
        self.kept: dict[str, Kept] = {}
        self._outputs: dict[str, int | None] = {}

    def replacements(self) -> dict[str, nn.Module]:
        """Return the new modules by path."""
        new: dict[str, nn.Module] = {}
        self._outputs = _output_structure(self.session, self.prompt, self._whole_modules())
        with torch.no_grad():
            for layer, heads in self.gone.items():
                attention = self.wiring.layers[layer].attention
                if len(heads) == attention.heads:
                    new |= self._without_attention(layer)
                else:
                    new |= self._with_fewer_heads(layer, heads)
            for layer in self.gone_mlps:
                new |= self._without_mlp(layer)
        return new

    def operate(self) -> nn.Module:
        """Return the smaller copy; the model itself stays as it is."""
        new = self.replacements()
        smaller = bare_copy(self.root, new)
        for path, kept in self.kept.items():
            _recount(smaller.get_submodule(path), kept)
        return smaller.eval()

    # Attention

    def written(self, layer: int, heads: Iterable[int]) -> Tensor:
        """Return what heads wrote on average, ``[position, d_model]``; nothing without means."""
        attention = self.wiring.layers[layer].attention
        weight = matrix(self.wiring.module(attention.output)).float()
        total = weight.new_zeros(1, weight.shape[1])
        mean = self.means.get(f"z.{layer}")
        if mean is None:
            return total
        split = weight.unflatten(0, (attention.heads, -1))
        chosen = list(heads)
        z = mean.to(weight)[:, chosen]
        return total + torch.einsum("the,hed->td", z, split[chosen])

    def output_bias(self, layer: int) -> Tensor | None:
        """Return the bias of a layer's output projection, if it has one."""
        bias = getattr(self.wiring.module(self.wiring.layers[layer].attention.output), "bias", None)
        return bias if isinstance(bias, Tensor) else None

    def _without_attention(self, layer: int) -> dict[str, nn.Module]:
        attention = self.wiring.layers[layer].attention
        if not attention.output.startswith(f"{attention.path}."):
            raise CircuitError(
                f"layer {layer}: its output projection is outside of its attention module, so the "
                "whole attention cannot be replaced; keep a head of this layer"
            )
        total, bias = self.written(layer, range(attention.heads)), self.output_bias(layer)
        if bias is not None:
            total = total + bias.float()
        new: dict[str, nn.Module] = {}
        if attention.output_norm is not None:
            total = self.wiring.norm(attention.output_norm, total)
            new[attention.output_norm] = nn.Identity()
        new[attention.path] = ConstantAttention(self._like(total), self._outputs[attention.path])
        mlp = self.wiring.layers[layer].mlp
        if attention.norm is not None and (mlp is None or mlp.norm != attention.norm):
            new[attention.norm] = nn.Identity()
        return new

    def _with_fewer_heads(self, layer: int, heads: set[int]) -> dict[str, nn.Module]:
        attention = self.wiring.layers[layer].attention
        self._check_norms(layer)
        kept = Kept(attention, tuple(h for h in range(attention.heads) if h not in heads))
        self.kept[attention.path] = kept
        new: dict[str, nn.Module] = {}
        for j, path in enumerate(attention.projections):
            module = self.wiring.module(path)
            columns = kept.columns(j, matrix(module).shape[1]).to(matrix(module).device)
            made = linear_like(module, matrix(module)[:, columns], _entries(module, columns))
            if attention.layout == "separate" and j > 0 and not kept.even:
                made = SharedHeads(made, kept.uses, attention.d_head)
            new[path] = made
        output, bias = self.wiring.module(attention.output), self.output_bias(layer)
        weight = matrix(output)[kept.rows.to(matrix(output).device)]
        constant = self.written(layer, sorted(heads))
        if not self.means:
            new[attention.output] = linear_like(output, weight, bias)
        else:
            total = constant if bias is None else constant + bias.float()
            new[attention.output] = PositionalLinear(weight.T.clone(), self._like(total))
        return new

    def _check_norms(self, layer: int) -> None:
        """Refuse norms over all queries or keys together: they see the heads that go."""
        attention = self.wiring.layers[layer].attention
        widths = {attention.heads * attention.d_head, attention.kv_heads * attention.d_head}
        for path, module in self.wiring.module(attention.path).named_modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim == 1 and len(weight) in widths:
                if attention.kv_heads == 1 and len(weight) == attention.d_head:
                    continue
                raise CircuitError(
                    f"layer {layer} of {type(self.root).__name__} normalises the queries or keys "
                    f"of all heads together ({path}), so heads cannot be cut out one by one"
                )

    # MLPs

    def _without_mlp(self, layer: int) -> dict[str, nn.Module]:
        block, reading = self.session.anatomy.blocks[layer], self.wiring.layers[layer].mlp
        written = block.places["mlp_out"].path
        inside = str(block.down_projection).startswith(f"{block.mlp}.")
        if not (inside or block.down_projection is None) or block.mlp is None or reading is None:
            raise CircuitError(
                f"layer {layer} of {type(self.root).__name__} keeps its MLP in no module of its "
                "own, so it cannot be replaced: use mlps=False"
            )
        width = int(self.session.anatomy.d_model or 1)
        mean = self.means.get(f"mlp_out.{layer}")
        value = torch.zeros(1, width) if mean is None else mean
        new: dict[str, nn.Module] = {}
        new[block.mlp] = Constant(self._like(value), self._outputs[block.mlp])
        if written in block.norms:
            new[written] = nn.Identity()
        if reading.norm is None and reading.place.path in block.norms:
            new[reading.place.path] = nn.Identity()
        return new

    def _whole_modules(self) -> list[str]:
        """Return the paths of attention modules and MLPs that go as a whole."""
        paths = [
            self.wiring.layers[i].attention.path
            for i, heads in self.gone.items()
            if len(heads) == self.wiring.layers[i].attention.heads
        ]
        return paths + [str(self.session.anatomy.blocks[i].mlp) for i in self.gone_mlps]

    def _like(self, value: Tensor) -> Tensor:
        return value.detach().to(device=self.session.device, dtype=self.session.dtype).clone()


def _entries(module: nn.Module, columns: Tensor) -> Tensor | None:
    bias = getattr(module, "bias", None)
    return bias[columns] if isinstance(bias, Tensor) else None


def linear_like(module: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return a module of the same class with another matrix ``[in, out]``.

    Raises
    ------
    CircuitError
        For a class whose insides are not known (quantised, LoRA).
    """
    rows, columns = weight.shape
    new: Any
    if type(module).__name__ == "Conv1D":
        new = type(module)(columns, rows)
        new.weight = nn.Parameter(weight.detach().clone())
    elif type(module) is nn.Linear:
        new = nn.Linear(rows, columns, bias=bias is not None, device="meta")
        new.weight = nn.Parameter(weight.T.detach().clone())
    else:
        raise CircuitError(
            f"a {type(module).__name__} cannot be cut: load the model with plain linear layers"
        )
    if bias is not None:
        new.bias = nn.Parameter(bias.detach().clone())
    return new


def bare_copy(root: nn.Module, new: dict[str, nn.Module] | None = None) -> nn.Module:
    """Return a copy of a model without nnsight's wrappers and without hooks.

    ``new`` modules stand in for those of these paths, whose weights are not copied.
    """
    memo: dict[int, Any] = {}
    for module in root.modules():
        for name in ("forward", "__nnsight__"):
            if name in module.__dict__:
                memo[id(module.__dict__[name])] = None
    for path, replacement in (new or {}).items():
        memo[id(root.get_submodule(path))] = replacement
    made: nn.Module = copy.deepcopy(root, memo)
    for module in made.modules():
        for name in ("forward", "__nnsight__"):
            if module.__dict__.get(name, "") is None:
                del module.__dict__[name]
        for name, value in module.__dict__.items():
            if name.endswith("_hooks") and name.startswith(("_forward", "_backward")):
                value.clear()
    return made


def _recount(attention: nn.Module, kept: Kept) -> None:
    """Tell an attention module how many heads it has now."""
    counts = dict.fromkeys(COUNTS, len(kept.heads)) | dict.fromkeys(SHARED_COUNTS, kept.kv_heads)
    counts["num_key_value_groups"] = len(kept.heads) // kept.kv_heads
    counts["split_size"] = len(kept.heads) * kept.attention.d_head
    targets: list[Any] = [attention]
    config = getattr(attention, "config", None)
    if config is not None:
        own: Any = attention
        own.config = copy.copy(config)
        targets.append(own.config)
    for target in targets:
        for name, count in counts.items():
            if isinstance(target.__dict__.get(name), int):
                setattr(target, name, count)
    for name, parameter in attention.named_parameters(recurse=False):
        if parameter.shape[:1] == (kept.attention.heads,):  # one number per head (sinks)
            value = parameter.detach()[list(kept.heads)].clone()
            setattr(attention, name, nn.Parameter(value))


def _output_structure(
    session: Session, prompt: Prompt, paths: Sequence[str]
) -> dict[str, int | None]:
    """Return how many entries the output of each module has; None for a tensor."""
    found: dict[str, int | None] = {}
    places = sorted((Location(path, "output") for path in paths), key=session.anatomy.order)
    if not places:
        return found
    args, kwargs = prompt.inputs()
    with session.worker.locked(), torch.no_grad(), session.model.trace(*args, **kwargs):
        for place in places:
            value: Any = place.read(session.model)
            found[place.path] = len(value) if isinstance(value, tuple) else None
        nnsight.save(found)
    return found


def weights_saved(surgeon: Surgeon) -> int:
    """Count by how much a model shrinks, without cutting: parameters gone less constants added."""
    saved = 0
    wiring, blocks = surgeon.wiring, surgeon.session.anatomy.blocks

    def of(path: str | None) -> int:
        if path is None:
            return 0
        return sum(parameter.numel() for parameter in wiring.module(path).parameters())

    for layer, heads in surgeon.gone.items():
        attention, reading = wiring.layers[layer].attention, wiring.layers[layer].mlp
        output = wiring.module(attention.output)
        width, bias = matrix(output).shape[1], surgeon.output_bias(layer)
        mean = surgeon.means.get(f"z.{layer}")
        positions = 1 if mean is None else len(mean)
        if len(heads) == attention.heads:
            shared = reading is not None and reading.norm == attention.norm
            saved += of(attention.path) + (0 if shared else of(attention.norm))
            saved += of(attention.output_norm) - positions * width
            continue
        kept = Kept(attention, tuple(h for h in range(attention.heads) if h not in heads))
        for j, path in enumerate(attention.projections):
            module = wiring.module(path)
            rows, columns = matrix(module).shape
            each = rows + (getattr(module, "bias", None) is not None)
            saved += each * (columns - len(kept.columns(j, columns)))
        saved += len(heads) * attention.d_head * width
        if mean is not None:
            saved += (width if bias is not None else 0) - positions * width
        for parameter in wiring.module(attention.path).parameters(recurse=False):
            if parameter.shape[:1] == (attention.heads,):
                saved += len(heads) * parameter[0].numel()
    for layer in surgeon.gone_mlps:
        block, reading = blocks[layer], wiring.layers[layer].mlp
        mean = surgeon.means.get(f"mlp_out.{layer}")
        width = int(surgeon.session.anatomy.d_model or 1)
        saved += of(block.mlp) - (1 if mean is None else len(mean)) * width
        written = block.places["mlp_out"].path
        saved += of(written) if written in block.norms else 0
        if reading is not None and reading.norm is None and reading.place.path in block.norms:
            saved += of(reading.place.path)
    return saved
