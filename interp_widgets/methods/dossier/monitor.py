"""A detector with a fixed false-positive rate (Bereska & Gavves 2024, arXiv:2404.14082 §6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from interp_widgets.methods import cav
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.concept_site import ConceptSite
from interp_widgets.methods.dossier.splits import Inputs, checked, halves, take
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session

THRESHOLDS = 101


@dataclass(frozen=True)
class Detector:
    """A direction at a layer, and the projection from which it fires.

    Parameters
    ----------
    site, layer, position
        Where it reads; ``layer`` counts the layers of the site.
    direction
        Unit vector ``[d]``.
    threshold
        It fires above.
    centre
        Mean projection of inputs without the behaviour.
    """

    site: str
    layer: int
    position: int | Literal["mean"]
    direction: np.ndarray
    threshold: float
    centre: float

    @classmethod
    def of(cls, result: ArrayResult) -> Detector:
        """Return the detector that :func:`monitor` found."""
        about = result.meta["detector"]
        return cls(
            about["site"],
            about["layer"],
            about["position"],
            result.numpy("direction").astype(np.float64),
            about["threshold"],
            about["centre"],
        )

    def place(self, session: Session) -> ConceptSite:
        """Return where it reads."""
        return ConceptSite(session, self.site, [self.layer], self.position)

    def scores(self, session: Session, prompts: Inputs) -> np.ndarray:
        """Return projections ``[prompt]``."""
        found = self.place(session).activations(list(prompts))[0]
        return np.asarray(found @ self.direction)


@method(
    "dossier_monitor",
    result="array",
    title="Monitoring detector",
    paper="Bereska and Gavves 2024, arXiv:2404.14082 §6; Zou et al. 2023, arXiv:2310.01405",
    family="dossier",
    unit="direction at a site",
    cost="1 forward pass of every prompt",
    tags="concept-based, observational, global, verification, feature, layer",
)
def monitor(
    run: Run,
    positives: Inputs,
    negatives: Inputs,
    *,
    site: str = "resid_post",
    layers: Sequence[int] | None = None,
    positions: Sequence[int | Literal["mean"]] = (-1, "mean"),
    filter: Literal["pattern", "logistic", "ridge"] = "logistic",  # noqa: A002
    fpr: float = 0.01,
    draws: int = 39,
    seed: int = 0,
) -> ArrayResult:
    """Fit a detector of a behaviour, fix its false-positive rate, and measure it on other inputs.

    The direction is fitted on a third of the inputs; layer and threshold are chosen on another
    third, so that at most ``fpr`` of its negatives fire; the rest measures.

    Parameters
    ----------
    positives, negatives
        Inputs with and without the behaviour; they need not be pairs.
    site, layers, positions
        Where it may read: default the residual stream after any layer, at the last token or mean
        over the tokens. What separates best on inputs to choose on is taken.
    filter
        How the direction is fitted: difference of means, logistic or ridge regression. Regression
        leaves out what the behaviour has in common with harmless inputs.
    fpr
        False-positive rate that is fixed. With n negatives to choose on it cannot be below 1 / n;
        the finding says what was measured.
    draws
        Null: the same with labels shuffled among all inputs (difference of means, to be quick).
    seed
        Of thirds and draws.

    Returns
    -------
    ArrayResult
        ``[rate, threshold]``: true- and false-positive rates on the inputs held out, by threshold.
        ``direction [d]``, ``scores_positive``, ``scores_negative [input]``, ``auroc_by_place
        [position, layer]`` (inputs to choose on). ``meta["detector"]``: site, layer, position,
        threshold, centre.
        ``meta["findings"]``: AUROC and true-positive rate at the threshold with 95 % limits.

    Raises
    ------
    DossierError
        When inputs are too few.

    Examples
    --------
    >>> iw.dossier.monitor(triggered, harmless).meta["findings"][0]["value"]
    """
    checked(positives, negatives, paired=False)
    cuts = [_thirds(len(x), seed + k) for k, x in enumerate((positives, negatives))]
    places = [ConceptSite(run.session, site, layers, position) for position in positions]
    tried = []
    for i, place in enumerate(places):
        run.progress(i, len(places) + 1)
        acts = [place.activations(list(x)) for x in (positives, negatives)]
        tried.append([[x[:, c[k]] for x, c in zip(acts, cuts, strict=True)] for k in range(3)])
    directions = [
        [cav.direction(a, b, filter) for a, b in zip(*fit, strict=True)] for fit, _, _ in tried
    ]
    by_place = np.array(
        [
            [_merit(a @ v, b @ v) for a, b, v in zip(*choose, own, strict=True)]
            for (_, choose, _), own in zip(tried, directions, strict=True)
        ]
    )
    at, best = divmod(int(by_place[..., 1].argmax()), by_place.shape[1])
    place, position = places[at], positions[at]
    fit, choose, test = ([x[best] for x in some] for some in tried[at])
    vector = directions[at][best]
    calm = choose[1] @ vector
    threshold = _threshold(calm, fpr)
    scores = test[0] @ vector, test[1] @ vector
    auroc = cav.auc(*scores)
    fires = (scores[0] > threshold).mean(), (scores[1] > threshold).mean()
    rng = np.random.default_rng(seed)
    null, null_rate = [], []
    for _ in range(draws):
        mixed = [_shuffled(some, rng) for some in (fit, choose, test)]
        v = cav.direction(*mixed[0], "pattern")
        null.append(cav.auc(mixed[2][0] @ v, mixed[2][1] @ v))
        limit = _threshold(mixed[1][1] @ v, fpr)
        null_rate.append(float((mixed[2][0] @ v > limit).mean()))
    spread = _spread(scores, threshold, rng)
    where = f"layer {place.labels[best]}, " + (
        {"mean": "mean over tokens", -1: "last token"}.get(position, f"token {position}")
    )
    inputs = len(scores[0]) + len(scores[1])
    found = [
        {
            **finding(
                "monitor",
                f"AUROC of a direction at {where}",
                auroc,
                null,
                "labels shuffled among all inputs",
                inputs=inputs,
                low=spread[0][0],
                high=spread[0][1],
            ),
            "role": "auroc",
        },
        {
            **finding(
                "monitor",
                f"share detected at {fires[1]:.1%} false positives (fixed at {fpr:.0%} on others)",
                float(fires[0]),
                null_rate,
                "labels shuffled among all inputs",
                inputs=inputs,
                low=spread[1][0],
                high=spread[1][1],
                note=f"threshold {threshold:.3g}; {len(calm)} negatives to choose it on"
                + (f", too few for {fpr:.1%}" if len(calm) * fpr < 1 else ""),
            ),
            "role": "detection",
            "fpr": float(fires[1]),
        },
    ]
    grid = np.linspace(min(map(np.min, scores)), max(map(np.max, scores)), THRESHOLDS)
    rates = [[float((s > t).mean()) for t in grid] for s in scores]
    arrays: dict[str, Any] = {
        "values": np.array(rates, np.float32),
        "direction": vector,
        "scores_positive": scores[0],
        "scores_negative": scores[1],
        "auroc_by_place": by_place[..., 0],
    }
    index = place.sites[best].layer
    return ArrayResult(
        arrays,
        {
            "dims": ["rate", "threshold"],
            "labels": {
                "rate": ["detected", "false alarms"],
                "threshold": [f"{t:.3g}" for t in grid],
            },
            "quantity": "share of inputs",
            "signed": False,
            "draw": "lines",
            "title": "Monitoring detector",
            "detector": {
                "site": site,
                "layer": best if index is None else index,
                "position": position,
                "threshold": threshold,
                "centre": float((fit[1] @ vector).mean()),
                "fpr": fpr,
            },
            "findings": found,
        },
    )


def _thirds(count: int, seed: int) -> tuple[list[int], list[int], list[int]]:
    fit, rest = halves(count, seed, 1 / 3)
    choose, test = halves(len(rest), seed + 1)
    return fit, take(rest, choose), take(rest, test)


def _threshold(calm: np.ndarray, fpr: float) -> float:
    """Return the score that at most ``fpr`` of the negatives exceed."""
    ordered = np.sort(calm)[::-1]
    return float(ordered[int(fpr * len(ordered))])


def _merit(high: np.ndarray, low: np.ndarray) -> tuple[float, float]:
    """Return the AUROC, and the same with the distance as a tie-breaker."""
    auroc = cav.auc(high, low)
    spread = float(np.sqrt(high.var() + low.var())) + 1e-12
    return auroc, auroc + 1e-3 * float(np.tanh((high.mean() - low.mean()) / spread / 10))


def _shuffled(
    some: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    both = np.concatenate(some)
    order = rng.permutation(len(both))
    return both[order[: len(some[0])]], both[order[len(some[0]) :]]


def _spread(
    scores: tuple[np.ndarray, np.ndarray], threshold: float, rng: np.random.Generator
) -> np.ndarray:
    """Return 95 % limits of AUROC and of the true-positive rate over inputs."""
    draws = []
    for _ in range(300):
        again = [rng.choice(s, len(s)) for s in scores]
        draws.append([cav.auc(*again), float((again[0] > threshold).mean())])
    return np.quantile(draws, [0.025, 0.975], axis=0).T
