"""The map of methods and the page of a dossier, opened offline."""

from __future__ import annotations

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.dossier import DossierResult

pytestmark = pytest.mark.browser


def test_a_reader_narrows_the_map_and_opens_a_cell_by_keyboard(offline, tmp_path):
    methods = iw.catalogue.map()
    methods.to_html(tmp_path / "map.html")
    page = offline(tmp_path / "map.html")
    page.get_by_role("group", name="causal nature").get_by_role(
        "button", name="interventional"
    ).click()
    page.get_by_role("group", name="unit").get_by_role("button", name="motif").focus()
    page.keyboard.press("ArrowLeft")  # to "circuit"
    page.keyboard.press("Enter")
    wanted = {"causal_nature": "interventional", "units": "circuit"}
    found = methods.chosen(wanted)
    page.get_by_text(f"{len(found)} of {len(methods.methods)} methods").wait_for()
    assert page.get_by_role("listitem").count() == len(found)
    page.keyboard.press("/")
    page.keyboard.type("path patching")
    page.get_by_role("button", name="Path patching").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("pre").inner_text() == iw.catalogue.template("path_patching").rstrip()
    assert page.get_by_role("link", name="arXiv:2304.05969").count() == 1
    page.get_by_role("searchbox").fill("nothing like this")
    page.get_by_text("No method is all of this.").wait_for()
    page.get_by_role("button", name="Clear").click()
    assert page.get_by_role("listitem").count() == len(methods.methods)


def test_the_threshold_says_what_share_of_each_group_is_above_it(offline, tmp_path):
    rng = np.random.default_rng(0)
    high, low = rng.normal(2, 1, 61), rng.normal(-1, 1, 83)
    part = ArrayResult(
        {"values": np.ones((2, 3)), "scores_positive": high, "scores_negative": low},
        {"dims": ["rate", "threshold"], "detector": {"threshold": 1.0}, "title": "Detector"},
    )
    meta = {"behaviour": "<b>x</b>", "rows": [], "model": {"name": "toy"}}
    DossierResult.of([part], meta).to_html(tmp_path / "dossier.html")
    page = offline(tmp_path / "dossier.html")
    assert page.get_by_role("heading", name="<b>x</b>").is_visible()
    assert page.get_by_role("status").first.inner_text().startswith("UNVERIFIED")
    assert page.get_by_text("Not stated.").count() == 3  # threat, benefits, risks
    slider = page.get_by_role("slider", name="Threshold")

    def rates():
        return [page.locator(f"[data-rate={name}]").inner_text() for name in ("tpr", "fpr")]

    assert rates() == [f"{100 * (some > 1.0).mean():.1f} %" for some in (high, low)]
    slider.focus()
    page.keyboard.press("Home")
    assert rates() == ["100.0 %", "100.0 %"]
    page.keyboard.press("End")
    assert rates() == ["0.0 %", "0.0 %"]
    line = page.locator("line.threshold").evaluate("e => Number(e.getAttribute('x1'))")
    assert line == 1000
    assert "false positives" in slider.get_attribute("aria-valuetext")
