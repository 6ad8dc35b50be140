"""Where one activation lives in a model: enough to read it, write it and print it as code."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Port = Literal["input", "output", "attention_call", "computed"]


@dataclass(frozen=True)
class Location:
    """The place of one activation in a model.

    Parameters
    ----------
    path
        Path of the module as torch names it, `"transformer.h.5.attn.c_proj"`; `""` is the model.
    port
        `"input"` is the module's first input, `"output"` its output, `"attention_call"` an argument
        of the attention function inside the module, `"computed"` what is worked out from other
        sites (`pattern`).
    index
        Entry of a tuple, name of an entry of an output (`"logits"`), or number or name of an
        argument of the attention call.
    call
        nnsight's label of the attention call, `"attention_interface_1"`.
    heads, d_head
        How the last dimension splits into heads (port input or output), or the heads it already
        has.
    layout
        Dimensions of the tensor as the model has it, such as `"batch position (head d_head)"`.
    shared
        True if something else of the model reads the same tensor, as the residual connection does:
        then a write must happen in place, because a replacement would be seen by this module alone.

    Examples
    --------
    >>> Location("transformer.h.5.attn.c_proj", "input").expression()
    'model.transformer.h[5].attn.c_proj.input'
    """

    path: str
    port: Port
    index: int | str | None = None
    call: str | None = None
    heads: int | None = None
    d_head: int | None = None
    layout: str = "batch position d_model"
    shared: bool = False

    @property
    def split(self) -> bool:
        """Whether the last dimension has to be split into heads."""
        return "(head d_head)" in self.layout

    def expression(self, model: str = "model") -> str:
        """Return the nnsight expression that reads this tensor inside a trace.

        Raises
        ------
        ValueError
            If the activation is computed, so that no expression reads it.
        """
        base = model + accessor(self.path)
        if self.port == "attention_call":
            which = f"[1][{self.index!r}]" if isinstance(self.index, str) else f"[0][{self.index}]"
            return f"{base}.source.{self.call}.inputs{which}"
        if self.port == "computed":
            raise ValueError(
                "This activation is computed from q and k; no part of the model holds it."
            )
        if self.index is None:
            return f"{base}.{self.port}"
        if isinstance(self.index, str):
            return f"{base}.{self.port}.{self.index}"
        return f"{base}.{self.port}[{self.index}]"

    def envoy(self, model: Any) -> Any:
        """Return nnsight's view of the module, `model.transformer.h[5].attn.c_proj`."""
        return resolve(model, self.path)

    def read(self, model: Any) -> Tensor:
        """Read the tensor as the model has it. Only inside a trace."""
        module = self.envoy(model)
        if self.port == "attention_call":
            args, kwargs = getattr(module.source, str(self.call)).inputs
            return kwargs[self.index] if isinstance(self.index, str) else args[int(self.index or 0)]
        value = getattr(module, self.port)
        if self.index is None:
            return value
        return value[self.index]

    def write(self, model: Any, value: Tensor) -> None:
        """Put `value` in the tensor's place, shaped as `read` gives it. Only inside a trace."""
        if self.shared:
            self.read(model).copy_(value)
            return
        module = self.envoy(model)
        if self.port == "attention_call":
            call = getattr(module.source, str(self.call))
            args, kwargs = call.inputs
            if isinstance(self.index, str):
                call.inputs = (args, {**kwargs, self.index: value})
            else:
                at = int(self.index or 0)
                call.inputs = ((*args[:at], value, *args[at + 1 :]), kwargs)
        elif self.index is None:
            setattr(module, self.port, value)
        else:
            whole = getattr(module, self.port)
            setattr(module, self.port, _replaced(whole, self.index, value))

    def to_heads(self, tensor: Tensor) -> Tensor:
        """Split the last dimension into heads where it holds them: `[…, head, d_head]`."""
        if not self.split:
            return tensor
        return tensor.unflatten(-1, (self.heads or 1, self.d_head or -1))

    def from_heads(self, tensor: Tensor) -> Tensor:
        """Undo `to_heads`."""
        return tensor.flatten(-2) if self.split else tensor


def _replaced(whole: Any, index: int | str, value: Tensor) -> Any:
    if isinstance(index, str) or not isinstance(whole, tuple):
        whole[index] = value
        return whole
    return (*whole[:index], value, *whole[index + 1 :])


_STEPS: dict[str, tuple[str | int, ...]] = {}  # functools.cache does not travel to a remote engine


def steps(path: str) -> tuple[str | int, ...]:
    """Split a module path into nnsight's steps: attribute names and list positions.

    nnsight moves a submodule whose name it needs itself (`output` in BERT) to `E_output`.
    """
    if path in _STEPS:
        return _STEPS[path]
    from nnsight.intervention.envoy import Envoy

    found: list[str | int] = []
    for part in path.split(".") if path else []:
        if part.isdigit():
            found.append(int(part))
        elif not part.startswith("_") and inspect.isdatadescriptor(getattr(Envoy, part, None)):
            found.append(f"{Envoy.OVERLOAD_PREFIX}{part}")
        else:
            found.append(part)
    _STEPS[path] = tuple(found)
    return _STEPS[path]


def accessor(path: str) -> str:
    """Write a module path the way Python reaches it: `transformer.h.5` as `.transformer.h[5]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps(path))


def resolve(model: Any, path: str) -> Any:
    """Return nnsight's envoy of the module at `path`."""
    for step in steps(path):
        model = model[step] if isinstance(step, int) else getattr(model, step)
    return model
