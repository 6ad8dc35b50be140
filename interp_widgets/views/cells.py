"""Views that a cell shows are closed once the cell has shown others: nobody can see them any more.

Notebooks keep the model of every widget that was ever shown, in the kernel and in the page. A view
that a result made to show itself is closed at once; shown again, the result makes another. A view
made by ``result.view()`` is closed when no variable of the notebook holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from ipywidgets import Box

LOOKED_AT: Final = 20_000
"""Objects that are looked at for a view; with more, it counts as held."""
LONG: Final = 1_000
"""Longer containers hold numbers or words, not views, and are not looked into."""


class Closable(Protocol):
    """A view, as far as it matters here."""

    of_result: bool

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

    def __init__(self, variables: Mapping[str, Any] | None = None) -> None:
        self._variables = {} if variables is None else variables
        self._shown: dict[str, list[Closable]] = {}
        self._held: list[Closable] = []
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
        """Close views that no cell shows; those that a variable holds are asked about again."""
        still = {id(view) for shown in self._shown.values() for view in shown}
        unseen = {id(view): view for view in [*self._held, *views] if id(view) not in still}
        held = within(self._variables, {id(v) for v in unseen.values() if not v.of_result})
        self._held = [view for key, view in unseen.items() if key in held]
        for key, view in unseen.items():
            if key not in held:
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


def within(variables: Mapping[str, Any], wanted: set[int]) -> set[int]:
    """Return which of the ``wanted`` objects, by identity, some variable holds.

    Containers and the attributes of objects of the notebook's own classes are looked into. What
    IPython keeps of past outputs (``_``, ``Out``) does not count.
    """
    found: set[int] = set()
    seen: set[int] = set()
    queue: list[Any] = [v for name, v in variables.items() if name[:1] != "_" and name != "Out"]
    while queue and wanted - found:
        one = queue.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if len(seen) > LOOKED_AT:
            return set(wanted)
        if id(one) in wanted:
            found.add(id(one))
        queue.extend(_inside(one))
    return found


def _inside(one: Any) -> Iterable[Any]:
    if isinstance(one, (dict, list, tuple, set, frozenset)):
        inside = one.values() if isinstance(one, dict) else one
        return inside if len(one) <= LONG else ()
    if isinstance(one, Box):
        return tuple(one.children)
    return getattr(one, "__dict__", {}).values() if type(one).__module__ == "__main__" else ()


def _name_of_this_cell(shell: Any) -> str | None:
    """Return the name of the cell that is running while the first view is made."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    name = parent.get("metadata", {}).get("cellId")
    return name if isinstance(name, str) else None


_cells: Cells | None = None


def shown(view: Closable) -> None:
    """Note that the running cell shows this view."""
    global _cells  # noqa: PLW0603 - one notebook, one list
    if _cells is None:
        import IPython

        shell = IPython.get_ipython()
        if shell is None or not hasattr(shell, "kernel"):
            return
        _cells = Cells(getattr(shell, "user_ns", None))
        _cells.follow(shell)
    _cells.note(view)
