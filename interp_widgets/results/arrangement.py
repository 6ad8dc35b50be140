"""What a reader arranged in the drawing of a graph: places, named groups, pins, notes.

It is plain JSON in ``result.meta["arrangement"]``, so it is saved with the result, and names nodes
by their names, so it outlives a re-run::

    {
        "positions": {"a9.h9": [0.25, 0.8]},  # shares of the width and height, from below
        "groups": [
            {"name": "name mover", "members": ["a9.h9", "a10.h0"], "collapsed": False, "at": "end"}
        ],
        "pins": ["a9.h9"],
        "notes": {"a9.h9": "copies the name"},
        "size": 120,
    }
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

FIELDS = ("positions", "groups", "pins", "notes", "size")
LONGEST = 2_000
"""Characters of a note."""

Groups = Mapping[str, Sequence[str]] | Sequence[Mapping[str, Any]]


def empty() -> dict[str, Any]:
    """Return the arrangement of a graph that nobody touched."""
    return {"positions": {}, "groups": [], "pins": [], "notes": {}, "size": None}


def component(name: Any) -> str:
    """Return the graph's name of a head or MLP as people write it.

    Examples
    --------
    >>> component("9.6"), component((9, 6)), component("MLP 3")
    ('a9.h6', 'a9.h6', 'm3')
    """
    if isinstance(name, tuple | list) and len(name) == 2:
        return f"a{int(name[0])}.h{int(name[1])}"
    text = str(name).strip()
    if head := re.fullmatch(r"(\d+)\.(\d+)", text):
        return f"a{head[1]}.h{head[2]}"
    if mlp := re.fullmatch(r"(?i:mlp) ?(\d+)", text):
        return f"m{mlp[1]}"
    return text


def checked(
    arrangement: Mapping[str, Any], known: Collection[str], *, strict: bool = True
) -> dict[str, Any]:
    """Return an arrangement with every field, for a graph that has the nodes ``known``.

    Parameters
    ----------
    arrangement
        Any of the fields above; ``groups`` also as ``{"name mover": ["9.9", "10.0"]}``.
    known
        Names of the graph's nodes.
    strict
        Whether an unknown node is an error (what a user wrote) or is left out (what was kept from
        an earlier run or read from a file).

    Raises
    ------
    TypeError
        For a field that an arrangement does not have.
    ValueError
        For an unknown node, a node in two groups, two groups of one name, or a place that is not a
        pair of finite numbers.
    """
    unknown = set(arrangement) - set(FIELDS)
    if unknown and strict:
        raise TypeError(f"an arrangement has {', '.join(FIELDS)}, not {', '.join(sorted(unknown))}")
    result = empty()
    keep = _Names(known, strict=strict)
    groups = result["groups"] = _groups(arrangement.get("groups") or [], keep)
    result["positions"] = {
        name: _place(name, at)
        for name, at in keep.pairs((arrangement.get("positions") or {}).items(), groups)
    }
    result["pins"] = list(dict.fromkeys(keep.all(arrangement.get("pins") or [])))
    result["notes"] = {
        name: str(text)[:LONGEST]
        for name, text in keep.pairs((arrangement.get("notes") or {}).items(), groups)
        if str(text).strip()
    }
    size = arrangement.get("size")
    result["size"] = None if size is None else int(size)
    return result


class _Names:
    def __init__(self, known: Collection[str], *, strict: bool) -> None:
        self.known = known if isinstance(known, set | frozenset | dict) else set(known)
        self.strict = strict

    def find(self, name: Any, also: Collection[str] = ()) -> str | None:
        for form in (name if isinstance(name, str) else "", component(name)):
            if form in self.known or form in also:
                return form
        if self.strict:
            some = ", ".join(sorted(self.known)[:4])
            raise ValueError(f"there is no node {name!r} in this graph; it has {some}, …")
        return None

    def all(self, names: Iterable[Any]) -> list[str]:
        return [found for name in names if (found := self.find(name)) is not None]

    def pairs(self, items: Iterable[tuple[Any, Any]], groups: Any = ()) -> list[tuple[str, Any]]:
        also = {group["name"] for group in groups}
        found = ((self.find(name, also), value) for name, value in items)
        return [(name, value) for name, value in found if name is not None]


def _place(name: str, at: Any) -> list[float]:
    try:
        x, y = (float(v) for v in at)
    except (TypeError, ValueError):
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"the place of {name} is a pair of numbers between 0 and 1, not {at!r}")
    return [round(x, 4), round(y, 4)]


def _groups(given: Groups, keep: _Names) -> list[dict[str, Any]]:
    if isinstance(given, Mapping):
        given = [{"name": name, "members": list(members)} for name, members in given.items()]
    groups: list[dict[str, Any]] = []
    taken: dict[str, str] = {}
    for group in given:
        name = str(group.get("name") or "").strip() or f"group {len(groups) + 1}"
        if any(known["name"] == name for known in groups):
            if keep.strict:
                raise ValueError(f"two groups are called {name!r}")
            name = f"{name} {len(groups) + 1}"
        members = list(dict.fromkeys(keep.all(group.get("members") or [])))
        for member in members:
            if member in taken and keep.strict:
                raise ValueError(f"{member} is in {taken[member]!r} and in {name!r}")
        members = [member for member in members if member not in taken]
        taken |= dict.fromkeys(members, name)
        if members:
            entry = {"name": name, "members": members, "collapsed": bool(group.get("collapsed"))}
            at = str(group.get("at") or "").strip()
            groups.append({**entry, "at": at} if at else entry)
    return groups
