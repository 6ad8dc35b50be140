"""Two arrays against each other: which cells meet, how they correlate, which stand out."""

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.results.scatter import ScatterResult


def grid(values, *dims, **labels):
    return iw.show(values, dims=dims, labels=labels, title="effect")


def test_cells_meet_by_dim_and_label_whatever_their_order():
    x = grid(np.arange(6.0).reshape(2, 3), "layer", "head", layer=["4", "5"])
    y = grid(10 * np.arange(9.0).reshape(3, 3).T, "head", "layer", layer=["5", "7", "4"])
    result = iw.scatter(x, y)
    assert result.names[0] == "layer 4, head 0"
    assert result.short_names[-1] == "5.2"
    np.testing.assert_array_equal(result.numpy("x"), [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(result.numpy("y"), [60, 70, 80, 0, 10, 20])
    assert result.at({"layer": 5, "head": 1})[["x", "y"]].to_numpy().tolist() == [[4, 10]]
    assert result.at({"token": 1}).empty


def test_correlations_are_those_of_scipy_and_leave_out_what_is_not_finite():
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(0)
    x = draw.standard_normal((5, 7))
    y = np.round(x**3 + draw.standard_normal((5, 7)), 1)  # ties
    y[1, 2], x[3, 3] = np.nan, np.inf
    result = iw.scatter(grid(x, "layer", "head"), grid(y, "layer", "head"))
    ok = np.isfinite(x) & np.isfinite(y)
    assert result.pearson == pytest.approx(stats.pearsonr(x[ok], y[ok])[0], abs=1e-6)
    assert result.spearman == pytest.approx(stats.spearmanr(x[ok], y[ok])[0], abs=1e-6)
    assert "33 points" in result.text()
    assert "2 points are not finite" in result.text()


def test_the_planted_outlier_is_found_and_a_cloud_of_equals_has_none():
    x = np.random.default_rng(1).uniform(-1, 1, (12, 12))
    x[9, 6] = 8
    result = iw.scatter(grid(x, "layer", "head"), grid(x * 0, "layer", "head"))
    assert result.outliers() == [9 * 12 + 6]
    assert np.isnan(result.pearson)
    flat = grid(np.ones((3, 4)), "layer", "head")
    assert iw.scatter(flat, flat).outliers() == []
    nothing = grid(np.full((3, 4), np.nan), "layer", "head")
    assert iw.scatter(nothing, nothing).outliers() == []
    assert iw.scatter(nothing, nothing).figure().png()


def test_what_cannot_be_compared_says_why():
    x = grid(np.ones((2, 3)), "layer", "head")
    with pytest.raises(ValueError, match="layer, head and 'effect' position; a point needs"):
        iw.scatter(x, grid(np.ones(4), "position"))
    with pytest.raises(ValueError, match="no layer is in both"):
        iw.scatter(x, grid(np.ones((2, 3)), "layer", "head", layer=["a", "b"]))
    many = grid(torch.zeros(1).expand(400, 400), "layer", "unit")
    with pytest.raises(ValueError, match="160,000 points are one dark cloud"):
        iw.scatter(many, many)
    with pytest.raises(TypeError, match="y must be ArrayResult"):
        iw.scatter(x, [1, 2])


def test_a_scatter_is_saved_with_the_recipes_of_both(tmp_path):
    x = grid(np.arange(6.0).reshape(2, 3), "layer", "head")
    result = iw.scatter(x, x)
    again = iw.load(result.save(tmp_path / "heads"))
    assert isinstance(again, ScatterResult)
    assert again.sources is None
    assert again.text() == result.text()
