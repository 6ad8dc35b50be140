"""What a reader arranged in a view is what the paper shows."""

import matplotlib.text
import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.figures.screen import Words


def words(figure):
    found = {t.get_text() for t in figure.mpl.findobj(matplotlib.text.Text)}
    for group in figure.mpl.findobj(Words):
        found.update(group.words)
    return found


@pytest.mark.parametrize(
    "kind", ["array", "attention", "lens", "tokens", "circuit", "concepts", "modules"]
)
def test_every_view_is_drawn_for_a_paper_and_for_the_screen(results, kind, tmp_path):
    view = results[kind].view()
    try:
        figure = view.figure(venue="icml")
        assert figure.mpl.get_size_inches()[0] == pytest.approx(3.25, abs=0.01)
        assert figure.save(tmp_path / "f.pdf").stat().st_size > 2000
        assert view.figure().png()[:4] == b"\x89PNG"
    finally:
        view.close()


def test_the_head_on_show_is_the_head_in_the_figure(results):
    view = results["attention"].view(layer=2, head=1)
    try:
        assert "Head 2.1" in view.figure("acl").caption
        view.state = {**view.state, "layer": 0, "head": 3}
        assert "Head 0.3" in view.figure("acl").caption
        assert "Head 1.2" in view.figure("acl", heads=[(1, 2)]).caption
    finally:
        view.close()


def test_the_window_and_the_frames_of_a_heatmap_are_in_the_figure(results):
    view = results["array"].view(rows="layer", cols="head")
    try:
        whole = view.figure("icml")
        assert {"0", "1", "2", "3", "4"} <= words(whole)
        view.state = {**view.state, "window": {"row": [0, 2], "col": [1, 3]}}
        part = view.figure("icml")
        assert "layer 0 to 1 and head 1 to 2 of 3 × 5" in part.caption
        assert "4" not in words(part)
    finally:
        view.close()


def test_panels_take_views_as_they_stand(results):
    view = results["attention"].view(layer=1, head=0)
    try:
        figure = iw.panels([[view, results["lens"]]], venue="icml")
        assert "Head 1.0" in figure.caption
        assert np.isclose(figure.panels[0].width, figure.panels[1].width)
    finally:
        view.close()
