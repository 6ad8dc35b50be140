"""What the views of circuits and of attribution graphs share: what a reader arranged is kept."""

from __future__ import annotations

from typing import Any

from interp_widgets.results.base import Result
from interp_widgets.views.base import View

ARRANGED = ("positions", "groups", "pins", "notes")


class GraphView(View):
    """A graph whose nodes can be moved, named in groups, pinned and annotated.

    The ``state`` holds what was arranged, in the form of ``results/arrangement.py``; every change
    goes into the result, so that ``result.save`` and ``result.figure`` have it too.
    """

    def __init__(self, result: Any, *, theme: str, state: dict[str, Any]) -> None:
        arranged = result.arrangement
        state = {**{key: arranged[key] for key in ARRANGED}, **state}
        super().__init__(result, theme=theme, state=state)
        self.observe(self._keep, names="state")

    @property
    def shown_size(self) -> int | None:
        """How many edges are asked for, where the view has a slider for it."""
        return None

    def _keep(self, _change: Any = None) -> None:
        if self._closed:
            return
        for result in {id(r): r for r in (self.known_base, self.current) if r is not None}.values():
            arranged = {key: self.state[key] for key in ARRANGED if key in self.state}
            before = result.meta.get("arrangement")
            if before is None and not any(arranged.values()):
                continue
            result.meta["arrangement"] = {**arranged, "size": self.shown_size}
            result.meta["arrangement"] = result.arrangement  # only what the graph has

    def set_result(self, result: Result) -> None:
        """Show a new result; what was arranged stays, by the names of the nodes."""
        super().set_result(result)
        self._keep()

    def figure_options(self) -> dict[str, Any]:
        """Return what the figure needs to look as the view does now."""
        return {"layout": self.state.get("layout")}
