"""Work of a session on the model's worker thread, and the events it tells of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from interp_widgets.session.errors import SessionBusyError, SessionClosedError
from interp_widgets.session.events import Listeners
from interp_widgets.session.waiting import wait_in_cell
from interp_widgets.session.worker import Job, Worker, call, current_job


class Jobs:
    """The methods of a session that hand work to the worker and tell listeners of changes."""

    worker: Worker
    _listeners: Listeners
    _closed: bool

    def submit(
        self,
        work: Callable[..., Any],
        key: object = None,
        label: str = "",
        done: Callable[[Job], None] | None = None,
    ) -> Job:
        """Run ``work`` on the model's worker thread and return at once.

        Parameters
        ----------
        work
            A function of no argument, or of one: the job, whose ``progress(done, total)`` reports
            and raises :class:`Cancelled` when somebody asked it to stop.
        key
            The newest job of a key replaces queued older ones and cancels a running one.
        label
            What it is, for the session panel.
        done
            Called with the finished job on the worker thread, also when it failed, was cancelled
            or replaced; ``job.result()`` returns or raises.
        """
        self._check_open()
        changed = functools.partial(self._listeners.emit, "queue")
        return self.worker.submit(Job(work, key, label, done, changed))

    def run(self, work: Callable[..., Any], label: str = "") -> Any:
        """Run ``work`` on the worker and wait: a progress bar after a second, Ctrl-C cancels.

        Raises
        ------
        SessionBusyError
            Inside a trace of the same thread, which the worker would wait for for ever.
        """
        if self.worker.tracing_here:
            raise SessionBusyError(
                "this needs the model while a `with session.trace(...)` block of the same thread "
                "holds it; move the call before or after the block"
            )
        self._check_open()
        if self.worker.is_current or self.worker.held_here:
            job = current_job() or Job(work)
            return call(work, job)
        return wait_in_cell(self.submit(work, label=label), label)

    def progress(self, done: int, total: int) -> None:
        """Report progress of the job that calls this, and stop where it was cancelled."""
        job = current_job()
        if job is not None:
            job.progress(done, total)

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call ``callback(event)`` on every change; returns the function that stops it.

        Events: ``interventions``, ``selection``, ``cache``, ``queue``, ``closed``. It is called on
        the thread that made the change.
        """
        return self._listeners.add(callback)

    def emit(self, event: str) -> None:
        """Tell every listener of an event."""
        self._listeners.emit(event)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError("this session was closed; open a new one with iw.Session(...)")
