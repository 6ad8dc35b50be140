"""Attribution graphs in the public schema: reading, measuring, arranging, writing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.results.attribution_graph import AttributionGraph
from interp_widgets.results.base import load
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.results.influence import cumulative, flow, reaching

FILE = Path(__file__).with_name("attribution_graph.json")


@pytest.fixture
def graph() -> AttributionGraph:
    return iw.open_graph(FILE)


def test_a_graph_of_another_tool_comes_back_as_it_was(graph):
    before, after = json.loads(FILE.read_text()), json.loads(graph.to_json())
    shown = after["metadata"].pop("interp_widgets", None)
    assert shown is None  # groups of a file from elsewhere are collapsed, as we write them
    assert after == before


def test_pins_and_supernodes_are_the_arrangement(graph):
    now = graph.arrangement
    assert now["pins"] == ["1_40_4", "4_18_7", "8_230_7", "15_604_7", "19_500_7"]
    assert [g["name"] for g in now["groups"]] == ["Texas", "state"]
    groups = {"say": ["8_230_7", "15_604_7"], "<b>": ["2_9_1"]}
    graph.arrange(groups=groups, pins=[], notes={"say": "two of them"}, positions={"2_9_1": (0, 1)})
    query = json.loads(graph.to_json())["qParams"]
    assert query["pinnedIds"] == []
    assert query["supernodes"] == [["say", "8_230_7", "15_604_7"], ["<b>", "2_9_1"]]
    assert query["sg_text"] == "unknown to us"
    again = AttributionGraph.from_json(graph.to_json()).arrangement
    assert again == graph.arrangement
    with pytest.raises(ValueError, match="no node '1_1_1'"):
        graph.arrange(pins=["1_1_1"])


def test_influence_is_the_sum_over_all_paths():
    # tokens 0, 1 → feature 2 → outputs 3 (p 0.75) and 4 (p 0.25); token 1 → output 4.
    source, target = np.array([0, 1, 2, 2, 1]), np.array([2, 2, 3, 4, 4])
    weight = np.array([3.0, -1.0, 2.0, 1.0, -1.0])
    node, link = flow(source, target, weight, np.array([0, 0, 0, 0.75, 0.25]))
    np.testing.assert_allclose(node, [0.75 * 0.875, 0.25 * 0.875 + 0.125, 0.875, 0, 0])
    np.testing.assert_allclose(link, [0.75 * 0.875, 0.25 * 0.875, 0.75, 0.125, 0.125])
    matrix = np.zeros((5, 5))
    matrix[target, source] = np.abs(weight)
    matrix /= np.maximum(matrix.sum(1, keepdims=True), 1e-12)
    start = np.array([0, 0, 0, 0.75, 0.25])
    by_definition = start @ (np.linalg.inv(np.eye(5) - matrix) - np.eye(5))
    np.testing.assert_allclose(node, by_definition, atol=1e-12)
    np.testing.assert_allclose(cumulative(np.array([1.0, 3, 4]), np.array([1, 1, 0], bool)),
                               [1, 0.75, np.nan])  # fmt: skip
    with pytest.raises(ValueError, match="circle"):
        flow(np.array([0, 1]), np.array([1, 0]), np.ones(2), np.array([1.0, 0]))


def test_influence_that_a_file_does_not_state_is_computed():
    data = json.loads(FILE.read_text())
    for node in data["nodes"]:
        node["influence"] = None
    found = AttributionGraph.from_json(data)
    influence = dict(zip(found.names, found.numpy("influence"), strict=True))
    assert influence["15_604_7"] < influence["6_311_4"] < influence["2_9_1"] <= 1
    assert np.isnan(influence["19_500_7"])


def test_thresholds_keep_a_connected_graph(graph):
    nodes, edges = graph.kept(1.0, 1.0)
    assert nodes.all()
    assert edges.all()
    nodes, edges = graph.kept(0.5, 1.0)
    kept = {n for n, on in zip(graph.names, nodes, strict=True) if on}
    assert {"15_604_7", "6_311_4", "E_100_0", "19_501_7"} <= kept  # tokens and outputs stay
    assert "9_57_4" not in kept
    assert "3_77_2" not in kept
    ends = np.concatenate([graph.numpy("source")[edges], graph.numpy("target")[edges]])
    assert nodes[ends].all()
    alive = [i for i in np.flatnonzero(nodes) if graph.node_kinds[i] == 0]
    assert set(alive) <= set(graph.numpy("source")[edges]) & set(graph.numpy("target")[edges])


@pytest.mark.parametrize("share", [0.3, 0.55, 0.8, 0.95])
def test_the_node_that_crosses_the_share_is_kept(graph, share):
    """The fewest, largest first, whose sum reaches the share: counted one by one."""
    value = np.array([0.4, 0.05, 0.25, 0.2, 0.1])
    chosen, total = [], 0.0
    while total < share:
        chosen.append(int(np.argsort(-value)[len(chosen)]))
        total += value[chosen[-1]]
    found = reaching(cumulative(value, np.ones(5, bool)), share)
    assert sorted(chosen) == list(np.flatnonzero(found))
    influence = graph.numpy("influence")
    crossing = influence[influence >= share].min()
    assert reaching(influence, share)[influence == crossing].all()


def test_inputs_and_outputs_of_a_node_are_listed_by_weight(graph):
    assert list(graph.inputs("15_604_7")["from"]) == [
        "things in Texas",
        "say a capital",
        "feature 5.71",
    ]
    assert list(graph.outputs("8_230_7")["weight"]) == [3.5, -1.25, 1.0]
    assert len(graph.at({"node": "15_604_7"})) == 5
    assert set(graph.at({"token": 1})["source"]) == {"E_101_1", "2_9_1"}
    assert graph.at({}).empty
    with pytest.raises(KeyError, match="no node 'x'"):
        graph.inputs("x")
    assert graph.layers[0] == "E"
    assert graph.layers[-1] == "19"
    assert "10 features, 2 errors, 8 embeddings, 2 logits, 27 links" in graph.text()


def test_a_graph_is_saved_with_what_was_arranged(graph, tmp_path):
    graph.arrange(notes={"1_40_4": "first hop"})
    again = load(graph.save(tmp_path / "graph"))
    assert isinstance(again, AttributionGraph)
    assert again.arrangement["notes"] == {"1_40_4": "first hop"}
    assert again.to_json() == graph.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("links"), "'links' is missing"),
        (lambda d: d["links"].append({"source": "E_100_0", "target": "9_9_9", "weight": 1}), "9_9_9"),
        (lambda d: d["links"].append({"source": "E_100_0", "target": "1_40_4"}), "weight"),
        (lambda d: d["nodes"][3].pop("layer"), "node 3 has no 'layer'"),
        (lambda d: d["nodes"][2].update(ctx_idx=-1), "ctx_idx of node 2 is -1"),
        (lambda d: d["links"].append({"source": "19_500_7", "target": "1_40_4", "weight": 1}), "circle"),
    ],
)  # fmt: skip
def test_a_broken_graph_is_refused_with_the_reason(change, message, tmp_path):
    data = json.loads(FILE.read_text())
    change(data)
    (tmp_path / "g.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message):
        iw.open_graph(tmp_path / "g.json")


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"nodes": [], "links": [NaN], "metadata": {}}'])
def test_what_is_no_graph_is_said_to_be_none(text):
    with pytest.raises(ValueError, match="not an attribution graph"):
        AttributionGraph.from_json(text)


def test_two_nodes_of_one_id_are_noted():
    data = json.loads(FILE.read_text())
    data["nodes"].append(dict(data["nodes"][9], ctx_idx=2))
    graph = AttributionGraph.from_json(data)
    assert "1 node ids" in graph.meta["note"]
    assert len(json.loads(graph.to_json())["nodes"]) == len(data["nodes"])


def test_features_are_read_from_a_folder_beside_the_graph(tmp_path):
    (tmp_path / "g.json").write_text(FILE.read_text())
    assert iw.open_graph(tmp_path / "g.json").features is None
    (tmp_path / "features" / "handmade").mkdir(parents=True)
    assert iw.open_graph(tmp_path / "g.json").features == tmp_path / "features" / "handmade"
    with pytest.raises(ValueError, match="no folder"):
        iw.open_graph(tmp_path / "g.json", features=tmp_path / "nowhere")


def test_a_circuit_of_heads_is_exported_in_the_same_schema(tmp_path):
    graph = Graph.build(2, 3)
    names = ["input->a0.h1<q>", "input->a0.h1<v>", "a0.h1->m1", "m1->logits"]
    scores = np.zeros(graph.shape, np.float32)
    for i, name in enumerate(names):
        scores[graph.edge(name)] = 2.0 - i
    circuit = CircuitResult.from_graph(
        graph.with_scores(scores).with_edges(names), title="tiny", tokens=["A", " b", " c"]
    ).arrange(groups={"early": ["0.1"]}, pins=["m1"])
    found = circuit.to_attribution_graph()
    data = json.loads(found.to_json())
    assert [n["node_id"] for n in data["nodes"]] == ["E_0_0", "0_1_2", "1_3_2", "3_0_2"]
    assert data["links"][0] == {
        "source": "E_0_0", "target": "0_1_2", "weight": 3.0, "slots": {"q": 2.0, "v": 1.0},
    }  # fmt: skip
    assert data["qParams"]["supernodes"] == [["early", "0_1_2"]]
    assert data["qParams"]["pinnedIds"] == ["1_3_2"]
    required = {"node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"}
    assert all(required <= set(node) for node in data["nodes"])


def test_a_circuit_by_position_stands_where_it_is_read():
    graph = Graph.build(2, 3)
    scores = np.zeros((*graph.shape, 3), np.float32)
    scores[graph.edge("input->a0.h1<k>")] = [3, 0, -1]
    scores[graph.edge("a0.h1->m1")] = [0, 2, 0.5]
    scores[graph.edge("m1->logits")] = [0, 0, 4]
    circuit = CircuitResult.from_graph(
        graph.with_scores(scores.sum(-1)).with_edges(scores.any(-1)),
        title="tiny",
        tokens=["A", " b", " c"],
    )
    circuit.arrays["unit_scores"] = scores
    data = json.loads(circuit.to_attribution_graph().to_json())
    assert [n["node_id"] for n in data["nodes"]] == ["E_0_0", "E_0_2", "0_1_1", "1_3_2", "3_0_2"]
    assert [n["clerp"] for n in data["nodes"]][:2] == ["A", " c"]
    weights = {(x["source"], x["target"]): x["weight"] for x in data["links"]}
    assert weights == {
        ("E_0_0", "0_1_1"): 3, ("E_0_2", "0_1_1"): -1,
        ("0_1_1", "1_3_2"): 2.5, ("1_3_2", "3_0_2"): 4,
    }  # fmt: skip


def test_a_circuit_of_the_benchmark_opens_too(tmp_path):
    graph = Graph.build(2, 3).top_n(5)
    (tmp_path / "mib.json").write_text(graph.to_json())
    opened = iw.open_graph(tmp_path / "mib.json")
    assert isinstance(opened, CircuitResult)
    assert opened.graph == graph
