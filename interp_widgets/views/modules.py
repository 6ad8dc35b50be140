"""The module tree of a model, with shapes, parameters and the standard activation names."""

from __future__ import annotations

from typing import Any

from interp_widgets.results.modules import ModulesResult
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import View


@VIEWS.register("modules")
class ModulesView(View, bundle="modules"):
    """Collapsible tree of modules; repeated identical blocks are folded into one row.

    Parameters
    ----------
    result
        A :class:`ModulesResult`.
    filter
        Words that name, class, path or site must contain.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Examples
    --------
    >>> session.anatomy.result().view(filter="attn")
    """

    def __init__(self, result: ModulesResult, *, filter: str = "", theme: str = "auto") -> None:  # noqa: A002
        super().__init__(result, theme=theme, state={"filter": str(filter)})

    def describe(self) -> dict[str, Any]:
        """Return the anatomy's facts and the number of modules."""
        return {
            "summary": self.current.meta.get("summary") or {},
            "count": sum(1 for _ in self.current.walk()),
        }

    def first(self) -> dict[str, Any]:
        """Return the tree."""
        return {"tree": _node(self.current.meta["tree"])}


def _node(node: dict[str, Any]) -> dict[str, Any]:
    shape = node.get("shape")
    return {
        "name": str(node.get("name") or node["class"]),
        "path": str(node.get("path", "")),
        "class": str(node["class"]),
        "parameters": int(node.get("parameters") or 0),
        "shape": list(shape) if isinstance(shape, list | tuple) else shape,
        "sites": [str(site) for site in node.get("sites") or ()],
        "children": [_node(child) for child in node.get("children") or ()],
    }
