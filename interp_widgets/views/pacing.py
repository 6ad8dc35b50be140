"""A flood of changes reaches the browser as fewer messages, the last state always among them.

A Jupyter server drops what a kernel sends over 1,000 messages a second, and then also the message
that a cell has ended. All views of a process share a bucket of messages; while it is empty, changed
traits wait a moment and travel together.
"""

from __future__ import annotations

import threading
import time
from typing import Any

BURST = 200
"""Messages that may go at once."""
RATE = 300.0
"""Messages a second that go in the long run."""
PAUSE = 0.03
"""Seconds that changes wait for one another."""


class Bucket:
    """Counts messages; thread-safe."""

    def __init__(self, burst: int = BURST, rate: float = RATE) -> None:
        self.burst, self.rate = burst, rate
        self._left, self._at = float(burst), time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one message out; False when there is none left."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self.burst, self._left + (now - self._at) * self.rate)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


_BUCKET = Bucket()


class Paced:
    """Mixed into widgets before their base class; only a flood is slowed down."""

    _waiting: set[str] | None = None
    _pacing = threading.RLock()

    def send_state(self, key: Any = None) -> None:
        """Send traits to the browser, now or, in a flood, with those that follow."""
        names = {key} if isinstance(key, str) else set(key or self.keys)  # type: ignore[attr-defined]
        with self._pacing:
            waits = self._waiting is not None
            if not waits and not _BUCKET.take():
                self._waiting, waits = set(), True
                self._flush_later()
            if waits:
                self._waiting = (self._waiting or set()) | names
                return
            super().send_state(names)  # type: ignore[misc]

    def _flush_later(self) -> None:
        timer = threading.Timer(PAUSE, self._flush)
        timer.daemon = True
        timer.start()

    def _flush(self) -> None:
        with self._pacing:
            if not _BUCKET.take():
                self._flush_later()
                return
            names, self._waiting = self._waiting or set(), None
            if getattr(self, "comm", None) is not None:
                super().send_state(names)  # type: ignore[misc]
