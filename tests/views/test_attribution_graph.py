"""The view of attribution graphs: what travels, cards, pages, what is kept."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.results.attribution_graph import AttributionGraph
from interp_widgets.views.attribution_graph import MOST_AT_FIRST, AttributionGraphView
from interp_widgets.views.wire import unpack

FILE = Path(__file__).parents[1] / "results" / "attribution_graph.json"


@pytest.fixture
def graph() -> AttributionGraph:
    return iw.open_graph(FILE)


def large(n: int = 7_500, links: int = 60_000) -> AttributionGraph:
    """As many feature nodes as the published graphs have, on 10 tokens and 26 layers."""
    rng = np.random.default_rng(0)
    layer, at = np.sort(rng.integers(0, 26, n)), rng.integers(0, 10, n)
    nodes = [
        {"node_id": f"{layer[i]}_{i}_{at[i]}", "feature": i, "layer": str(layer[i]),
         "ctx_idx": int(at[i]), "feature_type": "cross layer transcoder", "jsNodeId": "", "clerp": ""}
        for i in range(n)
    ]  # fmt: skip
    token = {"feature_type": "embedding", "layer": "E", "jsNodeId": "", "clerp": ""}
    nodes += [{**token, "node_id": f"E_{p}_{p}", "feature": p, "ctx_idx": p} for p in range(10)]
    nodes.append({"node_id": "27_0_9", "feature": 0, "layer": "27", "ctx_idx": 9, "clerp": "",
                  "feature_type": "logit", "token_prob": 0.9, "jsNodeId": ""})  # fmt: skip
    ends = np.sort(rng.integers(0, n, (links, 2)), axis=1)
    ends = ends[layer[ends[:, 0]] < layer[ends[:, 1]]]
    ends = np.concatenate(
        [ends, [[n + at[i], i] for i in range(n)], [[i, n + 10] for i in range(n)]]
    )
    names = [node["node_id"] for node in nodes]
    weight = rng.normal(size=len(ends))
    return AttributionGraph.from_json({
        "metadata": {"slug": "large", "scan": "x", "prompt": "", "prompt_tokens": list("abcdefghij")},
        "qParams": {}, "nodes": nodes,
        "links": [{"source": names[s], "target": names[t], "weight": float(w)}
                  for (s, t), w in zip(ends, weight, strict=True)],
    })  # fmt: skip


def test_the_first_paint_brings_nodes_and_the_most_influential_links(graph):
    view = graph.view()
    assert isinstance(view, AttributionGraphView)
    first = unpack(view.spec["first"], view.spec["buffers"])
    assert (np.diff(first["share"]) >= 0).all()
    assert view.spec["layers"][0] == "E"
    assert view.spec["ids"][first["source"][0]] in view.spec["ids"]
    assert first["kind"].tolist() == graph.node_kinds.tolist()
    assert view.state["clicked"] == "15_604_7"  # as the file left it
    assert view.state["nodes"] == 0.95
    assert view.state["pins"] == graph.arrangement["pins"]


def test_seven_and_a_half_thousand_nodes_open_in_seconds():
    start = time.perf_counter()
    graph = large()
    view = graph.view()
    assert time.perf_counter() - start < 10
    assert len(view.spec["ids"]) == 7_511
    assert view.spec["total"] > MOST_AT_FIRST
    rest = view.answer("links", {"start": MOST_AT_FIRST, "stop": 10**9})
    assert len(rest["weight"].values) == view.spec["total"] - MOST_AT_FIRST
    assert sum(len(b) for b in view.spec["buffers"]) < 1_000_000
    assert len(graph.figure("neurips", layout="positions", nodes=0.5).png(dpi=50)) > 10_000


def test_a_card_has_what_the_file_and_the_feature_folder_know(graph, tmp_path):
    view = graph.view()
    known = view.answer("card", {"node": "1_40_4"})
    assert known["top"] == [" Texas", " Dallas", " Cowboys"]
    assert known["examples"][0]["tokens"] == ["flew", " to", " Dallas", " on"]
    assert view.answer("card", {"node": "E_100_0"}) == {
        "type": "embedding", "top": [], "bottom": [], "examples": [],
    }  # fmt: skip
    number = next(n["feature"] for n in graph.meta["nodes"] if n["node_id"] == "2_9_1")
    feature = {
        "top_logits": ["<script>"],
        "examples_quantiles": [{"examples": [{"tokens": ["a"], "tokens_acts_list": [2]}, {}]}],
    }
    (tmp_path / f"{number}.json").write_text(json.dumps(feature))
    graph.features = tmp_path
    card = view.answer("card", {"node": "2_9_1"})
    assert card["top"] == ["<script>"]
    assert card["examples"] == [{"tokens": ["a"], "activations": [2.0]}]
    (tmp_path / f"{number}.json").write_text("{broken")
    assert view.answer("card", {"node": "2_9_1"})["top"] == []


def test_what_is_pinned_in_the_view_is_in_the_json(graph):
    view = graph.view()
    groups = [{"name": "hop", "members": ["1_40_4", "6_311_4"], "collapsed": False}]
    view.state = {**view.state, "pins": ["2_9_1"], "groups": groups}
    query = json.loads(graph.to_json())["qParams"]
    assert query["pinnedIds"] == ["2_9_1"]
    assert query["supernodes"] == [["hop", "1_40_4", "6_311_4"]]
    assert view.figure_options() == {"layout": "positions", "nodes": 0.95, "edges": 0.98}


def test_an_exported_page_answers_the_cards_of_what_is_named(graph):
    asked = list(graph.view().export_requests())
    cards = [payload["node"] for name, payload in asked if name == "card"]
    assert {"15_604_7", "6_311_4", "1_40_4"} <= set(cards)
    assert "2_9_1" not in cards


@pytest.mark.parametrize(
    "options", [{"layout": "circle"}, {"nodes": 0}, {"edges": 1.5}, {"selected": "nobody"}]
)
def test_options_that_make_no_sense_are_refused(graph, options):
    with pytest.raises(ValueError, match=r"layout|between 0 and 1|no node"):
        graph.view(**options)
