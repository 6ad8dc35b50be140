"""How a behaviour and its mechanism come about in training: a claim at every checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from interp_widgets.methods.claims.claim import Claim
from interp_widgets.methods.claims.errors import SealedError
from interp_widgets.methods.claims.foresee import reliance
from interp_widgets.methods.claims.readings import Runner
from interp_widgets.methods.claims.trial import Trial
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session

QUANTITIES = ("accuracy", "effect", "random mechanisms", "reliance")


def development(
    claim: Claim,
    checkpoints: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    *,
    n_random: int = 20,
    seed: int = 0,
) -> ArrayResult:
    """Measure a tested claim at checkpoints of its model: behaviour beside mechanism.

    Parameters
    ----------
    claim
        A claim that was tested: its sealed inputs are open.
    checkpoints
        Training step (or name) and model: a session, a module, or what ``iw.Session`` takes. A
        generator may load one after the other; sessions that are opened here are closed again.
    n_random
        Random mechanisms, whose median effect is beside the claim's.

    Returns
    -------
    ArrayResult
        ``values [quantity, step]``: accuracy, the effect that the claim foretells, the median of
        random mechanisms, the mean share of a decision that goes through the mechanism; ``low`` and
        ``high`` are 95 % limits over inputs (NaN for random mechanisms).

    Raises
    ------
    SealedError
        Before the test.

    Examples
    --------
    >>> iw.claims.development(claim, {0: first, 100: later, 300: last})
    """
    if not claim.tested:
        raise SealedError("the sealed inputs are opened by claim.test(); run that first")
    from interp_widgets.methods.claims import statistics

    given = {"seen": claim.seen, "on": claim.prediction.sealed["on"].read()}
    pairs = checkpoints.items() if isinstance(checkpoints, Mapping) else checkpoints
    steps, values, lows, highs = [], [], [], []
    for step, model in pairs:
        mine = isinstance(model, Session)
        session = model if mine else Session(model, tokenizer=claim.session.tokenizer)
        try:
            inputs = {name: some.on(session) for name, some in given.items()}
            trial = Trial(claim.record, Runner(session, inputs["seen"]), inputs, n_random, 1, seed)
            hangs = reliance(trial, "on")
            change = trial.change("on")
            limits = [
                trial.accuracy("on")[1:],
                statistics.interval(change, seed=seed),
                (np.nan, np.nan),
                statistics.interval(hangs, seed=seed),
            ]
            values.append(
                [
                    trial.accuracy("on")[0],
                    float(change.mean()),
                    float(np.median(trial.random)),
                    float(hangs.mean()),
                ]
            )
        finally:
            if not mine:
                session.close()
        steps.append(str(step))
        lows.append([low for low, _ in limits])
        highs.append([high for _, high in limits])
    arrays = {
        name: np.array(rows, float).T
        for name, rows in (("values", values), ("low", lows), ("high", highs))
    }
    return ArrayResult(
        arrays,
        {
            "dims": ["quantity", "step"],
            "labels": {"quantity": list(QUANTITIES), "step": steps},
            "quantity": "accuracy, change of it, share of the decision",
            "signed": False,
            "draw": "lines",
            "title": f"Development: {claim.statement}",
        },
    )
