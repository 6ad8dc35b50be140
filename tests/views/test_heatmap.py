"""Arrays of any shape as heatmaps: the numbers, the overview, the marks, the click."""

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.planes import Pyramid, Range, plane, pooled
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.heatmap import HeatmapView
from interp_widgets.views.wire import unpack
from tests.views.fakes import FakeSession, ask, z_result


def array(values, *dims, **meta):
    return ArrayResult({"values": values}, {"dims": list(dims), "title": "t", **meta})


def tile(view, **payload):
    state = {k: view.state[k] for k in ("rows", "cols", "at", "pool")}
    where = {"row": 0, "col": 0, "row_step": 1, "col_step": 1, "mode": "current", "scale": "slice"}
    message, buffers = ask(view, "tile", {**state, **where, **payload})
    assert message["ok"], message
    return unpack(message["payload"], buffers)


@pytest.fixture
def z():
    session = FakeSession()
    view = HeatmapView(z_result(session), layer=2, head=1)
    yield view
    view.close()


def test_head_outputs_open_as_positions_by_units_with_steppers(z):
    assert (z.state["rows"], z.state["cols"]) == ("position", "d_head")
    assert z.state["at"] == {"layer": 2, "head": 1}
    np.testing.assert_array_equal(tile(z)["values"], z.current.sel(layer=2, head=1))


@pytest.mark.parametrize(
    ("rows", "cols"), [("head", "layer"), ("layer", "head"), ("d_head", "layer")]
)
def test_any_two_dims_are_cut_as_numpy_would(z, rows, cols):
    at = {d: 1 for d in z.current.dims if d not in (rows, cols)}
    values = tile(z, rows=rows, cols=cols, at=at)["values"]
    moved = np.moveaxis(
        z.current.numpy("values"), [z.current.dims.index(d) for d in (rows, cols)], [0, 1]
    )
    np.testing.assert_array_equal(values, moved[..., 1, 1])


def test_the_first_paint_needs_no_round_trip(z):
    first = unpack(z.spec["first"], z.spec["buffers"])["tiles"][0]
    np.testing.assert_array_equal(first["values"], z.current.sel(layer=2, head=1))
    assert first["payload"]["at"] == {"layer": 2, "head": 1}


def test_wrong_dims_and_indices_say_what_there_is():
    result = array(np.zeros((3, 4)), "layer", "head")
    with pytest.raises(TypeError, match=r"unknown laier: .*layer, head"):
        HeatmapView(result, laier=1)
    with pytest.raises(ValueError, match="scale is one of slice, trim, all, not 'row'"):
        HeatmapView(result, scale="row")
    with pytest.raises(ValueError, match="no dim 'x'; there are layer, head"):
        HeatmapView(result, rows="x")
    with pytest.raises(IndexError, match="layer 7 is out of range: there are 3"):
        HeatmapView(array(np.zeros((3, 4, 5)), "layer", "head", "unit"), layer=7)
    view = HeatmapView(result)
    for payload in ({"rows": "head", "cols": "head"}, {"rows": "layer", "cols": "head", "row": 9}):
        answer, _ = ask(view, "tile", payload)
        assert not answer["ok"]
    view.close()


def test_a_vector_is_one_row_and_a_number_one_cell():
    view = HeatmapView(array(np.arange(7.0), "position"))
    assert view.state["rows"] == ""
    assert tile(view)["values"].shape == (1, 7)
    view.close()
    number = HeatmapView(array(np.full((), -3.0)))
    assert (number.state["rows"], number.state["cols"]) == ("", "")
    assert tile(number)["values"].tolist() == [[-3.0]]
    assert "-3" in number.current.text()
    assert number.current.figure().png()
    assert "-3" in number.to_html()
    assert ask(number, "table")[0]["payload"]["rows"] == [[-3.0]]
    number.close()


def test_only_tiles_of_a_large_array_travel():
    values = np.random.default_rng(0).standard_normal((300, 700)).astype("f4")
    view = HeatmapView(array(torch.tensor(values), "position", "d_mlp"))
    assert view.spec["first"] == {}
    np.testing.assert_array_equal(tile(view, row=1, col=2)["values"], values[256:, 512:])
    overview = tile(view, row_step=2, col_step=4)["values"]
    assert overview.shape == (150, 175)
    view.close()


def test_the_overview_keeps_the_largest_magnitude_or_the_mean():
    values = np.zeros((6, 10), dtype="f4")
    values[1, 3], values[4, 9], values[5, 9] = -5, 2, 1
    largest = pooled(values, 3, 5, "max", signed=True)
    np.testing.assert_array_equal(largest, [[-5, 0], [0, 2]])
    np.testing.assert_allclose(pooled(values, 3, 5, "mean", signed=True)[1, 1], 3 / 15)
    unsigned = pooled(np.abs(values), 4, 4, "max", signed=False)
    np.testing.assert_array_equal(unsigned, [[5, 0, 0], [0, 0, 2]])


def test_pooling_in_pieces_is_pooling_at_once(monkeypatch):
    values = np.random.default_rng(1).standard_normal((37, 23))
    whole = pooled(values, 4, 4, "max", signed=True)
    monkeypatch.setattr("interp_widgets.results.planes.CHUNK", 100)
    np.testing.assert_array_equal(pooled(torch.tensor(values), 4, 4, "max", signed=True), whole)


def test_a_single_nan_does_not_hide_its_block_but_a_block_of_nan_stays():
    values = np.ones((2, 4), dtype="f4")
    values[0, 0] = np.nan
    values[:, 2:] = np.nan
    out = pooled(values, 2, 2, "mean", signed=False)
    assert out[0, 0] == 1
    assert np.isnan(out[0, 1])
    values[0, 1] = np.inf
    assert pooled(values, 2, 2, "max", signed=False)[0, 0] == np.inf


def test_the_scale_ignores_what_is_not_finite_and_counts_it():
    values = np.linspace(-1, 1, 1001)
    values[0], values[1], values[2] = np.nan, np.inf, -np.inf
    found = Range.of(torch.tensor(values, dtype=torch.float32))
    assert (found.nan, found.inf, found.minus_inf) == (1, 1, 1)
    assert found.high == 1
    assert found.low == pytest.approx(-0.994)
    expected = np.quantile(values[3:], [0.005, 0.995])
    np.testing.assert_allclose([found.trim_low, found.trim_high], expected, atol=1e-6)
    nothing = Range.of(np.full((2, 2), np.nan))
    assert (nothing.low, nothing.high, nothing.nan) == (0, 0, 4)


def test_one_scale_for_all_slices_when_asked():
    values = np.stack([np.full((2, 3), s) for s in (1.0, 10.0)])
    view = HeatmapView(array(values, "layer", "position", "unit"))
    assert tile(view)["range"]["high"] == 1
    assert tile(view, scale="all")["range"]["high"] == 10
    view.close()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64, torch.bool, torch.float64])
def test_any_dtype_can_be_shown(dtype):
    values = torch.tensor([[0, 1, 1], [1, 0, 0]]).to(dtype)
    view = HeatmapView(array(values, "row", "unit"))
    np.testing.assert_array_equal(tile(view)["values"], [[0, 1, 1], [1, 0, 0]])
    view.close()


def test_empty_arrays_do_not_break_the_page():
    view = HeatmapView(array(np.zeros((0, 4)), "position", "unit", signed=False))
    assert view.spec["sizes"] == {"position": 0, "unit": 4}
    view.close()


def test_a_head_ablated_by_click_shows_base_current_and_difference(z):
    target = z.spec["targets"][0]
    assert target == {
        "label": "head",
        "fixed": {"site": "z"},
        "fields": {"layer": "layer", "head": "head"},
    }
    before = z.current.sel(layer=2, head=1)
    ask(z, "intervene", {"kind": "ablate", "site": "z", "layer": 2, "head": [1]})
    z.session.step()
    assert z.spec["changed"]
    assert not tile(z)["values"].any()
    np.testing.assert_array_equal(tile(z, mode="base")["values"], before)
    change = tile(z, mode="difference")
    np.testing.assert_array_equal(change["values"], -before)
    assert change["range"]["signed"]


def test_a_cell_offers_only_interventions_that_its_site_has():
    session = FakeSession()

    def targets(dims, site):
        result = z_result(session)
        shape = tuple(range(2, 2 + len(dims)))
        result.arrays = {"values": np.zeros(shape, dtype="f4")}
        result.meta.update(dims=list(dims), labels={}, signed=False, site=site)
        view = HeatmapView(result)
        found = view.spec["targets"]
        view.close()
        return [(t["label"], t["fixed"], t["fields"]) for t in found]

    layer = {"layer": "layer"}
    assert targets(("layer", "position", "d_mlp"), "mlp_post") == [
        ("unit", {"site": "mlp_post"}, {**layer, "unit": "d_mlp"}),
        ("position", {"site": "mlp_post"}, {**layer, "position": "position"}),
    ]
    assert targets(("position", "d_model"), "resid_post.2")[0][1:] == (
        {"site": "resid_post", "layer": 2},
        {"unit": "d_model"},
    )
    assert targets(("position", "d_model"), "resid_post") == []
    assert targets(("row", "unit"), "transformer.h.0.mlp") == []
    session.listeners.clear()


def test_without_a_model_nothing_can_be_ablated():
    view = HeatmapView(z_result())
    assert view.spec["targets"] == []
    view.close()


def test_the_table_is_the_slice_in_view(z):
    answer, _ = ask(z, "table", {"mode": "current"})
    table = answer["payload"]
    assert table["columns"] == ["position", *(f"d_head {i}" for i in range(5))]
    assert table["rows"][2][0] == "2 <script>"
    np.testing.assert_allclose([r[1:] for r in table["rows"]], z.current.sel(layer=2, head=1))


def test_the_registry_knows_it():
    assert VIEWS.get("array") is HeatmapView


def test_planes_of_tensors_are_views_not_copies():
    values = torch.zeros(3, 4, 5)
    piece = plane(values, ["a", "b", "c"], "c", "a", {"b": 2})
    values[1, 2, 3] = 9
    assert piece.shape == (5, 3)
    assert piece[3, 1] == 9


def brush(view, row, col):
    rows, cols = view.state["rows"], view.state["cols"]
    view.state = {**view.state, "brush": {"rows": rows, "cols": cols, "row": row, "col": col}}


def test_a_brushed_rectangle_is_read_in_python(z):
    assert z.brushed == {}
    assert z.brushed_frame().empty
    brush(z, [1, 3], [2, 5])
    assert z.brushed == {
        "layer": ["2"],
        "position": [" Mary", "<script>"],
        "head": ["1"],
        "d_head": ["2", "3", "4"],
    }
    frame = z.brushed_frame()
    assert frame.position_label.tolist()[:4] == [" Mary"] * 3 + ["<script>"]
    inside = z.current.sel(layer=2, head=1)[1:3, 2:5]
    np.testing.assert_array_equal(frame.value.to_numpy().reshape(2, 3), inside)
    payload = {k: z.state[k] for k in ("rows", "cols", "at", "mode")}
    facts = z.answer("brush", {**payload, "brush_rows": [1, 3], "brush_cols": [2, 5]})
    assert facts["count"] == facts["finite"] == 6
    assert facts["mean"] == pytest.approx(inside.mean(), rel=1e-5)
    assert (facts["low"], facts["high"]) == (inside.min(), inside.max())
    z.state = {**z.state, "rows": "head", "cols": "layer", "at": {"position": 0, "d_head": 0}}
    assert z.brushed == {}


def test_a_brush_over_nothing_but_nan_has_no_mean():
    view = HeatmapView(array(np.full((2, 3), np.nan), "a", "b"))
    found = view.answer(
        "brush", {"rows": "a", "cols": "b", "brush_rows": [0, 2], "brush_cols": [0, 3]}
    )
    assert found == {"count": 6, "finite": 0, "mean": None, "low": None, "high": None}
    view.close()


def test_cells_are_outlined_by_index_by_slice_or_by_mask(z):
    z.outline = [(2, 1), (0, 1, 1, 3)]
    assert z.outline == [(None, 2, None, 1), (0, 1, 1, 3)]
    z.outline = z.current.numpy("values") > 1.5
    assert len(z.outline) == int((z.current.numpy("values") > 1.5).sum())
    with pytest.raises(ValueError, match="one index for each of layer, position, head, d_head"):
        z.outline = [(1, 2, 3)]
    with pytest.raises(IndexError, match="position 9 is out of range"):
        z.outline = [(9, 0)]
    with pytest.raises(ValueError, match="6,400 outlined cells: give at most 5,000"):
        HeatmapView(array(np.ones((80, 80)), "a", "b"), outline=np.ones((80, 80), bool))


@pytest.mark.parametrize("how", ["mean", "max", "min", "norm"])
def test_bars_are_what_numpy_reduces_with_nan_left_out(how, monkeypatch):
    values = np.random.default_rng(0).standard_normal((37, 23)).astype("f4")
    values[3, 4], values[5] = np.nan, np.nan
    monkeypatch.setattr("interp_widgets.results.planes.CHUNK", 400)
    reduce = {
        "mean": np.nanmean,
        "max": np.nanmax,
        "min": np.nanmin,
        "norm": lambda x, axis: np.sqrt(np.nansum(x**2, axis)),
    }[how]
    for shown in (torch.tensor(values), torch.tensor(values.T.copy()).T):
        view = HeatmapView(array(shown, "a", "b"), bars=how)
        found = view.answer("bars", {"rows": "a", "cols": "b", "how": how})
        good = np.delete(values, 5, 0)
        rows = np.insert(reduce(good, axis=1), 5, np.nan)
        np.testing.assert_allclose(found["rows"].values, rows, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["cols"].values, reduce(good, axis=0), rtol=1e-5, atol=1e-6)
        view.close()


@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize("turned", [False, True])
def test_tiles_of_a_pyramid_are_pooled_from_the_plane(how, turned, monkeypatch):
    monkeypatch.setattr("interp_widgets.results.planes.FINEST", 16)
    values = torch.randn(61, 47, generator=torch.Generator().manual_seed(0))
    values[7, 9], values[0:4, 0:4] = torch.inf, torch.nan
    values = values.T if turned else values
    pyramid = Pyramid(values, how, signed=True)
    assert pyramid.steps == (4, 4)
    got = pyramid.tile((0, 40), (8, 40), 8, 4)
    want = pooled(values[0:40, 8:40], 8, 4, how, signed=True)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert 0 < pyramid.nbytes < values.numel() * 4
    assert np.isnan(pyramid.tile((0, 4), (0, 4), 4, 4)).all()


def test_a_large_array_moves_little_and_keeps_little():
    values = torch.randn(8192, 2048)
    view = HeatmapView(array(values, "position", "d_mlp", signed=True))
    tiles = [
        tile(view, row=r, col=c, row_step=16, col_step=2)["values"]
        for r in (0, 1)
        for c in range(4)
    ]
    assert sum(t.nbytes for t in tiles) <= 2e6
    block = values[:16, :2].reshape(-1)
    assert tiles[0][0, 0] == pytest.approx(float(block[block.abs().argmax()]), rel=1e-3)
    assert sum(p.nbytes for p in view._pyramids.values()) < 40e6
    exact = view.answer("cell", {"rows": "position", "cols": "d_mlp", "row": 5000, "col": 1999})
    assert exact["value"] == float(values[5000, 1999])
    view.close()
    assert not view._pyramids


def test_masked_cells_travel_apart_from_nan():
    values = np.arange(12.0).reshape(3, 4)
    values[0, 0] = np.nan
    result = iw.show(values, dims=("layer", "head"), mask=[[0, 0, 0, 1]] * 3)
    view = HeatmapView(result)
    found = tile(view)
    assert (found["range"]["nan"], found["range"]["masked"]) == (1, 3)
    np.testing.assert_array_equal(found["mask"][:, 3], [1, 1, 1])
    figure = view.figure()
    assert "3 cells are masked (·) and 1 cell is not a number (×)" in figure.caption
    view.close()


def test_the_figure_shows_what_the_view_shows(z):
    z.state = {**z.state, "window": {"row": [0.4, 2.2], "col": [1, 4]}, "bars": "max"}
    z.outline = [(1, 1)]
    caption = z.figure("icml").caption
    assert "position 0 to 2 and d_head 1 to 3 of 4 × 5" in caption
    assert "Layer 2 of 3" in caption
    assert "Bars: max" in caption
    ask(z, "intervene", {"kind": "ablate", "site": "z", "layer": 2, "head": [1]})
    z.session.step()
    assert z.current is not z.base
    z.state = {**z.state, "mode": "difference"}
    assert "current − base" in z.figure().caption


@pytest.mark.parametrize(
    "values",
    [
        np.full((3, 4), np.nan),
        np.full((2, 5), 7.0),
        np.zeros((2, 3), dtype=bool),
        np.arange(6, dtype=np.int64).reshape(1, 6),
        np.sin(np.arange(100_000.0)),
        np.array([[np.inf, -np.inf, 1.0]]),
    ],
    ids=["all nan", "constant", "bool", "one row", "100,000 columns", "infinite"],
)
def test_unusual_arrays_open_draw_and_export(values):
    dims = ["a", "b"][: values.ndim]
    view = iw.show(values, dims=dims, title="odd").view(bars="mean")
    assert view.figure().png()
    assert "odd" in view.current.text()
    assert "odd" in view.to_html()
    view.close()


def drawn(view):
    """Return what the view's figure draws and its legend."""
    ax = view.figure().mpl.axes[0]
    legend = ax.get_legend()
    return ax, [text.get_text() for text in legend.get_texts()] if legend else []


def test_one_row_opens_as_bars_of_names_or_as_a_line_and_the_figure_follows():
    names = [" Mary", " John", "<script>", "all others"]
    words = array(np.array([0.7, 0.2, np.nan, -0.1]), "next token", labels={"next token": names})
    view = HeatmapView(words)
    assert view.spec["names"] == ["next token"]
    assert view.figure_options()["draw"] == "bars"
    ax, _ = drawn(view)
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "Mary",
        "John",
        "<script>",
        "all others",
    ]
    view.state = {**view.state, "draw": "lines"}
    ax, _ = drawn(view)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), words.numpy("values"))
    view.state = {**view.state, "draw": "cells"}
    assert drawn(view)[0].get_xlabel() == "next token"
    view.close()
    for result in (array(np.arange(50.0), "step"), array(np.arange(3.0), "position")):
        view = HeatmapView(result)
        assert view.figure_options()["draw"] == "lines"
        view.close()
    numbered = array(np.arange(3.0), "layer", labels={"layer": ["4", "5", "6"]})
    assert not numbered.named("layer")


def test_lines_have_the_intervals_beside_them_and_the_zoom_of_the_view():
    values = np.random.default_rng(0).random((3, 2, 6)).astype("f4")
    labels = {"quantity": ["AUC", "AUC, low", "AUC, high"], "reading": ["probe", "lens"]}
    result = array(values, "quantity", "reading", "layer", labels=labels)
    result.meta["draw"] = "lines"
    view = HeatmapView(result)
    assert (view.spec["draw"], view.state["draw"]) == ("lines", "")
    view.state = {**view.state, "window": {"row": [0, 2], "col": [1, 4]}}
    figure = view.figure()
    ax = figure.mpl.axes[0]
    assert drawn(view)[1] == ["probe", "lens"]
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), values[0, 1, 1:4])
    assert len(ax.collections) == 2
    assert "95 % intervals" in figure.caption
    assert "layer 1 to 3 of 6" in figure.caption
    view.state = {**view.state, "at": {"quantity": 1}}
    assert not drawn(view)[0].collections
    view.close()


def test_histograms_of_two_kinds_are_bars_over_one_another():
    shares = np.random.default_rng(2).dirichlet(np.ones(13), 2).astype("f4")
    labels = {"kind": ["background", "signal"], "score": [f"{x:.1f}" for x in range(-6, 7)]}
    view = HeatmapView(array(shares, "kind", "score", labels=labels), draw="bars")
    ax, names = drawn(view)
    assert names == ["background", "signal"]
    np.testing.assert_allclose(ax.patches[2].get_data().values, shares[1])
    view.state = {**view.state, "rows": "score", "cols": "kind"}
    ax, names = drawn(view)
    assert len(ax.patches) == 26
    looks = {(bar.get_facecolor(), bar.get_edgecolor()) for bar in ax.patches}
    assert len(looks) == len(names) == 13
    view.close()


def test_more_rows_than_can_be_told_apart_are_cells():
    many = array(np.zeros((16, 3)), "head", "layer")
    many.meta["draw"] = "lines"
    view = HeatmapView(many, draw="bars")
    assert view.figure_options()["draw"] == "cells"
    view.close()
    with pytest.raises(ValueError, match="16 lines cannot be told apart"):
        many.figure(draw="lines")
    with pytest.raises(ValueError, match="draw is one of , cells, lines, bars, not 'pie'"):
        HeatmapView(many, draw="pie")
    with pytest.raises(ValueError, match="draw is cells, lines or bars, not 'pie'"):
        many.figure(draw="pie")
