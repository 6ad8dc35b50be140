"""How well scores of edges or nodes recover a known circuit: ROC and precision-recall curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.methods.circuits.evaluate import units_of
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.results.overlap import Overlap, Reference

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Recovery:
    """ROC and precision-recall of a ranking against a reference.

    Units of equal score cannot be told apart. The curve takes them all at once; ``auc`` counts a
    tie as half, ``auc_pessimistic`` as if the wrong unit came first, ``auc_optimistic`` the right
    one. The same for the average precision.

    Parameters
    ----------
    level
        ``"edge"`` or ``"node"``.
    thresholds
        Scores at which units are taken, largest first ``[step]``.
    hits, taken
        Units of the reference, and all units, taken at each step ``[step]``.
    positives, total
        Units of the reference, and all units.
    """

    level: str
    thresholds: np.ndarray
    hits: np.ndarray
    taken: np.ndarray
    positives: int
    total: int

    @classmethod
    def of(cls, scores: np.ndarray, wanted: np.ndarray, level: str = "edge") -> Recovery:
        """Rank units by score, largest first.

        Parameters
        ----------
        scores
            ``[unit]``; NaN counts as the smallest.
        wanted
            Whether each is in the reference, bool ``[unit]``.

        Raises
        ------
        ValueError
            When the reference has none or all of the units: no curve is defined then.
        """
        wanted = np.asarray(wanted, bool)
        scores = np.asarray(scores, float)
        if scores.shape != wanted.shape or scores.ndim != 1:
            raise ValueError(f"scores {scores.shape} do not fit the reference {wanted.shape}")
        if not 0 < wanted.sum() < len(wanted):
            raise ValueError(
                f"the reference has {int(wanted.sum())} of {len(wanted)} {level}s: a curve needs "
                f"{level}s inside and outside it"
            )
        keys = np.where(np.isnan(scores), -np.inf, scores)
        order = np.argsort(-keys, kind="stable")
        ordered = keys[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        return cls(
            level,
            ordered[ends],
            np.cumsum(wanted[order])[ends],
            ends + 1,
            int(wanted.sum()),
            len(wanted),
        )

    @property
    def tpr(self) -> np.ndarray:
        """True positive rate (recall) at each step, from 0."""
        return np.append(0.0, self.hits / self.positives)

    @property
    def fpr(self) -> np.ndarray:
        """False positive rate at each step, from 0."""
        return np.append(0.0, (self.taken - self.hits) / (self.total - self.positives))

    @property
    def precision(self) -> np.ndarray:
        """Share of the units taken that are in the reference ``[step]``."""
        return np.asarray(self.hits / self.taken)

    @property
    def auc(self) -> float:
        """Area under the ROC curve, a tie counting half; 0.5 is chance."""
        return float(np.trapezoid(self.tpr, self.fpr))

    @property
    def auc_pessimistic(self) -> float:
        """Area with the wrong units of every tie first."""
        return float((np.diff(self.fpr) * self.tpr[:-1]).sum())

    @property
    def auc_optimistic(self) -> float:
        """Area with the right units of every tie first."""
        return float((np.diff(self.fpr) * self.tpr[1:]).sum())

    @property
    def average_precision(self) -> float:
        """Precision averaged over the recall, each tie taken at once."""
        return float((np.diff(self.tpr) * self.precision).sum())

    @property
    def average_precision_limits(self) -> tuple[float, float]:
        """Average precision with the wrong, and with the right, units of every tie first."""
        low, high, taken, hits = 0.0, 0.0, 0, 0
        for upto, found in zip(self.taken, self.hits, strict=True):
            new, right = upto - taken, found - hits
            ranks = np.arange(1, right + 1)
            low += float(((hits + ranks) / (taken + new - right + ranks)).sum())
            high += float(((hits + ranks) / (taken + ranks)).sum())
            taken, hits = int(upto), int(found)
        return low / self.positives, high / self.positives

    def frame(self) -> pd.DataFrame:
        """Return one row per step: score, units taken, true and false positive rate, precision."""
        import pandas as pd

        return pd.DataFrame(
            {
                "score": self.thresholds,
                f"{self.level}s_taken": self.taken,
                "true_positive_rate": self.tpr[1:],
                "false_positive_rate": self.fpr[1:],
                "precision": self.precision,
            }
        )

    def chart(self) -> go.Figure:
        """Return the ROC curve as a plotly chart."""
        import plotly.graph_objects as go

        hover = [f"{n:,} {self.level}s" for n in (0, *self.taken)]
        figure = go.Figure(go.Scatter(x=self.fpr, y=self.tpr, mode="lines", hovertext=hover))
        figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"dash": "dot", "width": 1})
        figure.update_xaxes(title="false positive rate", range=[0, 1])
        figure.update_yaxes(title="true positive rate", range=[0, 1.02])
        figure.update_layout(
            template="simple_white", height=360, title=f"AUC {self.auc:.3f}", margin={"t": 40}
        )
        return figure

    def __str__(self) -> str:
        ties = ""
        if self.auc_optimistic - self.auc_pessimistic > 5e-4:
            ties = f" ({self.auc_pessimistic:.3f} to {self.auc_optimistic:.3f} by ties)"
        return (
            f"AUC {self.auc:.3f}{ties}, average precision {self.average_precision:.3f} over "
            f"{self.total:,} {self.level}s, {self.positives:,} in the reference"
        )


@dataclass(frozen=True)
class Comparison:
    """A circuit beside a known one.

    Attributes
    ----------
    overlap
        Chosen edges or nodes: ``hit``, ``miss``, ``extra``, ``precision``, ``recall``.
    edges, nodes
        How well the scores rank them; ``edges`` is None where only nodes are known, and either is
        None where the reference has none or all.
    classes
        Of each class of the known circuit, which nodes the chosen circuit has.
    """

    overlap: Overlap
    edges: Recovery | None
    nodes: Recovery | None
    classes: dict[str, dict[str, bool]]

    def frame(self) -> pd.DataFrame:
        """Return one row per class and node: whether the chosen circuit has it."""
        import pandas as pd

        rows = [
            {"class": name, "node": node, "found": found}
            for name, members in self.classes.items()
            for node, found in members.items()
        ]
        return pd.DataFrame(rows, columns=["class", "node", "found"])

    def __str__(self) -> str:
        lines = [str(self.overlap)]
        lines += [str(found) for found in (self.edges, self.nodes) if found is not None]
        lines += [
            f"{name}: {sum(members.values())} of {len(members)}"
            for name, members in self.classes.items()
        ]
        return "\n".join(lines)


def node_scores(circuit: CircuitResult | Graph) -> np.ndarray:
    """Return a score of each writer ``[n_forward]``: its own, else the largest |edge| out of it."""
    units = units_of(circuit)
    if units.level != "edge":
        return np.abs(units.scores).reshape(len(units.scores), -1).max(1)
    graph = circuit if isinstance(circuit, Graph) else circuit.graph
    scores = np.where(graph.real_edge_mask, np.nan_to_num(np.abs(graph.scores)), 0)
    return np.asarray(scores.max(1))


def compare(circuit: CircuitResult | Graph, known: Any) -> Comparison:
    """Compare a circuit with a known one: what was found, and how well the scores rank it.

    Parameters
    ----------
    circuit
        Scores and chosen edges.
    known
        A known circuit (:func:`known`), edge names, node names, classes of nodes, a graph, another
        circuit, or a mask ``[n_forward, n_backward]``.

    Returns
    -------
    Comparison
        Overlap of the chosen edges (nodes where only those are known); ROC and precision-recall of
        all real edges and of all heads and MLPs by |score|; and by class.

    Raises
    ------
    ValueError
        When it is empty or of another network.

    Examples
    --------
    >>> print(iw.circuits.compare(circuit, iw.circuits.known("ioi")))
    """
    graph = circuit if isinstance(circuit, Graph) else circuit.graph
    groups = getattr(known, "groups", None) or (known if isinstance(known, dict) else {})
    reference = Reference.of(known, graph)
    edges = None
    if reference.level == "edge":
        wanted = graph.mask(list(reference.names))
        real = graph.real_edge_mask
        edges = _curve(np.abs(graph.scores)[real], wanted[real], "edge")
        rows, columns = np.nonzero(wanted)
        names = {graph.forward[r].component for r in rows}
        names |= {graph.backward[c].component for c in columns}
    else:
        names = set(reference.names)
    writers = graph.forward[1:]
    nodes = _curve(
        node_scores(circuit)[1:], np.array([node.component in names for node in writers]), "node"
    )
    found = {name for edge in graph.edges() for name in _ends(edge)}
    classes = {
        name: {node: node in found for node in Reference.of(list(members), graph).names}
        for name, members in groups.items()
    }
    return Comparison(Overlap.of(graph, reference), edges, nodes, classes)


def _curve(scores: np.ndarray, wanted: np.ndarray, level: str) -> Recovery | None:
    return Recovery.of(scores, wanted, level) if 0 < wanted.sum() < len(wanted) else None


def _ends(edge: str) -> tuple[str, str]:
    writer, _, reader = edge.partition("->")
    return writer, reader.partition("<")[0]
