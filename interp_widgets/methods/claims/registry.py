"""Registering claims, the list of all of them, and the report card."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from interp_widgets.methods.claims.claim import Claim
from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.falsify import RIVALS, feature
from interp_widgets.methods.claims.inputs import Inputs, Prompts
from interp_widgets.methods.claims.mechanism import Mechanism
from interp_widgets.methods.claims.prediction import Kind, Prediction
from interp_widgets.methods.claims.readings import Runner
from interp_widgets.methods.claims.testing import unchanged
from interp_widgets.results.claims import ClaimsResult

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

FLOOR = 0.75
"""Least accuracy for a behaviour to be there: half way from chance between two to perfect."""

_claims: weakref.WeakKeyDictionary[Any, list[Claim]] = weakref.WeakKeyDictionary()


def register(
    session: Session,
    statement: str,
    mechanism: Mechanism,
    prediction: Prediction,
    seen: Inputs | Prompts,
    *,
    kind: Kind = "explain",
    rivals: Sequence[str] = tuple(RIVALS),
    floor: float = FLOOR,
    revises: Claim | None = None,
) -> Claim:
    """Register a claim before its sealed inputs are read.

    Parameters
    ----------
    session
        Whose model the claim is about.
    statement
        The claim in words, for people.
    mechanism
        What it is about: :class:`Parts`, :class:`TokenRead`, :class:`Direction`, :class:`Edges`.
    prediction
        What will be seen, on which sealed inputs.
    seen
        Inputs of the same kind that may be looked at: means, random mechanisms and forecasts are
        fitted on them.
    kind
        ``"explain"`` (default), ``"detect"``, ``"predict"``, ``"fix"``: see
        :data:`interp_widgets.methods.claims.prediction.KINDS`.
    rivals
        Other explanations that foretell by a number: ``"length"``, ``"position"``, ``"frequency"``,
        ``"token:…"`` (presence of a token). At least one.
    floor
        Least accuracy on seen and sealed inputs; a model that does not do the task has no mechanism
        for it. Not asked for a ``fix``.
    revises
        The claim that this one takes the place of.

    Returns
    -------
    Claim
        With ``.test()``, ``.card()``, ``.change()``, ``.revise()``, ``.replay()``, ``.to_json()``.

    Raises
    ------
    ClaimError
        When the claim is vague, has no rival, does not fit the model, or the model does not do what
        it is about.
    SealedError
        When the sealed inputs were read before.

    Notes
    -----
    After Lee et al. 2026 (arXiv:2605.05508): claims have to be falsifiable, reproducible and
    predictive. The form of the record and the tests are this package's.

    Examples
    --------
    >>> seen, sealed = iw.claims.split(prompts)
    >>> iw.claims.register(
    ...     session,
    ...     "heads 3.0 and 3.2 write the answer",
    ...     iw.claims.Parts(["3.0", "3.2"]),
    ...     iw.claims.Prediction("logit_difference", "drops", 1.0, on=sealed),
    ...     seen,
    ... )
    """
    unchanged(session)
    if not str(statement).strip():
        raise ClaimError("a claim needs a statement: say in a sentence what is claimed")
    if not isinstance(mechanism, Mechanism):
        raise ClaimError("a mechanism is Parts, TokenRead, Direction or Edges of iw.claims")
    prediction.check(kind)
    own = Inputs.of(seen)
    mechanism.check(session)
    if not rivals:
        raise ClaimError(f"a claim needs a rival explanation: {', '.join(RIVALS)} or token:…")
    for rival in rivals:
        feature(rival, own, session)
        if prediction.effect != "stays" and rival == f"token:{getattr(mechanism, 'token', None)}":
            raise ClaimError(f"the rival {rival} is the mechanism itself: name another")
    if prediction.sufficient is not None and mechanism.whole(session) is None:
        raise ClaimError(f"{mechanism.words()} cannot be kept alone: leave out sufficient=")
    if mechanism.kind == "edges" and not (own.corrupted and prediction.on and prediction.on.paired):
        raise ClaimError("a claim about edges needs corrupted prompts, seen and sealed")
    _check_seen(session, own, prediction)
    if kind != "fix":
        accuracy = float(Runner(session, own).plain(own).correct.mean())
        if accuracy < floor:
            raise ClaimError(
                f"{session.name} does not do what the claim is about: accuracy {accuracy:.2f} on "
                f"the seen inputs, {floor:.2f} is asked for (floor=)"
            )
    earlier = _claims.setdefault(session, [])
    claim = Claim(
        session,
        str(statement),
        mechanism,
        prediction,
        kind,
        own,
        rivals,
        floor,
        previous=earlier[-1].hash if earlier else None,
        revises=revises.hash if revises else None,
    )
    earlier.append(claim)
    return claim


def registered(session: Session) -> list[Claim]:
    """Return every claim registered on a session, failed ones too, in order.

    Examples
    --------
    >>> [claim.status for claim in iw.claims.registered(session)]
    """
    return list(_claims.get(session, ()))


def card(*about: Session | Claim | Iterable[Claim], title: str = "Report card") -> ClaimsResult:
    """Put claims side by side: what each model does on the left, how it does it on the right.

    Parameters
    ----------
    *about
        Sessions (all their claims, failed and untested ones too), claims, or lists of claims.
    title
        Of the report card.

    Returns
    -------
    ClaimsResult
        ``.report()`` is the table. There is no single score.

    Raises
    ------
    ClaimError
        When there is no claim.

    Examples
    --------
    >>> iw.claims.card(session, other_session)
    """
    claims: list[Claim] = []
    item: Any
    for item in about:
        if isinstance(item, Claim):
            claims.append(item)
        else:
            claims += registered(item) if hasattr(item, "interventions") else list(item)
    if not claims or not all(isinstance(c, Claim) for c in claims):
        raise ClaimError("there is no claim to show: iw.claims.register(…) makes one")
    arrays: dict[str, Any] = {}
    cards = []
    for i, claim in enumerate(claims):
        own = claim.card()
        cards.append(own.cards[0])
        arrays |= {
            f"{i}.{name[2:]}": values
            for name, values in own.arrays.items()
            if name.startswith("0.")
        }
    if len({c["model"] for c in cards}) == 1 and len(cards) == 1:
        title = str(cards[0]["statement"])
    found = ClaimsResult(arrays, {"cards": cards, "title": title})
    found.live = tuple(claims)
    found.session = claims[0].session
    return found


def _check_seen(session: Session, seen: Inputs, prediction: Prediction) -> None:
    """Refuse inputs that are seen and sealed at once, or of another session."""
    if seen.session is not session:
        raise ClaimError("the seen inputs belong to another session")
    ours = {p.key for p in seen}
    for name, sealed in prediction.sealed.items():
        if sealed.session is not session:
            raise ClaimError(f"the inputs {name}= belong to another session")
        both = sealed.shared(ours)
        if both and name in ("on", "shifted"):
            raise ClaimError(
                f"{both} of the inputs sealed as {name}= are among the seen ones: a test on inputs "
                "that were looked at shows nothing"
            )
