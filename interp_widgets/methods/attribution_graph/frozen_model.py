"""A model on one prompt with attention patterns and norm scales held fixed: an affine map.

What enters the first block and what every MLP writes are its inputs; what every MLP reads and what
the unembedding reads are its outputs. Patterns are held by putting the prompt's own queries and
keys into every attention call, so that any kernel, mask, softcap or rotary embedding may be there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from interp_widgets.methods.circuits.wiring import CircuitError, first, reading_copy
from interp_widgets.methods.frozen_norm import FrozenNorm
from interp_widgets.methods.mlp_parts import MlpParts
from interp_widgets.session.capture import frozen
from interp_widgets.session.engines import LocalEngine
from interp_widgets.session.location import Location
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt, PromptBatch
    from interp_widgets.session.session import Session

Step = tuple[Location, Callable[[], None]]
Write = Callable[[int, Tensor, Tensor], Tensor]
"""From a layer, what its MLP reads and what it would write, to what is written."""


@dataclass
class Reads:
    """What is read in one run: of each layer's MLP ``[row, position, d_model]``, at the end."""

    mlp: dict[int, Tensor]
    written: dict[int, Tensor]
    final: Tensor
    logits: Tensor


class FrozenModel:
    """The session's model on a prompt, to be run with its patterns and norm scales held fixed.

    The session's interventions apply; what is held fixed is what they lead to.

    Parameters
    ----------
    session, prompt
        The model must predict the next token with heads whose queries and keys can be reached.
    before_norm
        Whether an MLP's output is taken before the norm that follows it, where there is one.

    Raises
    ------
    CircuitError
        When the model is of a form that is not known.

    Examples
    --------
    >>> model = FrozenModel(session, prompt)
    >>> reads = model.run(model.embeddings[None], lambda layer, x, own: model.written[layer][None])
    """

    def __init__(self, session: Session, prompt: Prompt, *, before_norm: bool = False) -> None:
        self.session = session
        self.prompt = prompt
        self.before_norm = before_norm
        self.root: nn.Module = session.anatomy.root
        self._check()
        self.unembed = Location(str(session.anatomy.unembed), "input")
        self.start = reading_copy(session.anatomy.locate(Site("resid_pre", 0)))
        self.n_layers = session.anatomy.n_layers
        self.inputs = {i: self._mlp_input(i) for i in range(self.n_layers)}
        self.outputs = {i: self._mlp_output(i) for i in range(self.n_layers)}
        self._norms = self._find_norms()
        self._observe()

    def _check(self) -> None:
        anatomy = self.session.anatomy
        name = type(self.root).__name__
        if not isinstance(self.session.engine, LocalEngine):
            raise CircuitError("an attribution graph needs the model on this machine")
        if not self.prompt.ids:
            raise CircuitError("an attribution graph starts from tokens, and this prompt has none")
        if not anatomy.blocks or anatomy.unembed is None:
            raise CircuitError(f"{name} has no blocks with an unembedding after them")
        for i, block in enumerate(anatomy.blocks):
            for site in ("q", "mlp_out"):
                if i not in anatomy.layers_of(site):
                    why = block.why_not.get(site, "it is not there")
                    raise CircuitError(f"layer {i} of {name} has no {site} to hold fixed: {why}")

    def _mlp_input(self, layer: int) -> Location:
        block = self.session.anatomy.blocks[layer]
        if block.mlp is not None and block.mlp != block.down_projection:
            return Location(block.mlp, "input")
        return Location(MlpParts.of(self.session, self.prompt)[layer].up, "input")

    def _mlp_output(self, layer: int) -> Location:
        block = self.session.anatomy.blocks[layer]
        place = reading_copy(block.places["mlp_out"])
        if self.before_norm and place.path in block.norms and block.down_projection is not None:
            return Location(block.down_projection, "output")
        return place

    def _find_norms(self) -> list[str]:
        """Return every norm between the first block's input and the unembedding."""
        anatomy = self.session.anatomy
        paths = [path for block in anatomy.blocks for path in block.norms]
        for block in anatomy.blocks:
            for inner, module in self.root.get_submodule(str(block.attention)).named_modules():
                leaf = next(module.children(), None) is None
                if inner and leaf and "norm" in type(module).__name__.lower():
                    paths.append(f"{block.attention}.{inner}")
        if anatomy.final_norm is not None:
            paths.append(anatomy.final_norm)
        written = {place.path for place in self.outputs.values()}
        ran = [p for p in paths if anatomy.order(Location(p, "output")) > 0]
        return [path for path in dict.fromkeys(ran) if path not in written]

    # Running

    def _observe(self) -> None:
        """Run the prompt as it is and keep what has to be held fixed."""
        queries: dict[int, tuple[Tensor, Tensor]] = {}
        norms: dict[str, tuple[Tensor, Tensor]] = {}
        reads: dict[Any, Tensor] = {}

        def keep(key: object, place: Location) -> Step:
            return place, lambda: reads.__setitem__(key, self._at(place).detach().clone())

        def norm(path: str) -> Step:
            def work() -> None:
                x, out = self._at(Location(path, "input")), self._at(Location(path, "output"))
                norms[path] = x.detach().clone(), out.detach().clone()

            return Location(path, "output"), work

        def attention(i: int) -> Step:
            places = [self.session.anatomy.locate(name, i) for name in "qk"]

            def work() -> None:
                q, k = (p.read(self.session.model).detach().clone() for p in places)
                queries[i] = q, k

            return places[0], work

        steps = [keep("start", self.start), keep("final", self.unembed)]
        steps += [norm(path) for path in self._norms]
        for i in range(self.n_layers):
            steps += [
                attention(i),
                keep(("in", i), self.inputs[i]),
                keep(("out", i), self.outputs[i]),
            ]
        steps.append(keep("logits", self.session.anatomy.locate("logits")))
        with torch.no_grad():
            self._trace(self.prompt.repeat(1), steps)
        self.queries = queries
        self.embeddings = reads["start"][0]
        self.reads = {i: reads["in", i][0] for i in range(self.n_layers)}
        self.written = {i: reads["out", i][0] for i in range(self.n_layers)}
        self.final, self.logits = reads["final"][0, -1], reads["logits"][0, -1]
        if self.reads[0].shape != self.embeddings.shape:
            raise CircuitError(
                f"the MLPs of {type(self.root).__name__} read {[*self.reads[0].shape]}, not one "
                "vector of the residual stream's width per token"
            )
        with torch.no_grad():
            self._held = {
                path: (FrozenNorm(self.root.get_submodule(path), x), x, out)
                for path, (x, out) in norms.items()
            }

    def run(
        self,
        embeddings: Tensor,
        write: Write,
        *,
        attention: bool = True,
        norms: bool = True,
        grad: bool = False,
        whole: bool = False,
    ) -> Reads:
        """Run rows with other inputs.

        Parameters
        ----------
        embeddings
            What enters the first block ``[row, position, d_model]``.
        write
            Called with a layer, what its MLP reads and what it would write
            ``[row, position, d_model]``; returns what is written.
        attention, norms
            Whether patterns and norm scales are held at those of the prompt.
        grad
            Whether the reads keep their graph back to ``embeddings`` and what was written.
        whole
            Whether the logits of the last position are worked out too.
        """
        rows = len(embeddings)
        found: dict[Any, Tensor] = {}
        mlp: dict[int, Tensor] = {}
        written: dict[int, Tensor] = {}
        steps: list[Step] = [(self.start, lambda: self._put(self.start, embeddings))]
        if norms:
            steps += [self._hold_norm(path, rows) for path in self._norms]
        for i in range(self.n_layers):
            if attention:
                steps.append(self._hold_queries(i, rows))
            steps += self._pass_mlp(i, write, mlp, written)

        def end() -> None:
            value = found["final"] = self._at(self.unembed)[:, -1]
            self._put(self.unembed, value[:, None] if whole else value.detach()[:, None])

        def logits() -> None:
            found["logits"] = self._at(self.session.anatomy.locate("logits"))[:, -1]

        steps += [(self.unembed, end), (self.session.anatomy.locate("logits"), logits)]
        mode = torch.enable_grad() if grad else torch.no_grad()
        with mode, frozen(self.root) if grad else nullcontext():
            self._trace(self.prompt.repeat(rows), steps)
        return Reads(mlp, written, found["final"], found["logits"])

    def held_at_end(self, path: str) -> FrozenNorm:
        """Return a norm as it is held at the last position."""
        x = self._held[path][1]
        return FrozenNorm(self.root.get_submodule(path), x[:, -1])

    def _pass_mlp(
        self, i: int, write: Write, mlp: dict[int, Tensor], written: dict[int, Tensor]
    ) -> list[Step]:
        def read() -> None:
            mlp[i] = self._at(self.inputs[i])

        def replace() -> None:
            written[i] = write(i, mlp[i], self._at(self.outputs[i]))
            self._put(self.outputs[i], written[i])

        return [(self.inputs[i], read), (self.outputs[i], replace)]

    def _hold_queries(self, i: int, rows: int) -> Step:
        places = [self.session.anatomy.locate(name, i) for name in "qk"]

        def work() -> None:
            for place, own in zip(places, self.queries[i], strict=True):
                place.write(self.session.model, own.expand(rows, *own.shape[1:]).contiguous())

        return places[0], work

    def _hold_norm(self, path: str, rows: int) -> Step:
        """Let a norm be linear, and give exactly what it gave where it reads what it read."""
        norm, x0, out0 = self._held[path]
        place = Location(path, "output")

        def work() -> None:
            x = self._at(Location(path, "input"))
            value = norm.linear(x).to(x.dtype)
            rest = out0 - norm.linear(x0).to(x0.dtype)
            self._put(place, value + rest.expand(rows, *rest.shape[1:]))

        return place, work

    def _trace(self, batch: PromptBatch, steps: Sequence[Step]) -> None:
        """Trace the batch, taking the steps as the model reaches their places."""
        order = self.session.anatomy.order
        ordered = [work for _, work in sorted(steps, key=lambda step: order(step[0]))]
        with self.session.worker.locked(), self.session.trace(batch):
            for work in ordered:
                work()

    def _at(self, place: Location) -> Tensor:
        return first(place.read(self.session.model))

    def _put(self, place: Location, value: Tensor) -> None:
        place.write(self.session.model, value)
