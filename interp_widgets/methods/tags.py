"""What kind of method it is: seven questions, answered in words that cannot be mixed up."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields

FACETS: dict[str, tuple[str, ...]] = {
    "paradigm": ("behavioural", "attributional", "concept-based", "mechanistic"),
    "stage": ("intrinsic", "developmental", "post hoc"),
    "scope": ("local", "global"),
    "causal_nature": ("observational", "interventional"),
    "phase": ("hypothesis generation", "verification"),
    "comprehensiveness": ("partial", "full"),
    "units": ("token", "feature", "neuron", "head", "layer", "circuit", "motif"),
}
"""The questions and their answers (Bereska & Gavves 2024, arXiv:2404.14082, section 4).

``token`` is ours: the review has no unit for what an attribution scores, the words of the input.
"""
USUAL = {"stage": "post hoc", "comprehensiveness": "partial"}
"""Answers that need not be written: almost every method looks at a part of a trained model."""


@dataclass(frozen=True)
class Tags:
    """A method's place on the map of methods.

    Parameters
    ----------
    paradigm
        Behavioural (inputs and outputs alone), attributional (credit to inputs or parts),
        concept-based (named directions), mechanistic (parts and how they work together).
    stage
        Intrinsic (built into training), developmental (over checkpoints), post hoc.
    scope
        Local: says something of the prompts given. Global: of the model.
    causal_nature
        Observational: reads. Interventional: changes something inside and sees what follows.
    phase
        Whether it suggests an explanation or tests one.
    comprehensiveness
        Whether it explains a part of the behaviour or aims at all of it.
    units
        What it speaks of, one or more.
    """

    paradigm: str
    stage: str
    scope: str
    causal_nature: str
    phase: str
    comprehensiveness: str
    units: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Tags:
        """Read tags from words between commas, in any order.

        Raises
        ------
        ValueError
            For an unknown word, two answers to one question, or none.

        Examples
        --------
        >>> Tags.of("mechanistic, interventional, local, verification, head, layer").units
        ('head', 'layer')
        """
        facet_of = {word: facet for facet, words in FACETS.items() for word in words}
        found: dict[str, list[str]] = {facet: [] for facet in FACETS}
        for word in (part.strip() for part in text.split(",")):
            if word not in facet_of:
                close = difflib.get_close_matches(word, facet_of, n=1)
                hint = (
                    f"did you mean {close[0]!r}?" if close else f"choose of {', '.join(facet_of)}"
                )
                raise ValueError(f"{word!r} is not a tag of methods; {hint}")
            found[facet_of[word]].append(word)
        for facet, usual in USUAL.items():
            found[facet] = found[facet] or [usual]
        units = tuple(found.pop("units"))
        wrong = [
            f"{facet} {' and '.join(w) or 'missing'}" for facet, w in found.items() if len(w) != 1
        ]
        wrong += [] if units else ["units missing"]
        if wrong:
            raise ValueError(
                f"tags {text!r} need one answer to each question ({', '.join(wrong)}): "
                + "; ".join(f"{facet}: {' or '.join(words)}" for facet, words in FACETS.items())
            )
        return cls(**{facet: words[0] for facet, words in found.items()}, units=units)

    def row(self) -> dict[str, str]:
        """Return the answers by question; units between commas."""
        answers = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**answers, "units": ", ".join(self.units)}

    def words(self) -> set[str]:
        """Return all answers."""
        return {getattr(self, facet) for facet in FACETS if facet != "units"} | set(self.units)
