"""What is relevant in a contextual decomposition, and where its relevance is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from interp_widgets.methods.circuits.wiring import CircuitError

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Rule = Literal["relative", "frozen", "difference"]
Slot = Literal["q", "k", "v", "z", "mlp"]
Target = tuple[int, int | None, Slot]
"""(layer, head, slot): a head's query, key, value or output; (layer, None, "mlp") an MLP's."""

Reader = Target | Literal["logits"]
"""Where an edge ends: a head's query, key or value, an MLP's input, or the logits."""

SLOTS: tuple[Slot, ...] = ("q", "k", "v", "z", "mlp")

EDGE = 2
"""The kind of start that edges have; words have 0, components 1."""


@dataclass(frozen=True)
class Source:
    """What counts as relevant: a head, an MLP, the words at some positions, or one edge from these.

    Parameters
    ----------
    layer
        Layer of the head or MLP; of words, the layer whose input is split (0: the embeddings).
    head
        A head of the layer; None for its MLP, or for words.
    positions
        Where; None everywhere.
    words
        Whether the residual stream itself is the source, not a component.
    into
        The only reader that counts what the source writes as relevant: an edge of the graph of
        components, ``(5, 1, "q")``, ``(5, None, "mlp")`` or ``"logits"``. None: all read it.
    """

    layer: int
    head: int | None = None
    positions: tuple[int, ...] | None = None
    words: bool = False
    into: Reader | None = None

    @property
    def name(self) -> str:
        """``a3.h7``, ``m3`` or ``input``, as in circuits; of an edge, where it starts."""
        if self.words:
            return "input"
        return f"m{self.layer}" if self.head is None else f"a{self.layer}.h{self.head}"

    @property
    def depth(self) -> tuple[int, int]:
        """Where it stands in the order of computation: words, heads and MLPs of each layer."""
        return self.layer, 0 if self.words else 1 if self.head is not None else 2

    @property
    def slot(self) -> str | None:
        """Of an edge, where it is read: ``q``, ``k``, ``v``, ``mlp`` or ``logits``."""
        return self.into if self.into is None or self.into == "logits" else self.into[2]

    @property
    def reader(self) -> str:
        """Of an edge, where it ends: ``a5.h1<q>``, ``m5`` or ``logits``, as in circuits."""
        if self.into is None or self.into == "logits":
            return self.into or ""
        layer, head, slot = self.into
        return f"m{layer}" if head is None else f"a{layer}.h{head}<{slot}>"

    @property
    def start(self) -> tuple[float, int]:
        """From where on something is relevant: sources of one start share a pass."""
        if self.into is None:
            return self.layer, int(not self.words)
        return (math.inf if self.into == "logits" else self.into[0]), EDGE


def target_of(source: Source, slot: Slot = "z") -> Target:
    """Return a head as a target read at ``slot``, or an MLP at its output."""
    return (source.layer, None, "mlp") if source.head is None else (source.layer, source.head, slot)


def check(
    session: Session, prompt: Prompt, sources: Sequence[Source], targets: Sequence[Target]
) -> None:
    """Raise CircuitError for sources and targets that the model does not have."""
    anatomy = session.anatomy
    if not sources:
        raise CircuitError("give at least one source: a head, an MLP or words")
    for source in sources:
        ok = 0 <= source.layer < anatomy.n_layers
        ok = ok and (source.head is None or 0 <= source.head < anatomy.n_heads)
        ok = ok and all(-len(prompt) <= p < len(prompt) for p in source.positions or ())
        if not ok:
            raise CircuitError(
                f"there is no {source}: the model has {anatomy.n_layers} layers of "
                f"{anatomy.n_heads} heads, the prompt {len(prompt)} positions"
            )
        if source.head is None and not source.words and not anatomy.has_mlp:
            raise CircuitError(f"layer {source.layer} has no MLP to be a source")
        if source.into is not None:
            _check_edge(session, source, source.into)
    for layer, head, slot in targets:
        if slot not in SLOTS:
            raise CircuitError(
                f'a target is read at "q", "k", "v" or "z" of a head or at "mlp", not at {slot!r}'
            )
        inside = 0 <= layer < anatomy.n_layers
        if slot == "mlp":
            inside = inside and anatomy.has_mlp and head is None
        else:
            inside = inside and head is not None and 0 <= head < anatomy.n_heads
        if not inside:
            raise CircuitError(f"there is no target {(layer, head, slot)} in this model")


def check_positions(prompt: Prompt, *positions: int) -> None:
    """Raise CircuitError for a position that the prompt does not have; -1 is the last."""
    for position in positions:
        if not -len(prompt) <= position < len(prompt):
            raise CircuitError(
                f"there is no position {position} in a prompt of {len(prompt)} tokens"
            )


def _check_edge(session: Session, source: Source, into: Reader) -> None:
    anatomy = session.anatomy
    if source.words and source.layer:
        raise CircuitError("an edge from the input starts at the embeddings: layer 0")
    if into == "logits":
        return
    layer, head, slot = into
    exists = 0 <= layer < anatomy.n_layers
    if slot == "mlp":
        exists = exists and head is None and anatomy.has_mlp
        last = 0 if exists and anatomy.blocks[layer].parallel else 1
    else:
        exists = exists and slot != "z" and head is not None and 0 <= head < anatomy.n_heads
        last = 0
    if not exists or source.depth > (layer, last):
        raise CircuitError(
            f"there is no edge from {source.name} into {into}: it ends at "
            '(layer, head, "q", "k" or "v"), at (layer, None, "mlp") or at "logits", '
            "after what the source writes"
        )
