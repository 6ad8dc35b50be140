"""An author puts several results into one figure of a paper."""

import json
import re

import matplotlib.text
import numpy as np
import pytest
from PIL import Image

import interp_widgets as iw
from interp_widgets.figures.glyphs import quiet
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.scatter import ScatterResult


@pytest.fixture
def pair():
    """Two signed heatmaps of one quantity, the second ten times as strong."""
    values = np.random.default_rng(1).standard_normal((3, 7))
    return [
        ArrayResult({"values": v}, {"dims": ["layer", "head"], "title": t, "quantity": "effect"})
        for v, t in ((values, "weak"), (10 * values, "strong"))
    ]


def letters(figure):
    texts = [t.get_text() for t in figure.mpl.findobj(matplotlib.text.Text)]
    return sorted(t for t in texts if re.fullmatch(r"\([a-z]\)", t))


def meshes(figure):
    return [
        a.collections[0]
        for a in figure.mpl.findobj(matplotlib.axes.Axes)
        if a.get_label() != "<colorbar>" and a.collections
    ]


def test_every_kind_stands_in_a_panel_with_its_letter_at_the_exact_width(results, tmp_path):
    kinds = ["array", "attention", "lens", "tokens", "circuit", "concepts", "modules"]
    items = [results[k] for k in kinds]
    figure = iw.panels([items[:2], items[2:3], items[3:5], items[5:]], venue="neurips")
    assert letters(figure) == [f"({c})" for c in "abcdefg"]
    pdf = figure.save(tmp_path / "f.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert float(box[1]) / 72 == pytest.approx(5.5, abs=0.01)
    assert b"/Type3" not in pdf
    texts = [t for t in figure.mpl.findobj(matplotlib.text.Text) if t.get_text().strip()]
    assert min(t.get_fontsize() for t in texts) >= 6


def test_no_panel_leaves_its_region_or_touches_another(results):
    figure = iw.panels(
        [[results["array"], results["lens"]], [results["concepts"]]], venue="icml", width="text"
    )
    figure.png()
    renderer = figure.mpl.canvas.get_renderer()
    whole = figure.mpl.bbox
    boxes = []
    for axes in figure.mpl.findobj(matplotlib.axes.Axes):
        with quiet():
            box = axes.get_tightbbox(renderer)
        assert box.x0 >= whole.x0 - 1
        assert box.x1 <= whole.x1 + 1
        assert box.y0 >= whole.y0 - 1
        assert box.y1 <= whole.y1 + 1
        if axes.get_label() != "<colorbar>":
            boxes.append(axes.get_position().transformed(axes.figure.transSubfigure))
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_a_shared_scale_gives_one_colour_one_meaning(pair):
    alone = iw.panels([pair], venue="icml")
    assert len({m.get_clim() for m in meshes(alone)}) == 2
    shared = iw.panels([pair], venue="icml", share="rows")
    limits = {m.get_clim() for m in meshes(shared)}
    top = np.abs(pair[1].numpy("values")).max()
    assert limits == {(-top, top)}
    bars = [a for a in shared.mpl.findobj(matplotlib.axes.Axes) if a.get_label() == "<colorbar>"]
    assert len(bars) == 1
    assert bars[0].get_ylabel() == "effect"


def test_rows_share_within_themselves_and_all_share_everywhere(pair):
    rows = iw.panels([[pair[0]], [pair[1]]], venue="icml", share="rows")
    assert len({m.get_clim() for m in meshes(rows)}) == 2
    everywhere = iw.panels([[pair[0]], [pair[1]]], venue="icml", share="all")
    assert len({m.get_clim() for m in meshes(everywhere)}) == 1


def test_what_cannot_be_shared_is_refused(pair, results):
    with pytest.raises(ValueError, match="cannot share a colour scale"):
        iw.panels([[pair[0], results["lens"]]], venue="icml", share="rows")
    with pytest.raises(ValueError, match="'rows', 'all' or None"):
        iw.panels([pair], share="columns")


def test_all_recipes_and_both_descriptions_are_inside_the_file(results, tmp_path):
    figure = iw.panels([[results["lens"], results["tokens"]]], venue="neurips")
    png = Image.open(figure.save(tmp_path / "f.png"))
    recipe = json.loads(png.text["Recipe"])
    assert recipe == figure.provenance
    assert set(recipe) == {"a", "b"}
    assert recipe["a"]["method"] == "logit_lens"
    assert figure.alt_text.startswith("(a)")
    assert "(b)" in figure.alt_text
    assert set(figure.data["panel"]) == {"a", "b"}


def test_options_of_figures_and_words_of_the_author_come_along(results):
    head = results["attention"].figure(layer=1, head=2)
    figure = iw.panels([[head, results["lens"]]], venue="icml", captions=[["a $5 head", "lens"]])
    assert figure.caption.startswith("(a) a $5 head.")
    assert "Head 1.2" in figure.caption
    assert any(r"\$5" in t.get_text() for t in figure.mpl.findobj(matplotlib.text.Text))


def test_ratios_set_the_widths_of_panels(pair):
    figure = iw.panels([pair], venue="icml", share="rows", ratios=[[2, 1]])
    one, two = figure.panels
    assert one.width / two.width == pytest.approx(2)


def test_wrong_panels_are_refused_with_what_to_do(pair, results):
    with pytest.raises(ValueError, match="give rows of panels"):
        iw.panels([[]])
    with pytest.raises(ValueError, match="shape of the rows"):
        iw.panels([pair], ratios=[[1]])
    with pytest.raises(ValueError, match="narrower than an inch"):
        iw.panels([pair * 3], venue="icml", width="column")
    with pytest.raises(TypeError, match="a result, a view or a figure, not str"):
        iw.panels([["heads"]])
    with pytest.raises(TypeError, match="panels cannot hold panels"):
        iw.panels([[iw.panels([pair])]])


def test_a_scatter_stands_in_a_panel(pair, tmp_path):
    figure = iw.panels([[pair[0], ScatterResult.of(*pair)]], venue="tmlr", width="text")
    page = Image.open(figure.save(tmp_path / "two.png", dpi=100))
    assert page.size[0] == int(100 * figure.style.width)
    scatter = figure.panels[1].region.axes[0]
    assert scatter.get_xlabel() == "weak"
    assert len(scatter.texts) > 1  # r, and names of points


class Overeager:
    """A view whose options its renderer does not know."""

    def __init__(self, result):
        self.result = result

    def figure_result(self):
        return self.result

    def figure_options(self):
        return {"sparkle": True}


def test_an_option_that_a_panel_does_not_have_is_refused(results):
    with pytest.raises(TypeError, match="'array' has no option 'sparkle'"):
        iw.panels([[Overeager(results["array"])]])
