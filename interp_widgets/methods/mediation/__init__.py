"""Mediators of every kind, how their effects are estimated and searched for (``iw.mediators``)."""

from interp_widgets.methods.mediation.choices import goals, table
from interp_widgets.methods.mediation.composed import Path, Together, mediator_of
from interp_widgets.methods.mediation.estimate import measure
from interp_widgets.methods.mediation.features import Feature, Featurizer
from interp_widgets.methods.mediation.mediators import Mediator, Neurons, Subspace
from interp_widgets.methods.mediation.method import mediation
from interp_widgets.methods.mediation.search import mediator_search
from interp_widgets.methods.mediation.variables import variable_alignment

__all__ = [
    "Feature",
    "Featurizer",
    "Mediator",
    "Neurons",
    "Path",
    "Subspace",
    "Together",
    "goals",
    "measure",
    "mediation",
    "mediator_of",
    "mediator_search",
    "table",
    "variable_alignment",
]
