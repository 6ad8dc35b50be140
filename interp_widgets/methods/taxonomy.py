"""The map of methods: the catalogue sorted by what kind of method each is."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING

from interp_widgets.methods.catalogue import Method
from interp_widgets.methods.tags import FACETS
from interp_widgets.results.methods import MethodMap
from interp_widgets.results.registry import METHODS

if TYPE_CHECKING:
    import pandas as pd

NONE = "not tagged"
"""What stands in the table for a method of a user's own that has no tags."""
PLAIN = ("name", "title", "summary", "family", "unit", "cost", "result", "paper")


class Catalogue:
    """Every method: ``iw.catalogue()`` is a table, one method a row.

    Columns: name, title, what it does, family, unit, cost, kind of result, paper, and its tags
    (paradigm, stage, scope, causal_nature, phase, comprehensiveness, units; Bereska & Gavves 2024,
    arXiv:2404.14082). The tags stand where a method is registered, so that the table is never older
    than the code.

    Examples
    --------
    >>> iw.catalogue().query("family == 'attribution'")
    >>> iw.catalogue.table(by="causal_nature").loc["interventional"]
    """

    def __call__(self) -> pd.DataFrame:
        """Return the table of all methods."""
        import pandas as pd

        rows = [
            {
                **{name: getattr(entry, name) for name in PLAIN},
                **(entry.tags.row() if entry.tags else dict.fromkeys(FACETS, NONE)),
            }
            for entry in _entries()
        ]
        return pd.DataFrame(rows).sort_values(["family", "name"], ignore_index=True)

    def table(self, by: str = "causal_nature", **only: str) -> pd.DataFrame:
        """Return the methods under each answer to one question.

        Parameters
        ----------
        by
            The question: ``"paradigm"``, ``"stage"``, ``"scope"``, ``"causal_nature"``,
            ``"phase"``, ``"comprehensiveness"``, ``"units"`` (a method stands under each of its
            units) or ``"family"``.
        only
            Answers to other questions that the methods must have, ``paradigm="mechanistic"``.

        Returns
        -------
        DataFrame
            Indexed by answer, in the order of the review, and name.

        Raises
        ------
        ValueError
            For another question or answer.

        Examples
        --------
        >>> iw.catalogue.table(by="units", causal_nature="interventional").loc["head"]
        """
        table = self()
        for facet in (by, *only):
            if facet not in (*FACETS, "family"):
                raise ValueError(f"sort the methods by one of {', '.join(FACETS)}, not {facet!r}")
        for facet, answer in only.items():
            answers = FACETS.get(facet, tuple(table[facet].unique()))
            if answer not in answers:
                raise ValueError(f"{facet} is one of {', '.join(answers)}, not {answer!r}")
            table = table[[answer in words.split(", ") for words in table[facet]]]
        order = [*FACETS.get(by, sorted(table[by].unique())), NONE]
        table = table.assign(**{by: [words.split(", ") for words in table[by]]}).explode(by)
        place = table[by].map({answer: i for i, answer in enumerate(order)})
        table = table.assign(_place=place).sort_values(["_place", "family", "name"])
        return table.drop(columns="_place").set_index([by, "name"])

    def map(self) -> MethodMap:
        """Return all methods with their tags, to be browsed: chips, search, a cell to copy.

        A method of a user's own that has no tags is not on the map.

        Examples
        --------
        >>> iw.catalogue.map().view(causal_nature="interventional", units="head")
        """
        methods = [
            {
                **{name: getattr(entry, name) for name in PLAIN},
                "template": self.template(entry.name),
                "tags": {
                    f: [w for w in words if w in entry.tags.words()] for f, words in FACETS.items()
                },
            }
            for entry in _entries()
            if entry.tags
        ]
        methods.sort(key=lambda method: (method["family"], method["title"]))
        facets = {facet: list(answers) for facet, answers in FACETS.items()}
        return MethodMap({}, {"title": "Map of methods", "facets": facets, "methods": methods})

    def template(self, name: str) -> str:
        """Return the code of a notebook cell that runs a method, from its documentation.

        Raises
        ------
        KeyError
            For a name that is no method.

        Examples
        --------
        >>> print(iw.catalogue.template("patching"))
        """
        entry: Method = METHODS.get(name)
        doc = inspect.getdoc(entry.body) or ""
        examples = doc.partition("Examples\n--------\n")[2]
        lines = [line.strip() for line in examples.splitlines()]
        code = [line[4:] for line in lines if line.startswith((">>> ", "... "))]
        if not code:
            code = [f"iw.{name}{_arguments(entry)}"]
        head = [f"# {entry.title}: {entry.summary}", f"# {entry.paper}", f"# cost: {entry.cost}"]
        return "\n".join([*(line for line in head if line != "# "), *code]) + "\n"

    def markdown(self) -> str:
        """Return the map as Markdown, a table for each paradigm: ``docs/methods.md``."""
        parts = []
        for paradigm in FACETS["paradigm"]:
            rows = self.table("family", paradigm=paradigm)
            if len(rows):
                parts.append(f"## {paradigm.capitalize()}\n\n" + _markdown(rows))
        return "\n\n".join(parts) + "\n"


catalogue = Catalogue()


def _entries() -> list[Method]:
    return [METHODS.get(name) for name in sorted(METHODS)]


def _arguments(entry: Method) -> str:
    needed = [p.name for p in entry.signature.parameters.values() if p.default is p.empty]
    return f"({', '.join(needed)})"


def _markdown(table: pd.DataFrame) -> str:
    columns = ["causal_nature", "scope", "phase", "units", "cost", "paper"]
    head = ["method", "what it does", *(c.replace("_", " ") for c in columns)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in table.reset_index("family").iterrows():
        cells = [f"`{name}`", row["summary"], *(row[c] for c in columns)]
        plain = [textwrap.shorten(str(c).replace("|", "\\|"), 400) for c in cells]
        lines.append("| " + " | ".join(plain) + " |")
    return "\n".join(lines)
