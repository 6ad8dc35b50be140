"""Core hypotheses about networks, put to the test on a model (``iw.hypotheses``)."""

from interp_widgets.methods.hypotheses.emergence import emergence
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.methods.hypotheses.linear import linear_representation
from interp_widgets.methods.hypotheses.motifs import motifs
from interp_widgets.methods.hypotheses.purity import monosemanticity
from interp_widgets.methods.hypotheses.report import run
from interp_widgets.methods.hypotheses.state import internal_state
from interp_widgets.methods.hypotheses.superposition import superposition, toy_superposition
from interp_widgets.methods.hypotheses.universality import universality

__all__ = [
    "emergence",
    "finding",
    "internal_state",
    "linear_representation",
    "monosemanticity",
    "motifs",
    "run",
    "superposition",
    "toy_superposition",
    "universality",
]
