"""Contextual decomposition of transformers, CD-T (arXiv 2407.00886): ``iw.cdt``."""

from interp_widgets.methods.cdt.decompose import Decomposition, Source, decompose
from interp_widgets.methods.cdt.discover import Found, discover

__all__ = ["Decomposition", "Found", "Source", "decompose", "discover"]
