"""Running a model edge by edge through nnsight: writers, gradients at readers, cut edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

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

Step = tuple[float, Callable[[], None]]


class Engine(Protocol):
    """What the scoring methods need of a network; the tests have one in plain torch."""

    graph: Graph

    def writers(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return ``[n_forward, batch, position, d]`` and the logits ``[batch, vocabulary]``."""

    def gradients(
        self, batch: Any, loss: Loss, start: Tensor | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield (readers, d loss / d what each reads ``[reader, batch, position, d]``).

        ``start`` ``[batch, position, d]`` takes the place of what ``input`` writes.
        """

    def cut(self, batch: Any, corrupted: Tensor, edges: Tensor) -> Tensor:
        """Return the logits ``[batch, vocabulary]`` with edges carrying corrupted values.

        ``edges`` is bool ``[n_forward, n_backward]``, or one such mask per row of the batch;
        ``corrupted`` is what :meth:`writers` returned for the corrupted batch.
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

    def _watch_writers(self, note: Callable[[int, Tensor], None]) -> list[Step]:
        """Return steps that call ``note(row, [writer, batch, position, d])`` at each write."""

        def single(row: int, place: Location) -> Step:
            return self._step(place, lambda: note(row, self._at(place).detach()[None].clone()))

        def heads(i: int, place: Location) -> Step:
            return self._step(
                place,
                lambda: note(
                    self.graph.writer(i, 0), self.wiring.head_outputs(i, self._at(place).detach())
                ),
            )

        steps = [single(0, self.wiring.layers[0].start)]
        for i, layer in enumerate(self.wiring.layers):
            steps.append(heads(i, Location(layer.attention.output, "input")))
            if layer.mlp_out is not None:
                steps.append(single(self.graph.writer(i), layer.mlp_out))
        return steps

    # Gradients at readers

    def gradients(
        self, batch: PromptBatch, loss: Loss, start: Tensor | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Run forward and backward once; yield gradients reader by reader, last layer first."""
        streams: dict[int, Tensor] = {}
        watched: dict[Any, Tensor] = {}
        steps: list[Step] = []
        for i in range(self.graph.layers):
            steps += self._watch_readers(i, start if i == 0 else None, streams, watched)
        end = self.graph.n_backward - 1
        steps.append(self._watch_reading(self.wiring.logits, end, streams, watched))
        with torch.enable_grad(), frozen(self.wiring.root):
            total = loss(self._run(batch, steps)).sum()
            found = torch.autograd.grad(
                total, list(watched.values()), allow_unused=True, materialize_grads=True
            )
        grads = dict(zip(watched, found, strict=True))
        del total, found, watched, steps
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
                        yield columns, self._pull_back(i, slot, some, part, streams[i])

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

    def _pull_back(
        self, i: int, slot: str, heads: Sequence[int], grads: Tensor, stream: Tensor
    ) -> Tensor:
        """Take gradients at q, k or v back through matrix and norm to what each head reads."""
        weight = self._weights_of(i)[slot][0][list(heads)]
        cotangent = torch.einsum("bthe,hde->hbtd", grads[:, :, list(heads)], weight)
        norm = self.wiring.layers[i].attention.norm
        if norm is None:
            return cotangent
        with torch.enable_grad(), frozen(self.wiring.module(norm)):
            x = stream.expand(len(heads), *stream.shape).clone().requires_grad_()
            (pulled,) = torch.autograd.grad(self.wiring.norm(norm, x), x, cotangent)
        return pulled

    # Cutting edges

    def cut(self, batch: PromptBatch, corrupted: Tensor, edges: Tensor) -> Tensor:
        """Run with edges carrying corrupted values; the others carry recomputed ones."""
        masks = edges.to(corrupted.device, corrupted.dtype)
        masks = masks.expand(corrupted.shape[1], *self.graph.shape)
        difference = torch.zeros_like(corrupted)

        def note(row: int, values: Tensor) -> None:
            difference[row : row + len(values)] = corrupted[row : row + len(values)] - values

        steps = self._watch_writers(note)
        streams: dict[int, Tensor] = {}
        for i in range(self.graph.layers):
            steps += self._cut_layer(i, masks, difference, streams)
        end = self.graph.n_backward - 1
        steps.append(self._cut_reading(self.wiring.logits, end, masks, difference, streams))
        with torch.no_grad():
            return self._run(batch, steps)

    def _cut_layer(
        self, i: int, masks: Tensor, difference: Tensor, streams: dict[int, Tensor]
    ) -> list[Step]:
        layer = self.wiring.layers[i]
        attention = layer.attention
        cut = masks.any(dim=0).any(dim=0)
        hit = {
            slot: [h for h in range(attention.heads) if cut[self.graph.reader(i, h, slot)]]
            for slot in SLOTS
        }

        def stream() -> None:
            streams[i] = self._at(layer.start).detach()

        def project(j: int, place: Location) -> Step:
            def replace() -> None:
                value = attention.widen(j, self._at(place)).clone()
                for slot, part in attention.split(j, value).items():
                    for some in self._chunks(hit[slot], streams[i]):
                        part[:, :, list(some)] = self._project(
                            i, slot, some, masks, difference, streams[i]
                        )
                self._put(place, value)

            return self._step(place, replace)

        steps = [self._step(layer.start, stream)]
        for j, path in enumerate(attention.projections):
            if attention.group > 1 or any(hit[slot] for slot in attention.slots(j)):
                steps.append(project(j, Location(path, "output")))
        column = self.graph.reader(i)
        if layer.mlp is not None and cut[column]:
            steps.append(self._cut_reading(layer.mlp, column, masks, difference, streams, i))
        return steps

    def _project(
        self,
        i: int,
        slot: str,
        heads: Sequence[int],
        masks: Tensor,
        difference: Tensor,
        stream: Tensor,
    ) -> Tensor:
        """Return q, k or v of some heads from their reads ``[batch, position, head, d_head]``."""
        columns = [self.graph.reader(i, h, slot) for h in heads]
        limit = int(self.graph.first_unreadable[columns[0]])
        change = torch.einsum("bwr,wbtd->btrd", masks[:, :limit, columns], difference[:limit])
        normed = self.wiring.norm(self.wiring.layers[i].attention.norm, stream[:, :, None] + change)
        weight, bias = self._weights_of(i)[slot]
        value = torch.einsum("btrd,rde->btre", normed, weight[list(heads)])
        return value if bias is None else value + bias[list(heads)]

    def _cut_reading(
        self,
        reading: Reading,
        column: int,
        masks: Tensor,
        difference: Tensor,
        streams: dict[int, Tensor],
        i: int | None = None,
    ) -> Step:
        limit = int(self.graph.first_unreadable[column])

        def replace() -> None:
            source = self._at(reading.place) if reading.norm is None else streams[i or 0]
            change = torch.einsum("bw,wbtd->btd", masks[:, :limit, column], difference[:limit])
            self._put(reading.place, self.wiring.norm(reading.norm, source + change))

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
