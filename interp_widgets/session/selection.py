"""What is selected in every view of a session at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from interp_widgets.results.base import Result
from interp_widgets.results.live import SELECTION
from interp_widgets.session.events import Listeners

if TYPE_CHECKING:
    import pandas as pd

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
        self.__dict__["_views"] = {}
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

    def frame(self) -> pd.DataFrame:
        """Return the numbers at what is selected, of every open view.

        Returns
        -------
        DataFrame
            One row per number: ``view`` (its title), ``kind``, the fields that the view knows
            (``layer``, ``head``, ``position``, …), ``quantity`` and ``value``. Integers and texts
            of :meth:`Result.at` are fields, floats and truth values are numbers.

        Examples
        --------
        >>> session.selection.set(layer=9, head=6)
        >>> session.selection.frame()
        """
        import pandas as pd

        with self._lock:
            shown = [at for at in (view() for view in self._views.values()) if at is not None]
        parts = [
            tidy for result, selected in shown if (tidy := _tidy(result, selected)) is not None
        ]
        if not parts:
            return pd.DataFrame(columns=["view", "kind", "quantity", "value"])
        whole = pd.concat(parts, ignore_index=True)
        fields = [c for c in whole.columns if c not in ("quantity", "value")]
        return whole[[*fields, "quantity", "value"]]

    def attach(
        self, view: Callable[[], tuple[Result, Mapping[str, Any]] | None]
    ) -> Callable[[], None]:
        """Let :meth:`frame` ask a view for its result and what is selected in it.

        Returns the function that ends it; None from ``view`` leaves the view out.
        """
        token = object()
        with self._lock:
            self._views[token] = view

        def stop() -> None:
            with self._lock:
                self._views.pop(token, None)

        return stop

    def listen(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call ``callback(changed_fields)`` on every change; returns the function that stops it."""
        stop: Callable[[], None] = self._listeners.add(callback)
        return stop

    def __repr__(self) -> str:
        shown = ", ".join(f"{n}={v!r}" for n, v in self.to_json().items() if v is not None)
        return f"Selection({shown or 'nothing'})"


def _tidy(result: Result, selected: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return one row per number at what is selected, or None where there is none."""
    if all(value is None for value in selected.values()):
        return None
    try:
        numbers = result.at(selected).rename(columns=str)
    except NotImplementedError:
        return None
    named = {"value": str(getattr(result, "quantity", "value"))}
    numbers = numbers.rename(columns=named)
    values = [name for name in numbers if numbers[name].dtype.kind in "fb"]
    if not len(numbers) or not values:
        return None
    fields = [name for name in numbers if name not in values]
    tidy = numbers.melt(fields, values, "quantity", "value").astype({"value": float})
    tidy.insert(0, "view", result.title)
    tidy.insert(1, "kind", result.kind)
    return tidy
