"""The requests that every view answers, whatever it shows."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from interp_widgets.results.base import NotLiveError
from interp_widgets.results.live import LiveSession
from interp_widgets.results.registry import FIGURES

MOST_ROWS = 5000
"""Rows of a table that a request may ask for."""
MIME = {
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
    "png": "image/png",
    "pgf": "text/plain",
}


class CommonRequests:
    """``intervene``, ``undo``, ``redo``, ``retry``, ``select``, ``table``, ``code``, ``figure``.

    Mixed into :class:`interp_widgets.views.base.View`, which has what is used here.
    """

    current: Any
    state: dict[str, Any]
    _session: LiveSession | None
    _title: str

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the data frame behind "show as table"; by default the result's."""
        return self.pick(payload.get("mode", "current")).frame()

    def pick(self, mode: str) -> Any:
        """Return the result of a mode."""
        raise NotImplementedError

    def figure(
        self, venue: str | None = None, width: str | float = "column", **options: Any
    ) -> Any:
        """Draw for a paper what the view shows now."""
        raise NotImplementedError

    def on_intervene(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Add the intervention, or remove it when it is there."""
        self._live().interventions.toggle(payload)
        return {"interventions": self._live().interventions.to_json()}

    def on_undo(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Take the last change of the interventions back."""
        return {"done": bool(self._live().interventions.undo())}

    def on_redo(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Make the change again that was undone last."""
        return {"done": bool(self._live().interventions.redo())}

    def on_select(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Set fields of the shared selection (for hosts that cannot share a widget)."""
        self._live().selection.set(**payload)
        return {}

    def on_table(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return up to ``limit`` (default 500) rows of :meth:`table`."""
        limit = min(int(payload.get("limit", 500)), MOST_ROWS)
        frame = self.table(payload)
        rows = frame.head(limit).astype(object).to_numpy().tolist()
        return {
            "columns": [str(c) for c in frame.columns],
            "rows": [[_cell(v) for v in row] for row in rows],
            "total": len(frame),
        }

    def on_code(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Return Python that reproduces what is shown."""
        recipe = self.pick("current").recipe
        lines = [f"# {recipe}"] if recipe else [f"# {self._title}: a tensor without a recipe"]
        prompt = _prompt_of(recipe.arguments) if recipe else None
        if self._session is not None and prompt is not None:
            lines.append(str(self._session.code(prompt)))
        return {"code": "\n".join(lines)}

    def on_figure_choices(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Say in which formats and for which venues "Save figure" can draw."""
        renderer = FIGURES.get(self.current.kind)
        return {"formats": list(renderer.formats), "venues": list(renderer.venues)}

    def on_figure(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Draw what is shown and return the file: ``{name, mime, data}``.

        ``payload`` holds ``format``, ``venue`` (None: for the screen) and ``width``.
        """
        kind = str(payload.get("format", "pdf"))
        if kind not in FIGURES.get(self.current.kind).formats:
            raise ValueError(f"figures are not saved as {kind!r}")
        width = payload.get("width", "column")
        drawn = self.figure(venue=payload.get("venue") or None, width=width)
        name = _file_name(self._title)
        with tempfile.TemporaryDirectory() as folder:
            path = drawn.save(Path(folder) / f"{name}.{kind}")
            data = path.read_bytes()
        return {"name": path.name, "mime": MIME.get(kind, "text/plain"), "data": data}

    def _live(self) -> LiveSession:
        if self._session is None:
            raise NotLiveError("this view has no session: load the result with a session first")
        return self._session


def _file_name(title: str) -> str:
    return re.sub(r"[^\w-]+", "_", title).strip("_")[:60] or "figure"


def _prompt_of(value: Any) -> Any:
    """Find the first prompt among a recipe's arguments, as JSON that a session reads."""
    if isinstance(value, dict):
        if "$prompt" in value:
            return value["$prompt"]
        value = list(value.values())
    if isinstance(value, list):
        return next((p for p in map(_prompt_of, value) if p is not None), None)
    return None


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return value.item() if hasattr(value, "item") else str(value)
