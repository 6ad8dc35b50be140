"""The hidden widget through which the views of a session share their selection.

One per session; never displayed. A view's ``selection`` trait names it, and the browser follows it
with ``host.getModel`` – also in an exported page, without Python.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import anywidget
import traitlets

from interp_widgets.results.live import SELECTION
from interp_widgets.views.pacing import Paced

_ESM = "export default {};"


class SelectionModel(Paced, anywidget.AnyWidget):
    """Two-way bridge between ``session.selection`` and the browser.

    ``value`` holds :data:`SELECTION`, None where nothing is selected.
    """

    _esm = _ESM
    value = traitlets.Dict().tag(sync=True)

    def __init__(self, selection: Any = None) -> None:
        start = selection.to_json() if selection is not None else {}
        super().__init__(value={name: start.get(name) for name in SELECTION})
        self._selection = weakref.ref(selection) if selection is not None else None
        self._stop = selection.listen(self._from_python) if selection is not None else None
        self.observe(self._from_browser, names="value")

    @property
    def ref(self) -> str:
        """What a view's ``selection`` trait holds."""
        return f"anywidget:{self.model_id}"

    def _from_python(self, _changed: Any) -> None:
        selection = self._selection() if self._selection else None
        if selection is not None:
            self.value = {name: selection.to_json().get(name) for name in SELECTION}

    def _from_browser(self, change: dict[str, Any]) -> None:
        selection = self._selection() if self._selection else None
        if selection is None:
            return
        new = {name: change["new"].get(name) for name in SELECTION}
        if new != {name: selection.to_json().get(name) for name in SELECTION}:
            try:
                selection.set(**new)
            except (TypeError, AttributeError, ValueError):
                self._from_python(None)

    def close(self) -> None:
        """Stop following the session."""
        if self._stop is not None:
            self._stop()
            self._stop = None
        layout = self.layout
        super().close()
        if layout is not None:  # None once closed
            layout.close()

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.value.items() if v is not None)
        return f"SelectionModel({shown or 'nothing'})"


_models: weakref.WeakKeyDictionary[Any, SelectionModel] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def selection_of(session: Any) -> SelectionModel:
    """Return the selection widget of a session, the same one for all its views.

    Without a session each call gives a new one, unlinked to Python.
    """
    selection = getattr(session, "selection", None)
    if selection is None:
        return SelectionModel()
    with _lock:
        model = _models.get(selection)
        if model is None or model.comm is None:
            model = _models[selection] = SelectionModel(selection)
        return model
