"""A dossier step by step: each step is a method of its own, and its result is evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from interp_widgets.methods.dossier.control import control
from interp_widgets.methods.dossier.failures import failures
from interp_widgets.methods.dossier.mechanism import mechanism
from interp_widgets.methods.dossier.monitor import monitor
from interp_widgets.methods.dossier.report import report
from interp_widgets.methods.dossier.splits import DossierError, Inputs
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import Result
from interp_widgets.results.dossier import DossierResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session


class Dossier:
    """A dossier being written; made by :func:`new`.

    Attributes
    ----------
    evidence
        The results so far.
    statements
        Threat, benefits, risks, dual use and gaps, as :func:`~iw.dossier.report` takes them.
    """

    def __init__(
        self,
        session: Session,
        behaviour: str,
        positives: Inputs,
        negatives: Inputs,
        clean: Inputs | None = None,
        **statements: Any,
    ) -> None:
        self.session = session
        self.behaviour = behaviour
        self.positives, self.negatives, self.clean = positives, negatives, clean
        self.statements = statements
        self.evidence: list[Result] = []
        self._detector: ArrayResult | None = None
        self._nodes: list[str] = []

    def add(self, *evidence: Result) -> Self:
        """Add results of any method of the toolkit.

        Raises
        ------
        DossierError
            For something else.
        """
        for result in evidence:
            if not isinstance(result, Result):
                raise DossierError(f"evidence is a result of a method, not {type(result).__name__}")
            self.evidence.append(result)
        return self

    def coverage(self, **options: Any) -> ArrayResult:
        """Find the mechanism and its coverage; options of :func:`mechanism`."""
        found = mechanism(self.positives, self.negatives, **options)
        self._nodes = list(found.meta["mechanism"])
        self.add(found)
        return found

    def monitor(self, **options: Any) -> ArrayResult:
        """Fit a detector at a fixed false-positive rate; options of :func:`monitor`.

        Clean inputs count among those on which it must not fire.
        """
        self._detector = monitor(self.positives, self._harmless, **options)
        self.add(self._detector)
        return self._detector

    def control(self, **options: Any) -> ArrayResult:
        """Take the behaviour away and count side effects; options of :func:`control`."""
        options.setdefault("nodes", self._nodes)
        found = control(self._monitor(), self.positives, self.negatives, self.clean, **options)
        self.add(found)
        return found

    def failures(self, **options: Any) -> ArrayResult:
        """Test shift, paraphrases and evasion; options of :func:`failures`."""
        found = failures(self._monitor(), self.positives, self._harmless, **options)
        self.add(found)
        return found

    def report(self) -> DossierResult:
        """Return the dossier as it stands."""
        return report(self.session, self.behaviour, self.evidence, **self.statements)

    def to_html(self, path: str | Path | None = None) -> str:
        """Write the dossier as one offline page."""
        return self.report().to_html(path)

    @property
    def _harmless(self) -> list[Prompt]:
        return [*self.negatives, *(self.clean or ())]

    def _monitor(self) -> ArrayResult:
        if self._detector is None:
            raise DossierError("fit a detector first: dossier.monitor()")
        return self._detector


def new(
    session: Session,
    behaviour: str,
    positives: Inputs,
    negatives: Inputs,
    clean: Inputs | None = None,
    **statements: Any,
) -> Dossier:
    """Begin a dossier of a behaviour.

    Parameters
    ----------
    session
        The model.
    behaviour
        What it is about.
    positives, negatives
        Pairs of prompts with and without the behaviour; the positive ones have an answer (what the
        behaviour says) and a foil (what is said without it).
    clean
        Inputs on which nothing should change, with their right answers; default the negatives.
    statements
        ``threat``, ``benefits``, ``risks``, ``dual_use``, ``dual_use_note``, ``gaps``,
        ``coverage``: see :func:`~iw.dossier.report`.

    Examples
    --------
    >>> dossier = iw.dossier.new(session, "backdoor", triggered, harmless, clean, threat="…")
    >>> dossier.coverage(); dossier.monitor(); dossier.control(); dossier.failures()
    >>> dossier.to_html("backdoor.html")
    """
    return Dossier(session, behaviour, positives, negatives, clean, **statements)
