"""The five interventions as plain data: what is done to one activation of a model."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from interp_widgets.session.errors import InterventionError

_counter = itertools.count(1)

Indices = tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """One change to one activation; the base of the five kinds.

    Parameters
    ----------
    site
        Standard name of the activation, such as ``"z"`` (see ``session.anatomy.sites``), or the
        path of a module, whose output is meant.
    layer
        The layer; None for ``embed``, ``logits`` and modules.
    head
        Head or heads of ``q, k, v, z, cross_z, pattern``; None means all. ``k`` and ``v`` count
        key-value heads.
    unit
        Entry or entries of the last dimension (for ``pattern``: of the keys); None means all.
    position
        Token position or positions (for ``pattern``: of the queries); negative ones count from the
        prompt's last token; None means all.
    on
        Whether it is applied.
    label
        A name for people, such as the concept that a direction stands for; changes nothing.
    """

    kind: ClassVar[str] = ""

    site: str
    layer: int | None = None
    head: Indices = None
    unit: Indices = None
    position: Indices = None
    on: bool = True
    label: str = ""
    id: int = field(default_factory=lambda: next(_counter), compare=False)

    def __post_init__(self) -> None:
        for name in ("head", "unit", "position"):
            object.__setattr__(self, name, _indices(getattr(self, name), name))
        if self.layer is not None and (
            isinstance(self.layer, bool) or not isinstance(self.layer, int)
        ):
            raise InterventionError(f"layer is one number, not {self.layer!r}")
        if not isinstance(self.site, str) or not self.site:
            raise InterventionError(f"site is the name of an activation, not {self.site!r}")
        if not isinstance(self.label, str):
            raise InterventionError(f"label is a text, not {self.label!r}")
        # One line: it stands in comments of exported code.
        object.__setattr__(self, "label", " ".join(self.label.split())[:80])

    @property
    def target(self) -> tuple[Any, ...]:
        """What is changed: site, layer, heads, units, positions."""
        return (self.site, self.layer, self.head, self.unit, self.position)

    @property
    def key(self) -> str:
        """What is done, as canonical JSON without on and label; equal keys do the same."""
        if "_key" not in self.__dict__:  # a cached_property holds a lock, which cannot be sent
            data = self.to_json()
            data.pop("on")
            data.pop("label", None)
            self.__dict__["_key"] = json.dumps(data, sort_keys=True)
        return str(self.__dict__["_key"])

    def where(self) -> str:
        """Return the target in the field's shorthand: ``z 9.6``, ``resid_post 3 @ 4``."""
        text = self.site
        if self.layer is not None:
            text += f" {self.layer}"
            if self.head is not None:
                text += "." + ",".join(map(str, self.head))
        elif self.head is not None:
            text += f" head {','.join(map(str, self.head))}"
        if self.unit is not None:
            text += f" [{_ranges(self.unit)}]"
        if self.position is not None:
            text += f" @ {_ranges(self.position)}"
        return text

    def how(self) -> str:
        """Return the settings in a few words: ``zero``, ``× 0.5``."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return one line, for example ``ablate z 9.6 (zero)``."""
        name = f", {self.label}" if self.label else ""
        return f"{self.kind} {self.where()} ({self.how()}{name})"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON that :func:`from_json` reads back."""
        data: dict[str, Any] = {"kind": self.kind}
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.name == "id" or value is None or (spec.name == "label" and not value):
                continue
            data[spec.name] = _plain(value)
        return data


@dataclass(frozen=True, kw_only=True)
class Ablate(Intervention):
    """Remove what an activation says.

    Parameters
    ----------
    method
        ``"zero"``; ``"mean"``: the mean over the prompt's positions, or over all tokens of the
        reference prompts; ``"mean_positional"``: the mean over the reference prompts at each
        position, which have to be as long as the prompt; ``"resample"``: the value at the same
        position of one reference prompt, drawn with ``seed``.
    reference
        Prompts as JSON (``prompt.to_json()``).
    seed
        Seed of the draw of ``"resample"``.
    """

    kind: ClassVar[str] = "ablate"

    method: Literal["zero", "mean", "mean_positional", "resample"] = "zero"
    reference: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "reference", tuple(_prompt_json(p) for p in self.reference or ()))
        if self.method not in {"zero", "mean", "mean_positional", "resample"}:
            raise InterventionError(
                f'there is no ablation {self.method!r}; choose "zero", "mean", "mean_positional" '
                'or "resample"'
            )
        if self.method in {"resample", "mean_positional"} and not self.reference:
            raise InterventionError(
                f'method="{self.method}" takes the values of other prompts: give '
                "reference=[prompt, …]"
            )
        if self.method == "mean" and self.site == "pattern" and not self.reference:
            raise InterventionError(
                "a pattern has no mean over positions, since each query sees other keys: give "
                'reference=[prompt, …] of the same length, or ablate "v" or "z" instead'
            )

    def how(self) -> str:
        """Return the settings in a few words."""
        if not self.reference:
            return self.method
        text = (
            f"{self.method.replace('_', ' ')} of {len(self.reference)} "
            f"prompt{'s' if len(self.reference) > 1 else ''}"
        )
        return f"{text}, seed {self.seed}" if self.method == "resample" else text


@dataclass(frozen=True, kw_only=True)
class Scale(Intervention):
    """Multiply an activation by ``factor``."""

    kind: ClassVar[str] = "scale"

    factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "factor", _finite(self.factor, "factor"))

    def how(self) -> str:
        """Return the settings in a few words."""
        return f"× {self.factor:g}"


@dataclass(frozen=True, kw_only=True)
class Steer(Intervention):
    """Add ``strength × direction`` to an activation.

    Parameters
    ----------
    direction
        One number per entry of the last dimension (of ``unit`` where that is given): ``d_model``
        for the residual stream, ``d_head`` for a head, the keys for a pattern.
    strength
        Multiplies the direction as it is (it is not normalised).
    """

    kind: ClassVar[str] = "steer"

    direction: tuple[float, ...]
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self.direction
        if hasattr(values, "tolist"):
            values = values.tolist()
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:  # type: ignore[unreachable]
            raise InterventionError("direction is a list or a one-dimensional array of numbers")
        if any(isinstance(v, Sequence) for v in values):
            raise InterventionError(
                "direction has more than one dimension; give one number per entry"
            )
        object.__setattr__(self, "direction", tuple(_finite(v, "direction") for v in values))
        object.__setattr__(self, "strength", _finite(self.strength, "strength"))

    def how(self) -> str:
        """Return the settings in a few words."""
        norm = math.sqrt(sum(v * v for v in self.direction))
        sign = "−" if self.strength < 0 else "+"
        return f"{sign} {abs(self.strength):.4g} × direction of norm {norm:.3g}"


@dataclass(frozen=True, kw_only=True)
class Patch(Intervention):
    """Replace an activation by its value on another prompt.

    Parameters
    ----------
    source
        The prompt to take the value from, as JSON.
    source_position
        Positions to take it from, one for each of ``position``; None means the same ones.
    """

    kind: ClassVar[str] = "patch"

    source: dict[str, Any] = field(hash=False)
    source_position: Indices = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "source", _prompt_json(self.source))
        object.__setattr__(
            self, "source_position", _indices(self.source_position, "source_position")
        )
        if self.source_position is not None and (
            self.position is None or len(self.source_position) != len(self.position)
        ):
            raise InterventionError(
                "source_position needs position with as many entries: position[i] gets the value "
                "at source_position[i]"
            )

    def how(self) -> str:
        """Return the settings in a few words."""
        text = self.source.get("text")
        shown = repr(text if len(text) <= 24 else text[:23] + "…") if text else "another prompt"
        if self.source_position is not None:
            shown += f" @ {_ranges(self.source_position)}"
        return f"from {shown}"


@dataclass(frozen=True, kw_only=True)
class Clamp(Intervention):
    """Set an activation to a constant."""

    kind: ClassVar[str] = "clamp"

    value: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "value", _finite(self.value, "value"))

    def how(self) -> str:
        """Return the settings in a few words."""
        return f"= {self.value:g}"


KINDS: dict[str, type[Intervention]] = {c.kind: c for c in (Ablate, Scale, Steer, Patch, Clamp)}


def from_json(data: Mapping[str, Any]) -> Intervention:
    """Read an intervention written by ``to_json`` or sent by a view.

    Raises
    ------
    InterventionError
        For an unknown kind or field; the message lists those there are.
    """
    values = dict(data)
    kind = values.pop("kind", "ablate")
    if kind not in KINDS:
        raise InterventionError(f"there is no intervention {kind!r}; choose {', '.join(KINDS)}")
    known = {f.name for f in fields(KINDS[kind])} - {"id"}
    unknown = set(values) - known
    if unknown:
        raise InterventionError(
            f"{kind} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        )
    try:
        return KINDS[kind](**values)
    except TypeError as error:
        raise InterventionError(f"{kind} is incomplete: {error}") from error


def _indices(value: Any, name: str) -> Indices:
    if value is None:
        return None
    if isinstance(value, slice):
        raise InterventionError(f"{name} is a number or a list; write list(range(…)) for a slice")
    if hasattr(value, "tolist"):
        value = value.tolist()
    items = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    found = []
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int):
            raise InterventionError(f"{name} is a number or a list of numbers, not {value!r}")
        found.append(item)
    if not found:
        raise InterventionError(
            f"{name} is an empty list: nothing would be changed; use None for all"
        )
    if len(set(found)) < len(found):
        raise InterventionError(f"{name} names {found} twice; give each once")
    return tuple(found)


def _finite(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InterventionError(f"{name} is a number, not {value!r}") from None
    if not math.isfinite(number):
        raise InterventionError(f"{name} is {number}; it has to be finite")
    return number


def _prompt_json(prompt: Any) -> dict[str, Any]:
    if hasattr(prompt, "to_json"):
        prompt = prompt.to_json()
    if not isinstance(prompt, Mapping):
        raise InterventionError("a source or reference is a prompt, as session.prompt(…) makes it")
    return {k: v for k, v in prompt.items() if k not in {"answer", "foil"}}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return dict(value) if isinstance(value, dict) else value


def _ranges(numbers: Sequence[int]) -> str:
    """Write ``(0, 1, 2, 7)`` as ``0–2,7``, and long lists by their size."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    if len(runs) > 6:
        return f"{len(numbers)} of them"
    return ",".join(f"{r[0]}–{r[-1]}" if len(r) > 2 else ",".join(map(str, r)) for r in runs)
