"""Circuits of edges between components: the graph, what cutting does, tests (``iw.circuits``)."""

from interp_widgets.methods.circuits.ablation import ABLATIONS, Ablation
from interp_widgets.methods.circuits.curves import Curves, curves
from interp_widgets.methods.circuits.evaluate import Faithfulness, cut, evaluate
from interp_widgets.methods.circuits.judge import completeness, judge, minimality, sensitivity
from interp_widgets.methods.circuits.known import Known, known
from interp_widgets.methods.circuits.mib import from_mib, to_mib
from interp_widgets.methods.circuits.roc import Comparison, Recovery, compare
from interp_widgets.methods.circuits.scorers import SCORERS
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.graph import Graph, Node

__all__ = [
    "ABLATIONS",
    "SCORERS",
    "Ablation",
    "CircuitError",
    "Comparison",
    "Curves",
    "Faithfulness",
    "Graph",
    "Known",
    "Node",
    "Recovery",
    "compare",
    "completeness",
    "curves",
    "cut",
    "evaluate",
    "from_mib",
    "judge",
    "known",
    "minimality",
    "sensitivity",
    "to_mib",
]
