"""Tests that a claim comes out again: other seeds, other data, a sibling model."""

from __future__ import annotations

import importlib.metadata
import itertools
import platform
from typing import Any

import numpy as np

from interp_widgets import __version__
from interp_widgets.methods.claims import statistics
from interp_widgets.methods.claims.readings import Runner
from interp_widgets.methods.claims.trial import LEVEL, Row, Trial
from interp_widgets.session.session import Session

RESAMPLES = 5
"""Times that the search for the mechanism is repeated on resampled inputs."""
STABLE = {"verdict": 0.95, "jaccard": 0.5, "spearman": 0.5, "cosine": 0.9}
"""What a claim has to reach; written into its record."""
MOST_INPUTS = 64


def reproduce(trial: Trial, sibling: Session | None = None) -> list[Row]:
    """Run every test of stability."""
    rows = [seeds(trial), resamples(trial), *search(trial)]
    rows.append(replicate(trial, sibling))
    return rows


def seeds(trial: Trial) -> Row:
    """Compare with random mechanisms drawn with other seeds."""
    effect = trial.effect("on")
    if trial.stays:
        found = [
            statistics.p_within(trial.change("on"), trial.size, trial.seed + i) < LEVEL
            for i in range(trial.seeds)
        ]
        told = "bootstrap p of staying"
    else:
        values = [statistics.p_random(effect, row) for row in trial.random]
        found = [p < LEVEL for p in values]
        told = "p " + ", ".join(f"{p:.3f}" for p in values)
    same = float(np.mean([f == found[0] for f in found]))
    return Row(
        "R",
        "seeds",
        f"the same verdict with {trial.seeds} seeds",
        same,
        passed=same == 1.0 and trial.seeds >= 3,
        reading=f"share of seeds with the verdict of the first; {told}",
    )


def resamples(trial: Trial) -> Row:
    """Draw the sealed inputs again and see whether the verdict is the same."""
    drawn = statistics.draws(trial.change("on"), trial.seed)
    if trial.stays:
        drawn = np.abs(drawn)
    verdict = trial.holds(trial.effect("on"))
    same = float(np.mean([trial.holds(float(x)) == verdict for x in drawn]))
    wanted = trial.record["stable"]["verdict"]
    return Row(
        "R",
        "data",
        f"the same verdict in {wanted:.0%} of resamples",
        same,
        passed=same >= wanted,
        reading=f"share of {len(drawn)} bootstrap resamples of the sealed inputs",
    )


def search(trial: Trial) -> list[Row]:
    """Look for the mechanism again on resampled seen inputs."""
    again = [trial.mechanism.again(trial.runner, trial.seed + i) for i in range(trial.seeds)]
    cosines = [x for x in again if x is not None]
    if cosines:
        wanted = trial.record["stable"]["cosine"]
        return [
            Row(
                "R",
                "direction",
                f"cosine of {wanted:.2g} or more",
                min(cosines),
                passed=min(cosines) >= wanted,
                reading="smallest cosine with difference-of-means directions of resampled inputs",
            )
        ]
    seen = trial.inputs["seen"]
    found = trial.mechanism.effects(trial.runner, seen.take(range(min(len(seen), MOST_INPUTS))))
    if found is None:
        return [Row("R", "search", reading="there is no search to repeat for this mechanism")]
    effects, members = found
    rng = np.random.default_rng([trial.seed, 13])
    n = effects.shape[1]
    means = [effects[:, rng.integers(0, n, n)].mean(1) for _ in range(RESAMPLES)]
    ranks = [statistics.spearman(a, b) for a, b in itertools.combinations(means, 2)]
    wanted = trial.record["stable"]["spearman"]
    what = f"effects of {len(effects)} alternatives, {RESAMPLES} resamples of seen inputs"
    rows = [_agreement("scores", "rank correlation", wanted, ranks, what)]
    if trial.stays:
        return rows
    sign = -1 if trial.prediction["effect"] == "rises" else 1
    own = set(members)
    tops = [set(np.argsort(-sign * m, kind="stable")[: len(own)].tolist()) for m in means]
    shares = [len(own & top) / len(own | top) for top in tops]
    wanted = trial.record["stable"]["jaccard"]
    what = f"the strongest {len(own)} of each resample against those named"
    rows.append(_agreement("parts", "Jaccard", wanted, shares, what))
    return rows


def _agreement(name: str, unit: str, wanted: float, values: list[float], reading: str) -> Row:
    """Return the row of resamples that have to agree with one another, on average."""
    mean, low, high = (float(f(values)) for f in (np.mean, min, max))
    what = f"{unit} of {wanted:.2g} or more"
    return Row("R", name, what, mean, low, high, passed=mean >= wanted, reading=reading)


def replicate(trial: Trial, sibling: Session | None) -> Row:
    """Run the intervention on a sibling model."""
    if sibling is None:
        return Row("R", "sibling model", reading="no other model was given: claim.test(sibling=…)")
    runner = Runner(sibling, trial.inputs["seen"].on(sibling), trial.runner.progress)
    inputs = {"seen": runner.seen, "on": trial.inputs["on"].on(sibling)}
    twin = Trial(trial.record, runner, inputs, trial.n_random, 1, trial.seed)
    effect = twin.effect("on")
    p = None if trial.stays else statistics.p_random(effect, twin.random[0])
    same = twin.holds(effect) and (p is None or p < LEVEL)
    low, high = statistics.interval(twin.change("on"), seed=trial.seed)
    return Row(
        "R",
        "sibling model",
        "the same prediction comes true",
        effect,
        low,
        high,
        p,
        same and twin.competent(twin.plain["on"]),
        f"{sibling.name}, accuracy {twin.plain['on'].correct.mean():.2f}",
    )


def environment(session: Session) -> dict[str, Any]:
    """Return what the numbers were made with."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("torch", "transformers", "nnsight", "numpy")
    }
    return {
        "interp_widgets": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(session.device),
        "dtype": str(session.dtype),
        **versions,
    }
