"""Circuits, concepts, the session and module trees in pages without kernel or network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.concepts import ConceptResult
from interp_widgets.results.graph import Graph
from interp_widgets.results.modules import ModulesResult
from interp_widgets.views.circuit import CircuitView
from interp_widgets.views.page import to_html

pytestmark = pytest.mark.browser

INK = """() => {
    const canvas = document.querySelector('.iw-stage canvas');
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let n = 0;
    for (let i = 3; i < data.length; i += 4) n += data[i] > 0;
    return n;
}"""


def circuit(layers: int = 12, heads: int = 12) -> CircuitResult:
    """A path through four heads among weak random edges."""
    graph = Graph.build(layers, heads)
    scores = np.random.default_rng(0).normal(0, 0.01, graph.shape)
    chain = ["input->a1.h3<q>", "a1.h3->m4", "m4->a9.h6<v>", "a9.h6->logits", "input->logits"]
    for i, name in enumerate(chain):
        scores[graph.edge(name)] = (-1) ** i * (2 - i / 5)
    graph = graph.with_scores(scores.astype(np.float32)).top_n(len(chain))
    values = {"clean": 3.55, "corrupted": -0.4}
    result = CircuitResult.from_graph(graph, metric="logit difference", values=values, title="IOI")
    result.arrays["faithfulness_sizes"] = np.array([5, 325, 32_491])
    result.arrays["faithfulness"] = np.array([0.4, 0.8, 1.0], np.float32)
    return result


def shown(page) -> list[str]:
    return page.eval_on_selector_all("[data-node]", "nodes => nodes.map(n => n.dataset.node)")


def test_a_circuit_opens_and_answers_to_the_pointer(offline, tmp_path):
    to_html(circuit(), tmp_path / "circuit.html")
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    assert sorted(shown(page)) == ["a1.h3", "a9.h6", "input", "logits", "m4"]
    assert page.evaluate(INK) > 1000
    assert "faithfulness 0.40" in page.inner_text(".iw-size-words")
    page.hover("[data-node='a9.h6']")
    assert "1 edge in" in page.inner_text(".iw-tooltip")
    ends = [
        page.locator(f"[data-node='{n}'] .iw-node-box").bounding_box() for n in ("input", "logits")
    ]
    box = page.locator(".iw-stage").bounding_box()
    x = (ends[0]["x"] + ends[0]["width"] / 2 + ends[1]["x"] + ends[1]["width"] / 2) / 2
    page.mouse.move(x, box["y"] + box["height"] * 0.55)
    assert "input → logits" in page.inner_text(".iw-tooltip")
    assert "+1.2" in page.inner_text(".iw-tooltip")
    page.mouse.click(x, box["y"] + box["height"] * 0.55)
    assert "not attached" in page.inner_text(".iw-note")


def test_the_slider_reaches_all_edges_of_gpt2_small(offline, tmp_path):
    to_html(circuit(), tmp_path / "circuit.html")
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    slider = page.locator(".iw-size input[type=range]")
    slider.focus()
    page.keyboard.press("PageUp")
    assert page.input_value(".iw-size input[type=number]") == "325"
    page.keyboard.press("End")
    page.wait_for_function("document.querySelectorAll('[data-node]').length === 158")
    assert "32,491 edges, 158 components" in page.inner_text(".iw-foot")


def test_a_circuit_is_walked_by_keyboard_alone(offline, tmp_path):
    to_html(circuit(), tmp_path / "circuit.html")
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    page.focus(".iw-zoom button:last-child")
    page.keyboard.press("Shift+Tab")  # zoom out
    page.keyboard.press("Shift+Tab")  # zoom in
    page.keyboard.press("Shift+Tab")  # the graph's one tab stop
    page.keyboard.press("Home")
    walked = []
    for _ in range(4):
        page.keyboard.press("ArrowUp")
        walked.append(page.evaluate("document.activeElement.dataset.node"))
    assert walked == ["a1.h3", "m4", "a9.h6", "logits"]
    page.keyboard.press("e")
    assert "a" not in page.inner_text(".iw-tooltip strong")[:1]
    assert "logits" in page.inner_text(".iw-tooltip strong")
    page.keyboard.press("Escape")
    assert page.is_hidden(".iw-tooltip")


@pytest.mark.parametrize("width", [320, 760])
@pytest.mark.parametrize("layout", ["columns", "packed"])
def test_nothing_sticks_out(offline, tmp_path, width, layout):
    view = CircuitView(circuit(), layout=layout)
    to_html(view, tmp_path / "circuit.html")
    view.close()
    page = offline(tmp_path / "circuit.html", viewport={"width": width, "height": 900})
    page.wait_for_selector("[data-node]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    edge = page.locator(".iw-root").bounding_box()
    for box in page.locator(".iw-node-box").all():
        node = box.bounding_box()
        assert edge["x"] <= node["x"]
        assert node["x"] + node["width"] <= edge["x"] + edge["width"]


def test_dark_edges_are_drawn_in_the_dark_palette(offline, tmp_path):
    view = CircuitView(circuit(), theme="dark")
    to_html(view, tmp_path / "circuit.html")
    view.close()
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    brightest = page.evaluate(
        """() => {
            const canvas = document.querySelector('.iw-stage canvas');
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let red = 0;
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) red = Math.max(red, data[i]);
            return red;
        }"""
    )
    assert brightest > 235  # the light theme's warm line has a red of 196


def test_concepts_sort_filter_and_change_layer(offline, tmp_path):
    weak = [[0.01, 0.02]] * 5  # a filter is offered for eight concepts or more
    effect = np.array([[0.2, 3.0], [-2.0, 0.1], [1.0, np.nan], *weak], np.float32)
    arrays = {"effect": effect, "low": effect - 0.3, "high": effect + 0.3}
    names = ["stripes", "<img src=x onerror=alert(1)>", "dots", *(f"other {i}" for i in range(5))]
    result = ConceptResult(arrays, {"concepts": names, "layers": ["4", "5"], "title": "Concepts"})
    to_html(result.view(layer=0), tmp_path / "concepts.html")
    page = offline(tmp_path / "concepts.html")
    rows = page.locator("[role=option] .iw-concept-name")
    assert rows.all_inner_texts()[:3] == [names[1], "dots", "stripes"]
    page.focus("[role=option][tabindex='0']")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.iw-concept-name').textContent === 'stripes'")
    page.fill("input[type=search]", "dot")
    page.wait_for_function("document.querySelectorAll('[role=option]').length === 1")
    assert page.locator(".iw-bar rect").count() == 0  # not measured at this layer


def test_a_module_tree_opens_and_closes(offline, tmp_path):
    leaf = {"class": "Linear", "parameters": 8, "shape": [1, 4], "sites": [], "children": []}
    blocks = [
        {**leaf, "name": str(i), "path": f"h.{i}", "class": "Block",
         "children": [{**leaf, "name": "fc", "path": f"h.{i}.fc"}]}
        for i in range(4)
    ]  # fmt: skip
    tree = {**leaf, "name": "net", "path": "", "children": blocks}
    to_html(ModulesResult({}, {"tree": tree, "title": "Modules"}), tmp_path / "modules.html")
    page = offline(tmp_path / "modules.html")
    names = page.locator("[role=treeitem] strong")
    assert names.all_inner_texts() == ["net", "0", "fc", "1 … 3"]
    page.locator("[role=treeitem]").nth(3).click()
    assert names.all_inner_texts() == ["net", "0", "fc", "1 … 3", "1", "2", "3"]


def test_nodes_are_grouped_by_a_loop_folded_and_moved_by_the_mouse(offline, tmp_path):
    view = CircuitView(circuit(), layout="packed")
    to_html(view, tmp_path / "circuit.html")
    view.close()
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    box = {n: page.locator(f"[data-node='{n}'] .iw-node-box").bounding_box() for n in shown(page)}
    low, high = box["a1.h3"], box["m4"]
    page.get_by_role("button", name="Select", exact=True).click()
    left, right = min(low["x"], high["x"]) - 8, max(low["x"], high["x"]) + 70
    path = [
        (left, low["y"] + 30),
        (right, low["y"] + 30),
        (right, high["y"] - 8),
        (left, high["y"] - 8),
    ]
    page.mouse.move(*path[0])
    page.mouse.down()
    for point in path[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()
    assert page.inner_text(".iw-arrange").startswith("2 chosen")
    page.get_by_role("button", name="Group…").click()
    page.fill(".iw-arrange input", "early <img src=x>")
    page.keyboard.press("Enter")
    page.wait_for_selector(".iw-hull")
    assert page.locator(".iw-stage img").count() == 0
    page.get_by_role("button", name="Select", exact=True).click()
    page.locator(".iw-hull-name").click()
    page.wait_for_selector("[data-node='group:early <img src=x>']")
    assert "m4" not in shown(page)
    before = page.locator("[data-node='a9.h6'] .iw-node-box").bounding_box()
    page.mouse.move(before["x"] + 6, before["y"] + 6)
    page.mouse.down()
    page.mouse.move(before["x"] + 96, before["y"] + 26, steps=5)
    page.mouse.up()
    page.wait_for_timeout(200)
    after = page.locator("[data-node='a9.h6'] .iw-node-box").bounding_box()
    assert after["x"] - before["x"] == pytest.approx(90, abs=3)
    assert after["y"] - before["y"] == pytest.approx(20, abs=3)


def test_an_attribution_graph_is_pruned_read_and_shown_as_its_subgraph(offline, tmp_path):
    graph = iw.open_graph(Path(__file__).parents[1] / "results" / "attribution_graph.json")
    to_html(graph, tmp_path / "graph.html")
    page = offline(tmp_path / "graph.html", viewport={"width": 1100, "height": 900})
    page.wait_for_selector("[data-node='15_604_7']")
    assert page.evaluate(INK) > 500
    words = page.locator(".iw-node-logit .iw-node-tag").all_text_contents()
    assert words == ['" Austin" (p=0.620)', '" Houston" (p=0.090)']
    card = page.locator(".iw-card")
    assert card.locator("h3").inner_text() == "say Austin"
    page.get_by_role("button", name="say a capital, +3.50").click()
    page.wait_for_function("document.querySelector('.iw-card h3').textContent === 'say a capital'")
    assert "Outputs (3)" in card.inner_text()
    page.get_by_label("Node influence, number").fill("0.3")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.iw-foot').textContent.includes('; 16 of 27')")
    page.get_by_text("Pinned", exact=True).click()
    page.wait_for_function("document.querySelectorAll('[data-node]').length === 7")
    assert "group:Texas" in shown(page)
    page.locator("[data-node='group:Texas']").click()
    page.wait_for_function(
        "document.querySelector(\"[data-node='group:Texas']\").textContent.includes('things')"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 1100
