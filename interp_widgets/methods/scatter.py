"""Two arrays of the same cells against each other."""

from __future__ import annotations

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.scatter import ScatterResult


@method(
    "scatter",
    result="scatter",
    family="activations",
    unit="cell of an array",
    cost="none; what its arrays cost when it is run again",
    tags="mechanistic, observational, local, hypothesis generation, layer, head, neuron",
)
def scatter(run: Run, x: ArrayResult, y: ArrayResult) -> ScatterResult:  # noqa: ARG001
    """Compare two results cell by cell: a point for each cell that both have.

    Points that are brushed in the view are outlined in every open heatmap of the two results. When
    the session's interventions change, both are run again.

    Parameters
    ----------
    x, y
        Two arrays with the same dims, in any order; entries of a dim are matched by their labels.

    Returns
    -------
    ScatterResult
        ``x`` and ``y`` ``[point]``, with ``pearson`` and ``spearman``.

    Raises
    ------
    ValueError
        When they have other dims, no cell in common, or more than 40,000.

    Examples
    --------
    >>> values = iw.patching(clean, corrupted, site="v")
    >>> patterns = iw.patching(clean, corrupted, site="pattern")
    >>> iw.scatter(values, patterns)
    """
    return ScatterResult.of(x, y)
