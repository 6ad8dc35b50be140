"""What a result or a view may ask of the session behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, runtime_checkable

SELECTION: Final = ("token", "layer", "head", "unit", "feature", "node", "prompt")
"""Fields of a session's selection, which its views share."""


@runtime_checkable
class LiveSession(Protocol):
    """The part of a session that results and views rely on.

    Attributes
    ----------
    selection
        ``set(**fields)``, ``to_json()``, ``listen(callback)``, and ``attach(view)`` for its frame;
        its fields are :data:`SELECTION`.
    interventions
        What is done to the model: ``toggle``, ``undo``, ``redo``, ``add``, ``remove``, ``load``,
        ``to_json``, ``key``, ``said``; what a click changes. ``set_aside()`` is a block without.
    """

    selection: Any
    interventions: Any

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call ``callback(event)`` on every change; returns the function that stops it.

        Events: ``interventions``, ``selection``, ``cache``, ``queue``, ``closed``.
        """

    def submit(
        self,
        work: Callable[..., Any],
        *,
        key: object = None,
        label: str = "",
        done: Callable[[Any], None] | None = None,
    ) -> Any:
        """Run ``work`` on the session's worker; the newest job of a key replaces older ones.

        ``done(job)`` is called on the worker thread, also when the job failed, was cancelled or
        replaced; ``job.result()`` returns or raises, ``job.cancel()`` asks it to stop.
        """

    def run(self, work: Callable[..., Any], label: str = "") -> Any:
        """Run ``work`` on the worker and wait for what it returns; at once on the worker itself."""

    def code(self, prompt: Any = None, decoder: Any = None) -> str:
        """Return plain nnsight that reproduces the session's state on a prompt (or its JSON).

        ``decoder`` is what an encoder–decoder's decoder reads.
        """


@runtime_checkable
class OpenSession(LiveSession, Protocol):
    """What the session panel shows besides: the model, where it runs, what it holds and does."""

    @property
    def closed(self) -> bool:
        """Whether the session was closed; then only this may be asked."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def model_info(self) -> dict[str, Any]:
        """``name``, ``class``, ``revision``, ``parameters``."""

    @property
    def forward_passes(self) -> int:
        """Forward passes so far."""

    anatomy: Any
    device: Any
    dtype: Any
    cache: Any
    worker: Any
    metric: Any

    def memory(self) -> dict[str, Any]:
        """Bytes on the device: ``model``, ``cache``, ``cache_capacity``, ``free``, ``total``."""
