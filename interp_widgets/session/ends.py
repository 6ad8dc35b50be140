"""Where the residual stream begins and ends: embedding and final norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interp_widgets.session.trial import Event, Trial


def find_embedding(
    trial: Trial, first: Event, known: str | None, stack: str, stacks: Iterable[str]
) -> str | None:
    """Return the module that turns the input into vectors of the residual stream's width.

    Parameters
    ----------
    trial
        A forward pass with its tensors.
    first
        Begin of the first block.
    known
        Path of what the model itself calls its input embedding.
    stack
        The list of blocks in use, and
    stacks
        all lists of blocks: modules on another one's side of the model are left out.
    """
    other = {_side(path) for path in stacks} - {_side(stack)}
    candidates = [
        e
        for e in trial.events
        if e.port == "output" and e.order < first.order and e.index is None
        if len(e.shape) == 3 and e.shape[-1] == first.shape[-1]
        if _side(e.path) not in other
    ]
    if any(e.path == known for e in candidates):
        return known
    tables = [e.path for e in candidates if isinstance(trial.modules[e.path], nn.Embedding)]
    words = next((path for path in tables if _reads_tokens(trial, path)), None)
    return words or next((e.path for e in candidates if e.path not in tables), None)


def find_final_norm(trial: Trial, last: Event) -> str | None:
    """Return the norm that reads what the last block returned, None without one."""
    return next(
        (
            e.path
            for e in trial.events
            if e.port == "input" and e.order > last.order and e.storage == last.storage
            if trial.is_norm(e.path)
        ),
        None,
    )


def _side(path: str) -> str:
    return path.partition(".")[0]


def _reads_tokens(trial: Trial, path: str) -> bool:
    """Whether an embedding table is indexed by the model's input, or has a row for every token."""
    table: Any = trial.modules[path]
    config: Any = getattr(trial.modules[""], "config", None)
    vocabulary = getattr(getattr(config, "text_config", config), "vocab_size", None)
    begin, read = trial.at("", "input"), trial.at(path, "input")
    direct = (
        begin is not None
        and read is not None
        and begin.storage is not None
        and begin.storage == read.storage
    )
    return bool(table.num_embeddings == vocabulary) or direct
