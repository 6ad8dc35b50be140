"""Open a graph that another tool wrote."""

from __future__ import annotations

from pathlib import Path

from interp_widgets.results.attribution_graph import AttributionGraph
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph


def open_graph(
    path: str | Path, features: str | Path | None = None
) -> AttributionGraph | CircuitResult:
    """Open a graph from a JSON file and show it.

    Parameters
    ----------
    path
        An attribution graph in the schema of circuit-tracer and Neuronpedia, or an edge-level
        circuit of the MIB benchmark.
    features
        Folder with ``<feature>.json`` files in the public feature format (top and bottom logits,
        examples), shown in the card of a feature. Default: the folder ``features/<scan>`` beside
        the graph, where there is one.

    Raises
    ------
    ValueError
        When the file is neither; the first thing wrong is named.

    Examples
    --------
    >>> iw.open_graph("austin.json")
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    if '"cfg"' in text[:2000] and '"edges"' in text:
        return CircuitResult.from_graph(Graph.from_json(text), title=path.stem)
    graph = AttributionGraph.from_json(text)
    beside = path.parent / "features" / Path(str(graph.meta["metadata"].get("scan") or "")).name
    folder = Path(features) if features is not None else beside
    if folder.is_dir() and folder.name not in ("features", ""):
        graph.features = folder
    elif features is not None:
        raise ValueError(f"there is no folder {folder}")
    return graph
