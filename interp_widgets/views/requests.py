"""Requests of the browser: each one is answered, whatever happens.

``{kind: "request", id, name, payload}`` goes to the view's method ``on_<name>(payload)``. Slices of
captured data are answered on the thread the message came in on; what touches the model is
decorated with :func:`on_worker` and runs on the session's worker, where a newer request of a name
replaces an older one of the same copy of the view.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from interp_widgets.views.following import BaseNeeded
from interp_widgets.views.wire import error_payload, pack

log = logging.getLogger(__name__)

Handler = TypeVar("Handler", bound=Callable[..., Any])

BUSY_AFTER = 20.0
"""Seconds that a request may wait for the worker before it is answered "busy"."""


class BusyError(RuntimeError):
    """The session works on something else (the view says so and offers to try again)."""

    hint = "Try again when the running cell is done, or interrupt it."


def on_worker(handler: Handler) -> Handler:
    """Run the handler on the session's worker; a newer request of its name replaces it."""
    handler.on_worker = True  # type: ignore[attr-defined]
    return handler


class Requests:
    """The requests of one view that are not answered yet."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._open: dict[str, _Request] = {}

    def handler(self, name: Any) -> Callable[[dict[str, Any]], Any]:
        """Return the view's ``on_<name>``.

        Raises
        ------
        LookupError
            When there is none.
        """
        known = isinstance(name, str) and name.isidentifier() and name != "msg"
        method = getattr(type(self._view), f"on_{name}", None) if known else None
        if method is None or hasattr(anywidget_base(), f"on_{name}"):
            raise LookupError(f"this view has no request {name!r}")
        return getattr(self._view, f"on_{name}")

    def receive(self, content: dict[str, Any], _buffers: Any = None) -> None:
        """Take a message of the browser."""
        kind, ident = content.get("kind"), content.get("id")
        if not isinstance(ident, str):
            return
        if kind == "cancel":
            with self._lock:
                request = self._open.pop(ident, None)
            if request is not None:
                request.cancel()
        elif kind == "request":
            self._view._look(ident.rpartition("-")[0])  # noqa: SLF001
            self._start(_Request(self, ident), content)

    def cancel_all(self) -> None:
        """Cancel whatever is open, for a view that closes."""
        with self._lock:
            waiting, self._open = list(self._open.values()), {}
        for request in waiting:
            request.cancel()

    def _start(self, request: _Request, content: dict[str, Any]) -> None:
        with self._lock:
            self._open[request.ident] = request
        payload, name = content.get("payload") or {}, content.get("name")
        session = self._view.session
        try:
            handler = self.handler(name)
            try:
                if getattr(handler, "on_worker", False) and session is not None:
                    raise BaseNeeded
                with self._view.answering():
                    answer = handler(payload)
            except BaseNeeded:
                request.submit(session, handler, payload, str(name))
            else:
                request.answer(answer)
        except Exception as error:
            request.fail(error)

    def finish(self, ident: str, message: dict[str, Any], buffers: list[bytes]) -> None:
        """Send the one answer of a request, unless it was cancelled or answered before."""
        with self._lock:
            if self._open.pop(ident, None) is None:
                return
        self._view.send({"kind": "response", "id": ident, **message}, buffers)


class _Request:
    def __init__(self, requests: Requests, ident: str) -> None:
        self.requests = requests
        self.ident = ident
        self.job: Any = None
        self.started = False
        self.timer: threading.Timer | None = None

    def submit(
        self, session: Any, handler: Callable[..., Any], payload: dict[str, Any], name: str
    ) -> None:
        def work() -> None:
            self.started = True
            try:
                self.answer(handler(payload))
            except Exception as error:
                self.fail(error)
                if type(error).__name__ == "Cancelled":
                    raise

        def done(job: Any) -> None:
            self.fail(getattr(job, "error", None) or RuntimeError("the request was replaced"))

        self.timer = threading.Timer(BUSY_AFTER, self.busy)
        self.timer.daemon = True
        self.timer.start()
        copy = self.ident.rpartition("-")[0]  # two copies of a view on a page ask for themselves
        key = f"view-{id(self.requests._view)}-{copy}-{name}"  # noqa: SLF001
        self.job = session.submit(work, key=key, label=name, done=done)

    def busy(self) -> None:
        if not self.started:
            self.fail(BusyError("The session is busy."))
            self.cancel()

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.job is not None and hasattr(self.job, "cancel"):
            self.job.cancel()

    def answer(self, payload: Any) -> None:
        plain, buffers = pack(payload)
        self._finish({"ok": True, "payload": plain}, buffers)

    def fail(self, error: BaseException) -> None:
        log.debug("a request failed", exc_info=error)
        self._finish({"ok": False, "error": error_payload(error)}, [])

    def _finish(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.requests.finish(self.ident, message, buffers)


def anywidget_base() -> type:
    """Return the class whose own ``on_…`` methods are not requests."""
    import anywidget

    return anywidget.AnyWidget
