"""Tests that a claim foretells: failures elsewhere, wrong reasons, whether a fix holds."""

from __future__ import annotations

import numpy as np

from interp_widgets.methods.claims import statistics
from interp_widgets.methods.claims.trial import Row, Trial

REPEATS = 4
"""Times that the mechanism of each seen input gets the state of another one."""
ENOUGH = 10
"""Failures and successes that a comparison of Brier scores needs."""
RELAPSE = 0.5


def foresee(trial: Trial) -> list[Row]:
    """Run the tests of what the claim's kind foretells."""
    kind = trial.record["kind"]
    rows = []
    if kind == "detect" or trial.prediction.get("rate") is not None:
        rows.append(wrong_reason(trial))
    if "shifted" in trial.inputs:
        rows += failures(trial)
    if "paraphrases" in trial.inputs:
        rows.append(relapse(trial))
    return rows or [Row("P", "elsewhere", reading="nothing was foretold of other inputs")]


def reliance(trial: Trial, name: str) -> np.ndarray:
    """Return the share of each decision that goes through the mechanism ``[input]``, −1 to 1.

    The decision is the margin of what the model says, right or wrong: no label is needed. c is what
    it loses when the mechanism is ablated (a token put in or out); the share is c / (|c| + |rest|).
    """
    mechanism = trial.mechanism
    how = "flip" if "flip" in mechanism.ways else "ablate"
    plain = trial.plain[name]
    after = trial.runner.changed(
        trial.inputs[name], mechanism, plain.choice, how=how, seed=trial.seed
    )
    lost = plain.decided - after.decided
    return np.asarray(lost / np.maximum(np.abs(lost) + np.abs(after.decided), 1e-12))


def wrong_reason(trial: Trial) -> Row:
    """Measure how many right outputs come for the wrong reason."""
    score, correct = reliance(trial, "on"), trial.plain["on"].correct
    limit, cause = float(trial.prediction["threshold"]), bool(trial.prediction["cause"])
    wrong = (score < limit) if cause else (score >= limit)
    trial.arrays["score"], trial.arrays["margin"] = score, trial.plain["on"].margin
    own = wrong[correct].astype(float)
    if not len(own):
        return Row("P", "wrong reason", passed=False, reading="no output was right")
    low, high = statistics.interval(own, seed=trial.seed)
    bounds = trial.prediction.get("rate")
    through = "less" if cause else "more"
    return Row(
        "P",
        "right for the wrong reason",
        "" if bounds is None else f"{bounds[0]:.0%} to {bounds[1]:.0%} of right outputs",
        float(own.mean()),
        low,
        high,
        passed=None if bounds is None else bool(bounds[0] <= low and high <= bounds[1]),
        reading=f"share of {len(own)} right outputs with {through} than {limit:.2g} of the "
        "decision through the mechanism; the whole interval has to lie within",
    )


def failures(trial: Trial) -> list[Row]:
    """Foretell failures on inputs of another distribution before looking at them."""
    seen, shifted = trial.inputs["seen"], trial.inputs["shifted"]
    score = {name: reliance(trial, name) for name in ("seen", "shifted")}
    plain = trial.plain["shifted"]
    if trial.prediction["risk"] == "reliance" and "resample" in trial.mechanism.ways:
        wrong = np.mean(
            [
                ~trial.runner.changed(
                    seen, trial.mechanism, how="resample", seed=trial.seed + 101 * i
                ).correct
                for i in range(REPEATS)
            ],
            axis=0,
        )
    elif trial.prediction["risk"] == "reliance":
        wrong = (~trial.ablated("seen").correct).astype(float)
    else:
        wrong = (~trial.plain["seen"].correct).astype(float)
    foretold = statistics.Logistic(score["seen"], wrong)(score["shifted"])
    failed = (~plain.correct).astype(float)
    lengths = [np.array([float(len(p)) for p in some]) for some in (seen, shifted)]
    own_failures = (~trial.plain["seen"].correct).astype(float)
    baselines = {
        "confidence": 1 - plain.confidence,
        "length": statistics.Logistic(lengths[0], own_failures)(lengths[1]),
        "constant rate": np.full(len(failed), (own_failures.sum() + 0.5) / (len(seen) + 1)),
    }
    trial.arrays |= {
        "forecast": foretold,
        "failed": failed,
        "score": score["shifted"],
        "margin": plain.margin,
        "confidence": 1 - plain.confidence,
    }
    off = float(foretold.mean() - failed.mean())
    tolerance = float(trial.prediction["tolerance"])
    rate_low, rate_high = statistics.interval(failed, seed=trial.seed)
    briers = {name: (values - failed) ** 2 for name, values in baselines.items()}
    best = min(briers, key=lambda name: float(briers[name].mean()))
    own = (foretold - failed) ** 2
    gain = briers[best] - own
    low, high = statistics.interval(gain, seed=trial.seed)
    enough = min(failed.sum(), len(failed) - failed.sum()) >= ENOUGH
    told = ", ".join(f"{name} {values.mean():.3f}" for name, values in briers.items())
    area, theirs = (statistics.auroc(x, failed) for x in (foretold, baselines["confidence"]))
    return [
        Row(
            "P",
            "share of failures",
            f"foretold within {tolerance:.2g}",
            float(failed.mean()),
            rate_low,
            rate_high,
            passed=abs(off) <= tolerance,
            reading=f"observed on {len(failed)} inputs; foretold {foretold.mean():.2f}",
        ),
        Row(
            "P",
            "Brier score",
            "lower than every baseline, interval without 0",
            float(gain.mean()),
            low,
            high,
            passed=bool(low > 0) if enough else None,
            reading=f"gain over {best}; claim {own.mean():.3f}, {told}"
            + ("" if enough else f"; {int(failed.sum())} failures are too few to compare"),
        ),
        Row(
            "P",
            "AUROC",
            "",
            area,
            reading=f"which inputs fail; confidence {theirs:.2f}",
        ),
    ]


def relapse(trial: Trial) -> Row:
    """See whether a fix holds where the same is said otherwise."""
    there, here = trial.change("paraphrases"), trial.effect("on")
    share = float(there.mean() / here) if abs(here) > 1e-12 else float("nan")
    low, high = statistics.interval(there, seed=trial.seed)
    return Row(
        "P",
        "relapse",
        f"at least {RELAPSE:.0%} of the gain on paraphrases",
        float(there.mean()),
        low,
        high,
        passed=bool(share >= RELAPSE),
        reading=f"gain on {len(there)} paraphrases: {share:.2f} of that on the sealed inputs",
    )
