"""The matrices of an MLP: which of them is up, gate and down, and the activation between them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from interp_widgets.methods.circuits.wiring import first, matrix
from interp_widgets.methods.readout import COARSE, TOLERANCE
from interp_widgets.session.location import Location
from interp_widgets.session.sites import SiteError

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MlpParts:
    """One block's MLP as ``down(act(gate(x)) · up(x))``, or ``down(act(up(x)))`` without a gate.

    Parameters
    ----------
    root
        The model.
    up, gate, down
        Paths of the matrices; ``gate`` is None for a plain MLP. Where one matrix makes both
        (Phi-3, ModernBERT) ``up`` and ``gate`` are the same path.
    act
        The activation function.
    gate_first
        Of a shared matrix: whether its first half is the gate.

    Examples
    --------
    >>> parts = MlpParts.of(session, prompt)[3]
    >>> parts.rows("up").shape      # [d_mlp, d_model]
    """

    root: nn.Module
    up: str
    gate: str | None
    down: str
    act: Activation
    gate_first: bool = True

    def rows(self, name: str) -> Tensor:
        """Return a matrix with a row per neuron ``[d_mlp, d_model]``.

        Parameters
        ----------
        name
            ``"up"``, ``"gate"``: what the neuron reads along; ``"down"``: what it writes.

        Raises
        ------
        SiteError
            When there is no gate.
        """
        if name == "down":
            return matrix(self.root.get_submodule(self.down)).detach()
        if name == "gate" and self.gate is None:
            raise SiteError("this MLP has no gate; it has up and down")
        path = self.up if name == "up" else str(self.gate)
        return self._half(matrix(self.root.get_submodule(path)).detach().T, name)

    def bias(self, name: str) -> Tensor | None:
        """Return the bias of up or gate ``[d_mlp]``, or of down ``[d_model]``; None without one."""
        path = {"up": self.up, "gate": self.gate, "down": self.down}[name]
        bias = None if path is None else getattr(self.root.get_submodule(path), "bias", None)
        if bias is None:
            return None
        return bias.detach() if name == "down" else self._half(bias.detach(), name)

    def _half(self, rows: Tensor, name: str) -> Tensor:
        if self.up != self.gate:
            return rows
        top, rest = rows.chunk(2)
        return top if (name == "gate") == self.gate_first else rest

    def neurons(self, x: Tensor) -> Tensor:
        """Return what the down projection takes ``[..., d_mlp]``, from the MLP's input."""
        up = nn.functional.linear(x, self.rows("up"), self.bias("up"))
        if self.gate is None:
            return self.act(up)
        return self.act(nn.functional.linear(x, self.rows("gate"), self.bias("gate"))) * up

    @classmethod
    def of(cls, session: Session, prompt: Prompt) -> tuple[MlpParts, ...]:
        """Return the MLP of every block, found once and checked in numbers on ``prompt``.

        Raises
        ------
        SiteError
            When a block has no MLP (mixtures of experts have several), or it is of another form.
        """
        known = _known.get(session.anatomy)
        if known is None:
            known = tuple(cls._find(session, prompt, i) for i in range(session.anatomy.n_layers))
            _known[session.anatomy] = known
        return known

    @classmethod
    def _find(cls, session: Session, prompt: Prompt, layer: int) -> MlpParts:
        anatomy = session.anatomy
        block = anatomy.blocks[layer]
        name = f"layer {layer} of {type(anatomy.root).__name__}"
        if "mlp_post" not in block.places or block.down_projection is None:
            why = block.why_not.get("mlp_post", "it has no MLP")
            raise SiteError(f"{name} has no neurons to read: {why}")
        places = {
            path: (Location(path, "input"), Location(path, "output"))
            for path in _before(session, layer)
        }
        neurons = block.places["mlp_post"]
        wanted = sorted(
            {neurons, *(p for pair in places.values() for p in pair)}, key=anatomy.order
        )
        found: dict[Location, Tensor] = {}
        args, kwargs = prompt.inputs()
        with session.worker.locked(), torch.no_grad(), session.model.trace(*args, **kwargs):
            for place in wanted:
                found[place] = first(place.read(session.model))
        post = found[neurons]
        for parts in cls._candidates(session, layer, list(places)):
            own = parts.neurons(found[places[parts.up][0]])
            limit = TOLERANCE.get(post.dtype, COARSE) * float(post.abs().max().clamp_min(1e-6))
            if own.shape == post.shape and float((own - post).abs().max()) <= limit:
                return parts
        raise SiteError(
            f"{name}: what its neurons compute is neither act(up(x)) nor act(gate(x)) · up(x) with "
            f"matrices {', '.join(places) or 'that could be found'}"
        )

    @classmethod
    def _candidates(cls, session: Session, layer: int, paths: list[str]) -> Iterator[MlpParts]:
        root = session.anatomy.root
        down = str(session.anatomy.blocks[layer].down_projection)
        width = matrix(root.get_submodule(down)).shape[0]
        sizes = {path: matrix(root.get_submodule(path)).shape[1] for path in paths}
        whole = [path for path in paths if sizes[path] == width]
        double = [path for path in paths if sizes[path] == 2 * width]
        for act in _activations(session, layer):
            for up in whole:
                yield cls(root, up, None, down, act)
                for gate in whole:
                    if gate != up:
                        yield cls(root, up, gate, down, act)
            for both in double:
                for order in (True, False):
                    yield cls(root, both, both, down, act, gate_first=order)


_known: weakref.WeakKeyDictionary[object, tuple[MlpParts, ...]] = weakref.WeakKeyDictionary()


def _before(session: Session, layer: int) -> list[str]:
    """Return the block's matrices outside attention that run before the down projection."""
    anatomy = session.anatomy
    block = anatomy.blocks[layer]
    end = anatomy.order(Location(str(block.down_projection), "input"))
    found = []
    for inner, module in anatomy.root.get_submodule(block.path).named_modules():
        path = f"{block.path}.{inner}"
        inside = block.attention is not None and path.startswith(f"{block.attention}.")
        ran = anatomy.order(Location(path, "output"))
        weight = getattr(module, "weight", None)
        if inner and not inside and 0 < ran <= end and getattr(weight, "ndim", 0) == 2:
            found.append(path)
    return [p for p in found if p not in (block.output_projection, block.down_projection)]


def _activations(session: Session, layer: int) -> Iterator[Activation]:
    """Yield the activation modules of the block, then the usual functions."""
    root, block = session.anatomy.root, session.anatomy.blocks[layer]
    for module in root.get_submodule(block.path).modules():
        plain = not any(True for _ in module.parameters()) and not any(
            True for _ in module.children()
        )
        if plain and not isinstance(module, nn.Dropout | nn.Identity):
            yield _past_hooks(module)
    functional = nn.functional
    yield functional.silu
    yield lambda x: functional.gelu(x, approximate="tanh")
    yield functional.gelu
    yield functional.relu


def _past_hooks(module: nn.Module) -> Activation:
    def act(x: Tensor) -> Tensor:
        value: Tensor = type(module).forward(module, x)
        return value

    return act
