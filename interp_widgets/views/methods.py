"""The map of methods: chips for what kind of method is wanted, and the code that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interp_widgets.results.methods import MethodMap
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import View


@VIEWS.register("methods")
class MethodsView(View, bundle="methods"):
    """Browser of methods: answers to choose from, words to find, a cell to copy.

    Parameters
    ----------
    result
        A :class:`MethodMap`: ``iw.catalogue.map()``.
    find
        Words that name, summary, unit or paper must contain.
    opened
        Name of the method whose cell is shown.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.
    **answers
        What the methods must be: one or more answers to a question, ``units=["head", "layer"]``.
        A method is shown when it has one of the answers to each question.

    Raises
    ------
    ValueError
        For a question, answer or method that there is not.

    Examples
    --------
    >>> iw.catalogue.map().view(causal_nature="interventional", opened="patching")
    """

    def __init__(
        self,
        result: MethodMap,
        *,
        find: str = "",
        opened: str = "",
        theme: str = "auto",
        **answers: str | Sequence[str],
    ) -> None:
        names = [method["name"] for method in result.methods]
        if opened and opened not in names:
            raise ValueError(f"there is no method {opened!r}; there are {', '.join(names)}")
        state = {"find": str(find), "opened": opened, "answers": result.answers(answers)}
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Return the questions and their answers."""
        return {"facets": self.current.facets}

    def first(self) -> dict[str, Any]:
        """Return the methods; they are words and no numbers."""
        return {"methods": self.current.methods}

    def figure_options(self) -> dict[str, Any]:
        """Return what is chosen."""
        return {"answers": self.state.get("answers") or {}, "find": self.state.get("find") or ""}
