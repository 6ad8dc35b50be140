"""Circuits and attribution graphs on paper: what is arranged is drawn, nothing lies outside."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.figures.graph_layout import Box, Edge, bands, fold, stack
from interp_widgets.figures.graph_routes import Router
from interp_widgets.figures.screen import Words
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph

FILE = Path(__file__).parents[1] / "results" / "attribution_graph.json"
CLASSES = {"previous": ["0.1"], "movers <b>$x$": ["2.0", "2.3"], "induction": ["1.2"]}
NAMES = [
    "input->a0.h1<v>", "a0.h1->a1.h2<k>", "a1.h2->a2.h0<q>", "a1.h2->a2.h3<q>", "a2.h0->logits",
    "a2.h3->logits", "input->m1", "m1->logits",
]  # fmt: skip


@pytest.fixture
def circuit() -> CircuitResult:
    graph = Graph.build(3, 4)
    scores = np.zeros(graph.shape, np.float32)
    for i, name in enumerate(NAMES):
        scores[graph.edge(name)] = (-1) ** i * (3 - i / 4)
    return CircuitResult.from_graph(graph.with_scores(scores).with_edges(NAMES), title="Three")


def light(artist) -> list[Words]:
    """The words that the screen draws as one artist."""
    return [child for child in artist.get_children() if isinstance(child, Words)]


def texts(figure) -> list[str]:
    ax = figure.mpl.axes[0]
    return [t.get_text() for t in ax.texts] + [w for group in light(ax) for w in group.words]


def legend_of(figure) -> set[str]:
    if figure.mpl.legends:
        return {t.get_text() for t in figure.mpl.legends[0].get_texts()}
    return {w for group in light(figure.mpl) for w in group.words}


def inside(figure) -> bool:
    figure.png()
    ax = figure.mpl.axes[0]
    box = ax.get_window_extent().padded(2)
    found = [
        artist.get_window_extent()
        for artist in (*ax.texts, *ax.patches, *ax.collections, *light(ax))
    ]
    return all(
        box.x0 <= b.x0 and b.x1 <= box.x1 and box.y0 <= b.y0 and b.y1 <= box.y1 for b in found
    )


@pytest.mark.parametrize("venue", ["icml", "neurips", None])
@pytest.mark.parametrize("layout", ["packed", "classes"])
def test_classes_are_drawn_with_names_and_stay_inside(circuit, venue, layout):
    circuit.arrange(groups=CLASSES, notes={"0.1": "looks back"})
    figure = circuit.figure(venue, layout=layout)
    assert inside(figure)
    assert "0.1: looks back" in figure.caption
    if layout == "classes":
        assert {"previous", "induction", "2.0, 2.3", "q", "k", "v", "MLP 1"} <= set(texts(figure))
        assert r"movers <b>\$x\$" in texts(figure)
    else:
        assert {"0.1", "2.0", "2.3", "layer 1"} <= set(texts(figure))
        assert {"previous", "induction"} <= legend_of(figure)


def test_a_group_that_was_folded_is_one_box(circuit):
    folded = [{"name": "movers", "members": ["2.0", "2.3"], "collapsed": True}]
    shown = texts(circuit.figure(layout="packed", groups=folded))
    assert "movers" in shown
    assert "2.0" not in shown
    assert circuit.arrangement["groups"] == []  # an option draws, it does not arrange


def test_a_node_stands_where_it_was_put(circuit):
    def place(figure):
        (text,) = [t for t in figure.mpl.axes[0].texts if t.get_text() == "1.2"]
        (width, height) = figure.mpl.axes[0].get_xlim()[1], figure.mpl.axes[0].get_ylim()[1]
        return text.get_position()[0] / width, text.get_position()[1] / height

    before = place(circuit.figure("neurips"))
    circuit.arrange(positions={"1.2": (0.25, 0.5)})
    assert place(circuit.figure("neurips")) == pytest.approx((0.25, 0.5), abs=0.01)
    assert before != pytest.approx((0.25, 0.5), abs=0.05)


def test_the_reference_says_what_was_found(circuit):
    figure = circuit.figure(reference=["1.2", "2.0", "0.3"])
    assert "precision 0.40, recall 0.67" in figure.caption
    assert "0.3" in texts(figure)
    assert {"in the reference", "not in it", "missed"} <= legend_of(figure)
    figure = circuit.figure(reference=[*NAMES[:4], "m0->logits"])
    assert "precision 0.50, recall 0.80 (4 edges shared, 1 missed, 4 extra)" in figure.caption
    assert "MLP 0" in texts(figure)


def test_the_size_of_the_view_is_the_size_of_the_figure(circuit):
    view = circuit.view(size=5, layout="packed", connected=False)
    assert set(view.figure_options()) >= {"edges", "layout"}
    shown = texts(view.figure())
    assert "2.0" in shown
    assert "MLP 1" not in shown
    view.close()
    with pytest.raises(ValueError, match="layout is one of"):
        circuit.figure(layout="circle")


@pytest.mark.parametrize("venue", ["icml", None])
def test_the_pinned_subgraph_has_supernodes_as_boxes(venue):
    graph = iw.open_graph(FILE)
    figure = graph.figure(venue)
    assert {"Texas", "state", "Dallas", "say Austin"} <= set(texts(figure))
    assert "things in Texas" not in texts(figure)
    assert inside(figure)
    graph.arrange(groups=[{"name": "Texas", "members": ["6_311_4", "11_902_7"]}])
    assert "things in Texas" in texts(graph.figure(venue))


def test_the_whole_attribution_graph_has_rows_and_tokens():
    graph = iw.open_graph(FILE)
    figure = graph.figure("neurips", layout="positions", nodes=0.6)
    assert {"E", "out", "15", "Dallas", "capital"} <= set(texts(figure))
    assert {'" Austin" (p=0.620)', '" Houston" (p=0.090)'} <= set(texts(figure))
    assert inside(figure)
    assert "60%" in figure.caption
    graph.arrange(pins=[], groups=[])
    with pytest.raises(ValueError, match="nothing is pinned"):
        graph.figure(layout="classes")


def test_folding_adds_scores_and_forgets_what_is_inside():
    edges = [Edge("a", "b", "q", 2.0), Edge("c", "b", "k", -3.0), Edge("a", "c", "", 9.0)]
    (edge,) = fold(edges, {"a": "G", "c": "G"}, merge_ports=True)
    assert (edge.source, edge.target, edge.port, edge.score) == ("G", "b", "k,q", -1.0)
    assert len(fold(edges, {"a": "G", "c": "G"})) == 2


def test_rows_go_upwards_and_boxes_of_a_row_do_not_touch():
    boxes = [Box(str(i), "head", 0.1 * i, width=0.9, height=0.2) for i in range(5)]
    edges = [Edge("0", "1", "", 1.0)]
    rows = bands(boxes, edges, near=1.0)
    assert [b.name for b in rows[0]] == ["0"]  # 1 reads 0 and stands above it
    height = stack(rows, edges, width=3.0, gap=0.2)
    for row in {round(b.y, 6) for b in boxes}:
        xs = sorted(b.x for b in boxes if round(b.y, 6) == row)
        assert all(b - a >= 0.9 for a, b in itertools.pairwise(xs))
    assert all(0 < b.y < height and 0.45 <= b.x <= 2.55 for b in boxes)


def touched(curves: list[np.ndarray], boxes: list[Box], ends: list[set[str]]) -> list[str]:
    """Names of the boxes that a curve runs behind though it does not end there."""
    return [
        box.name
        for points, own in zip(curves, ends, strict=True)
        for box in boxes
        if box.name not in own
        and np.any(np.all(np.abs(points - (box.x, box.y)) < (box.width / 2, box.height / 2), 1))
    ]


def curve(knots: list[tuple[float, float]]) -> np.ndarray:
    """Points on the cubic Béziers from knot to knot, with handles straight up and down."""
    t = np.linspace(0, 1, 60)[:, None]
    parts = []
    for a, b in itertools.pairwise(np.array(knots)):
        h = np.array([0, (b[1] - a[1]) / 2])
        r = 1 - t
        parts.append(a * r**3 + 3 * (a + h) * r**2 * t + 3 * (b - h) * r * t**2 + b * t**3)
    return np.concatenate(parts)


def test_edges_pass_beside_the_boxes_that_they_do_not_touch():
    rng = np.random.default_rng(3)
    boxes = [
        Box(f"{row}.{n}", "head", row, x=0.6 + n * 1.1 + row % 2 * 0.5, y=row * 0.7,
            width=float(rng.uniform(0.4, 0.9)), height=float(rng.uniform(0.2, 0.35)))
        for row in range(6)
        for n in range(4)
    ]  # fmt: skip
    pairs = [(a, b) for a in boxes for b in boxes if b.level > a.level + 1 and rng.uniform() < 0.25]
    straight = [
        [(a.x, a.y + a.height / 2), (b.x + 0.3 * b.width, b.y - b.height / 2)] for a, b in pairs
    ]
    ends = [{a.name, b.name} for a, b in pairs]
    assert len(touched([curve(k) for k in straight], boxes, ends)) > 20
    router = Router(boxes, 0, 5)
    routed = [router.route(*k, own) for k, own in zip(straight, ends, strict=True)]
    assert touched([curve(k) for k in routed], boxes, ends) == []
    assert all([k[0], k[-1]] == s for k, s in zip(routed, straight, strict=True))
    assert all(0 <= x <= 5 for k in routed for x, _ in k)
    free = [k for k in routed if len(k) == 2]
    assert free  # where nothing is in the way the plain curve stays
    walled = Router([Box("wall", "mlp", 1, x=2.5, y=1, width=5, height=0.2)], 0, 5)
    assert walled.route((1, 0), (4, 2), ()) == [(1, 0), (4, 2)]


def test_the_legend_names_the_signs_that_are_drawn(circuit):
    words = legend_of(circuit.figure())
    assert {"raises the metric", "lowers it"} <= words
    positive = circuit.figure(edges=1, connected=False)
    words = legend_of(positive)
    assert "raises the metric" in words
    assert "lowers it" not in words
    assert "dashed" in circuit.figure().caption
    assert "dashed" not in positive.caption
