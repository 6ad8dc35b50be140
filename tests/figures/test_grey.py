"""A reader prints the paper in black and white, or does not see red and green."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from interp_widgets.figures.style import DIVERGING, OKABE_ITO, SEQUENTIAL, luminance
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.results.tokens import TokensResult

# Deuteranopia in linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)


def linear(rgb):
    rgb = np.asarray(rgb, dtype=float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* under D65 of linear RGB."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = rgb @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen(color):
    """What a deuteranope sees of a colour, in L*a*b*."""
    return lab(np.clip(linear(color[:3]) @ DEUTERANOPIA.T, 0, 1))


def cells(figure, shape):
    """Cut a grey picture of a heatmap into its cells."""
    grey = Image.open(io.BytesIO(figure.png(dpi=200))).convert("L")
    ax = figure.mpl.axes[0]
    box = ax.get_position()
    width, height = grey.size
    left, right = box.x0 * width, box.x1 * width
    top, bottom = (1 - box.y1) * height, (1 - box.y0) * height
    pixels = np.asarray(grey, dtype=float)
    rows = np.linspace(top, bottom, shape[0] + 1).round().astype(int)
    cols = np.linspace(left, right, shape[1] + 1).round().astype(int)
    return [
        [pixels[r0 + 3 : r1 - 3, c0 + 3 : c1 - 3] for c0, c1 in pairwise(cols)]
        for r0, r1 in pairwise(rows)
    ]


@pytest.mark.parametrize("venue", [None, "icml"])
@pytest.mark.parametrize("side", [4, 30])
def test_plus_and_minus_differ_in_grey_though_the_colours_do_not(venue, side):
    values = np.full((side, side), 0.9)
    values[::2, ::2] = -0.9
    values[-1, -1] = 1.0
    figure = ArrayResult({"values": values}, {"dims": ["layer", "head"]}).figure(venue)
    grid = cells(figure, values.shape)
    plus, minus = grid[0][1], grid[0][0]
    assert abs(np.median(plus) - np.median(minus)) < 40
    assert np.ptp(plus) < 5
    assert np.ptp(minus) > 100
    assert figure.grey_report()["legible"]


def test_tokens_below_zero_are_underlined_with_dashes_in_grey():
    values = np.array([[-1.0, 1.0]])
    figure = TokensResult({"values": values}, {"tokens": ["xx", " xx"]}).figure("icml")
    assert "underlined" in figure.grey_report()["second_code"]
    assert figure.grey_report()["legible"]


def test_negative_edges_of_a_circuit_are_dashed():
    graph = Graph.build(2, 2)
    signs = np.where(np.arange(graph.real_edge_mask.size).reshape(graph.shape) % 2, 1.0, -1.0)
    graph = graph.with_scores(signs * graph.real_edge_mask).top_n(12)
    figure = CircuitResult.from_graph(graph, title="C", metric="m").figure("icml")
    report = figure.grey_report()
    assert "dashed" in report["second_code"]
    assert report["legible"]


def test_a_signed_lens_says_how_the_sign_survives(results):
    lens = results["lens"]
    lens.arrays["logit_difference"] = np.linspace(-3, 3, 40).reshape(4, 10)
    figure = lens.figure("icml", color="logit_difference")
    assert figure.grey_report()["signed"]
    assert figure.grey_report()["legible"]


def test_both_ends_of_the_diverging_scale_differ_for_a_deuteranope():
    ends = [seen(DIVERGING(x)) for x in (0.15, 0.85)]
    assert np.linalg.norm(ends[0] - ends[1]) > 40
    steps = [seen(SEQUENTIAL(x))[0] for x in np.linspace(0, 1, 9)]
    assert (np.diff(steps) < 0).all()


def test_categories_differ_for_a_deuteranope_and_stand_out_from_white():
    names = ["black", "blue", "vermilion", "sky", "orange"]
    points = [seen(linear_to(OKABE_ITO[n])) for n in names]
    for i, one in enumerate(points):
        assert all(np.linalg.norm(one - other) > 15 for other in points[i + 1 :])
    for name in ("black", "blue", "vermilion", "green"):
        assert 1.05 / (luminance(OKABE_ITO[name]) + 0.05) >= 3


def linear_to(hexadecimal):
    return [int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)]
