"""How much of a behaviour a circuit keeps, and what single cuts do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.ablation import AblationName
from interp_widgets.methods.circuits.levels import Units
from interp_widgets.methods.circuits.pairs import Pairs, Prompts
from interp_widgets.methods.circuits.problem import Case, Problem, pose
from interp_widgets.methods.circuits.tally import Level
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.readout import COARSE, TOLERANCE
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from interp_widgets.session.session import Session

Progress = Callable[[int, int], None]

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Circuit sizes of the MIB benchmark (arXiv 2504.13151), as shares of the edges."""

ENOUGH = 0.85
"""A circuit of this faithfulness counts as found when no size is asked for."""


@dataclass(frozen=True)
class Faithfulness:
    """Faithfulness by circuit size; never clipped, so values below 0 and above 1 are real.

    Parameters
    ----------
    sizes
        Units (edges, nodes or neurons) taken by |score|, or by score ``[size]``.
    kept
        Units left after pruning ``[size]``.
    samples
        Metric of the circuit on each pair ``[size, pair]``.
    clean_samples, corrupted_samples
        Metric of the whole network, and with everything ablated ``[pair]``.
    total
        Units of the whole network.
    level
        What the units are.
    checks
        Largest differences of logits: ``cut_none`` (nothing cut against the clean run) and
        ``cut_all`` (everything cut against the ablated run), as shares of the largest logit.
    """

    sizes: np.ndarray
    kept: np.ndarray
    samples: np.ndarray
    clean_samples: np.ndarray
    corrupted_samples: np.ndarray
    total: int
    level: Level = "edge"
    checks: dict[str, float] = field(default_factory=dict)

    @property
    def clean(self) -> float:
        """Mean metric of the whole network."""
        return float(self.clean_samples.mean())

    @property
    def corrupted(self) -> float:
        """Mean metric with everything ablated."""
        return float(self.corrupted_samples.mean())

    @property
    def metric(self) -> np.ndarray:
        """Mean metric of the circuits ``[size]``."""
        return np.asarray(self.samples.mean(axis=1))

    @property
    def values(self) -> np.ndarray:
        """``(m(circuit) − m(ablated)) / (m(clean) − m(ablated))`` ``[size]``."""
        return _shares(self.metric, self.clean, self.corrupted)

    @property
    def cpr(self) -> float:
        """Area under faithfulness over the share of units (MIB's CPR; larger is better)."""
        return float(np.trapezoid(self.values, self.sizes / self.total))

    @property
    def cmd(self) -> float:
        """Area between faithfulness and 1 (MIB's CMD; 0 is best)."""
        return float(np.trapezoid(np.abs(1 - self.values), self.sizes / self.total))

    def interval(self, confidence: float = 0.95, draws: int = 1000, seed: int = 0) -> np.ndarray:
        """Return bootstrap limits of faithfulness over pairs ``[size, 2]``.

        Pairs are drawn with replacement; percentiles of ``draws`` draws (1,000 is usual for 95 %).
        """
        rng = np.random.default_rng(seed)
        pick = rng.integers(0, len(self.clean_samples), (draws, len(self.clean_samples)))
        means = self.samples[:, pick].mean(-1)
        ends = [x[pick].mean(-1) for x in (self.clean_samples, self.corrupted_samples)]
        tail = (1 - confidence) / 2
        return np.quantile(_shares(means, *ends), [tail, 1 - tail], axis=1).T

    def smallest(self, faithful: float = ENOUGH) -> int | None:
        """Return the smallest size measured of at least this faithfulness, or None."""
        enough = np.flatnonzero(self.values >= faithful)
        return int(self.sizes[enough[0]]) if len(enough) else None

    def frame(self) -> pd.DataFrame:
        """Return one row per size, with 95 % limits of faithfulness over pairs."""
        import pandas as pd

        limits = self.interval()
        return pd.DataFrame(
            {
                f"{self.level}s_taken": self.sizes,
                f"{self.level}s_kept": self.kept,
                "share": self.sizes / self.total,
                "faithfulness": self.values,
                "low": limits[:, 0],
                "high": limits[:, 1],
                "metric": self.metric,
            }
        )

    def chart(self) -> go.Figure:
        """Return faithfulness over size as a plotly chart; 1 is the whole network, 0 is none of it.

        Examples
        --------
        >>> iw.circuits.evaluate(session, circuit, clean, corrupted).chart()
        """
        import plotly.graph_objects as go

        hover = [f"{kept:,} {self.level}s after pruning" for kept in self.kept]
        curve = go.Scatter(x=self.sizes, y=self.values, mode="lines+markers", hovertext=hover)
        figure = go.Figure(curve)
        for level in (0, 1):
            figure.add_hline(level, line={"width": 1, "dash": "dot", "color": "#59636e"})
        figure.update_xaxes(type="log", title=f"{self.level}s (of {self.total:,})")
        figure.update_yaxes(title="faithfulness")
        figure.update_layout(template="simple_white", height=320, margin={"t": 16, "r": 16})
        return figure


def sizes_of(total: int, sizes: Sequence[float] | None = None) -> list[int]:
    """Turn sizes (numbers, or shares up to 1.0 as floats) into ascending numbers of units.

    Raises
    ------
    ValueError
        For a size below 0 or above the number of units.
    """
    found = set()
    for size in SHARES if sizes is None else sizes:
        number = round(size * total) if isinstance(size, float) and size <= 1 else int(size)
        if not 0 <= number <= total:
            raise ValueError(f"there is no circuit of {size} units: the network has {total:,}")
        found.add(max(1, number) if size else 0)
    return sorted(found)


def faithfulness(
    problem: Problem,
    units: Units,
    sizes: Sequence[int],
    progress: Progress | None = None,
    *,
    absolute: bool = True,
) -> Faithfulness:
    """Measure circuits of growing size; what is outside them is ablated.

    ``absolute`` says that units are taken by |score| rather than by score.

    Raises
    ------
    CircuitError
        When cutting nothing does not give the clean logits, or cutting everything not those of the
        ablated network: then no number between them would mean anything.
    """
    engine, graph = problem.engine, units.graph
    parts = [units.top(size, absolute=absolute) for size in sizes]
    total = len(problem.pairs.batches) * (len(parts) + 2)
    samples: list[list[float]] = [[] for _ in range(len(parts) + 2)]
    checks = {"cut_none": 0.0, "cut_all": 0.0}
    real = torch.from_numpy(graph.real_edge_mask)
    done = 0
    for case in problem.cases():
        _, logits = engine.writers(case.clean)

        def measure(at: int, own: Tensor, case: Case = case, logits: Tensor = logits) -> None:
            nonlocal done
            samples[at] += problem.metric.value(own, case.clean, logits).double().tolist()
            done += 1
            if progress is not None:
                progress(done, total)

        for at, name, mask, wanted in (
            (-2, "cut_none", torch.zeros_like(real), logits),
            (-1, "cut_all", real, case.cut_logits),
        ):
            out = engine.cut(case.clean, case.values, mask)
            scale = max(float(x.abs().max()) for x in (wanted, logits))
            difference = float((out - wanted).abs().max()) / max(scale, 1e-12)
            checks[name] = max(checks[name], difference)
            measure(at, wanted)
        check_identities(
            checks, logits.dtype, engine.session, empty=problem.ablation.name == "zero"
        )
        for at, part in enumerate(parts):
            out = engine.cut(case.clean, case.values, part.cut, neurons=part.neurons)
            measure(at, out)
    return Faithfulness(
        sizes=np.array(sizes, np.int32),
        kept=np.array([part.count for part in parts], np.int32),
        samples=np.array(samples[:-2]).reshape(len(parts), len(problem.pairs)),
        clean_samples=np.array(samples[-2]),
        corrupted_samples=np.array(samples[-1]),
        total=units.total,
        level=units.level,
        checks=checks,
    )


def _shares(values: np.ndarray, full: Any, empty: Any) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((values - empty) / (full - empty))


def check_identities(
    checks: dict[str, float], dtype: torch.dtype, session: Session, *, empty: bool = False
) -> None:
    """Raise CircuitError when cutting nothing, or everything, gives another run than it has to.

    ``empty`` says that nothing is left of the stream when all is cut: a norm then divides rounding
    errors by almost nothing, and the second comparison is coarse.
    """
    for name, wanted in (("cut_none", "clean"), ("cut_all", "ablated")):
        coarse = empty and name == "cut_all"
        tolerance = COARSE if coarse else TOLERANCE.get(dtype, COARSE)
        if checks[name] <= tolerance:
            continue
        nothing = "nothing" if name == "cut_none" else "every edge"
        why = ""
        if session.interventions.active:
            why = (
                ". The session's interventions change the residual stream between components, "
                "where no edge carries it: switch those at resid_pre, resid_mid or resid_post off"
            )
        raise CircuitError(
            f"with {nothing} cut the logits differ from the {wanted} run by {checks[name]:.1e} of "
            f"the largest, more than {tolerance:.0e}{why}"
        )


def measure_cut(problem: Problem, edges: np.ndarray) -> float:
    """Return the mean metric with these edges (mask ``[n_forward, n_backward]``) ablated."""
    mask = torch.from_numpy(np.asarray(edges, bool))
    found: list[float] = []
    for case in problem.cases():
        _, logits = problem.engine.writers(case.clean)
        out = problem.engine.cut(case.clean, case.values, mask)
        found += problem.metric.value(out, case.clean, logits).double().tolist()
    return float(np.mean(found))


def evaluate(
    session: Session,
    circuit: CircuitResult | Graph,
    clean: Prompts | None = None,
    corrupted: Prompts | None = None,
    *,
    sizes: Sequence[float] | None = None,
    absolute: bool = True,
    metric: str | None = None,
    ablation: AblationName | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> Faithfulness:
    """Measure how faithful circuits of growing size are, on these pairs or on those of the result.

    Parameters
    ----------
    session
        The live session.
    circuit
        A circuit, or a graph with scores; edges are taken by |score| and pruned to those on a path
        from the input to the logits, nodes and neurons are taken by |score|.
    clean, corrupted
        Pairs of prompts; default those that the circuit was found on. Held-out pairs say more.
    sizes
        Numbers of units, or shares as floats; default the ten sizes of the MIB benchmark.
    absolute
        Whether units are taken by |score|, which suits CMD (all that matters for the behaviour,
        also what works against it), or by score, which suits CPR (what speaks for the answer); the
        MIB benchmark reports both.
    metric
        ``"logit_difference"`` or ``"kl"``; default the circuit's.
    ablation
        What happens to the rest of the network; default the circuit's way, see :class:`Ablation`.
    batch_size
        Pairs per run; default as many as fit into about 512 MB.

    Raises
    ------
    CircuitError
        When prompts do not fit together, or the model cannot be measured edge by edge.

    Examples
    --------
    >>> curve = iw.circuits.evaluate(session, circuit, held_out, held_out_corrupted)
    >>> curve.cpr, curve.frame()
    """
    clean, corrupted, name = prompts_and_metric(session, circuit, clean, corrupted, metric)
    way = ablation or way_of(circuit)

    def work(job: Any = None) -> Faithfulness:
        pairs = Pairs.of(clean, corrupted, batch_size)
        problem = pose(pairs, name, way, seed=seed)
        units = units_of(circuit)
        problem.level = units.level
        progress = None if job is None else job.progress
        wanted = sizes_of(units.total, sizes)
        return faithfulness(problem, units, wanted, progress, absolute=absolute)

    found: Faithfulness = session.run(work, label="Faithfulness")
    return found


def units_of(circuit: CircuitResult | Graph) -> Units:
    """Return what a circuit ranks: its edges, nodes or neurons with their scores."""
    if isinstance(circuit, Graph):
        return Units(circuit, "edge", circuit.scores)
    level = circuit.level
    scores = circuit.numpy("unit_scores" if "unit_scores" in circuit.arrays else "scores")
    return Units(circuit.graph, level, scores)


def cut(
    session: Session,
    circuit: CircuitResult,
    edges: Any,
    clean: Prompts | None = None,
    corrupted: Prompts | None = None,
    *,
    ablation: AblationName | None = None,
) -> float:
    """Return the metric with ``edges`` ablated, on these pairs or on those of the circuit.

    Parameters
    ----------
    edges
        Names such as ``"a0.h1->m1"``, (row, column) pairs, or a mask ``[n_forward, n_backward]``.

    Examples
    --------
    >>> iw.circuits.cut(session, circuit, ["a1.h3->logits"])
    """
    clean, corrupted, name = prompts_and_metric(session, circuit, clean, corrupted, None)
    mask = circuit.graph.mask(edges)
    way = ablation or way_of(circuit)

    def work() -> float:
        return measure_cut(pose(Pairs.of(clean, corrupted), name, way), mask)

    value: float = session.run(work, label="Cut edges")
    return value


def way_of(circuit: CircuitResult | Graph) -> AblationName:
    """Return the way of ablation that a circuit was found with, else interchange."""
    recipe = circuit.recipe if isinstance(circuit, CircuitResult) else None
    way: AblationName = recipe.arguments.get("ablation", "interchange") if recipe else "interchange"
    return way


def prompts_and_metric(
    session: Session,
    circuit: CircuitResult | Graph,
    clean: Prompts | None,
    corrupted: Prompts | None,
    metric: str | None,
) -> tuple[Prompts, Prompts, Any]:
    """Return the pairs and the metric to measure on: those given, else those of the circuit.

    Raises
    ------
    CircuitError
        When only one of the prompts is given, or none and the circuit names none.
    """
    from interp_widgets.methods import arguments

    recipe = circuit.recipe if isinstance(circuit, CircuitResult) else None
    if (clean is None) != (corrupted is None):
        raise CircuitError("give clean and corrupted prompts together, or neither")
    if clean is None or corrupted is None:
        if recipe is None or not isinstance(circuit, CircuitResult):
            raise CircuitError("this circuit names no prompts: give clean and corrupted ones")
        clean = arguments.decode(recipe.arguments["clean"], session, circuit.arrays)
        corrupted = arguments.decode(recipe.arguments["corrupted"], session, circuit.arrays)
        assert clean is not None
        assert corrupted is not None
    if metric is None:
        metric = recipe.arguments["metric"] if recipe is not None else "logit_difference"
    return clean, corrupted, metric
