"""What is selected in every view of a session at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from interp_widgets.results.live import SELECTION
from interp_widgets.session.events import Listeners

_INDICES = {"token", "layer", "head", "unit", "feature"}


class Selection:
    """The shared selection: readable and settable from Python, followed by every open view.

    Attributes
    ----------
    token, layer, head, unit, feature
        Indices, or None for "nothing in particular".
    node
        Name of a circuit node, for example ``"a9.h6"`` or ``"logits"``.
    prompt
        Key of the prompt that ``token`` counts in.

    Examples
    --------
    >>> session.selection.set(layer=9, head=6)
    >>> session.selection.head
    6
    """

    token: int | None
    layer: int | None
    head: int | None
    unit: int | None
    feature: int | None
    node: str | None
    prompt: str | None

    def __init__(self) -> None:
        self.__dict__["_lock"] = threading.RLock()
        self.__dict__["_values"] = dict.fromkeys(SELECTION)
        self.__dict__["_listeners"] = Listeners("selection")

    def __getattr__(self, name: str) -> Any:
        if name in SELECTION:
            return self._values[name]
        raise AttributeError(f"a selection has no {name!r}; it has {', '.join(SELECTION)}")

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(**{name: value})

    def set(self, **values: Any) -> None:
        """Set some fields and leave the others; one notification for the whole call.

        Raises
        ------
        AttributeError
            For a field that a selection does not have.
        TypeError
            When an index is not an integer.
        """
        for name, value in values.items():
            if name not in SELECTION:
                raise AttributeError(f"a selection has no {name!r}; it has {', '.join(SELECTION)}")
            if value is None:
                continue
            if name in _INDICES and (isinstance(value, bool) or not isinstance(value, int)):
                raise TypeError(f"selection.{name} is an index, not {value!r}")
            if name not in _INDICES and not isinstance(value, str):
                raise TypeError(f"selection.{name} is text, not {value!r}")
        with self._lock:
            changed = {n: v for n, v in values.items() if self._values[n] != v}
            self._values.update(changed)
        if changed:
            self._listeners.emit(changed)

    def clear(self) -> None:
        """Select nothing."""
        self.set(**dict.fromkeys(SELECTION))

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain JSON."""
        with self._lock:
            return dict(self._values)

    def frame(self) -> Any:
        """Return the selection as a data frame with one row."""
        import pandas as pd

        return pd.DataFrame([self.to_json()], columns=list(SELECTION))

    def listen(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call ``callback(changed_fields)`` on every change; returns the function that stops it."""
        stop: Callable[[], None] = self._listeners.add(callback)
        return stop

    def __repr__(self) -> str:
        shown = ", ".join(f"{n}={v!r}" for n, v in self.to_json().items() if v is not None)
        return f"Selection({shown or 'nothing'})"
