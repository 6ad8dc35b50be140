"""Circuits, concepts, the session and module trees in pages without kernel or network."""

from __future__ import annotations

import re
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
from tests.browser.waiting import expect, still, until

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


def middle(page, node: str) -> tuple[float, float]:
    box = still(page.locator(f"[data-node='{node}'] .iw-node-box"))
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_circuit_opens_and_answers_to_the_pointer(offline, tmp_path):
    to_html(circuit(), tmp_path / "circuit.html")
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    until(lambda: sorted(shown(page)) == ["a1.h3", "a9.h6", "input", "logits", "m4"])
    until(lambda: page.evaluate(INK) > 1000)
    expect(page.locator(".iw-size-words")).to_contain_text("faithfulness 0.40")
    page.hover("[data-node='a9.h6']")
    tip = page.locator(".iw-tooltip")
    expect(tip).to_contain_text("1 edge in")
    x = (middle(page, "input")[0] + middle(page, "logits")[0]) / 2
    box = still(page.locator(".iw-stage"))
    page.mouse.move(x, box["y"] + box["height"] * 0.55)
    expect(tip).to_contain_text("input → logits")
    expect(tip).to_contain_text("+1.2")
    page.mouse.click(x, box["y"] + box["height"] * 0.55)
    expect(page.locator(".iw-note")).to_contain_text("not attached")


def test_the_slider_reaches_all_edges_of_gpt2_small(offline, tmp_path):
    to_html(circuit(), tmp_path / "circuit.html")
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    slider = page.locator(".iw-size input[type=range]")
    slider.focus()
    page.keyboard.press("PageUp")
    expect(page.locator(".iw-size input[type=number]")).to_have_value("325")
    page.keyboard.press("End")
    expect(page.locator("[data-node]")).to_have_count(158)
    expect(page.locator(".iw-foot")).to_contain_text("32,491 edges, 158 components")


def test_a_circuit_is_walked_by_keyboard_alone(offline, tmp_path):
    to_html(circuit(), tmp_path / "circuit.html")
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    page.focus(".iw-zoom button:last-child")
    page.keyboard.press("Shift+Tab")  # zoom out
    page.keyboard.press("Shift+Tab")  # zoom in
    page.keyboard.press("Shift+Tab")  # the graph's one tab stop
    page.keyboard.press("Home")
    for node in ("a1.h3", "m4", "a9.h6", "logits"):
        page.keyboard.press("ArrowUp")
        expect(page.locator(f"[data-node='{node}']")).to_be_focused()
    page.keyboard.press("e")
    expect(page.locator(".iw-tooltip strong")).to_have_text(re.compile("^[^a].*logits"))
    page.keyboard.press("Escape")
    expect(page.locator(".iw-tooltip")).to_be_hidden()


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
    brightest = """() => {
        const canvas = document.querySelector('.iw-stage canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let red = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) red = Math.max(red, data[i]);
        return red;
    }"""
    # The light theme's warm line has a red of 196.
    until(lambda: page.evaluate(brightest) > 235, "lines for a dark ground")


def test_concepts_sort_filter_and_change_layer(offline, tmp_path):
    weak = [[0.01, 0.02]] * 5  # a filter is offered for eight concepts or more
    effect = np.array([[0.2, 3.0], [-2.0, 0.1], [1.0, np.nan], *weak], np.float32)
    arrays = {"effect": effect, "low": effect - 0.3, "high": effect + 0.3}
    names = ["stripes", "<img src=x onerror=alert(1)>", "dots", *(f"other {i}" for i in range(5))]
    result = ConceptResult(arrays, {"concepts": names, "layers": ["4", "5"], "title": "Concepts"})
    to_html(result.view(layer=0), tmp_path / "concepts.html")
    page = offline(tmp_path / "concepts.html")
    rows = page.locator("[role=option] .iw-concept-name")
    for place, name in enumerate((names[1], "dots", "stripes")):
        expect(rows.nth(place)).to_have_text(name)
    page.focus("[role=option][tabindex='0']")
    page.keyboard.press("ArrowRight")
    expect(rows.first).to_have_text("stripes")
    page.fill("input[type=search]", "dot")
    expect(page.locator("[role=option]")).to_have_count(1)
    expect(page.locator(".iw-bar rect")).to_have_count(0)  # not measured at this layer


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
    expect(names).to_have_text(["net", "0", "fc", "1 … 3"])
    page.locator("[role=treeitem]").nth(3).click()
    expect(names).to_have_text(["net", "0", "fc", "1 … 3", "1", "2", "3"])


def test_nodes_are_grouped_by_a_loop_folded_and_moved_by_the_mouse(offline, tmp_path):
    view = CircuitView(circuit(), layout="packed")
    to_html(view, tmp_path / "circuit.html")
    view.close()
    page = offline(tmp_path / "circuit.html")
    page.wait_for_selector("[data-node]")
    page.get_by_role("button", name="Select", exact=True).click()
    low, high = (still(page.locator(f"[data-node='{n}'] .iw-node-box")) for n in ("a1.h3", "m4"))
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
    expect(page.locator(".iw-arrange")).to_contain_text("2 chosen")
    page.get_by_role("button", name="Group…").click()
    page.fill(".iw-arrange input", "early <img src=x>")
    page.keyboard.press("Enter")
    page.wait_for_selector(".iw-hull")
    expect(page.locator(".iw-stage img")).to_have_count(0)
    page.get_by_role("button", name="Select", exact=True).click()
    page.locator(".iw-hull-name").click()
    page.wait_for_selector("[data-node='group:early <img src=x>']")
    expect(page.locator("[data-node='m4']")).to_have_count(0)
    x, y = middle(page, "a9.h6")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 20, steps=5)
    page.mouse.up()
    moved = pytest.approx((x + 90, y + 20), abs=3)
    until(lambda: middle(page, "a9.h6") == moved, "moved by the mouse")


def test_an_attribution_graph_is_pruned_read_and_shown_as_its_subgraph(offline, tmp_path):
    graph = iw.open_graph(Path(__file__).parents[1] / "results" / "attribution_graph.json")
    to_html(graph, tmp_path / "graph.html")
    page = offline(tmp_path / "graph.html", viewport={"width": 1100, "height": 900})
    page.wait_for_selector("[data-node='15_604_7']")
    until(lambda: page.evaluate(INK) > 500)
    words = page.locator(".iw-node-logit .iw-node-tag")
    expect(words).to_have_text(['" Austin" (p=0.620)', '" Houston" (p=0.090)'])
    card = page.locator(".iw-card")
    expect(card.locator("h3")).to_have_text("say Austin")
    page.get_by_role("button", name="say a capital, +3.50").click()
    expect(card.locator("h3")).to_have_text("say a capital")
    expect(card).to_contain_text("Outputs (3)")
    page.get_by_label("Node influence, number").fill("0.3")
    page.keyboard.press("Enter")
    expect(page.locator(".iw-foot")).to_contain_text("; 16 of 27")
    page.get_by_text("Pinned", exact=True).click()
    expect(page.locator("[data-node]")).to_have_count(7)
    texas = page.locator("[data-node='group:Texas']")
    texas.click()
    expect(texas).to_contain_text("things")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1100
