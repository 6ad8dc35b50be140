"""What is relevant in a contextual decomposition, and where its relevance is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from interp_widgets.methods.circuits.wiring import CircuitError

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Rule = Literal["relative", "frozen"]
Slot = Literal["q", "k", "v", "z", "mlp"]
Target = tuple[int, int | None, Slot]
"""(layer, head, slot): a head's query, key, value or output; (layer, None, "mlp") an MLP's."""

SLOTS: tuple[Slot, ...] = ("q", "k", "v", "z", "mlp")


@dataclass(frozen=True)
class Source:
    """What counts as relevant: a head, an MLP, or the words at some positions.

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
    """

    layer: int
    head: int | None = None
    positions: tuple[int, ...] | None = None
    words: bool = False

    @property
    def name(self) -> str:
        """``a3.h7``, ``m3`` or ``input``, as in circuits."""
        if self.words:
            return "input"
        return f"m{self.layer}" if self.head is None else f"a{self.layer}.h{self.head}"

    @property
    def depth(self) -> tuple[int, int]:
        """Where it stands in the order of computation: words, heads and MLPs of each layer."""
        return self.layer, 0 if self.words else 1 if self.head is not None else 2


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
