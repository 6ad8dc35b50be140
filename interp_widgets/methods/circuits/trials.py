"""Running many circuits on the same pairs, several in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.evaluate import check_identities, units_of
from interp_widgets.methods.circuits.problem import Problem
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.arrangement import component
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.session.prompts import PromptBatch

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

NUMBERS = 2**26
"""Numbers that what components write may take in one run: 256 MB in float32."""
MOST_ROWS = 128


@dataclass(frozen=True)
class Subject:
    """The circuit on trial.

    Parameters
    ----------
    graph
        The component graph; its scores draw and rank, its chosen edges are not used.
    kept
        The circuit's edges ``[n_forward, n_backward]``, or with positions as a third axis.
    """

    graph: Graph
    kept: np.ndarray

    @property
    def real(self) -> np.ndarray:
        """Which edges exist, in the shape of ``kept``."""
        return over_positions(self.graph.real_edge_mask, self.kept)

    @property
    def rows(self) -> np.ndarray:
        """Rows of the circuit's components that write something it uses, without the input."""
        used = np.asarray(self.kept.reshape(len(self.kept), -1).any(1))
        used[0] = False
        return np.flatnonzero(used)

    @property
    def nodes(self) -> list[str]:
        """Names of these components."""
        return [self.graph.forward[i].name for i in self.rows]

    def without(self, members: np.ndarray) -> np.ndarray:
        """Return the circuit's edges less all out of some nodes (bool over :attr:`nodes`)."""
        return self._cleared(self.kept, members)

    def network_without(self, members: np.ndarray) -> np.ndarray:
        """Return the whole network's edges less all out of some of the circuit's nodes."""
        return self._cleared(self.real, members)

    def _cleared(self, edges: np.ndarray, members: np.ndarray) -> np.ndarray:
        left = np.array(edges)
        left[self.rows[members]] = False
        return left


def over_positions(mask: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Give a mask ``[n_forward, n_backward]`` the positions of another."""
    return np.broadcast_to(mask[..., None], like.shape) if like.ndim == 3 else mask


def mask_of(session: Session, circuit: Any) -> np.ndarray:
    """Return the edges of a circuit ``[n_forward, n_backward]``, or one more axis for positions.

    Parameters
    ----------
    session
        Whose network it is.
    circuit
        A circuit, a graph, a known circuit, a mask, names of edges, or names of nodes (then all
        edges between them, the input and the logits).

    Raises
    ------
    CircuitError
        When it is empty, of another network, or of single neurons.
    """
    graph = Graph.from_session(session)
    if isinstance(circuit, CircuitResult):
        kept = _of_result(circuit)
    elif hasattr(circuit, "graph"):
        kept = circuit.graph.in_graph
    elif isinstance(circuit, Graph):
        kept = circuit.in_graph
    elif isinstance(circuit, np.ndarray):
        kept = circuit.astype(bool)
    else:
        kept = _of_names(graph, circuit)
    if kept.shape[:2] != graph.shape:
        raise CircuitError(
            f"this circuit is of another network: its edges are {' × '.join(map(str, kept.shape))},"
            f" the session's model has {graph.shape[0]} × {graph.shape[1]}"
        )
    if (kept & ~over_positions(graph.real_edge_mask, kept)).any():
        raise CircuitError("this circuit has edges that run backwards in the network")
    if not kept.any():
        raise CircuitError(
            "this circuit has no edges: choose some, for example graph.top_n(100).prune()"
        )
    return kept


def _of_result(circuit: CircuitResult) -> np.ndarray:
    if circuit.level == "neuron":
        raise CircuitError(
            "a circuit of single neurons has no nodes to leave out: judge one of edges or nodes, "
            "or measure it with iw.circuits.evaluate"
        )
    units = units_of(circuit)
    if not units.positional:
        return circuit.numpy("in_graph").astype(bool)
    cut = units.top(int(circuit.meta["size"])).cut[0].numpy()
    return over_positions(units.graph.real_edge_mask, cut) & ~cut


def _of_names(graph: Graph, names: Iterable[str]) -> np.ndarray:
    wanted = [names] if isinstance(names, str) else list(names)
    if wanted and all(isinstance(name, str) and "->" in name for name in wanted):
        try:
            return graph.mask(wanted)
        except KeyError as error:
            raise CircuitError(str(error.args[0])) from error
    kept = {component(name) for name in wanted}
    unknown = kept - {n.component for n in (*graph.forward, *graph.backward)}
    if unknown:
        raise CircuitError(f"this network has no {', '.join(sorted(unknown))}")
    return between(graph, kept)


def between(graph: Graph, nodes: Iterable[str]) -> np.ndarray:
    """Return all edges between components, the input and the logits."""
    kept = {*nodes, "input", "logits"}
    rows = np.array([node.name in kept for node in graph.forward])
    columns = np.array([node.component in kept for node in graph.backward])
    return graph.real_edge_mask & rows[:, None] & columns[None, :]


class Trials:
    """Measures circuits on the pairs of a problem; one that was measured is not run again.

    Parameters
    ----------
    problem
        Pairs, metric and ablation.
    progress
        Called with runs done and runs expected; :meth:`expect` tells how many are to come.

    Raises
    ------
    CircuitError
        When cutting nothing or everything does not give the runs it has to, or the metric does not
        tell the whole network from the ablated one.

    Examples
    --------
    >>> trials = Trials(pose(pairs, "logit_difference"))
    >>> trials.share(trials.measure([graph.in_graph]))       # faithfulness, [1]
    """

    def __init__(
        self, problem: Problem, progress: Callable[[int, int], None] | None = None
    ) -> None:
        self.problem = problem
        self.graph = problem.engine.graph
        self.checks = {"cut_none": 0.0, "cut_all": 0.0}
        self._progress = progress
        self._done, self._expected = 0.0, 1
        self._known: dict[bytes, np.ndarray] = {}
        self._held: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self.clean, self.corrupted = self._ends()

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.problem.pairs)

    def expect(self, circuits: int) -> None:
        """Say that so many circuits are to be measured beside those announced before."""
        self._expected += circuits

    def share(self, samples: np.ndarray) -> np.ndarray:
        """Return faithfulness ``[…]`` of metrics ``[…, pair]``; never clipped."""
        low, high = self.corrupted.mean(), self.clean.mean()
        return np.asarray((samples.mean(-1) - low) / (high - low))

    def shares_of_draws(self, samples: np.ndarray, pick: np.ndarray) -> np.ndarray:
        """Return faithfulness ``[circuit, draw]`` on pairs drawn again (``pick [draw, pair]``)."""
        low, high = self.corrupted[pick].mean(-1), self.clean[pick].mean(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((samples[:, pick].mean(-1) - low) / (high - low))

    def measure(self, circuits: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Return the metric ``[circuit, pair]`` with everything outside each circuit ablated.

        Parameters
        ----------
        circuits
            Edges that stay, each ``[n_forward, n_backward]``, or all with positions.
        """
        masks = [np.asarray(c, bool) for c in circuits]
        keys = [bytes([mask.ndim]) + np.packbits(mask).tobytes() for mask in masks]
        new = {k: m for k, m in zip(keys, masks, strict=True) if k not in self._known}
        if new:
            found = self._run(np.stack(list(new.values())))
            self._known.update(zip(new, found, strict=True))
        self._report(len(masks) - len(new))
        return np.stack([self._known[key] for key in keys])

    def _run(self, kept: np.ndarray) -> np.ndarray:
        problem = self.problem
        out = np.empty((len(kept), self.n_pairs))
        real = over_positions(self.graph.real_edge_mask, kept[0])
        at, parts = 0, len(problem.pairs.batches)
        for i, (clean, _) in enumerate(problem.pairs):
            values, logits, _ = self._case(i)
            n = len(clean)
            at_once = self._at_once(values, n)
            for start in range(0, len(kept), at_once):
                cut = torch.from_numpy(real & ~kept[start : start + at_once])
                batch = PromptBatch(clean.prompts * len(cut))
                own = problem.engine.cut(
                    batch,
                    values.expand(-1, n, len(clean[0]), -1).repeat(1, len(cut), 1, 1),
                    cut.repeat_interleave(n, 0),
                )
                value = problem.metric.value(own, batch, logits.repeat(len(cut), 1))
                part = value.double().cpu().numpy().reshape(len(cut), n)
                out[start : start + len(cut), at : at + n] = part
                self._report(len(cut) / parts)
            at += n
        return out

    def _at_once(self, values: Tensor, pairs: int) -> int:
        """Return how many circuits run at once."""
        per_row = values.shape[0] * values.shape[2] * values.shape[3]
        return max(1, min(MOST_ROWS, NUMBERS // per_row) // pairs)

    def _report(self, circuits: float) -> None:
        self._done += circuits
        if self._progress is not None:
            done = min(self._done, self._expected)
            self._progress(round(1000 * done / self._expected), 1000)

    def _case(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return what cut edges carry in batch ``i``, and the logits with nothing and all cut."""
        if i in self._held:
            return self._held[i]
        values, cut_logits = self.problem.ablation.values(i)
        _, logits = self.problem.engine.writers(self.problem.pairs.batches[i][0])
        found = values, logits, cut_logits
        if sum(v[0].numel() for v in self._held.values()) + values.numel() <= 4 * NUMBERS:
            self._held[i] = found
        return found

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        problem = self.problem
        real = torch.from_numpy(self.graph.real_edge_mask)
        ends: tuple[list[float], list[float]] = [], []
        for i, (clean, _) in enumerate(problem.pairs):
            values, logits, cut_logits = self._case(i)
            n = len(clean)
            own = problem.engine.cut(
                PromptBatch(clean.prompts * 2),
                values.expand(-1, n, len(clean[0]), -1).repeat(1, 2, 1, 1),
                torch.stack([torch.zeros_like(real), real]).repeat_interleave(n, 0),
            )
            scale = max(float(x.abs().max()) for x in (logits, cut_logits))
            wanted = (("cut_none", logits), ("cut_all", cut_logits))
            for (name, logit), part in zip(wanted, own.split(n), strict=True):
                off = float((part - logit).abs().max()) / max(scale, 1e-12)
                self.checks[name] = max(self.checks[name], off)
            check_identities(
                self.checks,
                logits.dtype,
                problem.engine.session,
                empty=problem.ablation.name == "zero",
            )
            for end, logit in zip(ends, (logits, cut_logits), strict=True):
                end.extend(problem.metric.value(logit, clean, logits).double().tolist())
        clean_samples, corrupted_samples = np.array(ends[0]), np.array(ends[1])
        high, low = clean_samples.mean(), corrupted_samples.mean()
        if not abs(high - low) > 1e-6 * max(1.0, abs(high)):
            raise CircuitError(
                f"the {problem.metric.title} is {high:.4g} with all edges whole and with all cut: "
                "they have to differ for a circuit to explain the difference"
            )
        return clean_samples, corrupted_samples


def bootstrap(pairs: int, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Return pairs drawn with replacement ``[draw, pair]``."""
    return np.random.default_rng(seed).integers(0, pairs, (draws, pairs))


def limits(draws: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Return percentile limits ``[…, 2]`` over the last axis."""
    tail = (1 - confidence) / 2
    return np.moveaxis(np.quantile(draws, [tail, 1 - tail], axis=-1), 0, -1)
