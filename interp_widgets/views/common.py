"""The requests that every view answers, whatever it shows."""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
    pick: Callable[[str], Any]
    figure: Callable[..., Any]
    _live: Callable[[], LiveSession]
    _session: LiveSession | None
    _speaks: bool
    _title: str

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the data frame behind "show as table"; by default the result's."""
        return self.pick(payload.get("mode", "current")).frame()

    def on_intervene(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Add the intervention, or remove it when it is there."""
        self._speaks = True
        self._live().interventions.toggle(payload)
        return {"interventions": self._live().interventions.to_json()}

    def on_undo(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Take the last change of the interventions back."""
        self._speaks = True
        return {"done": bool(self._live().interventions.undo())}

    def on_redo(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Make the change again that was undone last."""
        self._speaks = True
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
            decoder = _prompt_of(recipe.arguments.get("decoder")) if recipe else None
            lines.append(str(self._session.code(prompt, decoder)))
        return {"code": "\n".join(lines)}

    def on_figure_choices(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Say in which formats and for which venues "Save figure" can draw."""
        renderer = FIGURES.get(self.current.kind)
        tex = ["pgf"] if any(map(shutil.which, ("xelatex", "lualatex", "pdflatex"))) else []
        return {"formats": [*renderer.formats, *tex, "latex"], "venues": list(renderer.venues)}

    def on_figure(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Draw what is shown and return the file: ``{name, mime, data}``.

        ``payload`` holds ``format``, ``venue`` (None: for the screen) and ``width``. The format
        ``"latex"`` is a PDF with the ``text`` that shows it.
        """
        kind = str(payload.get("format", "pdf"))
        if kind not in (*MIME, "latex"):
            raise ValueError(f"figures are saved as {', '.join(MIME)}, not {kind!r}")
        venue, width = payload.get("venue") or None, payload.get("width", "column")
        return self.figure_files([kind], venue, width)[kind]

    def figure_files(
        self,
        kinds: Sequence[str],
        venue: str | None = None,
        width: str | float = "column",
        limit: float = math.inf,
    ) -> dict[str, dict[str, Any]]:
        """Draw what is shown once and return it in several formats, as ``figure`` answers.

        The first file over ``limit`` bytes is left out, with those after it.
        """
        drawn = self.figure(venue, width)
        files: dict[str, dict[str, Any]] = {}
        with tempfile.TemporaryDirectory() as folder:
            for kind in kinds:
                suffix = "pdf" if kind == "latex" else kind
                path = Path(folder) / f"{_file_name(self._title)}.{suffix}"
                answer: dict[str, Any] = {"name": path.name, "mime": MIME[suffix]}
                if kind == "latex":
                    answer["text"] = drawn.latex(path).replace(str(path), path.name)
                else:
                    drawn.save(path)
                answer["data"] = path.read_bytes()
                if len(answer["data"]) > limit:
                    break
                files[kind] = answer
        return files


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
