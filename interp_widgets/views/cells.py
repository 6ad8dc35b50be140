"""Views that a cell shows are closed once the cell has shown others: nobody can see them any more.

Notebooks keep the model of every widget that was ever shown, in the kernel and in the page. Only
views that a result made to show itself are closed; shown again, the result makes another. A view
made by ``result.view()`` belongs to who made it.
"""

from __future__ import annotations

from typing import Any, Protocol


class Closable(Protocol):
    """A view, as far as it matters here."""

    def close(self) -> None:
        """Let go of the data and of the model in the page."""


class Cells:
    """Which views each cell shows now.

    Examples
    --------
    >>> cells = Cells()
    >>> cells.begin("a1"); cells.note(view); cells.end()
    >>> cells.begin("a1"); cells.end()      # shows nothing now: `view` is closed
    """

    def __init__(self) -> None:
        self._shown: dict[str, list[Closable]] = {}
        self._running: str | None = None
        self._new: list[Closable] = []

    def begin(self, cell: str | None, deleted: list[str] | tuple[str, ...] = ()) -> None:
        """Say that a cell starts to run, and which cells are gone."""
        self._running, self._new = cell, []
        for gone in deleted:
            self._close(self._shown.pop(gone, []))

    def note(self, view: Closable) -> None:
        """Say that the running cell shows a view."""
        if self._running is not None and not any(view is other for other in self._new):
            self._new.append(view)

    def end(self) -> None:
        """Close what the cell showed in its last run and does not show in this one."""
        if self._running is None:
            return
        before = self._shown.pop(self._running, [])
        if self._new:
            self._shown[self._running] = self._new
        self._close(before)
        self._running, self._new = None, []

    def _close(self, views: list[Closable]) -> None:
        still = [view for shown in self._shown.values() for view in shown]
        for view in views:
            if not any(view is other for other in still):
                view.close()

    @property
    def count(self) -> int:
        """Number of views that are shown by a cell."""
        return sum(len(shown) for shown in self._shown.values())

    def follow(self, shell: Any) -> None:
        """Follow an IPython shell; front ends without names for their cells change nothing."""

        def begin(info: Any) -> None:
            meta = getattr(info, "cell_meta", None) or {}
            self.begin(getattr(info, "cell_id", None), meta.get("deletedCells") or ())

        def end(_result: Any) -> None:
            self.end()

        shell.events.register("pre_run_cell", begin)
        shell.events.register("post_run_cell", end)
        self.begin(_name_of_this_cell(shell))


def _name_of_this_cell(shell: Any) -> str | None:
    """Return the name of the cell that is running while the first view is made."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    name = parent.get("metadata", {}).get("cellId")
    return name if isinstance(name, str) else None


_cells: Cells | None = None


def shown(view: Closable) -> None:
    """Note that a result shows itself by this view."""
    global _cells  # noqa: PLW0603 - one notebook, one list
    if _cells is None:
        import IPython

        shell = IPython.get_ipython()
        if shell is None or not hasattr(shell, "kernel"):
            return
        _cells = Cells()
        _cells.follow(shell)
    _cells.note(view)
