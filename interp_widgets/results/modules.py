"""The module tree of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd


class ModulesResult(Result):
    """Modules with their classes, parameters and output shapes.

    ``meta["tree"]`` is nested: ``{"name", "path", "class", "parameters", "shape", "sites",
    "children"}``, with ``shape`` None where a module does not run and ``sites`` the standard
    activation names found there. ``meta["summary"]`` holds the anatomy's own facts.

    Examples
    --------
    >>> session.anatomy.result().frame()
    """

    kind = "modules"

    def walk(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (depth, node) from the root down."""
        stack = [(0, self.meta["tree"])]
        while stack:
            depth, node = stack.pop()
            yield depth, node
            stack.extend((depth + 1, child) for child in reversed(node.get("children", [])))

    def frame(self) -> pd.DataFrame:
        """Return one row per module."""
        import pandas as pd

        keys = ("path", "class", "parameters", "shape", "sites")
        return pd.DataFrame([{key: node.get(key) for key in keys} for _, node in self.walk()])

    def text(self) -> str:
        """Return the tree, indented, one module a line."""
        lines = []
        for depth, node in self.walk():
            shape = f" → {node['shape']}" if node.get("shape") else ""
            lines.append(f"{'  ' * depth}{node['name']}: {node['class']}{shape}")
        return "\n".join(lines)

    def alt_text(self) -> str:
        """Say how many modules there are and the model's size."""
        root = self.meta["tree"]
        count = sum(1 for _ in self.walk())
        return f"{root['class']} with {count} modules and {root['parameters']:,} parameters"
