"""What a view or a figure may ask of the session behind a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class LiveSession(Protocol):
    """The part of a session that results and views rely on."""

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
        replaced; ``job.result()`` returns or raises.
        """

    def run(self, work: Callable[..., Any], label: str = "") -> Any:
        """Run ``work`` on the worker and wait for it."""
