"""Waiting for a job from a cell: a progress bar, and Ctrl-C that cancels."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp_widgets.session.worker import Job


def wait_in_cell(job: Job, label: str = "") -> Any:
    """Wait for a job from a cell: a progress bar after one second, Ctrl-C cancels it."""
    bar = Bar(label or job.label)
    try:
        while not job.wait(0.05):
            bar.update(job)
    except KeyboardInterrupt:
        job.cancel()
        job.wait(5.0)
        raise
    finally:
        bar.close()
    return job.result()


class Bar:
    """A progress bar: a line in a terminal, an ipywidgets bar in a notebook.

    Parameters
    ----------
    label
        What is waited for.
    """

    def __init__(self, label: str) -> None:
        self.label = label or "running"
        self.started = time.monotonic()
        self.shown: Any = None
        self.place: Any = None
        self.last = 0.0

    def update(self, job: Job) -> None:
        """Show how far the job is, from one second on and five times a second."""
        now = time.monotonic()
        if now - self.started < 1.0 or now - self.last < 0.2:
            return
        self.last = now
        done, total = job.progress_done, job.progress_total
        text = f"{self.label}: {done} of {total}" if total else f"{self.label}…"
        if _in_notebook():
            self._widget(done, total, text)
        elif sys.stderr.isatty():
            filled = int(24 * done / total) if total else 0
            sys.stderr.write(f"\r{text} [{'█' * filled}{'·' * (24 - filled)}]")
            sys.stderr.flush()
            self.shown = self.shown or "text"

    def _widget(self, done: int, total: int, text: str) -> None:
        import ipywidgets
        from IPython.display import display

        if self.shown is None:
            self.shown = ipywidgets.IntProgress(
                layout=ipywidgets.Layout(width="32em"),
                style={"description_width": "initial"},
            )
            self.place = display(self.shown, display_id=True)
        self.shown.max = max(total, 1)
        self.shown.value = done
        self.shown.description = text

    def close(self) -> None:
        """Take the bar away."""
        if self.shown == "text":
            sys.stderr.write("\r" + " " * 80 + "\r")
        elif self.shown is not None:
            if self.place is not None:
                # A saved notebook would otherwise keep the text of a bar that is gone.
                self.place.update({"text/plain": ""}, raw=True)
            self.shown.close()


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    if shell is None:
        return False
    active = shell.get_ipython()
    return active is not None and type(active).__name__ == "ZMQInteractiveShell"
