"""How a result was made: plain JSON, no code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from interp_widgets import __version__


@dataclass(frozen=True)
class Recipe:
    """Which method, with which arguments, on which model and interventions.

    Parameters
    ----------
    method
        Name of a registered method; nothing else can be named.
    arguments
        The call's arguments as JSON. Prompts appear as ``{"$prompt": {...}}``, arrays as
        ``{"$array": name}`` with the array stored beside the result's data.
    model
        Name, class, revision, dtype and a fingerprint of the weights.
    interventions
        The session's interventions when the result was made, in order.
    seed
        Seed of whatever was drawn at random, or None.
    version
        Version of interp_widgets.

    Examples
    --------
    >>> recipe = Recipe("logit_lens", {"k": 5})
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    method: str
    arguments: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    interventions: list[dict[str, Any]] = field(default_factory=list)
    seed: int | None = None
    version: str = __version__

    def to_json(self, indent: int | None = None) -> str:
        """Return the recipe as JSON text."""
        return json.dumps(asdict(self), indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe.

        Raises
        ------
        ValueError
            When the text is not a recipe; unknown fields are named.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not a recipe: the text is not JSON ({error})") from error
        if not isinstance(data, dict) or not isinstance(data.get("method"), str):
            raise ValueError('not a recipe: expected an object with a "method"')
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"not a recipe of this version: unknown {', '.join(sorted(unknown))}")
        if not isinstance(data.get("arguments", {}), dict):
            raise ValueError('not a recipe: "arguments" must be an object')
        return cls(**data)

    def __str__(self) -> str:
        """One line for captions: the call, the model and what was done to it."""
        shown = [f"{k}={v!r}" for k, v in self.arguments.items() if not isinstance(v, dict | list)]
        line = f"{self.method}({', '.join(shown)})"
        if self.model.get("name"):
            line += f" on {self.model['name']}"
        active = [i for i in self.interventions if i.get("on", True)]
        if active:
            line += f" with {len(active)} intervention{'s' if len(active) > 1 else ''}"
        return line
