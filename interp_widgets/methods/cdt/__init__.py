"""Contextual decomposition of transformers, CD-T (arXiv 2407.00886): ``iw.cdt``."""

from interp_widgets.methods.cdt.decompose import Decomposition, decompose
from interp_widgets.methods.cdt.discover import Found, discover
from interp_widgets.methods.cdt.relevance import means, relevance_to_targets, within_layers
from interp_widgets.methods.cdt.sources import Source

__all__ = [
    "Decomposition",
    "Found",
    "Source",
    "decompose",
    "discover",
    "means",
    "relevance_to_targets",
    "within_layers",
]
