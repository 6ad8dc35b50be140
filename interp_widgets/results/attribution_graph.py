"""Attribution graphs: which features, errors and tokens led to which output on one prompt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from interp_widgets.results import arrangement as arranging
from interp_widgets.results import attribution_json
from interp_widgets.results.base import Result
from interp_widgets.results.influence import cumulative, flow, reaching

if TYPE_CHECKING:
    import pandas as pd

NODE_THRESHOLD, EDGE_THRESHOLD = 0.8, 0.98
"""Cumulative influence that nodes and edges keep by default, as in circuit-tracer."""
KINDS = ("feature", "error", "embedding", "logit")


class AttributionGraph(Result):
    """Nodes, weighted links and what a reader pinned and grouped, in the public JSON schema.

    The schema is the one of circuit-tracer and Neuronpedia: ``nodes`` (``node_id``, ``layer``,
    ``ctx_idx``, ``feature_type``, ``feature``, ``clerp``, ``influence``, ``activation``, …),
    ``links`` (``source``, ``target``, ``weight``), ``metadata`` (``slug``, ``scan``,
    ``prompt_tokens``, ``prompt``, …) and ``qParams`` (``pinnedIds``, ``supernodes``,
    ``clickedId``, …). Fields that this class does not know are kept and written again.

    Arrays: ``source``, ``target`` ``[edge]`` (indices of nodes), ``weight`` ``[edge]`` (what the
    source adds to the target, in the target's units), ``edge_influence`` ``[edge]`` and
    ``influence`` ``[node]``: the share of all influence on the outputs that is reached when this
    one is the last to be kept (NaN where it has none). :meth:`kept` keeps the smallest set that
    reaches a share, with the one that crosses it.
    ``meta``: ``nodes`` (one dict each, as in the file), ``metadata``, ``qParams``, ``extra``,
    ``links`` (fields of links beside the three), ``arrangement``.

    Examples
    --------
    >>> graph = iw.open_graph("austin.json")
    >>> graph.view(); graph.inputs("20_15589_7").head()
    """

    kind = "attribution_graph"

    features: Path | None = None
    """Folder with one JSON file per feature (``<feature>.json``); set by :func:`open_graph`."""

    def _check(self) -> None:
        nodes = self.meta.get("nodes")
        if not isinstance(nodes, list) or "weight" not in self.arrays:
            raise ValueError('an attribution graph needs meta["nodes"] and arrays of its links')
        ends = np.concatenate([self.numpy("source"), self.numpy("target")])
        if len(ends) and (ends.min() < 0 or ends.max() >= len(nodes)):
            raise ValueError(f"links name node {ends.max()}, and there are {len(nodes)}")
        self._index: dict[str, int] = {}
        for i, node in enumerate(nodes):
            self._index.setdefault(str(node["node_id"]), i)
        if "influence" not in self.arrays or "edge_influence" not in self.arrays:
            self._measure()

    def _measure(self) -> None:
        kinds = self.node_kinds
        outputs = kinds == KINDS.index("logit")
        chance = np.array([float(n.get("token_prob") or 0) for n in self.meta["nodes"]])
        start = np.where(outputs, chance, 0.0)
        if not start.sum() > 0:
            start = outputs.astype(float)
        node, edge = flow(self.numpy("source"), self.numpy("target"), self.numpy("weight"), start)
        given = [n.get("influence") for n in self.meta["nodes"]]
        own = np.where(outputs, np.nan, cumulative(node, ~outputs))
        stated = np.array([np.nan if v is None else float(v) for v in given])
        known = np.isfinite(stated).any()
        self.arrays["influence"] = (stated if known else own).astype(np.float32)
        self.arrays["edge_influence"] = cumulative(edge, np.ones(len(edge), bool)).astype(
            np.float32
        )

    # Reading and writing

    @classmethod
    def from_json(cls, text: str | bytes | Mapping[str, Any]) -> Self:
        """Read a graph from JSON text, or from what it decodes to.

        Raises
        ------
        ValueError
            When the text is not such a graph; the first thing wrong is named.
        """
        arrays, meta = attribution_json.parse(text)
        return cls(arrays, meta)

    def to_json(self, indent: int | None = None) -> str:
        """Return the graph as JSON in the same schema, with the pins and groups of now."""
        source, target, weight = (self.numpy(name) for name in ("source", "target", "weight"))
        data = attribution_json.write(self.meta, source, target, weight, self.arrangement)
        return json.dumps(data, allow_nan=False, ensure_ascii=False, indent=indent)

    # What is in it

    @property
    def names(self) -> list[str]:
        """``node_id`` of every node."""
        return [str(node["node_id"]) for node in self.meta["nodes"]]

    @property
    def tokens(self) -> list[str]:
        """The tokens of the prompt."""
        return [str(t) for t in self.meta["metadata"].get("prompt_tokens") or []]

    @property
    def node_kinds(self) -> np.ndarray:
        """Index into ``("feature", "error", "embedding", "logit")`` of every node, uint8."""
        return np.array([_kind(str(n["feature_type"])) for n in self.meta["nodes"]], np.uint8)

    @property
    def layers(self) -> list[str]:
        """Names of the rows from below: ``E`` first, then the layers, the output last."""
        found = {str(n["layer"]) for n in self.meta["nodes"]}
        return sorted(found, key=lambda x: (not x.startswith("E"), _number(x), x))

    @property
    def arrangement(self) -> dict[str, Any]:
        """What a reader placed, grouped, pinned and noted; see ``results/arrangement.py``."""
        return arranging.checked(self.meta.get("arrangement") or {}, self._index, strict=False)

    def arrange(self, **fields: Any) -> Self:
        """Set ``groups`` (supernodes), ``pins``, ``positions`` or ``notes``, as for a circuit."""
        wanted = {**self.arrangement, **fields}
        self.meta["arrangement"] = arranging.checked(wanted, self._index)
        return self

    @property
    def supernodes(self) -> dict[str, list[str]]:
        """Members of every group, ``{"Texas": ["6_311_4", …]}``."""
        return {g["name"]: list(g["members"]) for g in self.arrangement["groups"]}

    def label(self, node: str) -> str:
        """Return what a node is called: its label, or its layer and feature."""
        return _label(self.meta["nodes"][self._find(node)], self.tokens)

    def _find(self, node: str) -> int:
        if node not in self._index:
            raise KeyError(f"there is no node {node!r}; nodes are called as {self.names[:3]}")
        return self._index[node]

    def kept(
        self, node_threshold: float = NODE_THRESHOLD, edge_threshold: float = EDGE_THRESHOLD
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return bool ``[node]`` and ``[edge]``: what the thresholds keep.

        Tokens and outputs always stay; features and errors that lead nowhere, and features that
        nothing feeds, go.
        """
        kinds = self.node_kinds
        fixed = kinds >= KINDS.index("embedding")
        nodes = fixed | reaching(self.numpy("influence"), node_threshold)
        source, target = self.numpy("source"), self.numpy("target")
        edges = reaching(self.numpy("edge_influence"), edge_threshold)
        while True:
            edges = edges & nodes[source] & nodes[target]
            out = np.bincount(source[edges], minlength=len(nodes)) > 0
            fed = np.bincount(target[edges], minlength=len(nodes)) > 0
            alive = fixed | (out & (fed | (kinds == KINDS.index("error"))))
            if not (nodes & ~alive).any():
                return nodes, edges
            nodes = nodes & alive

    def frame(self) -> pd.DataFrame:
        """Return one row per link, most influential first."""
        import pandas as pd

        names = np.array(self.names, dtype=object)
        labels = np.array([_label(n, self.tokens) for n in self.meta["nodes"]], dtype=object)
        order = np.argsort(self.numpy("edge_influence"), kind="stable")
        source, target = self.numpy("source")[order], self.numpy("target")[order]
        return pd.DataFrame(
            {
                "source": names[source],
                "target": names[target],
                "from": labels[source],
                "to": labels[target],
                "weight": self.numpy("weight")[order],
                "edge_influence": self.numpy("edge_influence")[order],
            }
        )

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the links into and out of the selected node, or of a token's or layer's nodes."""
        frame = self.frame()
        node, layer, token = (selection.get(key) for key in ("node", "layer", "token"))
        if node is None and layer is None and token is None:
            return frame.iloc[:0]
        wanted = {
            str(n["node_id"])
            for n in self.meta["nodes"]
            if (node is None or str(n["node_id"]) == node)
            and (node is not None or layer is None or str(n["layer"]) == str(layer))
            and (node is not None or token is None or int(n["ctx_idx"]) == token)
        }
        return frame[frame["source"].isin(wanted) | frame["target"].isin(wanted)]

    def inputs(self, node: str) -> pd.DataFrame:
        """Return the links into a node, largest |weight| first."""
        return self._linked("target", node)

    def outputs(self, node: str) -> pd.DataFrame:
        """Return the links out of a node, largest |weight| first."""
        return self._linked("source", node)

    def _linked(self, end: str, node: str) -> pd.DataFrame:
        self._find(node)
        frame = self.frame()
        frame = frame[frame[end] == node]
        order = np.argsort(-np.abs(frame["weight"].to_numpy()), kind="stable")
        return frame.iloc[order]

    def text(self) -> str:
        """Say how large the graph is and what it explains."""
        kinds = Counter(KINDS[k] for k in self.node_kinds)
        parts = ", ".join(
            f"{kinds[k]:,} {k}{'s' if kinds[k] != 1 else ''}" for k in KINDS if kinds[k]
        )
        outputs = [
            _label(n, self.tokens) for n in self.meta["nodes"] if "logit" in n["feature_type"]
        ]
        prompt = str(self.meta["metadata"].get("prompt") or "".join(self.tokens))
        line = f"{self.title}: {parts}, {len(self.arrays['weight']):,} links; prompt {prompt!r}"
        if outputs:
            line += f"; {', '.join(outputs[:3])}"
        for name in ("replacement", "completeness"):
            score = self.meta["metadata"].get(f"{name}_score")
            line += f"; {name} {score:.2f}" if isinstance(score, float) else ""
        groups = self.arrangement["groups"]
        return line + (f"; groups: {', '.join(g['name'] for g in groups)}" if groups else "")


def _kind(feature_type: str) -> int:
    for word in ("error", "embedding", "logit"):
        if word in feature_type:
            return KINDS.index(word)
    return 0


def _number(layer: str) -> float:
    try:
        return float(layer)
    except ValueError:
        return -1.0


def _label(node: Mapping[str, Any], tokens: list[str]) -> str:
    clerp = str(node.get("clerp") or "").strip()
    if clerp:
        return clerp
    kind, at = KINDS[_kind(str(node["feature_type"]))], int(node["ctx_idx"])
    token = tokens[at] if at < len(tokens) else str(at)
    if kind == "embedding":
        return f"token {token!r}"
    if kind == "error":
        return f"error, layer {node['layer']}, {token!r}"
    parts = str(node["node_id"]).split("_")
    return f"{kind} {node['layer']}.{parts[1] if len(parts) == 3 else node.get('feature')}"
