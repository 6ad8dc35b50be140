"""An exported page: everything inside, nothing that can break out."""

import base64
import json
import re

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import NotLiveError
from interp_widgets.views.heatmap import HeatmapView
from tests.views.fakes import FakeSession, ask, z_result


def data_of(page, name="iw-data"):
    found = re.search(
        rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(found.group(1))


def requests_of(view):
    return [(a["name"], a["payload"]) for a in view["answers"]]


def test_a_page_is_one_file_without_addresses(tmp_path):
    page = iw.to_html(z_result(), tmp_path / "z.html")
    assert (tmp_path / "z.html").read_text(encoding="utf-8") == page
    outside = [u for u in re.findall(r"https?://[^\s\"'<>)]+", page) if "www.w3.org" not in u]
    assert outside == []
    assert not re.search(r"<(?:link|iframe|img)\b|\bsrc\s*=\s*[\"']", page.split("<script")[0])


def test_tokens_cannot_leave_their_script_element():
    nasty = "</script><script>alert(1)</script><!--"
    result = z_result()
    result.meta["labels"]["position"][3] = nasty
    result.meta["title"] = nasty
    page = iw.to_html(result)
    assert nasty not in page
    assert "<script>alert" not in page
    assert data_of(page)["views"][0]["traits"]["spec"]["labels"]["position"][3] == nasty
    assert page.count("</script>") == 3


def test_all_slices_of_a_small_array_are_inside():
    page = data_of(iw.to_html(z_result()))
    view = page["views"][0]
    at = {tuple(p["at"].values()) for n, p in requests_of(view) if n == "tile"}
    assert at == {(layer, head) for layer in range(3) for head in range(2)}
    assert "frozen" not in view["traits"]["spec"]
    assert view["traits"]["status"]["phase"] == "static"
    assert not view["traits"]["spec"]["live"]


def test_large_arrays_are_pooled_until_they_fit():
    values = np.random.default_rng(0).standard_normal((2, 1500, 1200)).astype("f4")
    result = ArrayResult(
        {"values": values}, {"dims": ["layer", "position", "unit"], "title": "big"}
    )
    page = iw.to_html(result)
    spec = data_of(page)["views"][0]["traits"]["spec"]
    assert len(page) < 3_000_000
    assert spec["finest"] == {"row_step": 4, "col_step": 2}
    assert spec["frozen"]


def test_what_a_view_shows_now_is_what_the_page_shows():
    session = FakeSession()
    view = HeatmapView(z_result(session), layer=1)
    ask(view, "intervene", {"kind": "ablate", "site": "z", "layer": 1, "head": [0]})
    session.step()
    view.state = {**view.state, "mode": "difference"}
    session.selection.set(head=1)
    page = iw.to_html(view)
    data = data_of(page)
    assert data["views"][0]["traits"]["state"]["mode"] == "difference"
    assert {p.get("mode") for n, p in requests_of(data["views"][0]) if n == "tile"} == {
        "current",
        "base",
        "difference",
    }
    assert data["selection"]["head"] == 1
    recipe = data_of(page, "iw-recipes")[0]
    assert recipe["method"] == "activations"
    assert recipe["interventions"][0]["layer"] == 1
    assert not view.is_closed
    assert view.spec["live"]
    view.close()


def test_views_of_a_page_share_a_bundle_and_a_selection():
    results = [z_result(), z_result()]
    data = data_of(iw.to_html(results))
    assert list(data["bundles"]) == ["heatmap"]
    assert {v["traits"]["selection"] for v in data["views"]} == {"anywidget:selection"}


def test_a_page_carries_the_figure_in_the_formats_that_are_small_enough():
    view = data_of(iw.to_html(z_result()))["views"][0]
    answers = {(a["name"], a["payload"].get("format")): a for a in view["answers"]}
    formats = answers["figure_choices", None]["answer"]["formats"]
    assert {"pdf", "svg"} <= set(formats)
    for kind, head in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        recorded = answers["figure", kind]
        assert recorded["payload"] == {"format": kind, "venue": None, "width": "column"}
        assert base64.b64decode(recorded["buffers"][0]["$bytes"]).startswith(head)


def test_a_view_without_a_picture_still_makes_a_page(monkeypatch):
    def fails(*_where):
        raise ValueError("nothing to draw")

    monkeypatch.setattr(HeatmapView, "figure", fails)
    view = data_of(iw.to_html(z_result()))["views"][0]
    choices = next(a for a in view["answers"] if a["name"] == "figure_choices")
    assert choices["error"]["message"] == "nothing to draw"


def test_results_save_themselves(tmp_path):
    assert "iw-data" in z_result().to_html(tmp_path / "one.html")


def test_only_open_views_and_results_make_a_page():
    with pytest.raises(TypeError, match="not ndarray"):
        iw.to_html([np.zeros(3)])
    with pytest.raises(ValueError, match="at least one"):
        iw.to_html([])
    view = HeatmapView(z_result())
    view.close()
    with pytest.raises(NotLiveError, match="closed view"):
        iw.to_html(view)
