"""Circuits that people found and tested: heads by class, edges, positions."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import numpy as np

from interp_widgets.results.arrangement import component
from interp_widgets.results.graph import Graph

FILES = ("methods/circuits/known.json", "demo/assets/demo/circuits.json")


@dataclass(frozen=True)
class Known:
    """A circuit of the literature, or of the demo model.

    Attributes
    ----------
    name, title, model, paper
        What it is, of which model, and where it comes from.
    variant
        Which reading of it the edges are; :attr:`about` says what that means.
    classes
        Nodes by role, ``{"name mover": ("a9.h9", …)}``.
    positions
        The token position that a class works at, where one is named.
    verified
        How the circuit was checked, and the figures; empty for those of the literature.

    Examples
    --------
    >>> ioi = iw.circuits.known("ioi")
    >>> ioi.graph.count, ioi.classes["name mover"]
    >>> circuit.arrange(groups=ioi.drawing)
    """

    name: str
    title: str
    model: str
    paper: str
    variant: str
    about: str
    layers: int
    heads: int
    mlps: bool
    classes: dict[str, tuple[str, ...]]
    positions: dict[str, str]
    edges: tuple[str, ...]
    verified: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def graph(self) -> Graph:
        """The circuit's edges as a graph."""
        return Graph.build(self.layers, self.heads, mlps=self.mlps).with_edges(self.edges)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Heads and MLPs of the circuit."""
        return tuple(dict.fromkeys(name for names in self.classes.values() for name in names))

    @property
    def groups(self) -> dict[str, list[str]]:
        """Classes as :meth:`CircuitResult.arrange` and the tests of a circuit take them."""
        return {name: list(members) for name, members in self.classes.items()}

    @property
    def drawing(self) -> list[dict[str, Any]]:
        """Classes with their positions, for ``circuit.arrange(groups=…)``; a node once."""
        taken: set[str] = set()
        found = []
        for name, members in self.classes.items():
            own = [member for member in members if member not in taken]
            taken |= set(own)
            if own:
                at = {"at": self.positions[name]} if name in self.positions else {}
                found.append({"name": name, "members": own, **at})
        return found

    def __repr__(self) -> str:
        return (
            f"Known({self.name!r}, variant={self.variant!r}: {self.title} in {self.model}, "
            f"{len(self.nodes)} nodes, {len(self.edges)} edges)"
        )


def known(name: str, variant: str | None = None) -> Known:
    """Return a known circuit.

    Parameters
    ----------
    name
        ``"ioi"`` and ``"greater-than"`` of GPT-2 small, ``"docstring"`` of attn-only-4l;
        ``"demo-ioi"``, ``"demo-greater-than"`` and ``"demo-induction"`` of the embedded model.
    variant
        Which edges belong to it: for IOI ``"all MLPs"`` (default, the reference of the ACDC paper),
        ``"MLP 0"`` or ``"heads"``; for greater-than ``"MLP queries"`` (default) or ``"drawn"``.

    Raises
    ------
    ValueError
        For an unknown circuit or variant; those there are are listed.

    Examples
    --------
    >>> iw.circuits.compare(circuit, iw.circuits.known("ioi", "heads"))
    """
    entries = _entries()
    if name not in entries:
        close = difflib.get_close_matches(name, entries, n=1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"no known circuit {name!r}{meant}; there are {', '.join(entries)}")
    entry = entries[name]
    variants = entry["variants"]
    chosen = variant if variant is not None else next(iter(variants))
    if chosen not in variants:
        raise ValueError(
            f"{name!r} has no variant {variant!r}; there are {', '.join(map(repr, variants))}"
        )
    more = variants[chosen]
    classes = {
        key: tuple(component(member) for member in value["members"])
        for key, value in entry["classes"].items()
    }
    heads = tuple(n for names in classes.values() for n in names if ".h" in n)
    classes |= {
        key: tuple(map(component, members)) for key, members in more.get("classes", {}).items()
    }
    empty = Graph.build(entry["layers"], entry["heads"], mlps=entry["mlps"])
    edges = set(more.get("edges", entry.get("edges", ())))
    ends = {**classes, "heads": heads, "input": ("input",), "logits": ("logits",)}
    for connection in [*entry.get("connections", ()), *more.get("connections", ())]:
        edges |= set(_joined(empty, ends, connection))
    mask = empty.mask(edges)
    return Known(
        name=name,
        title=entry["title"],
        model=entry["model"],
        paper=entry["paper"],
        variant=chosen,
        about=more["about"],
        layers=entry["layers"],
        heads=entry["heads"],
        mlps=entry["mlps"],
        classes=classes,
        positions={k: v["at"] for k, v in entry["classes"].items() if "at" in v},
        edges=tuple(empty.edge_name(int(r), int(c)) for r, c in np.argwhere(mask)),
        verified=more.get("verified", entry.get("verified", {})),
    )


def names() -> list[str]:
    """Return the names of all known circuits."""
    return list(_entries())


@cache
def _entries() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in FILES:
        file = files("interp_widgets").joinpath(path)
        if file.is_file():
            found |= json.loads(file.read_text(encoding="utf-8"))
    return found


def _joined(
    graph: Graph, ends: Mapping[str, tuple[str, ...]], connection: list[str]
) -> Iterator[str]:
    """Name the edges of a connection between classes that run forwards in the network."""
    source, target, slots = connection
    columns = {node.name: i for i, node in enumerate(graph.backward)}
    rows = {node.name: i for i, node in enumerate(graph.forward)}
    for writer in ends[source]:
        for reader in ends[target]:
            for name in [f"{reader}<{slot}>" for slot in slots] or [reader]:
                if rows[writer] < graph.first_unreadable[columns[name]]:
                    yield f"{writer}->{name}"
