"""Callbacks by the order they came, called one by one; a failing one is logged and left behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class Listeners:
    """Those who want to hear of changes.

    Parameters
    ----------
    of
        What they listen to, for the log.
    """

    def __init__(self, of: str) -> None:
        self.of = of
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable[..., None]] = {}

    def add(self, callback: Callable[..., None]) -> Callable[[], None]:
        """Add a callback; returns the function that removes it."""
        token = object()
        with self._lock:
            self._callbacks[token] = callback

        def stop() -> None:
            with self._lock:
                self._callbacks.pop(token, None)

        return stop

    def emit(self, *what: Any) -> None:
        """Call every callback on this thread; one that fails does not stop the others."""
        with self._lock:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            try:
                callback(*what)
            except Exception:
                log.exception("a listener of the %s failed", self.of)

    def clear(self) -> None:
        """Forget all callbacks."""
        with self._lock:
            self._callbacks.clear()
