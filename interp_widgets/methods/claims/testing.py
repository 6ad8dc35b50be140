"""The method that puts a registered claim on trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from interp_widgets.methods import catalogue
from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.falsify import falsify
from interp_widgets.methods.claims.foresee import foresee
from interp_widgets.methods.claims.inputs import Inputs
from interp_widgets.methods.claims.readings import Runner
from interp_widgets.methods.claims.reproduce import environment, reproduce
from interp_widgets.methods.claims.trial import Row, Trial
from interp_widgets.results.claims import LAMPS, ClaimsResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session

LEAST_RANDOM = 20
"""Random mechanisms below which no p-value could fall under 0.05."""
LEAST_SEEDS = 3
SHOWN = 400
"""Inputs whose tokens a card keeps for its view."""


@catalogue.method(
    "claim_test",
    result="claims",
    title="Test of a claim",
    paper="Lee et al. 2026, arXiv:2605.05508",
    family="claims",
    unit="claim",
    cost="a forward pass per batch of inputs, for each of n_random · seeds random mechanisms",
    tags="mechanistic, interventional, global, verification, partial, head, circuit",
)
def claim_test(
    run: Run,
    record: Mapping[str, object],
    seen: Sequence[Prompt],
    on: Sequence[Prompt],
    *,
    seen_corrupted: Sequence[Prompt] = (),
    on_corrupted: Sequence[Prompt] = (),
    shifted: Sequence[Prompt] = (),
    controls: Sequence[Prompt] = (),
    paraphrases: Sequence[Prompt] = (),
    n_random: int = 20,
    seeds: int = 3,
    other: Session | None = None,
    seed: int = 0,
) -> ClaimsResult:
    """Test a registered claim: can it fail, does it come again, does it foretell.

    ``claim.test()`` calls this with the inputs that the claim sealed.

    Parameters
    ----------
    record
        The claim's record (``claim.record``).
    seen, seen_corrupted
        Inputs that anybody may look at, and their corrupted twins for circuits.
    on, on_corrupted
        The sealed inputs.
    shifted, controls, paraphrases
        Further sealed inputs that the claim's kind needs.
    n_random
        Random mechanisms per seed; at least 20, so that p can fall below 0.05.
    seeds
        Seeds of the random draws; at least 3.
    other
        A sibling model to repeat the intervention on.

    Returns
    -------
    ClaimsResult
        One card.

    Raises
    ------
    ClaimError
        For fewer draws or seeds, or where the session has interventions that are on.

    Examples
    --------
    >>> claim.test(n_random=20, seeds=3)
    """
    if n_random < LEAST_RANDOM or seeds < LEAST_SEEDS:
        raise ClaimError(
            f"a test takes {LEAST_RANDOM} or more random mechanisms and {LEAST_SEEDS} or more "
            f"seeds, not {n_random} and {seeds}: with fewer nothing can be significant"
        )
    session = run.session
    unchanged(session)
    inputs = {"seen": Inputs.of(seen, seen_corrupted), "on": Inputs.of(on, on_corrupted)}
    further = {"shifted": shifted, "controls": controls, "paraphrases": paraphrases}
    inputs |= {name: Inputs.of(some) for name, some in further.items() if some}
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        total = trial.expected()
        run.progress(min(done, total - 1), total)

    runner = Runner(session, inputs["seen"], tick)
    trial = Trial(record, runner, inputs, n_random, seeds, seed)
    rows = [*falsify(trial), *reproduce(trial, other), *foresee(trial)]
    card = {
        **facts(record),
        "rows": [row.to_json() for row in rows],
        "lamps": lamps(rows),
        "status": status(lamps(rows)),
        "value": float(trial.change("on").mean()),
        "snapshot": dict(
            zip(("accuracy", "low", "high"), trial.accuracy("on"), strict=True),
            confidence=float(trial.plain["on"].confidence.mean()),
        ),
        "null": f"{n_random} random mechanisms: {trial.draws[0].matched}",
        "inputs": _shown(trial),
        "log": runner.log,
        "environment": environment(session),
        "timeline": [],
    }
    arrays: dict[str, Any] = {f"0.{name}": values for name, values in trial.arrays.items()}
    return ClaimsResult(arrays, {"cards": [card], "title": str(record["statement"])})


def facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card says of a claim before any test."""
    prediction: Mapping[str, Any] = record["prediction"]
    return {
        "statement": str(record["statement"]),
        "kind": str(record["kind"]),
        "model": str(record["model"]["name"]),
        "mechanism": str(record["mechanism_words"]),
        "prediction": str(record["words"]),
        "metric": str(prediction["metric"]),
        "effect": str(prediction["effect"]),
        "minimum": float(prediction["min_size"]),
        "threshold": float(prediction["threshold"]),
        "cause": bool(prediction["cause"]),
        "registered": str(record["registered"]),
        "sealed": dict(prediction["sealed"]),
        "rivals": list(record["rivals"]),
        "floor": float(record["floor"]),
    }


def lamps(rows: Sequence[Row]) -> dict[str, bool | None]:
    """Return each lamp: failed where a test failed, passed where one passed, else untested."""
    found: dict[str, bool | None] = {}
    for lamp in LAMPS:
        verdicts = [row.passed for row in rows if row.lamp == lamp and row.passed is not None]
        found[lamp] = all(verdicts) if verdicts else None
    return found


def status(lit: Mapping[str, bool | None]) -> str:
    """Return the verdict in words."""
    if lit["F"] is None:
        return "registered"
    if lit["F"] is False:
        return "refuted"
    return "not confirmed" if False in (lit["R"], lit["P"]) else "stands"


def unchanged(session: Session) -> None:
    """Raise ClaimError where the session changes the model: a claim is about the model as it is."""
    if session.interventions.active:
        raise ClaimError(
            "the session has interventions that are on: a claim is about the model as it is. "
            "Switch them off with session.reset()"
        )


def _shown(trial: Trial) -> list[dict[str, Any]]:
    """Return the tokens of the inputs that a card's dots stand for."""
    name = "shifted" if "shifted" in trial.inputs else "on"
    session = trial.runner.session

    def word(token: int | None) -> str:
        return "" if token is None else session.token_string(token)

    return [
        {"tokens": list(p.tokens), "answer": word(p.answer), "foil": word(p.foil)}
        for p in trial.inputs[name].prompts[:SHOWN]
    ]


def same(a: Any, b: Any) -> float:
    """Return the largest difference of two numbers, or lists of them; infinity for other kinds."""
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    return abs(float(a) - float(b))
