"""The dossier of a behaviour: its evidence, its rules, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.dossier.evidence import rows_of
from interp_widgets.methods.dossier.splits import DossierError
from interp_widgets.results.base import Result
from interp_widgets.results.dossier import DossierResult
from interp_widgets.session.session import Session

DualUse = Literal["not assessed", "none", "raises a capability", "switches a safeguard off"]


@method(
    "dossier",
    result="dossier",
    title="Safety dossier",
    paper="Bereska and Gavves 2024, arXiv:2404.14082",
    family="dossier",
    unit="behaviour",
    cost="none; what its evidence costs when it is run again",
    tags="mechanistic, interventional, global, verification, full, circuit, feature",
)
def report(
    run: Run,
    session: Session,
    behaviour: str,
    evidence: Sequence[Result],
    *,
    threat: str = "",
    benefits: str = "",
    risks: str = "",
    dual_use: DualUse = "not assessed",
    dual_use_note: str = "",
    gaps: Sequence[str] = (),
    coverage: float = 0.8,
) -> DossierResult:
    """Join evidence about a behaviour into a dossier that says what is verified and what is not.

    It stays unverified until all rules are met: a threat statement; an interventional, global test
    above its null on inputs held out; the lower limit of coverage at ``coverage``; a second
    ablation; a detector at a fixed false-positive rate; a control with its side effects; a test on
    a shift and one on paraphrases; dual use, benefits and risks stated. What a session's
    interventions are stands in each part's recipe.

    Parameters
    ----------
    session
        The model that the dossier is about.
    behaviour
        What it is about, such as ``"answers class 1 whenever the trigger is there"``.
    evidence
        Results of any method of the toolkit; those of ``iw.dossier`` count as tests.
    threat
        Who could do what harm with it.
    benefits, risks
        What knowing the mechanism is good for, and what could go wrong with knowing it (the two
        lists of the review).
    dual_use, dual_use_note
        Whether the dossier shows how to raise a dangerous capability or switch a safeguard off;
        then every export is marked restricted, and so it is while nobody has assessed it.
    gaps
        Further open questions.
    coverage
        Share of the behaviour that the mechanism has to explain, at the lower 95 % limit.

    Returns
    -------
    DossierResult
        ``.status``, ``.frame()`` (rows of evidence), ``.rules``, ``.figure()``, ``.to_html(path)``.

    Raises
    ------
    DossierError
        Without a behaviour's name or evidence.

    Examples
    --------
    >>> iw.dossier.new(session, "backdoor", triggered, harmless).report().status
    """
    if not behaviour.strip() or not evidence:
        raise DossierError(
            "a dossier needs the behaviour's name and at least one piece of evidence"
        )
    run.progress(0, 1)
    rows = [row for i, result in enumerate(evidence) for row in rows_of(result, i)]
    meta: dict[str, Any] = {
        "behaviour": behaviour,
        "model": dict(session.model_info),
        "threat": threat,
        "benefits": benefits,
        "risks": risks,
        "dual_use": dual_use,
        "dual_use_note": dual_use_note,
        "gaps": list(gaps),
        "coverage_needed": coverage,
        "rows": rows,
    }
    return DossierResult.of(list(evidence), meta)
