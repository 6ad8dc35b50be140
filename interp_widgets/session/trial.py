"""One small forward pass with every module watched: which ran, in what order, on which tensors.

Tensors are told apart by their storage, so "the norm reads what the output projection wrote" is
measured, not guessed from names.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch.utils.hooks import RemovableHandle

POSITIONS = 6
"""Tokens in the prompt of the trial: enough to tell masks apart, few enough to be free."""


@dataclass
class Event:
    """A module began (`"input"`) or ended (`"output"`)."""

    order: int
    path: str
    port: str
    tensor: Tensor | None
    index: int | str | None
    """Where `tensor` sits in an output that is not a tensor itself."""

    @property
    def storage(self) -> int | None:
        """Identity of the memory behind the tensor."""
        return None if self.tensor is None else storage(self.tensor)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor, empty if there is none."""
        return () if self.tensor is None else tuple(self.tensor.shape)


@dataclass
class Trial:
    """What one forward pass did.

    Parameters
    ----------
    events
        Begin and end of the first call of every module that ran, in order.
    modules
        Modules by path.
    calls
        How often each module ran.
    """

    events: list[Event] = field(default_factory=list)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_key = {(event.path, event.port): event for event in self.events}

    def at(self, path: str, port: str) -> Event | None:
        """Return the event of one module, None if it did not run."""
        return self._by_key.get((path, port))

    def within(self, path: str) -> list[Event]:
        """Return the events of the modules below `path`, without its own."""
        prefix = f"{path}." if path else ""
        return [e for e in self.events if e.path.startswith(prefix) and e.path != path]

    def is_leaf(self, path: str) -> bool:
        """Whether the module has no children."""
        return next(self.modules[path].children(), None) is None

    def is_linear(self, path: str) -> bool:
        """Whether the module multiplies the last dimension with a matrix (Linear, Conv1D, LoRA)."""
        weight = getattr(self.modules[path], "weight", None)
        before, after = self.at(path, "input"), self.at(path, "output")
        return (
            isinstance(weight, Tensor)
            and weight.ndim == 2
            and before is not None
            and after is not None
            and before.shape[:-1] == after.shape[:-1]
            and len(before.shape) > 1
        )

    def is_norm(self, path: str) -> bool:
        """Whether the module keeps the shape and scales the last dimension (LayerNorm, RMSNorm)."""
        weight = getattr(self.modules[path], "weight", None)
        before, after = self.at(path, "input"), self.at(path, "output")
        return (
            self.is_leaf(path)
            and (weight is None or weight.ndim == 1)
            and "norm" in type(self.modules[path]).__name__.lower()
            and before is not None
            and after is not None
            and before.shape == after.shape
        )

    def is_elementwise(self, path: str) -> bool:
        """Whether the module scales or shifts entries and nothing more (norm, LayerScale)."""
        before, after = self.at(path, "input"), self.at(path, "output")
        return (
            self.is_leaf(path)
            and all(p.ndim < 2 for p in self.modules[path].parameters())
            and before is not None
            and after is not None
            and before.shape == after.shape
        )

    def forget_tensors(self) -> None:
        """Let go of the activations; paths, order and structure stay."""
        for event in self.events:
            event.tensor = None


def storage(tensor: Tensor) -> int:
    """Return the identity of the memory behind a tensor (views share it)."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001  # the only identity that meta tensors have too


def first_tensor(value: Any) -> tuple[Tensor | None, int | str | None]:
    """Return the first tensor of a module's output and where it sits."""
    if isinstance(value, Tensor):
        return value, None
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (tuple, list)):
        items = enumerate(value)
    return next(((item, key) for key, item in items if isinstance(item, Tensor)), (None, None))


def run(root: nn.Module, inputs: Mapping[str, Any] | Tensor) -> Trial:
    """Run one forward pass and watch it.

    Parameters
    ----------
    root
        The model.
    inputs
        Keyword arguments of the model, or the one tensor it takes.

    Returns
    -------
    Trial
        With its tensors; call `forget_tensors` when the structure has been read.
    """
    events: list[Event] = []
    modules = dict(root.named_modules())
    seen: set[tuple[str, str]] = set()
    calls: dict[str, int] = {}

    def record(path: str, port: str, tensor: Tensor | None, index: int | str | None) -> None:
        if (path, port) not in seen:
            seen.add((path, port))
            events.append(Event(len(events), path, port, tensor, index))

    def watch(path: str, module: nn.Module) -> list[RemovableHandle]:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            first = args[0] if args else next(iter(kwargs.values()), None)
            calls[path] = calls.get(path, 0) + 1
            record(path, "input", first if isinstance(first, Tensor) else None, None)

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            del args
            record(path, "output", *first_tensor(output))

        return [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after),
        ]

    handles = [handle for path, module in modules.items() for handle in watch(path, module)]
    try:
        with torch.no_grad(), evaluating(root):
            root(inputs) if isinstance(inputs, Tensor) else root(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    return Trial(events, modules, calls)


@contextmanager
def evaluating(root: nn.Module) -> Iterator[None]:
    """Switch dropout and the like off, and back to what each module had."""
    training = [module for module in root.modules() if module.training]
    root.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def example_inputs(root: nn.Module, positions: int = POSITIONS) -> dict[str, Any] | None:
    """Make the smallest input that a transformers model takes, or None if its inputs are not known.

    Parameters
    ----------
    root
        A transformers model; of any other module the input is unknown.
    positions
        Number of tokens.
    """
    config = getattr(root, "config", None)
    main = getattr(root, "main_input_name", None)
    if config is None or main is None:
        return None
    device = next((p.device for p in root.parameters()), torch.device("cpu"))
    dtype = next((p.dtype for p in root.parameters() if p.is_floating_point()), torch.float32)
    text = getattr(config, "text_config", config)
    vision = getattr(config, "vision_config", config)
    both = text is not config and vision is not config
    inputs: dict[str, Any] = {}
    positions = int(getattr(root, "prompt_length", positions))  # models made for one length
    if main == "input_ids" or both:
        # From 1: many tokenizers pad with 0, and padding without a mask draws a warning.
        ids = (1 + torch.arange(positions)) % max(int(getattr(text, "vocab_size", positions)), 1)
        inputs["input_ids"] = ids[None].to(device)
        takes_cache = "use_cache" in inspect.signature(type(root).forward).parameters
        if (
            takes_cache and device.type != "meta"
        ):  # without cache, masks are read, which meta cannot
            inputs["use_cache"] = False
        if getattr(config, "is_encoder_decoder", False) and not main_is_encoder(root):
            inputs["decoder_input_ids"] = inputs["input_ids"]
    if main == "pixel_values" or both:
        size = getattr(vision, "image_size", None)
        if size is None:
            return None
        height, width = (size, size) if isinstance(size, int) else tuple(size)
        channels = int(getattr(vision, "num_channels", 3))
        ramp = torch.linspace(-1, 1, channels * height * width).reshape(1, channels, height, width)
        inputs["pixel_values"] = ramp.to(device, dtype)
    return inputs or None


def main_is_encoder(root: nn.Module) -> bool:
    """Whether an encoder-decoder family's model is its encoder alone (`T5EncoderModel`)."""
    return "decoder_input_ids" not in inspect.signature(type(root).forward).parameters
