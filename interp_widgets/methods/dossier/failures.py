"""Where a detector fails: other inputs, and words chosen to hide the behaviour from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interp_widgets.methods import cav
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.concept_site import target_of
from interp_widgets.methods.dossier.monitor import Detector
from interp_widgets.methods.dossier.splits import DossierError, Inputs, checked
from interp_widgets.methods.head_scores import token_pool
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt

ROWS = ("AUROC", "detected", "false alarms")


@method(
    "dossier_failures",
    result="array",
    title="Failures of a detector",
    paper="Bereska and Gavves 2024, arXiv:2404.14082 §6; Ebrahimi et al. 2018, arXiv:1712.06751 "
    "(substitutions)",
    family="dossier",
    unit="detector",
    cost="1 forward pass of every prompt; rounds × tries of every positive prompt for the search",
    tags="behavioural, observational, global, verification, feature",
)
def failures(
    run: Run,
    monitor: ArrayResult,
    positives: Inputs,
    negatives: Inputs,
    *,
    shifted_positives: Inputs | None = None,
    shifted_negatives: Inputs | None = None,
    paraphrases: Inputs | None = None,
    rounds: int = 4,
    tries: int = 12,
    most: int = 32,
    tokens: Sequence[str | int] | None = None,
    draws: int = 39,
    seed: int = 0,
) -> ArrayResult:
    """Test a detector on a shifted distribution, on paraphrases, and against a search for evasions.

    The search replaces one token at a time by a random one, keeps what lowers the detector's score
    most while the model still behaves (the logit difference stays above half of what it was), and
    goes on from there.

    Parameters
    ----------
    monitor
        What :func:`monitor` found; its threshold stays as it is.
    positives, negatives
        Inputs like those it was fitted on; the positive ones with answer and foil, for the search.
    shifted_positives, shifted_negatives
        Inputs of another kind, such as longer ones or other topics.
    paraphrases
        The behaviour in other words, such as an adversary's.
    rounds, tries, most
        Of the search: tokens replaced, candidates of a round, prompts attacked. No rounds, no
        search.
    tokens
        Tokens to draw from; default the vocabulary.
    draws, seed
        Nulls: shuffled labels for the shift, false positives for paraphrases; draws of the search.

    Returns
    -------
    ArrayResult
        ``[measure, inputs]``: AUROC, share detected and false positives on the usual inputs and on
        each other kind; NaN and masked where there is nothing to measure. ``meta["findings"]`` for
        each test; ``meta["example"]``: a prompt before and after the search.

    Raises
    ------
    DossierError
        When only one half of the shifted inputs is given.

    Examples
    --------
    >>> iw.dossier.failures(detector, a, b, shifted_positives=c, shifted_negatives=d).frame()
    """
    checked(positives, negatives, paired=False)
    if (shifted_positives is None) != (shifted_negatives is None):
        raise DossierError("a shift needs both, shifted_positives and shifted_negatives")
    session, detector = run.session, Detector.of(monitor)
    usual = list(positives), list(negatives)
    scores = [detector.scores(session, p) for p in usual]
    columns = {"as before": _measures(detector, *scores)}
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    if shifted_positives is not None and shifted_negatives is not None:
        moved = list(shifted_positives), list(shifted_negatives)
        scores_moved = [detector.scores(session, p) for p in moved]
        columns["shifted"] = _measures(detector, *scores_moved)
        null = [cav.auc(*_shuffled(scores_moved, rng)) for _ in range(draws)]
        found.append(
            {
                **finding(
                    "shift",
                    "AUROC on shifted inputs",
                    float(columns["shifted"][0]),
                    null,
                    "labels shuffled among the shifted inputs",
                    inputs=len(moved[0]) + len(moved[1]),
                    note=f"{columns['shifted'][1]:.0%} detected at {columns['shifted'][2]:.1%} "
                    "false positives, at the threshold fixed before",
                ),
                "role": "shift",
                "detected": float(columns["shifted"][1]),
            }
        )
    attacks = {}
    if paraphrases is not None:
        attacks["paraphrased"] = list(paraphrases)
    example = None
    if rounds:
        some = usual[0][:most]
        attacks["attacked"] = attack(run, detector, some, rounds, tries, tokens, seed)
        example = [list(some[0].tokens), list(attacks["attacked"][0].tokens)]
    for name, prompts in attacks.items():
        own = detector.scores(session, prompts)
        columns[name] = _measures(detector, own, scores[1])
        alarms = scores[1] > detector.threshold
        null = [float(rng.choice(alarms, len(prompts)).mean()) for _ in range(draws)]
        found.append(
            {
                **finding(
                    "paraphrase",
                    "share detected "
                    + ("of paraphrases" if name == "paraphrased" else "after a search for evasion"),
                    float(columns[name][1]),
                    null,
                    "false positives among as many negatives",
                    inputs=len(prompts),
                    note=f"{rounds} rounds of {tries} tries" if name == "attacked" else "given",
                ),
                "role": "paraphrase",
            }
        )
    if not found:
        raise DossierError("nothing to test: give shifted inputs, paraphrases, or rounds of search")
    values = np.array(list(columns.values()), np.float32).T
    return ArrayResult(
        {"values": values},
        {
            "dims": ["measure", "inputs"],
            "labels": {"measure": list(ROWS), "inputs": list(columns)},
            "quantity": "share of inputs",
            "signed": False,
            "title": "Failures of a detector",
            "example": example,
            "findings": found,
        },
    )


def attack(
    run: Run,
    detector: Detector,
    prompts: Sequence[Prompt],
    rounds: int,
    tries: int,
    tokens: Sequence[str | int] | None,
    seed: int,
) -> list[Prompt]:
    """Return prompts on which the model still behaves and the detector's score is as low as found.

    Raises
    ------
    DossierError
        When a prompt has no answer or foil.
    """
    if any(p.answer is None or p.foil is None for p in prompts):
        raise DossierError("the search for evasions needs answer and foil on the positive prompts")
    session = run.session
    pool = token_pool(session, tokens)
    place, (measure, _) = detector.place(session), target_of(session, "logit_difference")
    rng = np.random.default_rng(seed)
    current = list(prompts)
    enough = place.values(current, measure) / 2
    best = detector.scores(session, current)
    for turn in range(rounds):
        run.progress(turn, rounds)
        tried = [[_changed(p, pool, rng) for _ in range(tries)] for p in current]
        flat = [p for row in tried for p in row]
        scores = detector.scores(session, flat).reshape(len(current), tries)
        behaves = place.values(flat, measure).reshape(len(current), tries) > enough[:, None]
        scores = np.where(behaves, scores, np.inf)
        for i, row in enumerate(scores):
            k = int(row.argmin())
            if row[k] < best[i]:
                best[i], current[i] = row[k], tried[i][k]
    return current


def _changed(prompt: Prompt, pool: Sequence[int], rng: np.random.Generator) -> Prompt:
    """Return the prompt with one token, not the last, replaced by another."""
    ids = list(prompt.ids)
    ids[int(rng.integers(max(1, len(ids) - 1)))] = int(rng.choice(pool))
    return prompt.session.prompt(ids, answer=prompt.answer, foil=prompt.foil)


def _measures(detector: Detector, high: np.ndarray, low: np.ndarray) -> list[float]:
    fires = [float((s > detector.threshold).mean()) for s in (high, low)]
    return [cav.auc(high, low), *fires]


def _shuffled(
    scores: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    mixed = rng.permutation(np.concatenate(scores))
    return mixed[: len(scores[0])], mixed[len(scores[0]) :]
