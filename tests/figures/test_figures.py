"""An author saves every kind of result for their venue and submits it without a complaint."""

import io
import json
import re

import matplotlib.text
import numpy as np
import pytest
from PIL import Image

from interp_widgets.figures.labels import token_label, token_labels
from interp_widgets.figures.screen import Words
from interp_widgets.figures.style import VENUES, luminance, style_for
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.lens import LensResult
from interp_widgets.results.tokens import TokensResult

KINDS = ["array", "attention", "lens", "tokens", "circuit", "concepts", "modules"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("venue", "width"), [("icml", "column"), ("acl", "text"), (None, "column")]
)
def test_a_figure_has_the_exact_width_and_no_type_3_fonts(results, tmp_path, kind, venue, width):
    figure = results[kind].figure(venue, width)
    expected = getattr(style_for(venue, width).venue, width)
    assert figure.mpl.get_size_inches()[0] == pytest.approx(expected, abs=0.01)
    pdf = figure.save(tmp_path / "f.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert float(box[1]) / 72 == pytest.approx(expected, abs=0.01)
    assert b"/Type3" not in pdf
    assert b"/FontFile2" in pdf


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_smaller_than_six_points(results, kind):
    figure = results[kind].figure("icml")
    texts = [t for t in figure.mpl.findobj(matplotlib.text.Text) if t.get_text().strip()]
    assert texts
    assert min(t.get_fontsize() for t in texts) >= 6


@pytest.mark.parametrize("kind", KINDS)
def test_alt_text_caption_and_data_say_what_is_drawn(results, kind):
    figure = results[kind].figure("neurips")
    assert len(figure.alt_text) > 20
    assert figure.caption.startswith(results[kind].title)
    assert len(figure.data) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_line_is_thinner_than_half_a_point(results, kind, tmp_path):
    figure = results[kind].figure("icml")
    figure.style.rc["pdf.compression"] = 0
    pdf = figure.save(tmp_path / "f.pdf").read_bytes()
    widths = [float(w) for w in re.findall(rb"(?:^|\s)([\d.]+) w\s", pdf)]
    assert widths or kind == "modules"
    assert min([w for w in widths if w > 0], default=1) >= 0.5


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_every_venue_keeps_its_width_its_page_and_readable_text(results, venue):
    for width in ("column", "text"):
        figure = results["lens"].figure(venue, width)
        inches = figure.mpl.get_size_inches()
        assert inches[0] == pytest.approx(getattr(VENUES[venue], width), abs=0.01)
        assert inches[1] <= VENUES[venue].height
        texts = [t for t in figure.mpl.findobj(matplotlib.text.Text) if t.get_text().strip()]
        smallest = min(t.get_fontsize() for t in texts)
        assert smallest >= {"slides": 16, "poster": 22}.get(venue, 6)


def test_slides_fit_a_16_to_9_page():
    tall = ArrayResult({"values": np.ones((40, 8))}, {"dims": ["layer", "head"]})
    width, height = tall.figure("slides", "text").mpl.get_size_inches()
    assert width / height >= 16 / 9 - 0.01


def test_nothing_is_written_as_a_title_inside_the_picture(results):
    for kind in ("array", "lens", "tokens", "circuit"):
        figure = results[kind].figure("neurips")
        texts = {t.get_text() for t in figure.mpl.findobj(matplotlib.text.Text)}
        assert results[kind].title not in texts


def test_tokens_of_any_script_are_drawn_and_missing_glyphs_are_named(tmp_path):
    tokens = [" שלום", " مرحبا", "日本", "🙂", " é", "\u200d", "ﬁ"]
    values = np.linspace(-1, 1, len(tokens))[None]
    result = TokensResult({"values": values}, {"tokens": tokens, "title": "scripts"})
    figure = result.figure("acl")
    for suffix in (".pdf", ".svg", ".png"):
        assert figure.save(tmp_path / f"f{suffix}").stat().st_size > 1000
    assert "שלום" in (tmp_path / "f.svg").read_text()
    assert "no glyph" in figure.caption
    assert "U+1F642" in figure.caption
    assert "U+00E9" not in figure.caption


def test_the_twin_shows_the_words_that_the_paper_shows(results):
    def words(figure):
        found = {t.get_text() for t in figure.mpl.findobj(matplotlib.text.Text)}
        for group in figure.mpl.findobj(Words):
            found.update(group.words)
        return {w for w in found if w.strip()}

    twin, paper = results["lens"].figure(width=5.5), results["lens"].figure("tmlr", 5.5)
    assert {"Mary", "John 8", "<script>", "layer", "embed"} <= words(twin) & words(paper)
    drawn = np.asarray(Image.open(io.BytesIO(twin.png())).convert("L"))
    assert drawn.min() < 60
    assert Image.open(io.BytesIO(twin.png(dpi=50))).size[0] == 275


def test_the_recipe_is_inside_every_file(results, tmp_path):
    figure = results["lens"].figure("iclr")
    png = Image.open(figure.save(tmp_path / "f.png"))
    assert json.loads(png.text["Recipe"]) == figure.provenance
    assert figure.provenance["method"] == "logit_lens"
    assert "logit_lens" in figure.save(tmp_path / "f.svg").read_text()
    assert b"logit_lens" in figure.save(tmp_path / "f.pdf").read_bytes()


def test_the_same_figure_is_written_twice_byte_for_byte(results, tmp_path):
    for suffix in ("pdf", "svg", "png"):
        one = results["array"].figure("icml").save(tmp_path / f"1.{suffix}")
        two = results["array"].figure("icml").save(tmp_path / f"2.{suffix}")
        assert one.read_bytes() == two.read_bytes()


def test_svg_text_stays_text(results, tmp_path):
    svg = results["tokens"].figure("acl").save(tmp_path / "f.svg").read_text()
    assert ">Mary<" in svg
    assert "<script" not in svg


def test_signed_figures_say_how_the_sign_survives_grey(results):
    report = results["array"].figure("icml").grey_report()
    assert report["signed"]
    assert report["legible"]
    assert "minus sign" in report["second_code"]
    assert abs(report["luminance"]["-"] - report["luminance"]["+"]) < 0.05


def test_minus_signs_stand_on_the_negative_cells_only():
    values = np.array([[-1.0, 1.0, 0.5], [0.1, -0.9, -0.05]])
    figure = ArrayResult({"values": values}, {"dims": ["layer", "head"]}).figure("icml")
    marked = {
        (int(y), int(x))
        for t in figure.mpl.axes[0].texts
        for x, y in [t.get_position()]
        if t.get_text() == "\N{MINUS SIGN}"
    }
    assert marked == {(0, 0), (1, 1)}


def test_unknown_venue_width_and_format_are_refused_with_the_choices(results, tmp_path):
    with pytest.raises(ValueError, match="neurips"):
        results["array"].figure("nips")
    with pytest.raises(ValueError, match="'column', 'text' or inches"):
        results["array"].figure("icml", "wide")
    with pytest.raises(ValueError, match="between 1 and 40"):
        results["array"].figure("icml", 400)
    with pytest.raises(ValueError, match=r"\.pdf, \.svg, \.png"):
        results["array"].figure("icml").save(tmp_path / "f.jpg")
    with pytest.raises(ValueError, match="give the prompt an answer"):
        results["lens"].figure("icml", color="answer_rank")


def test_large_heatmaps_become_one_image_inside_the_vector_file(tmp_path):
    big = ArrayResult({"values": np.random.default_rng(0).random((300, 700))}, {"dims": ["a", "b"]})
    pdf = big.figure("icml").save(tmp_path / "f.pdf")
    assert b"/Subtype /Image" in pdf.read_bytes()
    assert pdf.stat().st_size < 1_500_000


def test_an_array_of_nothing_but_nan_still_draws(tmp_path):
    nan = ArrayResult({"values": np.full((2, 3), np.nan)}, {"dims": ["layer", "head"]})
    figure = nan.figure("icml")
    figure.save(tmp_path / "f.pdf")
    assert "6 cells are not a number" in figure.caption


def test_tokens_are_readable_and_cannot_start_mathematics():
    assert token_label(" Mary") == "Mary"
    assert token_label("\n") == "⏎"
    assert token_label(" ") == "␣"
    assert token_label("  a b ") == "␣␣a b␣"
    assert token_label("a$b$") == r"a\$b\$"
    assert token_labels([" a", "b", " a"]) == ["a 0", "b", "a 2"]


def test_widths_are_those_the_venues_state():
    stated = {
        "icml": (3.25, 6.75),
        "acl": (3.03, 6.30),
        "neurips": (5.5, 5.5),
        "aaai": (3.3, 6.975),
    }
    for name, (column, text) in stated.items():
        assert (VENUES[name].column, VENUES[name].text) == pytest.approx((column, text), abs=0.01)


def test_luminance_is_that_of_wcag():
    assert luminance("white") == pytest.approx(1)
    assert luminance("black") == 0
    assert (1.05) / (luminance("#0072B2") + 0.05) == pytest.approx(5.2, abs=0.1)


def test_an_option_that_a_figure_does_not_have_is_refused_with_those_it_has(results):
    with pytest.raises(
        TypeError, match=r"'lens' has no option 'colour'; its options are: .*positions"
    ):
        results["lens"].figure(colour="red")


def test_dims_of_an_array_are_options_of_its_figure():
    values = np.arange(24.0).reshape(2, 3, 4)
    result = ArrayResult({"values": values}, {"dims": ["layer", "head", "position"]})
    assert "Layer 1 of 2" in result.figure(layer=1).caption
    with pytest.raises(TypeError, match=r"no option 'lay'; its options are: .*layer"):
        result.figure(lay=1)


def test_small_multiples_stand_in_the_order_of_given_scores(results):
    attention = results["attention"]
    scores = np.zeros((3, 4))
    scores[2, 1], scores[0, 3] = -5, 2
    figure = attention.figure("icml", scores=scores)
    names = [t.get_text() for t in figure.mpl.axes[0].texts]
    assert names[:3] == ["2.1", "0.3", "0.0"]
    assert "magnitude of given score" in figure.caption
    with pytest.raises(ValueError, match=r"\[layer, head\] = \(3, 4\)"):
        attention.figure(scores=scores.T)
    with pytest.raises(ValueError, match="needs scores"):
        attention.figure(sort="given")


def test_a_lens_of_eighty_layers_is_thinned_to_what_a_page_can_show():
    rng = np.random.default_rng(0)
    shape = (81, 6, 3)
    lens = LensResult(
        {
            "ids": rng.integers(0, 6, shape),
            "probs": np.sort(rng.random(shape))[..., ::-1].copy(),
            "entropy": rng.random(shape[:2]),
        },
        {
            "tokens": list("abcdef"),
            "strings": {str(i): f"word{i}" for i in range(6)},
            "layers": ["embed", *map(str, range(80))],
        },
    )
    figure = lens.figure("icml", "text")
    names = [t.get_text() for t in figure.mpl.axes[0].get_yticklabels()]
    assert (names[0], names[-1]) == ("79", "embed")
    steps = np.diff([int(n) for n in names[1:-1]])
    assert len(set(steps.tolist())) == 1
    assert re.search(rf"{len(names)} of 81 layers, evenly spaced", figure.caption)
    height = figure.mpl.get_size_inches()[1]
    assert height <= style_for("icml", "text").venue.height
    assert height / len(names) * 72 >= 6 * 1.5
    assert "of 81 layers" not in lens.figure().caption, "the screen has room for all"
    pinned = lens.figure("icml", "text", pins=["word1"], cell=(33, 2))
    assert "32" in [t.get_text() for t in pinned.mpl.axes[0].get_yticklabels()]
