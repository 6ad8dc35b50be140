"""Lines and bars of an array, in a page without a kernel."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.array import ArrayResult
from interp_widgets.views.heatmap import HeatmapView
from interp_widgets.views.page import to_html
from tests.browser.waiting import expect, repainted, still

pytestmark = pytest.mark.browser


def curves():
    value = np.linspace(0.1, 0.9, 12).reshape(2, 6)
    value[1, 4] = np.nan
    labels = {"quantity": ["AUC", "AUC, low", "AUC, high"], "reading": ["probe", "<script>"]}
    meta = {"dims": ["quantity", "reading", "layer"], "labels": labels, "draw": "lines"}
    values = np.stack([value, value - 0.05, value + 0.03]).astype("f4")
    return ArrayResult({"values": values}, {**meta, "quantity": "AUC", "title": "Decision"})


def scores():
    meta = {"dims": ["layer"], "labels": {"layer": [f"block {i}" for i in range(6)]}}
    values = np.array([0.4, -0.2, 0.1, 0.0, 0.3, 0.2], "f4")
    return ArrayResult({"values": values}, {**meta, "quantity": "share", "title": "Scores"})


def test_a_reader_points_steps_selects_redraws_and_predicts(offline, tmp_path):
    views = [HeatmapView(curves()), HeatmapView(scores())]
    to_html(views, tmp_path / "page.html")
    for view in views:
        view.close()
    page = offline(tmp_path / "page.html")
    lines, bars = (page.locator(".iw-heatmap").nth(i) for i in range(2))
    expect(lines.get_by_label("Draw")).to_have_value("lines")
    expect(bars.get_by_label("Draw")).to_have_value("bars")
    expect(lines.locator(".iw-heatmap-legend")).to_contain_text("bands: 95 % intervals")
    expect(lines.locator(".iw-heatmap-legend")).to_contain_text("× 1 not a number")

    box = still(lines.locator(".iw-heatmap-plot"))
    column = box["width"] / 6
    page.mouse.move(box["x"] + 2.6 * column, box["y"] + 4)  # above both lines: the upper one
    tip = lines.get_by_role("tooltip")
    expect(tip).to_contain_text("reading 1 “<script>”, layer 2")
    expect(tip).to_contain_text("95 % interval0.632 to 0.712")
    with repainted(bars.locator("canvas").first):
        page.mouse.click(box["x"] + 2.6 * column, box["y"] + 4)  # layer 2 is selected in both
    cell = lines.get_by_role("gridcell")
    expect(cell).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(cell).to_have_attribute("aria-label", "reading 1 “<script>”, layer 4, NaN")
    page.keyboard.press("ArrowUp")
    expect(lines.locator(".iw-readout")).to_contain_text(
        "reading 0 “probe”, layer 4, 0.3909, 95 % interval 0.341 to 0.421"
    )

    with repainted(lines.locator("canvas").first):
        lines.get_by_label("Draw").select_option("bars")
    expect(lines.locator(".iw-legend-key")).to_have_text(["probe", "<script>"])
    with repainted(lines.locator("canvas").first):
        lines.get_by_label("Draw").select_option("cells")
    expect(lines.locator(".iw-legend-bar")).to_be_visible()
    lines.get_by_label("Draw").select_option("lines")

    bars.get_by_role("button", name="More").click()
    bars.get_by_text("Predict, then reveal").click()
    box = still(bars.locator(".iw-heatmap-plot"))
    page.mouse.move(box["x"] + 30, box["y"] + 0.5 * box["height"] / 6)
    expect(bars.get_by_role("tooltip")).to_contain_text("hidden")
    with repainted(bars.locator("canvas").first):
        page.mouse.click(box["x"] + 30, box["y"] + 0.5 * box["height"] / 6)
    expect(bars.get_by_role("gridcell")).to_have_attribute("aria-label", "layer block 0, +0.4000")

    page.set_viewport_size({"width": 320, "height": 800})
    still(page.locator("body"))
    wide = "() => document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= 320
    for view in (lines, bars):
        canvas, stage = (still(view.locator(s).first) for s in ("canvas", ".iw-heatmap-stage"))
        assert canvas["width"] <= stage["width"] + 1
