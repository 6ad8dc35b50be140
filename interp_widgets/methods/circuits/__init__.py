"""Circuits of edges between components: the graph, and what cutting does (``iw.circuits``)."""

from interp_widgets.methods.circuits.ablation import ABLATIONS, Ablation
from interp_widgets.methods.circuits.evaluate import Faithfulness, cut, evaluate
from interp_widgets.methods.circuits.scorers import SCORERS
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.graph import Graph, Node

__all__ = [
    "ABLATIONS",
    "SCORERS",
    "Ablation",
    "CircuitError",
    "Faithfulness",
    "Graph",
    "Node",
    "cut",
    "evaluate",
]
