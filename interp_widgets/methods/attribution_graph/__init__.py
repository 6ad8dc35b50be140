"""Attribution graphs through transcoders, and interventions on what they show."""

from interp_widgets.methods.attribution_graph.graph import attribution_graph
from interp_widgets.methods.attribution_graph.intervention import feature_intervention
from interp_widgets.methods.attribution_graph.transcoders import (
    SparseTranscoder,
    Transcoder,
    Transcoders,
)

__all__ = [
    "SparseTranscoder",
    "Transcoder",
    "Transcoders",
    "attribution_graph",
    "feature_intervention",
]
