"""What is done to a model: interventions in order, each on or off, with undo and redo."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interp_widgets.session import words
from interp_widgets.session.errors import InterventionError
from interp_widgets.session.interventions import Intervention, from_json

Check = Callable[[Intervention], Intervention]

MOST_STEPS = 1000
"""Changes that can be taken back; earlier ones are forgotten."""
ONE_STEP = 1.0
"""Seconds within which changes of the same setting, as a slider makes them, are one undo step."""


class Interventions(Sequence[Intervention]):
    """The ordered list of what is done to the model, with undo and redo.

    They are applied in model order; where several change the same activation, in list order.

    Parameters
    ----------
    check
        Called with each intervention before it is taken; returns it or raises.
    changed
        Called after every change.

    Attributes
    ----------
    said
        The last change in words: ``head 9.6 ablated``, ``head 9.6 restored``.

    Examples
    --------
    >>> session.interventions
    0 ● ablate z 9.6 (zero)
    """

    def __init__(
        self, check: Check | None = None, changed: Callable[[], None] | None = None
    ) -> None:
        self._check = check or (lambda item: item)
        self._changed = changed or (lambda: None)
        self._lock = threading.RLock()
        self._all: tuple[Intervention, ...] = ()
        self._aside = threading.local()
        self._undo: list[tuple[Intervention, ...]] = []
        self._redo: list[tuple[Intervention, ...]] = []
        self._last: tuple[Any, float] = (None, 0.0)
        self.said = ""

    @property
    def _items(self) -> tuple[Intervention, ...]:
        instead: tuple[Intervention, ...] | None = getattr(self._aside, "instead", None)
        return self._all if instead is None else instead

    @contextlib.contextmanager
    def set_aside(self, but: Iterable[Intervention] = ()) -> Iterator[None]:
        """Within the block, on this thread, there are only these: without any, the model itself."""
        before, self._aside.instead = getattr(self._aside, "instead", None), tuple(but)
        try:
            yield
        finally:
            self._aside.instead = before

    @property
    def active(self) -> tuple[Intervention, ...]:
        """Those that are on, in order."""
        return tuple(i for i in self._items if i.on)

    @property
    def key(self) -> tuple[str, ...]:
        """What the active ones do; equal keys give equal activations."""
        return tuple(i.key for i in self.active)

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._redo)

    def add(self, item: Intervention | Mapping[str, Any]) -> Intervention:
        """Append an intervention (or its JSON) and return it."""
        new = self._check(item if isinstance(item, Intervention) else from_json(item))
        with self._lock:
            self._set((*self._items, new))
        self._changed()
        return new

    def checked(
        self, items: Iterable[Intervention | Mapping[str, Any]]
    ) -> tuple[Intervention, ...]:
        """Return interventions (or their JSON) that fit the model, without taking them."""
        return tuple(self._check(i if isinstance(i, Intervention) else from_json(i)) for i in items)

    def remove(self, which: int | Intervention) -> None:
        """Remove one, by index or itself."""
        with self._lock:
            index = self._index(which)
            self._set(self._items[:index] + self._items[index + 1 :])
        self._changed()

    def switch(self, which: int | Intervention, on: bool | None = None) -> None:  # noqa: FBT001
        """Switch one on or off; None flips it."""
        with self._lock:
            item = self._items[self._index(which)]
        self.change(item, on=not item.on if on is None else bool(on))

    def change(self, which: int | Intervention, **settings: Any) -> Intervention:
        """Give one other settings, such as ``factor=``, ``on=`` or ``label=``, and return it.

        Quick changes of the same setting are one step of undo.

        Examples
        --------
        >>> session.interventions.change(0, label="the name mover")
        """
        with self._lock:
            index = self._index(which)
            old = self._items[index]
            try:
                new = self._check(replace(old, **settings, id=old.id))
            except TypeError as error:
                raise InterventionError(f"{old.describe()} has no such setting: {error}") from error
            if new == old:
                return old
            step, now = (old.id, tuple(settings)), time.monotonic()
            goes_on = self._last[0] == step and now - self._last[1] < ONE_STEP
            self._set((*self._items[:index], new, *self._items[index + 1 :]), goes_on=goes_on)
            self._last = (step, now)
        self._changed()
        return new

    def move(self, which: int | Intervention, to: int) -> None:
        """Move one to another place in the order."""
        with self._lock:
            index = self._index(which)
            items = list(self._items)
            if not -len(items) <= to < len(items):
                raise IndexError(
                    f"there are {len(items)} interventions; {to} is no place among them"
                )
            item = items.pop(index)
            items.insert(to % (len(items) + 1), item)
            self._set(tuple(items))
        self._changed()

    def toggle(self, spec: Intervention | Mapping[str, Any]) -> Intervention | None:
        """Add the intervention, or remove those with the same target: what a click in a view does.

        Returns
        -------
        Intervention or None
            The one added, or None when it was removed.
        """
        new = self._check(spec if isinstance(spec, Intervention) else from_json(spec))
        with self._lock:
            left = tuple(i for i in self._items if i.target != new.target)
            removed = len(left) < len(self._items)
            self._set(left if removed else (*self._items, new))
        self._changed()
        return None if removed else new

    def clear(self) -> None:
        """Remove all; can be undone."""
        self.load([])

    def load(self, items: Iterable[Intervention | Mapping[str, Any]] | str | Path) -> None:
        """Replace all by ``items`` (or their JSON, or a file of :meth:`save`); can be undone.

        Raises
        ------
        InterventionError
            When one does not fit the model, or the file does not hold a list of interventions.
        """
        if isinstance(items, str | Path):
            items = _read(Path(items))
        new = self.checked(items)
        with self._lock:
            if not new and not self._items:
                return
            self._set(new)
        self._changed()

    def save(self, path: str | Path) -> Path:
        """Write the list as JSON, which :meth:`load` and the session panel read; return the path.

        Examples
        --------
        >>> session.interventions.save("knockout.json")
        >>> session.interventions.load("knockout.json")
        """
        path = Path(path)
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
        return path

    def undo(self) -> bool:
        """Take back the last change; returns False when there is none."""
        return self._travel(self._undo, self._redo)

    def redo(self) -> bool:
        """Repeat the change taken back last; returns False when there is none."""
        return self._travel(self._redo, self._undo)

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain JSON that :meth:`load` reads back."""
        return [i.to_json() for i in self._items]

    def describe(self) -> list[str]:
        """Return one line per intervention, ``ablate z 9.6 (zero)``."""
        return [i.describe() for i in self._items]

    def frame(self) -> Any:
        """Return the list as a data frame."""
        import pandas as pd

        rows = [
            {"kind": i.kind, "where": i.where(), "how": i.how(), "on": i.on, "label": i.label}
            for i in self._items
        ]
        return pd.DataFrame(rows, columns=["kind", "where", "how", "on", "label"])

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Intervention]:
        return iter(self._items)

    def __repr__(self) -> str:
        if not self._items:
            return "no interventions"
        return "\n".join(f"{n} {'●' if i.on else '○'} {i.describe()}" for n, i in enumerate(self))

    def _index(self, which: int | Intervention) -> int:
        if isinstance(which, Intervention):
            for index, item in enumerate(self._items):
                if item.id == which.id:
                    return index
            for index, item in enumerate(self._items):
                if item.key == which.key:
                    return index
            raise InterventionError(f"{which.describe()} is not in the list")
        if not -len(self._items) <= which < len(self._items):
            raise InterventionError(
                f"there is no intervention {which}; the list has {len(self._items)}"
            )
        return which % len(self._items)

    def _set(self, items: tuple[Intervention, ...], *, goes_on: bool = False) -> None:
        if not goes_on:
            self._undo.append(self._items)
            del self._undo[:-MOST_STEPS]
        self._redo.clear()
        self._take(items)

    def _take(self, items: tuple[Intervention, ...]) -> None:
        self._last = (None, 0.0)
        self.said = words.change(self._items, items)
        self._all = items

    def _travel(self, there: list[Any], back: list[Any]) -> bool:
        with self._lock:
            if not there:
                return False
            back.append(self._items)
            self._take(there.pop())
        self._changed()
        return True


def _read(path: Path) -> list[Any]:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InterventionError(f"{path} is not JSON: {error}") from error
    if not isinstance(items, list) or not all(isinstance(i, dict) for i in items):
        raise InterventionError(f"{path} holds no list of interventions, as save() writes it")
    return items
