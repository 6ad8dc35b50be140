"""Clean and corrupted prompts, paired and batched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.graph import Graph
from interp_widgets.session.prompts import Prompt, PromptBatch

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Prompts = Prompt | PromptBatch | Sequence[Prompt]


@dataclass
class Pairs:
    """Clean and corrupted prompts, in batches of one length each."""

    session: Session
    batches: list[tuple[PromptBatch, PromptBatch]]

    @classmethod
    def of(cls, clean: Prompts, corrupted: Prompts, batch_size: int | None = None) -> Pairs:
        """Pair prompts in order, and group pairs of one length.

        Raises
        ------
        CircuitError
            When the numbers of prompts or the lengths of a pair differ.
        """
        ours, theirs = _list(clean, "clean"), _list(corrupted, "corrupted")
        if len(ours) != len(theirs):
            raise CircuitError(
                f"{len(ours)} clean and {len(theirs)} corrupted prompts: every clean prompt needs "
                "its corrupted one, in the same order"
            )
        session = ours[0].session
        if any(p.session is not session for p in [*ours, *theirs]):
            raise CircuitError("clean and corrupted prompts belong to different sessions")
        groups: dict[int, list[tuple[Prompt, Prompt]]] = {}
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if len(a) != len(b):
                raise CircuitError(
                    f"pair {i} differs in length: {len(a)} tokens clean, {len(b)} corrupted. Edges "
                    "are patched position by position, so replace words by words of as many tokens"
                )
            groups.setdefault(len(a), []).append((a, b))
        size = batch_size or _batch_size(session, max(groups))
        batches = []
        for length in sorted(groups):
            for at in range(0, len(groups[length]), size):
                some = groups[length][at : at + size]
                batches.append(
                    (PromptBatch(tuple(a for a, _ in some)), PromptBatch(tuple(b for _, b in some)))
                )
        return cls(session, batches)

    def __len__(self) -> int:
        return sum(len(clean) for clean, _ in self.batches)

    def __iter__(self) -> Iterator[tuple[PromptBatch, PromptBatch]]:
        return iter(self.batches)

    @property
    def first(self) -> tuple[Prompt, Prompt]:
        """The first pair."""
        return self.batches[0][0][0], self.batches[0][1][0]


def _list(prompts: Prompts, name: str) -> list[Prompt]:
    if isinstance(prompts, Prompt):
        return [prompts]
    found = list(prompts)
    if not found or not all(isinstance(p, Prompt) for p in found):
        raise CircuitError(f"{name} has to be a prompt or a list of prompts made by session.prompt")
    return found


def _batch_size(session: Session, length: int) -> int:
    """Return how many pairs run at once: what components write takes about 512 MB then."""
    graph = Graph.from_session(session)
    width = session.anatomy.d_model or 1
    return int(max(1, min(64, 2**27 // (graph.n_forward * width * length))))
