"""Where a model keeps its parts, found by structure on a trial forward pass."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from interp_widgets.session import tap
from interp_widgets.session.blocks import Block, block_lists, choose_stack, read_block
from interp_widgets.session.ends import find_embedding, find_final_norm
from interp_widgets.session.location import Location
from interp_widgets.session.sizes import Sizes
from interp_widgets.session.trial import Trial, example_inputs, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interp_widgets.session.check import Check
    from interp_widgets.session.sites import Site
    from interp_widgets.session.tap import AttentionFacts


MOST_READINGS = 3
"""Inputs on which attention calls are tried, before they count as not readable."""


class Anatomy(Sizes):
    """Where a model keeps its parts.

    Make one with `Anatomy.of(model)`. The block list is the largest list of blocks of one class;
    inside a block, parts are found by following which module reads what another wrote during one
    small forward pass.

    Parameters
    ----------
    model
        An nnsight model or a torch module.
    stack
        Part of the path of the block list to use, for models with more than one (`"encoder"`,
        `"vision_model"`); None takes the one with most parameters.
    example
        Input of the trial forward pass; None makes the smallest input that the family takes.

    Attributes
    ----------
    problems
        Sites that `check` found not to be as they should, and why; empty before it ran.

    Raises
    ------
    ValueError
        If `stack` names no block list, or several.

    Examples
    --------
    >>> anatomy = Anatomy.of(model)
    >>> anatomy.locate("z", 5).expression()
    'model.transformer.h[5].attn.c_proj.input'
    """

    def __init__(
        self,
        model: Any,
        stack: str | None = None,
        example: Mapping[str, Any] | Tensor | None = None,
    ) -> None:
        self.root: nn.Module = model if isinstance(model, nn.Module) else model._module  # noqa: SLF001  # nnsight's name for it
        self.model: Any = model
        self._modules = {name for name, _ in self.root.named_modules() if name}
        self._located: dict[Site, Location] = {}
        self.stacks = block_lists(self.root)
        self.stack = choose_stack(self.stacks, stack)
        self.embed: str | None = None
        self.final_norm: str | None = None
        self.unembed: str | None = self._path_of("get_output_embeddings")
        self.blocks: list[Block] = []
        self.tried = False
        self._places: dict[str, Location] = {}
        self._why_not: dict[str, str] = {}
        self._order: dict[tuple[str, str], int] = {}
        self._shapes: dict[tuple[str, str], tuple[int, ...]] = {}
        self._facts: dict[int, AttentionFacts] = {}
        self._calls: dict[str, str] = {}
        self._unread: str | None = None
        self._readings = 0
        self.trouble: str | None = None
        self.problems: dict[str, str] = {}
        if example is not None:
            self.explore(example)
            return
        try:
            inputs = example_inputs(self.root)
            if inputs is not None:
                self.explore(inputs)
        except Exception as error:  # a model that wants other inputs is explored on its first one
            self.trouble = f"{type(error).__name__}: {error}"

    @classmethod
    def of(
        cls, model: Any, stack: str | None = None, example: Mapping[str, Any] | Tensor | None = None
    ) -> Self:
        """Find the parts of a model; see the class."""
        return cls(model, stack, example)

    # exploring

    def explore(self, inputs: Mapping[str, Any] | Tensor) -> None:
        """Run the trial forward pass on `inputs` and read the structure off it.

        Called by the constructor when the family's input is known; a plain module is explored when
        the first input comes.
        """
        self._located.clear()
        trial = run(self.root, inputs)
        self.blocks = [
            read_block(trial, path, self._attention_in(path), self._cross_in(path))
            for path in self._block_paths(self.stack)
        ]
        self._order = {(e.path, e.port): e.order for e in trial.events}
        self._shapes = {(e.path, e.port): e.shape for e in trial.events}
        self._read_ends(trial)
        trial.forget_tensors()
        self._unread, self._readings = None, 0
        self._read_attention(inputs)
        self.tried = True

    def prepare(self, batch: Mapping[str, Any] | Tensor) -> None:
        """Explore a model whose input was not known, on its first input.

        Attention calls that could not be read are tried again, on the next two inputs.
        """
        if not self.tried:
            self.explore(batch)
        elif self._unread is not None and self._readings < MOST_READINGS:
            self._read_attention(batch)

    def _block_paths(self, stack: str | None) -> list[str]:
        if stack is None:
            return []
        return [f"{stack}.{name}" for name, _ in self.root.get_submodule(stack).named_children()]

    def _attention_in(self, block: str) -> str | None:
        """Return the module that calls the attention function, else the one named attention."""
        for name, module in self.root.get_submodule(block).named_modules():
            label = tap.call_label(module) if name else None
            if label is not None:
                self._calls[f"{block}.{name}"] = label
                return f"{block}.{name}"
        named = (
            name
            for name, module in self.root.get_submodule(block).named_modules()
            if name and "attention" in type(module).__name__.lower()
        )
        name = next(named, None)
        return None if name is None else f"{block}.{name}"

    def _cross_in(self, block: str) -> str | None:
        """Return the last module of a decoder's block that calls the attention function."""
        config = getattr(self.root, "config", None)
        names = ("is_encoder_decoder", "add_cross_attention")
        if not any(getattr(config, name, False) is True for name in names):
            return None
        found = {}
        for name, module in self.root.get_submodule(block).named_modules(prefix=block):
            label = tap.call_label(module)
            if label is not None:
                found[name] = label
        if len(found) < 2:
            return None
        path, label = list(found.items())[-1]
        self._calls[path] = label
        return path

    def _read_ends(self, trial: Trial) -> None:
        first = trial.at(self.blocks[0].path, "input") if self.blocks else None
        last = trial.at(self.blocks[-1].path, "output") if self.blocks else None
        if first is not None and last is not None and first.tensor is not None:
            known = self._path_of("get_input_embeddings")
            self.embed = find_embedding(trial, first, known, str(self.stack), self.stacks)
            self.final_norm = find_final_norm(trial, last)
        if self.embed is not None:
            self._places["embed"] = Location(self.embed, "output")
        else:
            self._why_not["embed"] = (
                "no module turns the input into vectors of the residual stream's width"
            )
        end = trial.at("", "output")
        if end is not None and end.tensor is not None and end.index in (None, "logits"):
            layout = "batch position vocabulary" if len(end.shape) == 3 else "batch class"
            self._places["logits"] = Location("", "output", end.index, layout=layout)
        else:
            self._why_not["logits"] = "the model has no output head"

    def _read_attention(self, inputs: Mapping[str, Any] | Tensor) -> None:
        """Read attention calls; where that fails the other sites stay, and errors say why."""
        self._readings += 1
        try:
            self._read_attention_calls(inputs)
            self._unread = None
        except Exception as error:
            self._unread = f"{type(error).__name__}: {error}"
        self._located.clear()

    def _read_attention_calls(self, inputs: Mapping[str, Any] | Tensor) -> None:
        """Trace the same input and read what each layer tells the attention function."""
        layers = [i for i, b in enumerate(self.blocks) if b.attention in self._calls and b.places]
        if not layers:
            return
        calls = tap.read_calls(self.traceable(), {i: self._call_place(i) for i in layers}, inputs)
        for layer, arguments in calls.items():
            self._facts[layer] = tap.read_facts(arguments)

    def _call_place(self, layer: int) -> Location:
        path = str(self.blocks[layer].attention)
        return Location(path, "attention_call", 1, call=self._calls[path])

    def traceable(self) -> Any:
        """Return the nnsight model, wrapping a plain torch module the first time."""
        if isinstance(self.model, nn.Module):
            import nnsight

            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*has a submodule named")
                self.model = nnsight.NNsight(self.model)
        return self.model

    def _path_of(self, getter: str) -> str | None:
        try:
            part = getattr(self.root, getter)()
        except (AttributeError, NotImplementedError):
            return None
        return next((name for name, module in self.root.named_modules() if module is part), None)

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each module's output in the trial forward pass."""
        return {
            path: shape
            for (path, port), shape in self._shapes.items()
            if port == "output" and shape
        }

    def summary(self) -> dict[str, Any]:
        """Return the facts about the model as plain data."""
        names = "kind stack n_layers n_heads n_kv_heads d_model d_head d_mlp vocabulary causal"
        names += " rotary parallel norm_style embed final_norm unembed"
        return {
            "class": type(self.root).__name__,
            **{name: getattr(self, name) for name in names.split()},
            "sites": list(self.sites),
            "attention": {str(layer): facts.to_json() for layer, facts in self._facts.items()},
        }

    def tree(self) -> dict[str, Any]:
        """Return the module tree as nested plain data; see `module_tree`."""
        from interp_widgets.session.module_tree import module_tree

        return module_tree(self)

    def result(self) -> Any:
        """Return the module tree as a result of the kind "modules", which displays itself."""
        from interp_widgets.results.modules import ModulesResult

        title = f"Modules of {type(self.root).__name__}"
        return ModulesResult({}, {"tree": self.tree(), "summary": self.summary(), "title": title})

    def check(self, batch: Mapping[str, Any] | Tensor | None = None) -> Check:
        """Capture every site in one trace and compare it with what the anatomy claims.

        What is wrong stays readable in `problems`.

        Parameters
        ----------
        batch
            Input; None takes the trial's smallest input.

        Raises
        ------
        ValueError
            If no input is given and the family's is not known.
        """
        from interp_widgets.session.check import check

        report = check(self, batch)
        self.problems = report.problems
        return report

    def __repr__(self) -> str:
        name, sites = type(self.root).__name__, ", ".join(self.sites)
        return f"Anatomy({name}, {self.n_layers} layers, sites: {sites})"
