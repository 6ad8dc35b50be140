"""Circuit extraction: the heads and MLPs that one task needs, cut out as a smaller model."""

from interp_widgets.methods.extraction.live import HeadComparison
from interp_widgets.methods.extraction.pruned import PrunedModel

__all__ = ["HeadComparison", "PrunedModel"]
