"""The map of methods: what each one is, how it is called, and which answer which question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd

Answers = Mapping[str, str | Sequence[str]]


class MethodMap(Result):
    """Methods with their tags, to be browsed.

    No arrays. ``meta["facets"]``: the questions, each with its answers in order.
    ``meta["methods"]``: a dict for each method with ``name``, ``title``, ``summary``, ``family``,
    ``unit``, ``cost``, ``result``, ``paper``, ``template`` (code of a cell) and ``tags`` (a list of
    answers to each question).

    Examples
    --------
    >>> iw.catalogue.map().view(causal_nature="interventional", units=["head", "neuron"])
    """

    kind = "methods"

    def _check(self) -> None:
        for name in ("facets", "methods"):
            if name not in self.meta:
                raise ValueError(f"a map of methods needs {name}")

    @property
    def facets(self) -> dict[str, list[str]]:
        """The questions and their answers."""
        return {facet: list(answers) for facet, answers in self.meta["facets"].items()}

    @property
    def methods(self) -> list[dict[str, Any]]:
        """All methods."""
        return list(self.meta["methods"])

    def answers(self, wanted: Answers) -> dict[str, list[str]]:
        """Return answers as lists, refusing questions and answers that there are not.

        Raises
        ------
        ValueError
            For another question or answer.
        """
        known, found = self.facets, {}
        for facet, given in wanted.items():
            if facet not in known:
                raise ValueError(f"methods are asked for {', '.join(known)}, not {facet!r}")
            chosen = [given] if isinstance(given, str) else [str(answer) for answer in given]
            for answer in chosen:
                if answer not in known[facet]:
                    raise ValueError(f"{facet} is one of {', '.join(known[facet])}, not {answer!r}")
            if chosen:
                found[facet] = chosen
        return found

    def chosen(self, answers: Answers | None = None, find: str = "") -> list[dict[str, Any]]:
        """Return the methods with one of the answers to each question, and all the words.

        Parameters
        ----------
        answers
            One or more answers to each question that matters.
        find
            Words that name, title, summary, unit, family or paper contain.
        """
        wanted = self.answers(answers or {})
        words = find.lower().split()
        return [
            method
            for method in self.methods
            if all(set(method["tags"][facet]) & set(some) for facet, some in wanted.items())
            and all(word in _words(method) for word in words)
        ]

    def frame(self) -> pd.DataFrame:
        """Return one row per method."""
        import pandas as pd

        columns = ("name", "title", "summary", "family", "unit", "cost", "result", "paper")
        return pd.DataFrame(
            [
                {
                    **{column: method[column] for column in columns},
                    **{facet: ", ".join(some) for facet, some in method["tags"].items()},
                }
                for method in self.methods
            ]
        )

    def text(self) -> str:
        """Say what each method does, one a line."""
        return "\n".join(
            [self.alt_text(), *(f"{m['title']}: {m['summary']}" for m in self.methods)]
        )

    def alt_text(self) -> str:
        """Say how many methods there are, and how many of each paradigm."""
        paradigms = self.facets.get("paradigm", [])
        counts = [f"{_count(self.methods, 'paradigm', p)} {p}" for p in paradigms]
        return f"{len(self.methods)} methods" + (f": {', '.join(counts)}" if counts else "")


def _words(method: Mapping[str, Any]) -> str:
    names = ("name", "title", "summary", "unit", "family", "paper")
    return " ".join(str(method[name]) for name in names).lower()


def _count(methods: Iterable[Mapping[str, Any]], facet: str, answer: str) -> int:
    return sum(answer in method["tags"][facet] for method in methods)
