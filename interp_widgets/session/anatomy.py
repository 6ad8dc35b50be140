"""Where a model keeps its parts, found by structure on a trial forward pass."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from interp_widgets.session import tap
from interp_widgets.session.blocks import Block, block_lists, choose_stack, read_block
from interp_widgets.session.ends import find_embedding, find_final_norm
from interp_widgets.session.location import Location
from interp_widgets.session.sites import DIMS, STANDARD, WITHOUT_LAYER, Site, SiteError, missing
from interp_widgets.session.trial import Trial, example_inputs, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from interp_widgets.session.check import Check
    from interp_widgets.session.tap import AttentionFacts


class Anatomy:
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
            read_block(trial, path, self._attention_in(path))
            for path in self._block_paths(self.stack)
        ]
        self._order = {(e.path, e.port): e.order for e in trial.events}
        self._shapes = {(e.path, e.port): e.shape for e in trial.events}
        self._read_ends(trial)
        trial.forget_tensors()
        self.tried = True
        self._read_attention_calls(inputs)

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

    # reading

    @property
    def kind(self) -> str:
        """`"transformer"`, `"blocks"` (attention not readable) or `"modules"` (anything else)."""
        if not self.blocks:
            return "modules"
        return "transformer" if self._facts else "blocks"

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def sites(self) -> tuple[str, ...]:
        """Standard names that this model has, in the order of `STANDARD`."""
        return tuple(
            name for name in STANDARD if any(self._place(name, i) for i in self._layers(name))
        )

    def layers_of(self, name: str) -> tuple[int, ...]:
        """Layers that have the standard site `name`; empty for `embed` and `logits`."""
        if name in WITHOUT_LAYER:
            return ()
        return tuple(i for i in range(self.n_layers) if self._place(name, i))

    def _layers(self, name: str) -> Iterable[int | None]:
        return (None,) if name in WITHOUT_LAYER else range(self.n_layers)

    def _place(self, name: str, layer: int | None) -> Location | None:
        if layer is None:
            return self._places.get(name)
        block, facts = self.blocks[layer], self._facts.get(layer)
        if name in ("q", "k", "v", "bias", "pattern"):
            if facts is None:
                return None
            if name == "pattern":
                return Location(str(block.attention), "computed", layout="batch head query key")
            if name == "bias":
                if not facts.bias:
                    return None
                return Location(
                    str(block.attention),
                    "attention_call",
                    "position_bias",
                    call=self._calls[str(block.attention)],
                    heads=facts.heads,
                    layout="batch head query key bias",
                )
            return Location(
                str(block.attention),
                "attention_call",
                "_qkv".index(name),
                call=self._calls[str(block.attention)],
                heads=facts.heads if name == "q" else facts.kv_heads,
                d_head=facts.d_value if name == "v" else facts.d_head,
                layout="batch head position d_head",
            )
        place = block.places.get(name)
        if name == "z" and place is not None:
            width = self._shapes[place.path, "input"][-1]
            config = getattr(self.root, "config", None)
            heads = facts.heads if facts else int(getattr(config, "num_attention_heads", 0) or 0)
            if not heads or width % heads:
                return None
            return replace(place, heads=heads, d_head=width // heads)
        return place

    def locate(self, site: str | Site, layer: int | None = None) -> Location:
        """Say where an activation lives.

        Parameters
        ----------
        site
            Standard name, Site, or path of a module.
        layer
            Layer, if the name does not hold it.

        Returns
        -------
        Location
            Plain data that reads, writes and prints it.

        Raises
        ------
        SiteError
            If the model does not have it; the message names the sites that are there.
        """
        wanted = Site.parse(site)
        if layer is not None:
            wanted = Site(wanted.name, layer)
        if wanted not in self._located:
            self._located[wanted] = self._locate(wanted)
        return self._located[wanted]

    def _locate(self, wanted: Site) -> Location:
        if wanted.name in self._modules:
            return self._locate_module(wanted)
        if wanted.name not in DIMS:
            raise missing(
                wanted, self.sites, "it is neither a standard name nor the path of a module"
            )
        if wanted.name in WITHOUT_LAYER:
            place = self._place(wanted.name, None)
        elif not self.blocks:
            raise missing(wanted, self.sites, self._no_blocks())
        elif wanted.layer is None:
            raise SiteError(
                f"{wanted.name!r} needs a layer: '{wanted.name}.0' to "
                f"'{wanted.name}.{self.n_layers - 1}'."
            )
        elif not 0 <= wanted.layer < self.n_layers:
            raise SiteError(
                f"There is no layer {wanted.layer}: this model has 0 to {self.n_layers - 1}."
            )
        else:
            place = self._place(wanted.name, wanted.layer)
        if place is None:
            raise missing(wanted, self.sites, self._reason(wanted))
        return place

    def _no_blocks(self) -> str:
        if self.stack is None:
            return "no list of repeated blocks was found"
        because = f" ({self.trouble})" if self.trouble else ""
        return f"it has not run yet{because}: give Anatomy.of(model, example=...) an input"

    def _reason(self, site: Site) -> str:
        if site.layer is None:
            return self._why_not.get(site.name, "")
        if site.name == "bias" and site.layer in self._facts:
            return "its attention adds no learned position bias to the scores"
        return self.blocks[site.layer].why_not.get(site.name, "")

    def _locate_module(self, site: Site) -> Location:
        shape = self._shapes.get((site.name, "output"))
        if self.tried and shape is None:
            raise missing(site, self.sites, "the module does not run in a forward pass")
        return Location(site.name, "output", layout="as the module returns it")

    def expand(self, sites: str | Site | Iterable[str | Site]) -> list[Site]:
        """Turn names into sites, one per layer where a name without a layer stands for all of them.

        Raises
        ------
        SiteError
            If one is not there.
        """
        if isinstance(sites, (str, Site)):
            sites = [sites]
        found: dict[Site, None] = {}
        for entry in sites:
            site = Site.parse(entry)
            every = site.layer is None and site.name in DIMS and site.name not in WITHOUT_LAYER
            if every and site.name not in self._modules:
                layers = self.layers_of(site.name)
                if not layers:
                    self.locate(site.name, 0 if self.blocks else None)
                found.update((Site(site.name, i), None) for i in layers)
            else:
                self.locate(site)
                found[site] = None
        return list(found)

    def order(self, place: Location) -> float:
        """Return when in a forward pass a place is reached; nnsight must be asked in this order."""
        if place.port in ("attention_call", "computed"):
            block = next(b for b in self.blocks if b.attention == place.path)
            ends = [self._order.get((place.path, "output"), 0)]
            if block.output_projection is not None:
                ends.append(self._order[block.output_projection, "input"])
            return min(ends) - 0.5
        return self._order.get((place.path, place.port), 0)

    @property
    def end(self) -> float:
        """When the model's own output is reached; places before it allow a trace to stop early."""
        return self._order.get(("", "output"), float("inf"))

    def pattern_needs(self, layer: int) -> tuple[str, ...]:
        """Names of the sites of this layer from which its pattern is computed."""
        return ("q", "k", "bias") if self.attention(layer).bias else ("q", "k")

    def prepare(self, batch: Mapping[str, Any] | Tensor) -> None:
        """Explore a model whose input was not known, on its first input."""
        if not self.tried:
            self.explore(batch)

    def attention(self, layer: int) -> AttentionFacts:
        """Return how a layer turns q and k into a pattern.

        Raises
        ------
        SiteError
            If the layer has no attention.
        """
        self.locate("pattern", layer)
        return self._facts[layer]

    # sizes and kinds

    @property
    def n_heads(self) -> int:
        """Query heads of a layer; 0 without attention."""
        return self._any_facts.heads if self._any_facts else 0

    @property
    def n_kv_heads(self) -> int:
        """Key/value heads of a layer; 0 without attention."""
        return self._any_facts.kv_heads if self._any_facts else 0

    @property
    def d_head(self) -> int | None:
        """Width of q and k per head."""
        return self._any_facts.d_head if self._any_facts else None

    @property
    def d_model(self) -> int | None:
        """Width of the residual stream."""
        return self._width("resid_pre")

    @property
    def d_mlp(self) -> int | None:
        """Hidden units of an MLP, None without or for mixtures of experts."""
        return self._width("mlp_post")

    @property
    def vocabulary(self) -> int | None:
        """Number of logits at each position, None for models that do not predict tokens."""
        place = self._places.get("logits")
        shape = () if place is None else self._shapes.get(("", "output"), ())
        return shape[-1] if len(shape) == 3 else None

    @property
    def causal(self) -> bool:
        """Whether every layer hides later tokens."""
        return bool(self._facts) and all(facts.causal for facts in self._facts.values())

    @property
    def rotary(self) -> bool:
        """Whether positions enter by rotating q and k (arXiv:2104.09864)."""
        return any(name.endswith("inv_freq") for name, _ in self.root.named_buffers())

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP read the same residual stream: there is no resid_mid."""
        return any(block.parallel for block in self.blocks)

    @property
    def post_norm(self) -> bool:
        """Whether the residual stream itself is normalised after each addition (BERT)."""
        return any(block.norm_after for block in self.blocks)

    @property
    def has_mlp(self) -> bool:
        """Whether blocks have an MLP."""
        return bool(self.layers_of("mlp_out"))

    @property
    def norm_style(self) -> str:
        """Where a block normalises.

        `"pre"` before attention and MLP, `"output"` what they return (OLMo 2), `"pre and output"`
        (Gemma 2), `"post"` the sum (BERT), `"none"`.
        """
        block = next((b for b in self.blocks if b.norms), None)
        if block is None:
            return "none"
        if block.norm_after:
            return "post"
        added = block.places.get("attn_out")
        output = added is not None and added.path in block.norms
        core = self._order.get((str(block.attention), "input"), float("inf"))
        before = self._order[block.norms[0], "output"] < core
        return "pre and output" if before and output else "output" if output else "pre"

    @property
    def _any_facts(self) -> AttentionFacts | None:
        return next(iter(self._facts.values()), None)

    def _width(self, name: str) -> int | None:
        layers = self.layers_of(name)
        if not layers:
            return None
        place = self.locate(name, layers[0])
        return self._shapes[place.path, place.port][-1]

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
