"""The scatter: what it shows, and how it is linked with the heatmaps of both results."""

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.views.wire import unpack
from tests.views.fakes import ask


@pytest.fixture
def pair():
    draw = np.random.default_rng(0)
    values = draw.standard_normal((3, 4))
    x = iw.show(values, dims=("layer", "head"), labels={"layer": ["4", "5", "<script>"]}, title="x")
    y = iw.show(2 * values.T, dims=("head", "layer"), labels={"layer": ["4", "5", "<script>"]})
    return x, y


def test_the_first_paint_holds_the_points(pair):
    view = iw.scatter(*pair).view(labels=3)
    first = unpack(view.spec["first"], view.spec["buffers"])["points"]
    np.testing.assert_allclose(first["y"], 2 * first["x"], rtol=1e-6)
    assert first["cell"][5].tolist() == [1, 1]
    assert first["pearson"] == pytest.approx(1)
    assert view.spec["selects"] == {"layer": "layer", "head": "head"}
    assert view.spec["numbers"] == {"layer": [4, 5, -1]}
    assert '"<script>' not in view.to_html().replace("\\u003c", "")
    view.close()


def test_brushed_points_are_outlined_in_the_open_heatmaps_of_both_and_no_others(pair):
    x, y = pair
    other = iw.show(x.values, dims=("layer", "head")).view()
    maps = [x.view(outline=[(0, 0)]), y.view()]
    view = iw.scatter(x, y).view()
    view.state = {**view.state, "brushed": [5, 8]}
    assert maps[0].outline == [(0, 0), (1, 1), (2, 0)]
    assert maps[1].outline == [(1, 1), (0, 2)]
    assert view.brushed == ["layer 5, head 1", "layer <script>, head 0"]
    assert view.brushed_frame()["head"].tolist() == [1, 0]
    view.state = {**view.state, "brushed": [8]}
    assert maps[0].outline == [(0, 0), (2, 0)]
    view.close()
    assert maps[0].outline == [(0, 0)]
    assert maps[1].outline == []
    assert other.outline == []
    for shown in (other, *maps):
        shown.close()


def test_a_closed_heatmap_is_left_alone(pair):
    x, y = pair
    heatmap = x.view()
    heatmap.close()
    view = iw.scatter(x, y).view()
    view.state = {**view.state, "brushed": [1, 99]}
    assert view.brushed == ["layer 4, head 1"]
    assert view.figure().png()
    view.close()


def test_a_difference_is_the_change_of_both(pair):
    view = iw.scatter(*pair).view()
    answer, buffers = ask(view, "points", {"mode": "current"})
    assert answer["ok"]
    assert unpack(answer["payload"], buffers)["x"].shape == (12,)
    with pytest.raises(ValueError, match="labels is a number"):
        iw.scatter(*pair).view(labels=-1)
    view.close()
