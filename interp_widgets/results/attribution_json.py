"""The JSON of attribution graphs, as circuit-tracer writes it and Neuronpedia reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from interp_widgets.results import arrangement as arranging

ARRANGED = "interp_widgets"
"""Key of ``metadata`` for places and notes; pins and groups have fields of their own."""
OWN = ("nodes", "links", "metadata", "qParams")


def parse(text: str | bytes | Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arrays and meta of a graph from JSON text, or from what it decodes to.

    Raises
    ------
    ValueError
        When the text is not such a graph; the first thing wrong is named.
    """
    try:
        data = text if isinstance(text, Mapping) else json.loads(text, parse_constant=_refuse)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not an attribution graph: the text is not JSON ({error})") from error
    if not isinstance(data, Mapping):
        raise ValueError("not an attribution graph: the JSON is not an object")
    for key, kind in (("nodes", list), ("links", list), ("metadata", dict)):
        if not isinstance(data.get(key), kind):
            raise ValueError(
                f"not an attribution graph: {key!r} is missing or not a {kind.__name__}"
            )
    nodes = [_node(node, i) for i, node in enumerate(data["nodes"])]
    index: dict[str, int] = {}
    for i, node in enumerate(nodes):
        index.setdefault(str(node["node_id"]), i)
    ends, weights, more = _links(data["links"], index)
    query, metadata = dict(data.get("qParams") or {}), dict(data["metadata"])
    meta: dict[str, Any] = {
        "title": str(metadata.get("slug") or "Attribution graph"),
        "nodes": nodes,
        "metadata": metadata,
        "qParams": query,
        "links": more,
        "extra": {k: v for k, v in data.items() if k not in OWN},
    }
    twice = [name for name, n in Counter(str(n["node_id"]) for n in nodes).items() if n > 1]
    if twice:
        meta["note"] = (
            f"{len(twice)} node ids occur more than once in the file (first: {twice[0]}); "
            "links go to the first node of an id"
        )
    kept = metadata.get(ARRANGED)
    kept = kept if isinstance(kept, dict) else {}
    arranged = {
        "positions": kept.get("positions") or {},
        "notes": kept.get("notes") or {},
        "pins": query.get("pinnedIds") or [],
        "groups": _supernodes(query.get("supernodes"), set(kept.get("open") or [])),
    }
    meta["arrangement"] = arranging.checked(arranged, index, strict=False)
    arrays = {"source": ends[:, 0], "target": ends[:, 1], "weight": weights}
    return {name: np.ascontiguousarray(a) for name, a in arrays.items()}, meta


def write(
    meta: Mapping[str, Any],
    source: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    arrangement: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the graph as the JSON object of the schema, with the pins and groups of now."""
    more = meta.get("links") or {}
    names = [str(node["node_id"]) for node in meta["nodes"]]
    ends = zip(source.tolist(), target.tolist(), weight.tolist(), strict=True)
    links = [
        {"source": names[s], "target": names[t], "weight": w, **more.get(str(i), {})}
        for i, (s, t, w) in enumerate(ends)
    ]
    groups = arrangement["groups"]
    query = {"linkType": "both", "clickedId": "", "sg_pos": "", **(meta.get("qParams") or {})}
    query["pinnedIds"] = arrangement["pins"]
    query["supernodes"] = [[g["name"], *g["members"]] for g in groups]
    metadata = {k: v for k, v in meta["metadata"].items() if k != ARRANGED}
    rest: dict[str, Any] = {k: arrangement[k] for k in ("positions", "notes") if arrangement[k]}
    opened = sorted(g["name"] for g in groups if not g["collapsed"])
    if opened:
        rest["open"] = opened
    if rest:
        metadata[ARRANGED] = rest
    return {
        "metadata": metadata,
        "qParams": query,
        "nodes": meta["nodes"],
        "links": links,
        **(meta.get("extra") or {}),
    }


def _refuse(constant: str) -> Any:
    raise ValueError(f"not an attribution graph: it holds {constant}, which JSON does not have")


def _node(node: Any, i: int) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise ValueError(f"not an attribution graph: node {i} is not an object")
    for key in ("node_id", "layer", "ctx_idx", "feature_type"):
        if node.get(key) is None:
            raise ValueError(f"not an attribution graph: node {i} has no {key!r}")
    if not isinstance(node["ctx_idx"], int) or node["ctx_idx"] < 0:
        raise ValueError(f"not an attribution graph: ctx_idx of node {i} is {node['ctx_idx']!r}")
    return node


def _links(
    links: list[Any], index: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    ends = np.zeros((len(links), 2), np.int32)
    weights = np.zeros(len(links), np.float64)
    more: dict[str, Any] = {}
    for i, link in enumerate(links):
        try:
            ends[i] = index[str(link["source"])], index[str(link["target"])]
            weights[i] = float(link["weight"])
        except KeyError as error:
            raise ValueError(
                f"not an attribution graph: link {i} has or names no {error}"
            ) from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"not an attribution graph: link {i}: {error}") from error
        rest = {k: v for k, v in link.items() if k not in ("source", "target", "weight")}
        if rest:
            more[str(i)] = rest
    return ends, weights, more


def _supernodes(given: Any, opened: set[str]) -> list[dict[str, Any]]:
    """Read ``[["name", "id", …], …]``; groups of a file from elsewhere are collapsed."""
    groups = []
    for entry in given or []:
        if isinstance(entry, list) and len(entry) > 1:
            name, *members = (str(part) for part in entry)
            groups.append({"name": name, "members": members, "collapsed": name not in opened})
    return groups
