"""The survey's rule table: which mediators and which search for which goal."""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING

from interp_widgets.results.goals import GOALS
from interp_widgets.results.registry import METHODS

if TYPE_CHECKING:
    import pandas as pd

    from interp_widgets.methods.catalogue import Method

SERVES = {
    "explain a behaviour": ("patching", "circuits", "attribution"),
    "verify a hypothesis": (),
    "localise and edit": ("concepts",),
}
"""Families of methods that serve a goal; a method that verifies serves a hypothesis, too."""

ALIGNED = {"token", "neuron", "head", "layer", "circuit", "motif"}
"""Units that are parts of the model as it computes; directions and features are not."""


def goals() -> pd.DataFrame:
    """Return what the survey recommends for each goal, one a row.

    Columns: ``goal``, ``mediators``, ``search``, ``because``; ``rule``, by which
    :meth:`MediationResult.report` says that a mediator serves the goal (a rule of thumb of this
    toolkit, not of the survey); ``methods``, the toolkit's interventional methods for it.

    Examples
    --------
    >>> iw.mediators.goals().set_index("goal").loc["verify a hypothesis", "search"]
    """
    import pandas as pd

    entries = [METHODS.get(name) for name in METHODS]
    rows = []
    for goal, row in GOALS.items():
        names = sorted(entry.name for entry in entries if goal in _goals_of(entry))
        rows.append({"goal": goal, **row, "methods": ", ".join(names)})
    return pd.DataFrame(rows)


def table() -> pd.DataFrame:
    """Return every method of the toolkit as a choice of mediator and search, one a row.

    Read from the methods themselves, never typed: ``mediator`` and ``aligned`` from their tags and
    unit, ``search`` from the choices they offer, ``labels`` and ``counterfactuals`` from their
    arguments. Columns: ``method``, ``mediator``, ``aligned`` (basis-aligned), ``linear``,
    ``search``, ``labels`` (``"examples"``, ``"answers"`` or ``"no"``), ``counterfactuals``
    (``"yes"``, ``"optional"``, ``"no"``), ``cost``, ``goals``.

    Examples
    --------
    >>> iw.mediators.table().query("counterfactuals == 'yes' and search != 'reads only'")
    """
    import pandas as pd

    return pd.DataFrame([_row(METHODS.get(name)) for name in METHODS])


def _row(entry: Method) -> dict[str, str]:
    units = set(entry.tags.units) if entry.tags else set()
    arguments = entry.signature.parameters
    bent = "subspace" in entry.unit or "direction" in entry.unit or entry.family == "concepts"
    features = "feature" in units
    return {
        "method": entry.name,
        "mediator": entry.unit,
        "aligned": _both(yes=bool(units & ALIGNED), no=features),
        "linear": _both(
            yes=bool(units & ALIGNED) or bent, no=features and entry.family != "concepts"
        ),
        "search": _search(entry),
        "labels": _labels(entry),
        "counterfactuals": "no"
        if "corrupted" not in arguments
        else "yes"
        if arguments["corrupted"].default is inspect.Parameter.empty
        else "optional",
        "cost": entry.cost,
        "goals": ", ".join(_goals_of(entry)),
    }


def _both(*, yes: bool, no: bool) -> str:
    return "both" if yes and no else "yes" if yes else "no" if no else ""


def _search(entry: Method) -> str:
    """Return the ways of searching that a method offers."""
    hint = entry.hints.get("method")
    choices = [str(choice) for choice in typing.get_args(hint)]
    if choices:
        return ", ".join(choices)
    reads = entry.tags is None or entry.tags.causal_nature == "observational"
    return "reads only" if reads else "exhaustive"


def _labels(entry: Method) -> str:
    arguments = entry.signature.parameters
    if {"positive", "negative"} & set(arguments):
        return "examples"
    return "answers" if "metric" in arguments else "no"


def _goals_of(entry: Method) -> list[str]:
    words = entry.tags.words() if entry.tags else set()
    if "interventional" not in words and entry.family != "concepts":
        return []
    return [
        goal
        for goal, families in SERVES.items()
        if entry.family in families or (goal == "verify a hypothesis" and "verification" in words)
    ]
