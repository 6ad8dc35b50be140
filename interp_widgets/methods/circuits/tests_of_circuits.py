"""Statistical tests of a circuit, with p-values (Shi et al. 2024, arXiv:2410.13032)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from interp_widgets.methods.circuits.random_circuits import inflate, random_circuit
from interp_widgets.methods.circuits.trials import Subject, Trials

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05


@dataclass(frozen=True)
class Test:
    """One test.

    Parameters
    ----------
    name, null
        The test and its null hypothesis in words.
    statistic
        What was measured.
    p
        Probability of a statistic as extreme, under the null.
    rejected
        Whether ``p`` is below 0.05 (after Holm's correction where several are tested).
    reading
        What that says about the circuit.
    """

    __test__ = False

    name: str
    null: str
    statistic: float
    p: float
    rejected: bool
    reading: str

    def row(self) -> dict[str, Any]:
        """Return the test as plain data."""
        return asdict(self)


def frame(tests: Sequence[Test]) -> pd.DataFrame:
    """Return one row per test."""
    import pandas as pd

    return pd.DataFrame([test.row() for test in tests])


def equivalence(circuit: np.ndarray, network: np.ndarray, epsilon: float = 0.1) -> Test:
    r"""Test whether circuit and network are equally often the better one.

    Null: \|P(circuit above network) − 1/2\| ≤ ε over prompts. The p-value is exact, at the edge of
    the null; pairs with equal metrics tell nothing and are left out.

    Parameters
    ----------
    circuit, network
        Metric of each pair ``[pair]``.
    epsilon
        What still counts as equal; 0.1 in the paper.
    """
    _check(circuit, network)
    delta = np.asarray(circuit, float) - np.asarray(network, float)
    n, above = int((delta != 0).sum()), int((delta > 0).sum())
    share = above / n if n else 0.5
    p = 1.0
    if n:
        counts = np.arange(n + 1)
        extreme = np.abs(counts / n - 0.5) >= abs(share - 0.5) - 1e-12
        p = min(1.0, float(stats.binom.pmf(counts, n, 0.5 + epsilon)[extreme].sum()))
    rejected = p < LEVEL
    return Test(
        "equivalence",
        f"the circuit is above the network on half of the prompts (± {epsilon:g})",
        share,
        p,
        rejected,
        "circuit and network differ" if rejected else "no difference was shown",
    )


def independence(
    complement: np.ndarray, network: np.ndarray, permutations: int = 1000, seed: int = 0
) -> Test:
    """Test whether what is left without the circuit still goes with the network, prompt by prompt.

    Null: the metric of the complement is independent of the network's. The statistic is the
    Hilbert-Schmidt independence criterion with Gaussian kernels of median width; the p-value is by
    permutation, (1 + as large ones) / (1 + permutations).

    Parameters
    ----------
    complement, network
        Metric of each pair ``[pair]``.
    """
    _check(complement, network)
    ours, theirs = _kernel(complement), _kernel(network)
    n = len(ours)
    centre = np.eye(n) - 1 / n
    ours = centre @ ours @ centre
    statistic = float((ours * theirs).sum() / max(1, n - 1) ** 2)
    rng = np.random.default_rng(seed)
    larger = 0
    for _ in range(permutations):
        order = rng.permutation(n)
        drawn = float((ours * theirs[np.ix_(order, order)]).sum() / max(1, n - 1) ** 2)
        larger += drawn >= statistic * (1 - 1e-12)
    p = (1 + larger) / (1 + permutations)
    rejected = p < LEVEL
    return Test(
        "independence",
        "without the circuit the rest of the network is independent of the network's behaviour",
        statistic,
        p,
        rejected,
        "part of the behaviour is outside the circuit" if rejected else "no dependence was shown",
    )


def sufficiency(
    circuit: np.ndarray, network: np.ndarray, drawn: np.ndarray, quantile: float = 0.9
) -> Test:
    r"""Test whether the circuit is nearer to the network than a share of random circuits.

    Null: it is nearer than at most a share ``quantile`` of circuits of its size. Nearness is the
    mean \|metric − network's metric\| over prompts.

    Parameters
    ----------
    circuit, network
        Metric of each pair ``[pair]``.
    drawn
        Metric with only a random circuit ``[draw, pair]``.
    """
    own = np.abs(circuit - network).mean()
    others = np.abs(drawn - network).mean(-1)
    return _against_random(
        "sufficiency",
        f"it is nearer to the network than at most {quantile:.0%} of random circuits of its size",
        int((own < others).sum()),
        len(others),
        quantile,
        ("better than random circuits", "not shown to be better than random circuits"),
    )


def partial_necessity(
    complement: np.ndarray, network: np.ndarray, drawn: np.ndarray, quantile: float = 0.9
) -> Test:
    """Test whether losing the circuit hurts more than losing random circuits of its size.

    Parameters
    ----------
    complement, network
        Metric of each pair ``[pair]``, without the circuit and of the whole network.
    drawn
        Metric without a random circuit ``[draw, pair]``.
    """
    own = np.abs(complement - network).mean()
    others = np.abs(drawn - network).mean(-1)
    return _against_random(
        "partial necessity",
        f"its loss hurts more than that of at most {quantile:.0%} of random circuits of its size",
        int((own > others).sum()),
        len(others),
        quantile,
        ("needed more than random circuits", "not shown to be needed more than random circuits"),
    )


def _against_random(
    name: str, null: str, better: int, draws: int, quantile: float, readings: tuple[str, str]
) -> Test:
    p = float(stats.binomtest(better, draws, quantile, alternative="greater").pvalue)
    rejected = p < LEVEL
    return Test(name, null, better / draws, p, rejected, readings[0] if rejected else readings[1])


def minimal_edges(
    effects: np.ndarray, inflated: np.ndarray, names: Sequence[str], quantile: float = 0.9
) -> Test:
    """Test whether some edge of the circuit does no more than a random edge added to it.

    Null, for each edge: its loss changes the metric more than that of a random added edge, at least
    a share ``quantile`` of the time. p-values are corrected by Holm's rule; the smallest is given.

    Parameters
    ----------
    effects
        Change of the metric when each edge is lost ``[edge]``.
    inflated
        The same for random edges of circuits with a random path added ``[draw]``.
    names
        Of the edges.
    """
    larger = (np.asarray(effects)[:, None] > np.asarray(inflated)[None, :]).sum(1)
    single = stats.binom.cdf(larger, len(inflated), quantile)
    adjusted = holm(single)
    idle = [name for name, p in zip(names, adjusted, strict=True) if p < LEVEL]
    p = float(adjusted.min())
    reading = f"{len(idle)} of {len(names)} edges do no more than random ones" if idle else ""
    return Test(
        "minimality",
        f"every edge does more than a random added edge {quantile:.0%} of the time",
        float((larger / len(inflated)).min()),
        p,
        bool(idle),
        reading or "no edge was shown to be superfluous",
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number (Holm 1979)."""
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(steps, 1.0)
    return found


def _kernel(values: np.ndarray) -> np.ndarray:
    """Return the Gaussian kernel ``[pair, pair]``, as wide as the median distance."""
    values = np.asarray(values, float)
    distance = np.abs(values[:, None] - values[None, :])
    apart = distance[distance > 0]
    width = float(np.median(apart)) if len(apart) else 1.0
    return np.asarray(np.exp(-(distance**2) / (2 * width**2)))


def _check(first: np.ndarray, second: np.ndarray) -> None:
    if np.shape(first) != np.shape(second) or np.ndim(first) != 1:
        raise ValueError(
            f"one metric per pair is needed for both, got {np.shape(first)} and {np.shape(second)}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("metrics of pairs have to be finite")


@dataclass(frozen=True)
class Drawn:
    """Metrics with only, and without, random circuits of equal size ``[draw, pair]``."""

    only: np.ndarray
    without: np.ndarray
    sizes: np.ndarray


def draw_random(trials: Trials, subject: Subject, draws: int, seed: int, *, nodes: bool) -> Drawn:
    """Measure random circuits as large as the subject, and the network without them."""
    rng = np.random.default_rng(seed)
    masks = [random_circuit(subject, rng, nodes=nodes) for _ in range(draws)]
    real = subject.real
    return Drawn(
        trials.measure(masks),
        trials.measure([real & ~mask for mask in masks]),
        np.array([mask.sum() for mask in masks]),
    )


def edges_against_random(
    trials: Trials, subject: Subject, *, most: int = 100, draws: int = 50, seed: int = 0
) -> Test:
    r"""Run the test of minimality edge by edge, on the ``most`` edges of smallest \|score\|."""
    flat = subject.kept.any(-1) if subject.kept.ndim == 3 else subject.kept
    rows, columns = np.nonzero(flat)
    scores = np.abs(subject.graph.scores[rows, columns])
    order = np.argsort(scores, kind="stable")[:most]
    rng = np.random.default_rng(seed)
    added = [inflate(subject, rng) for _ in range(draws)]
    lost = []
    for i in order:
        less = subject.kept.copy()
        less[rows[i], columns[i]] = False
        lost.append(less)
    own = trials.measure([subject.kept])[0]
    effects = np.abs(trials.measure(lost) - own).mean(-1)
    larger = trials.measure([a for a, _ in added])
    inflated = np.abs(larger - trials.measure([b for _, b in added])).mean(-1)
    names = [subject.graph.edge_name(int(rows[i]), int(columns[i])) for i in order]
    return minimal_edges(effects, inflated, names)
