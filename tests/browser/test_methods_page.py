"""The map of methods and the page of a dossier, opened offline."""

from __future__ import annotations

import re

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.dossier import DossierResult
from tests.browser.waiting import expect, still

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
    expect(page.get_by_role("listitem")).to_have_count(len(found))
    page.keyboard.press("/")
    page.keyboard.type("path patching")
    expect(page.get_by_role("listitem")).not_to_have_count(len(found))
    still(page.locator("body"))
    page.get_by_role("button", name="Path patching").first.press("Enter")
    cell = iw.catalogue.template("path_patching").rstrip()
    expect(page.locator("pre")).to_have_text(cell)
    assert page.locator("pre").inner_text() == cell  # with its lines
    expect(page.get_by_role("link", name="arXiv:2304.05969")).to_have_count(1)
    page.get_by_role("searchbox").fill("nothing like this")
    page.get_by_text("No method is all of this.").wait_for()
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("listitem")).to_have_count(len(methods.methods))


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
    expect(page.get_by_role("heading", name="<b>x</b>")).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text(re.compile("^UNVERIFIED"))
    expect(page.get_by_text("Not stated.")).to_have_count(3)  # threat, benefits, risks
    slider = page.get_by_role("slider", name="Threshold")

    def see_rates(*rates):
        for name, rate in zip(("tpr", "fpr"), rates, strict=True):
            expect(page.locator(f"[data-rate={name}]")).to_have_text(rate)

    see_rates(*(f"{100 * (some > 1.0).mean():.1f} %" for some in (high, low)))
    slider.focus()
    page.keyboard.press("Home")
    see_rates("100.0 %", "100.0 %")
    page.keyboard.press("End")
    see_rates("0.0 %", "0.0 %")
    expect(page.locator("line.threshold")).to_have_attribute("x1", re.compile(r"^1000(\.0*)?$"))
    expect(slider).to_have_attribute("aria-valuetext", re.compile("false positives"))
