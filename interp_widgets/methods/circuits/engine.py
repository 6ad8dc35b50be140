"""Running a model edge by edge through nnsight: writers, gradients at readers, cut edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from interp_widgets.methods.circuits.cut import Cut
from interp_widgets.methods.circuits.wiring import Reading, Wiring, first, wiring_of
from interp_widgets.results.graph import SLOTS, Graph
from interp_widgets.session.capture import frozen
from interp_widgets.session.location import Location

if TYPE_CHECKING:
    from interp_widgets.session.prompts import PromptBatch
    from interp_widgets.session.session import Session

NUMBERS = 2**25
"""Numbers held at a time for the readers of one layer: 128 MB in float32."""

Loss = Callable[[Tensor], Tensor]
"""From the last position's logits ``[batch, vocabulary]`` to ``[batch]``."""

Note = Callable[[Tensor, Tensor], None]
"""Takes what every component wrote and the logits of a run."""

Step = tuple[float, Callable[[], None]]


class Engine(Protocol):
    """What the scoring methods need of a network; the tests have one in plain torch."""

    graph: Graph

    def writers(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return ``[n_forward, batch, position, d]`` and the logits ``[batch, vocabulary]``."""

    def streams(self, batch: Any) -> dict[int, Tensor]:
        """Return the residual streams that are read ``{limit: [batch, position, d]}``.

        Readers that read the same stream have the same limit, ``graph.first_unreadable``.
        """

    def gradients(
        self,
        batch: Any,
        loss: Loss,
        *,
        replace: tuple[int, Tensor] | None = None,
        note: Note | None = None,
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (readers, d loss / d what each reads ``[reader, batch, position, d]``).

        Readers come last first. ``replace`` is (row, ``[writer, batch, position, d]``): writers of
        one layer, or the input, that write these values instead of their own. ``note`` is called
        once, before the first gradient, with what :meth:`writers` would return of this run.
        """

    def cut(
        self,
        batch: Any,
        values: Tensor,
        edges: Tensor,
        *,
        neurons: Tensor | None = None,
        grad: bool = False,
    ) -> Tensor:
        """Return the logits ``[batch, vocabulary]`` with edges carrying other values.

        ``values`` ``[n_forward, batch, position, d]`` is what cut edges carry: for interchange,
        what :meth:`writers` returned for the corrupted batch. ``edges`` is a mask
        ``[n_forward, n_backward]``, one such mask per row of the batch, or one per row with
        positions as its last axis; shares between 0 and 1 mix the values. ``neurons``
        ``[n_forward, d]`` restricts it to some dimensions of what is written. With ``grad`` the
        logits can be differentiated by ``edges`` and ``values``.
        """


class ModelEngine:
    """The engine of a session's model; the session's interventions apply.

    Parameters
    ----------
    session
        The live session.
    batch
        Prompts of one length; on the first of them the wiring is found if it is not known yet.

    Raises
    ------
    CircuitError
        When edges cannot be measured on this model.
    """

    def __init__(self, session: Session, batch: PromptBatch) -> None:
        self.session = session
        self.wiring: Wiring = wiring_of(session, batch[0])
        self.graph = Graph.from_session(session)
        self._weights: dict[int, dict[str, tuple[Tensor, Tensor | None]]] = {}

    # What components write

    def writers(self, batch: PromptBatch) -> tuple[Tensor, Tensor]:
        """Return what every component writes, and the logits of the last position."""
        rows: dict[int, Tensor] = {}
        with torch.no_grad():
            logits = self._run(batch, self._watch_writers(rows.__setitem__), wide=False)
            return torch.cat([rows[i] for i in sorted(rows)]), logits

    def _watch_writers(
        self, note: Callable[[int, Tensor], None], *, detach: bool = True
    ) -> list[Step]:
        """Return steps that call ``note(row, [writer, batch, position, d])`` at each write."""

        def at(place: Location) -> Tensor:
            return self._at(place).detach() if detach else self._at(place)

        def single(row: int, place: Location) -> Step:
            return self._step(place, lambda: note(row, at(place)[None].clone()))

        def heads(i: int, place: Location) -> Step:
            row = self.graph.writer(i, 0)
            return self._step(place, lambda: note(row, self.wiring.head_outputs(i, at(place))))

        steps = [single(0, self.wiring.layers[0].start)]
        for i, layer in enumerate(self.wiring.layers):
            steps.append(heads(i, Location(layer.attention.output, "input")))
            if layer.mlp_out is not None:
                steps.append(single(self.graph.writer(i), layer.mlp_out))
        return steps

    def streams(self, batch: PromptBatch) -> dict[int, Tensor]:
        """Return what readers read, before their norms, by the number of writers before them."""
        found: dict[int, Tensor] = {}

        def keep(column: int, place: Location) -> Step:
            limit = int(self.graph.first_unreadable[column])
            return self._step(
                place, lambda: found.__setitem__(limit, self._at(place).detach().clone())
            )

        steps = [keep(self.graph.n_backward - 1, self.wiring.logits.place)]
        for i, layer in enumerate(self.wiring.layers):
            steps.append(keep(self.graph.reader(i, 0), layer.start))
            if layer.mlp is not None and layer.mlp.norm is None:
                steps.append(keep(self.graph.reader(i), layer.mlp.place))
        with torch.no_grad():
            self._run(batch, steps, wide=False)
        return found

    # Gradients at readers

    def gradients(
        self,
        batch: PromptBatch,
        loss: Loss,
        *,
        replace: tuple[int, Tensor] | None = None,
        note: Note | None = None,
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Run forward and backward once; yield gradients reader by reader, last layer first."""
        streams: dict[int, Tensor] = {}
        watched: dict[Any, Tensor] = {}
        rows: dict[int, Tensor] = {}
        start = replace[1][0] if replace is not None and replace[0] == 0 else None
        steps: list[Step] = [] if note is None else self._watch_writers(rows.__setitem__)
        if replace is not None and start is None:
            steps += self._replace_writers(*replace)
        for i in range(self.graph.layers):
            steps += self._watch_readers(i, start if i == 0 else None, streams, watched)
        end = self.graph.n_backward - 1
        steps.append(self._watch_reading(self.wiring.logits, end, streams, watched))
        with torch.enable_grad(), frozen(self.wiring.root):
            logits = self._run(batch, steps)
            found = torch.autograd.grad(
                loss(logits).sum(),
                list(watched.values()),
                allow_unused=True,
                materialize_grads=True,
            )
        grads = dict(zip(watched, found, strict=True))
        if note is not None:
            note(torch.cat([rows[i] for i in sorted(rows)]), logits.detach())
        del found, watched, steps, logits, rows
        streams = {i: stream.detach() for i, stream in streams.items()}
        yield [end], grads.pop(end)[None]
        for i in reversed(range(self.graph.layers)):
            column = self.graph.reader(i)
            if column in grads:
                yield [column], grads.pop(column)[None]
            attention = self.wiring.layers[i].attention
            for j in range(len(attention.projections)):
                parts = attention.split(j, grads.pop((i, j)))
                for slot, part in parts.items():
                    for some in self._chunks(range(attention.heads), streams[i]):
                        columns = [self.graph.reader(i, h, slot) for h in some]
                        yield columns, self._pull_back(i, slot, _span(some), part, streams[i])

    def _replace_writers(self, row: int, values: Tensor) -> list[Step]:
        """Let the MLP, or all heads, of one layer write other values."""
        node = self.graph.forward[row]
        i = node.layer or 0
        if node.kind == "mlp":
            place = self.wiring.layers[i].mlp_out
            assert place is not None
            return [self._step(place, lambda: self._put(place, values[0]))]
        out = self.session.anatomy.locate("attn_out", i)
        z = Location(self.wiring.layers[i].attention.output, "input")
        missing: list[Tensor] = []

        def read() -> None:
            missing.append((values - self.wiring.head_outputs(i, self._at(z))).sum(0))

        return [
            self._step(z, read),
            self._step(out, lambda: self._put(out, self._at(out) + missing[0])),
        ]

    def _watch_readers(
        self, i: int, start: Tensor | None, streams: dict[int, Tensor], watched: dict[Any, Tensor]
    ) -> list[Step]:
        layer = self.wiring.layers[i]

        def stream() -> None:
            value = self._at(layer.start)
            if i == 0:
                value = (value if start is None else start).detach().clone().requires_grad_()
                self._put(layer.start, value)
            streams[i] = value

        def project(j: int, place: Location) -> Step:
            def note() -> None:
                value = watched[i, j] = layer.attention.widen(j, self._at(place))
                if layer.attention.group > 1:
                    self._put(place, value)

            return self._step(place, note)

        steps = [self._step(layer.start, stream)]
        for j, path in enumerate(layer.attention.projections):
            steps.append(project(j, Location(path, "output")))
        if layer.mlp is not None:
            column = self.graph.reader(i)
            steps.append(self._watch_reading(layer.mlp, column, streams, watched, i))
        return steps

    def _watch_reading(
        self,
        reading: Reading,
        column: int,
        streams: dict[int, Tensor],
        watched: dict[Any, Tensor],
        i: int | None = None,
    ) -> Step:
        """Give a reader its own copy of the residual stream, so that the gradient is its own."""

        def note() -> None:
            # A reading with a norm of its own reads what its block starts with (wiring.py).
            source = self._at(reading.place) if reading.norm is None else streams[i or 0]
            own = watched[column] = source.clone()
            self._put(reading.place, self.wiring.norm(reading.norm, own))

        return self._step(reading.place, note)

    def _pull_back(self, i: int, slot: str, heads: slice, grads: Tensor, stream: Tensor) -> Tensor:
        """Take gradients at q, k or v back through matrix and norm to what each head reads."""
        weight = self._weights_of(i)[slot][0][heads]
        cotangent = torch.einsum("bthe,hde->hbtd", grads[:, :, heads], weight)
        norm = self.wiring.layers[i].attention.norm
        if norm is None:
            return cotangent
        with torch.enable_grad(), frozen(self.wiring.module(norm)):
            x = stream.clone().requires_grad_()
            (pulled,) = torch.autograd.grad(
                self.wiring.norm(norm, x), x, cotangent, is_grads_batched=True
            )
        return pulled

    # Cutting edges

    def cut(
        self,
        batch: PromptBatch,
        values: Tensor,
        edges: Tensor,
        *,
        neurons: Tensor | None = None,
        grad: bool = False,
    ) -> Tensor:
        """Run with edges carrying ``values``; the others carry recomputed ones."""
        cut = Cut(self.graph, values, edges, neurons=neurons, grad=grad)
        steps = self._watch_writers(cut.write, detach=not grad)
        for i in range(self.graph.layers):
            steps += self._cut_layer(i, cut)
        end = self.graph.n_backward - 1
        steps.append(self._cut_reading(self.wiring.logits, end, cut))
        with torch.enable_grad() if grad else torch.no_grad(), frozen(self.wiring.root):
            return self._run(batch, steps)

    def _cut_layer(self, i: int, cut: Cut) -> list[Step]:
        layer = self.wiring.layers[i]
        attention = layer.attention
        hit = {
            slot: [h for h in range(attention.heads) if cut.hits(self.graph.reader(i, h, slot))]
            for slot in SLOTS
        }

        def stream() -> None:
            cut.streams[i] = self._at(layer.start) if cut.grad else self._at(layer.start).detach()

        def project(j: int, place: Location) -> Step:
            def replace() -> None:
                parts = attention.split(j, attention.widen(j, self._at(place)))
                for slot in parts:
                    for some in self._chunks(hit[slot], cut.streams[i]):
                        own = self._project(i, slot, some, cut)
                        at = torch.tensor(some, device=own.device)
                        parts[slot] = parts[slot].index_copy(2, at, own)
                value = attention.join(parts)
                self._put(place, value)

            return self._step(place, replace)

        steps = [self._step(layer.start, stream)]
        for j, path in enumerate(attention.projections):
            if attention.group > 1 or any(hit[slot] for slot in attention.slots(j)):
                steps.append(project(j, Location(path, "output")))
        column = self.graph.reader(i)
        if layer.mlp is not None and cut.hits(column):
            steps.append(self._cut_reading(layer.mlp, column, cut, i))
        return steps

    def _project(self, i: int, slot: str, heads: Sequence[int], cut: Cut) -> Tensor:
        """Return q, k or v of some heads from their reads ``[batch, position, head, d_head]``."""
        change = cut.change([self.graph.reader(i, h, slot) for h in heads])
        read = cut.streams[i][:, :, None] + change
        normed = self.wiring.norm(self.wiring.layers[i].attention.norm, read)
        weight, bias = self._weights_of(i)[slot]
        value = torch.einsum("btrd,rde->btre", normed, weight[list(heads)])
        return value if bias is None else value + bias[list(heads)]

    def _cut_reading(self, reading: Reading, column: int, cut: Cut, i: int | None = None) -> Step:
        def replace() -> None:
            source = self._at(reading.place) if reading.norm is None else cut.streams[i or 0]
            self._put(
                reading.place,
                self.wiring.norm(reading.norm, source + cut.change([column])[:, :, 0]),
            )

        return self._step(reading.place, replace)

    # Inside

    def _run(self, batch: PromptBatch, steps: list[Step], *, wide: bool = True) -> Tensor:
        """Trace the batch, taking the steps as the model reaches their places; return the logits.

        ``wide`` says that the steps widen k and v to one head per query head.
        """
        ends: list[Tensor] = []
        place = self.session.anatomy.locate("logits")
        ordered = [step for _, step in sorted(steps, key=lambda step: step[0])]
        kept = ungrouped(self.wiring) if wide else nullcontext()
        with self.session.worker.locked(), kept, self.session.trace(batch):
            for step in ordered:
                step()
            ends.append(last_position(self._at(place)))
        return ends[0]

    def _step(self, place: Location, work: Callable[[], None]) -> Step:
        return self.session.anatomy.order(place), work

    def _at(self, place: Location) -> Tensor:
        return first(place.read(self.session.model))

    def _put(self, place: Location, value: Tensor) -> None:
        place.write(self.session.model, value)

    def _weights_of(self, i: int) -> dict[str, tuple[Tensor, Tensor | None]]:
        if i not in self._weights:
            self._weights[i] = self.wiring.read_weights(i)
        return self._weights[i]

    @staticmethod
    def _chunks(heads: Sequence[int], stream: Tensor) -> Iterator[Sequence[int]]:
        size = max(1, NUMBERS // stream.numel())
        for at in range(0, len(heads), size):
            yield heads[at : at + size]


def _span(heads: Sequence[int]) -> slice:
    return slice(heads[0], heads[-1] + 1)


def last_position(logits: Tensor) -> Tensor:
    """Return ``[batch, vocabulary]`` of the last position, or of a model with one prediction."""
    return logits[:, -1] if logits.ndim == 3 else logits


@contextmanager
def ungrouped(wiring: Wiring) -> Iterator[None]:
    """Let attention take one key and value head per query head while the block runs.

    Edges into k and v are per query head, and grouped-query attention repeats k and v by
    ``num_key_value_groups`` of its module; k and v arrive repeated already here.
    """
    changed: list[tuple[Any, str, Any]] = []
    for layer in wiring.layers:
        attention = layer.attention
        if attention.group == 1:
            continue
        module = wiring.module(attention.path)
        wide = {"num_key_value_groups": 1, "num_key_value_heads": attention.heads}
        for name, value in wide.items():
            if hasattr(module, name):
                changed.append((module, name, getattr(module, name)))
                setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)
