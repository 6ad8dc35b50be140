"""How much of a behaviour a circuit keeps, and what single cuts do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import ModelEngine
from interp_widgets.methods.circuits.metrics import Metric
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.readout import COARSE, TOLERANCE
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.session.prompts import Prompt, PromptBatch

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from interp_widgets.session.session import Session

Prompts = Prompt | PromptBatch | Sequence[Prompt]
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
        Edges taken by |score| ``[size]``.
    edges
        Edges left after pruning ``[size]``.
    values
        ``(m(circuit) − m(corrupted)) / (m(clean) − m(corrupted))`` ``[size]``.
    metric
        Mean metric of the circuit ``[size]``.
    clean, corrupted
        Mean metric of the whole network and of the corrupted run.
    n_edges
        Edges of the whole network.
    checks
        Largest differences of logits: ``cut_none`` (nothing cut against the clean run) and
        ``cut_all`` (everything cut against the corrupted run), as shares of the largest logit.
    """

    sizes: np.ndarray
    edges: np.ndarray
    values: np.ndarray
    metric: np.ndarray
    clean: float
    corrupted: float
    n_edges: int
    checks: dict[str, float] = field(default_factory=dict)

    @property
    def cpr(self) -> float:
        """Area under faithfulness over the share of edges (MIB's CPR; larger is better)."""
        return float(np.trapezoid(self.values, self.sizes / self.n_edges))

    @property
    def cmd(self) -> float:
        """Area between faithfulness and 1 (MIB's CMD; 0 is best)."""
        return float(np.trapezoid(np.abs(1 - self.values), self.sizes / self.n_edges))

    def frame(self) -> pd.DataFrame:
        """Return one row per size."""
        import pandas as pd

        return pd.DataFrame(
            {
                "edges_taken": self.sizes,
                "edges_kept": self.edges,
                "share": self.sizes / self.n_edges,
                "faithfulness": self.values,
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

        hover = [f"{kept:,} edges after pruning" for kept in self.edges]
        curve = go.Scatter(x=self.sizes, y=self.values, mode="lines+markers", hovertext=hover)
        figure = go.Figure(curve)
        for level in (0, 1):
            figure.add_hline(level, line={"width": 1, "dash": "dot", "color": "#59636e"})
        figure.update_xaxes(type="log", title=f"edges (of {self.n_edges:,})")
        figure.update_yaxes(title="faithfulness")
        figure.update_layout(template="simple_white", height=320, margin={"t": 16, "r": 16})
        return figure


@dataclass
class Pairs:
    """Clean and corrupted prompts, in batches of one length each."""

    session: Session
    batches: list[tuple[PromptBatch, PromptBatch]]

    @classmethod
    def of(cls, clean: Prompts, corrupted: Prompts, batch_size: int | None = None) -> Pairs:
        """Pair prompts in order, and group pairs of one length.

        Raises
        ------
        CircuitError
            When the numbers of prompts or the lengths of a pair differ.
        """
        ours, theirs = _list(clean, "clean"), _list(corrupted, "corrupted")
        if len(ours) != len(theirs):
            raise CircuitError(
                f"{len(ours)} clean and {len(theirs)} corrupted prompts: every clean prompt needs "
                "its corrupted one, in the same order"
            )
        session = ours[0].session
        if any(p.session is not session for p in [*ours, *theirs]):
            raise CircuitError("clean and corrupted prompts belong to different sessions")
        groups: dict[int, list[tuple[Prompt, Prompt]]] = {}
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if len(a) != len(b):
                raise CircuitError(
                    f"pair {i} differs in length: {len(a)} tokens clean, {len(b)} corrupted. Edges "
                    "are patched position by position, so replace words by words of as many tokens"
                )
            groups.setdefault(len(a), []).append((a, b))
        size = batch_size or _batch_size(session, max(groups))
        batches = []
        for length in sorted(groups):
            for at in range(0, len(groups[length]), size):
                some = groups[length][at : at + size]
                batches.append(
                    (PromptBatch(tuple(a for a, _ in some)), PromptBatch(tuple(b for _, b in some)))
                )
        return cls(session, batches)

    def __len__(self) -> int:
        return sum(len(clean) for clean, _ in self.batches)

    def __iter__(self) -> Iterator[tuple[PromptBatch, PromptBatch]]:
        return iter(self.batches)

    @property
    def first(self) -> tuple[Prompt, Prompt]:
        """The first pair."""
        return self.batches[0][0][0], self.batches[0][1][0]


def _list(prompts: Prompts, name: str) -> list[Prompt]:
    if isinstance(prompts, Prompt):
        return [prompts]
    found = list(prompts)
    if not found or not all(isinstance(p, Prompt) for p in found):
        raise CircuitError(f"{name} has to be a prompt or a list of prompts made by session.prompt")
    return found


def _batch_size(session: Session, length: int) -> int:
    """Return how many pairs run at once: what components write takes about 512 MB then."""
    graph = Graph.from_session(session)
    width = session.anatomy.d_model or 1
    return int(max(1, min(64, 2**27 // (graph.n_forward * width * length))))


def sizes_of(n_edges: int, sizes: Sequence[float] | None = None) -> list[int]:
    """Turn sizes (numbers of edges, or shares up to 1.0 as floats) into ascending numbers of edges.

    Raises
    ------
    ValueError
        For a size below 0 or above the number of edges.
    """
    found = set()
    for size in SHARES if sizes is None else sizes:
        number = round(size * n_edges) if isinstance(size, float) and size <= 1 else int(size)
        if not 0 <= number <= n_edges:
            raise ValueError(f"there is no circuit of {size} edges: the network has {n_edges:,}")
        found.add(max(1, number) if size else 0)
    return sorted(found)


def faithfulness(
    engine: ModelEngine,
    graph: Graph,
    pairs: Pairs,
    metric: Metric,
    sizes: Sequence[int],
    progress: Progress | None = None,
) -> Faithfulness:
    """Measure circuits of growing size; edges outside the circuit carry corrupted values.

    Raises
    ------
    CircuitError
        When cutting nothing does not give the clean logits, or cutting everything does not give the
        corrupted ones: then no number between them would mean anything.
    """
    chosen = [graph.top_n(size).prune() for size in sizes]
    total = len(pairs.batches) * (len(chosen) + 2)
    sums = np.zeros(len(chosen))
    ends = np.zeros(2)
    checks = {"cut_none": 0.0, "cut_all": 0.0}
    done = 0
    for clean, corrupted in pairs:
        _, logits = engine.writers(clean)
        theirs, wrong = engine.writers(corrupted)
        for i, (name, mask, wanted) in enumerate(
            (
                ("cut_none", np.zeros(graph.shape, bool), logits),
                ("cut_all", graph.real_edge_mask, wrong),
            )
        ):
            out = engine.cut(clean, theirs, torch.from_numpy(mask))
            checks[name] = max(checks[name], _difference(out, wanted))
            ends[i] += float(metric.value(wanted, clean, logits).double().sum())
            done += 1
            if progress is not None:
                progress(done, total)
        check_identities(checks, logits.dtype, engine.session)
        for i, part in enumerate(chosen):
            out = engine.cut(clean, theirs, torch.from_numpy(part.complement().in_graph))
            sums[i] += float(metric.value(out, clean, logits).double().sum())
            done += 1
            if progress is not None:
                progress(done, total)
    values = sums / len(pairs)
    full, empty = ends / len(pairs)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (values - empty) / (full - empty)
    return Faithfulness(
        sizes=np.array(sizes, np.int32),
        edges=np.array([part.count for part in chosen], np.int32),
        values=shares,
        metric=values,
        clean=float(full),
        corrupted=float(empty),
        n_edges=graph.n_edges,
        checks=checks,
    )


def _difference(ours: Tensor, theirs: Tensor) -> float:
    scale = theirs.abs().max().clamp_min(1e-12)
    return float((ours - theirs).abs().max() / scale)


def check_identities(checks: dict[str, float], dtype: torch.dtype, session: Session) -> None:
    """Raise CircuitError when cutting nothing, or everything, gives another run than it has to."""
    tolerance = TOLERANCE.get(dtype, COARSE)
    for name, wanted in (("cut_none", "clean"), ("cut_all", "corrupted")):
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


def measure_cut(pairs: Pairs, metric: Metric, edges: np.ndarray) -> float:
    """Return the mean metric with these edges (mask ``[n_forward, n_backward]``) corrupted."""
    total = 0.0
    mask = torch.from_numpy(np.asarray(edges, bool))
    engine = ModelEngine(pairs.session, pairs.batches[0][0])
    for clean, corrupted in pairs:
        theirs, _ = engine.writers(corrupted)
        _, logits = engine.writers(clean)
        out = engine.cut(clean, theirs, mask)
        total += float(metric.value(out, clean, logits).double().sum())
    return total / len(pairs)


def evaluate(
    session: Session,
    circuit: CircuitResult | Graph,
    clean: Prompts | None = None,
    corrupted: Prompts | None = None,
    *,
    sizes: Sequence[float] | None = None,
    metric: str | None = None,
    batch_size: int | None = None,
) -> Faithfulness:
    """Measure how faithful circuits of growing size are, on these pairs or on those of the result.

    Parameters
    ----------
    session
        The live session.
    circuit
        A circuit, or a graph with scores; edges are taken by |score| and pruned to those on a path
        from the input to the logits.
    clean, corrupted
        Pairs of prompts; default those that the circuit was found on. Held-out pairs say more.
    sizes
        Numbers of edges, or shares as floats; default the ten sizes of the MIB benchmark.
    metric
        ``"logit_difference"`` or ``"kl"``; default the circuit's.
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
    clean, corrupted, name = _pairs_of(session, circuit, clean, corrupted, metric)
    pairs = Pairs.of(clean, corrupted, batch_size)
    measure = Metric(name)
    graph = circuit.graph if isinstance(circuit, CircuitResult) else circuit

    def work(job: Any = None) -> Faithfulness:
        engine = ModelEngine(session, pairs.batches[0][0])
        for batch, _ in pairs:
            measure.check(batch)
        numbers = sizes_of(graph.n_edges, sizes)
        progress = None if job is None else job.progress
        return faithfulness(engine, graph, pairs, measure, numbers, progress)

    found: Faithfulness = session.run(work, label="Faithfulness")
    return found


def cut(
    session: Session,
    circuit: CircuitResult,
    edges: Any,
    clean: Prompts | None = None,
    corrupted: Prompts | None = None,
) -> float:
    """Return the metric with ``edges`` corrupted, on these pairs or on those of the circuit.

    Parameters
    ----------
    edges
        Names such as ``"a0.h1->m1"``, (row, column) pairs, or a mask ``[n_forward, n_backward]``.

    Examples
    --------
    >>> iw.circuits.cut(session, circuit, ["a1.h3->logits"])
    """
    clean, corrupted, name = _pairs_of(session, circuit, clean, corrupted, None)
    mask = circuit.graph.mask(edges)
    pairs = Pairs.of(clean, corrupted)
    value: float = session.run(lambda: measure_cut(pairs, Metric(name), mask), label="Cut edges")
    return value


def _pairs_of(
    session: Session,
    circuit: CircuitResult | Graph,
    clean: Prompts | None,
    corrupted: Prompts | None,
    metric: str | None,
) -> tuple[Prompts, Prompts, Any]:
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
