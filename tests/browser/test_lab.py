"""A lesson in a real JupyterLab: open, click a head away, clear, reload, restart, in the dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.lab import Lab, ask, serve, wait_until, write_notebook
from tests.browser.pictures import same_picture
from tests.browser.waiting import expect, still, until

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.slow]

SETUP = """
import interp_widgets as iw
session = iw.demo()
prompt = session.prompt(
    "When Mary and John went to the store, John gave a drink to", answer=" Mary", foil=" John"
)
attention = iw.attention(prompt).view()
lens = iw.logit_lens(prompt).view()
stream = iw.activations(prompt, "resid_post").view()
blame = iw.attribute(prompt).view()
views = [attention, lens, stream, blame]
"""
FIXED = """
import numpy as np
from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.tokens import TokensResult

words = ["When", " Mary", " and", " John", " met", ",", " John", " gave"]
rng = np.random.default_rng(7)
q, k = rng.standard_normal((2, 2, 3, 8, 4), dtype="float32") * 1.5
facts = [{"scaling": 0.5, "causal": True}] * 2
fixed = {
    "attention": AttentionResult({"q": q, "k": k}, {"tokens": words, "facts": facts}),
    "heatmap": iw.show(
        np.sin(np.add.outer(np.arange(6), np.arange(8) / 2)).astype("float32"),
        dims=("layer", "position"), labels={"position": words}, title="Effect of each layer",
    ),
    "tokens": TokensResult(
        {"values": np.linspace(-1, 1, 8, dtype="float32")[None]},
        {"tokens": words, "quantity": "attribution", "signed": True},
    ),
}
"""
PANEL, ATTENTION, LENS, STREAM, BLAME, AGAIN = 1, 2, 3, 4, 5, 6
PICTURES = {"attention": 8, "heatmap": 9, "tokens": 10}
CELLS = (
    SETUP, "session", "attention", "lens", "stream", "blame", "attention",
    FIXED, *(f"fixed['{name}']" for name in PICTURES),
)  # fmt: skip
BASELINES = Path(__file__).parent / "baselines"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    write_notebook(folder / "lesson.ipynb", *CELLS)
    with serve(folder) as where:
        yield where


@pytest.fixture(scope="module")
def lesson(address, new_page):
    """The notebook, run once; the tests below use it in order, as a user would."""
    page = new_page(viewport={"width": 1300, "height": 5000})
    lab = Lab(page, address, "lesson.ipynb").open()
    lab.run_all()
    expect(page.locator(".iw-root")).to_have_count(9)
    yield lab
    page.context.close()


def ablate(view, head="1.2"):
    view.get_by_role("gridcell", name=f"head {head}", exact=False).first.click()
    view.get_by_role("button", name=f"Ablate head {head}").click()


def comparing(lab):
    """The switches Base | Current | Difference, which views show while something is changed."""
    switches = lab.page.locator(".iw-root").get_by_role("radiogroup", name="Show", exact=True)
    return switches.filter(visible=True)


def contrast(element):
    """The contrast ratio of an element's text and background (WCAG 2.2)."""
    colours = element.evaluate(
        "e => ['color', 'backgroundColor'].map(c => getComputedStyle(e)[c].match(/[\\d.]+/g))"
    )
    lights = []
    for colour in colours:
        rgb = [float(part) / 255 for part in colour[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def alerts(lab):
    found = lab.page.locator(".iw-root").get_by_role("alert")
    return found.filter(visible=True).all_inner_texts()


def test_every_view_opens_without_an_error(lesson):
    for cell in (PANEL, ATTENTION, LENS, STREAM, BLAME, AGAIN, *PICTURES.values()):
        expect(lesson.view(cell).locator(".iw-title")).not_to_be_empty()
    expect(lesson.view(PANEL).get_by_text("None. Click a head")).to_be_visible()
    expect(lesson.view(LENS).get_by_role("grid")).to_have_count(1)
    assert alerts(lesson) == []
    assert lesson.page.complaints == []


def test_a_page_evaluates_the_script_of_a_kind_of_view_once(lesson):
    scripts = "globalThis[Symbol.for('interp_widgets.scripts')].size"
    kinds = "new Set([...document.querySelectorAll('[data-iw-view]')].map(e => e.dataset.iwView))"
    assert lesson.page.evaluate(f"{scripts} === {kinds}.size")


def test_two_copies_of_a_view_show_the_same(lesson):
    lesson.view(AGAIN).get_by_role("gridcell", name="head 1.1").click()
    for cell in (ATTENTION, AGAIN):
        lesson.view(cell).get_by_role("button", name="Ablate head 1.1").wait_for()
    wait_until(lesson, "(attention.state['layer'], attention.state['head']) == (1, 1)")


def test_a_head_is_clicked_away_and_every_view_moves(lesson):
    assert ask(lesson, "[v.revision for v in views]") == [0, 0, 0, 0]
    ablate(lesson.view(ATTENTION))
    wait_until(lesson, "all(v.revision == 1 for v in views)")
    expect(comparing(lesson)).to_have_count(5)  # the four views and the copy of the first
    lesson.view(AGAIN).get_by_role("gridcell", name="head 1.2, ablated").wait_for()
    changes = lesson.view(PANEL).get_by_role("list", name="Interventions")
    expect(changes).to_contain_text("1.2")
    for view in ("attention", "lens", "stream", "blame"):
        last = f"{view}.current.recipe.interventions[-1]"
        assert ask(lesson, f"[{last}['layer'], {last}['head']]") == [1, [2]]
    restore = lesson.view(ATTENTION).get_by_role("button", name="Restore head 1.2")
    restore.hover()  # where the mouse is after the click: its name must stay readable
    until(lambda: contrast(restore) >= 4.5, "a name that can be read")
    later = "pattern(layer=3, head=0)"
    assert ask(lesson, f"float((attention.current.{later} - attention.base.{later}).abs().max())")


def test_undo_in_the_panel_brings_everything_back(lesson):
    lesson.view(PANEL).get_by_role("button", name="Undo").click()
    wait_until(lesson, "all(v.revision == 2 for v in views)")
    expect(comparing(lesson)).to_have_count(0)
    wait_until(lesson, "len(session.interventions) == 0")
    lesson.view(PANEL).get_by_text("None. Click a head").wait_for()


def test_a_click_is_answered_while_a_cell_runs_the_model(lesson):
    lesson.start("""
import threading, time
shapes, end = [], time.monotonic() + 4
while time.monotonic() < end:
    with session.trace(prompt):
        out = session.model.transformer.h[1].output.save()
    shapes.append(tuple(out.shape))
""")
    lesson.wait_busy()
    ablate(lesson.view(ATTENTION))
    wait_until(lesson, "len(session.interventions) == 1 and len(set(shapes)) == 1", 60)
    wait_until(lesson, "all(v.revision == 3 for v in views)")
    assert alerts(lesson) == []
    lesson.kernel("session.reset()")
    expect(comparing(lesson)).to_have_count(0)


def test_the_selection_moves_across_cells_and_is_readable_from_python(lesson):
    lesson.kernel("session.selection.set(layer=2, head=3)")
    for cell in (ATTENTION, AGAIN):
        lesson.view(cell).get_by_role("button", name="Ablate head 2.3").wait_for()
    lesson.view(ATTENTION).get_by_role("gridcell", name="head 2.3").click()
    lesson.page.keyboard.press("ArrowLeft")
    lesson.page.keyboard.press("Enter")
    wait_until(lesson, "session.selection.head == 2")
    lesson.view(BLAME).get_by_role("option", name="Mary").first.click()
    wait_until(lesson, "session.selection.token is not None")
    token = ask(lesson, "session.selection.token")
    assert ask(lesson, f"prompt.tokens[{token}]").strip() == "Mary"
    lesson.view(ATTENTION).get_by_text(f"what “·Mary” ({token}) attends to").wait_for()


def see_picture(view, name):
    def looks():
        return same_picture(view.screenshot(animations="disabled"), BASELINES / f"{name}.png")

    until(looks, f"the picture {name}.png")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_views_look_as_they_did(lesson, theme):
    lesson.set_theme(f"JupyterLab {theme.title()}")
    try:
        for name, cell in PICTURES.items():
            lesson.cell(cell).locator(f".iw-root[data-iw-theme='{theme}']").wait_for()
            lesson.page.mouse.move(0, 0)
            still(lesson.view(cell))
            see_picture(lesson.view(cell), f"{name}-{theme}")
    finally:
        lesson.set_theme("JupyterLab Light")


def test_clearing_an_output_leaves_the_other_copy_alive(lesson):
    lesson.page.evaluate(
        "index => window.jupyterapp.shell.currentWidget.content.widgets[index]"
        ".model.sharedModel.setOutputs([])",
        AGAIN,
    )
    expect(lesson.view(AGAIN)).to_have_count(0)
    before = ask(lesson, "attention.revision")
    ablate(lesson.view(ATTENTION))
    wait_until(lesson, f"attention.revision > {before}")
    lesson.view(ATTENTION).get_by_role("gridcell", name="head 1.2, ablated").wait_for()
    spoken = lesson.view(ATTENTION).locator("[aria-live=polite].iw-sr")
    expect(spoken).to_have_text(re.compile(r"head 1\.2 ablated, logit difference .+ to "))
    assert lesson.page.complaints == []


def test_a_view_whose_output_was_cleared_runs_when_it_is_shown_again(lesson):
    before = ask(lesson, "stream.revision")
    lesson.page.evaluate(
        "index => window.jupyterapp.shell.currentWidget.content.widgets[index]"
        ".model.sharedModel.setOutputs([])",
        STREAM,
    )
    wait_until(lesson, "not stream.is_shown")
    lesson.kernel("session.reset(); session.ablate('z', layer=1, head=2)")
    wait_until(lesson, "lens.changed and blame.changed")
    assert ask(lesson, "stream.revision") == before
    lesson.page.evaluate(
        "i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i; }", STREAM
    )
    lesson.command("notebook:run-cell")
    wait_until(lesson, f"stream.revision > {before} and stream.is_shown")


def test_a_cell_that_is_run_again_shows_what_is_so_now(lesson):
    lesson.page.evaluate(
        "i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i; }", AGAIN
    )
    lesson.command("notebook:run-cell")
    lesson.view(AGAIN).get_by_role("gridcell", name="head 1.2, ablated").wait_for()


def test_a_page_reload_brings_the_living_views_back(lesson):
    lesson.save()
    lesson.page.goto(f"{lesson.address}/lab/tree/{lesson.name}")
    lesson.page.wait_for_selector(".jp-Notebook", timeout=60_000)
    lesson.wait_idle()
    lesson.view(ATTENTION).get_by_role("gridcell", name="head 1.2, ablated").wait_for()
    expect(lesson.page.locator(".iw-root").filter(visible=True)).to_have_count(9)
    before = ask(lesson, "lens.revision")
    lesson.view(ATTENTION).get_by_role("button", name="Restore head 1.2").click()
    wait_until(lesson, f"lens.revision > {before} and not len(session.interventions)")
    expect(comparing(lesson)).to_have_count(0)
    assert alerts(lesson) == []


def test_a_closed_view_leaves_the_page_and_the_session_goes_on(lesson):
    lesson.kernel("lens.close()")
    expect(lesson.view(LENS).filter(visible=True)).to_have_count(0)
    before = ask(lesson, "stream.revision")
    ablate(lesson.view(ATTENTION))
    wait_until(lesson, f"stream.revision > {before}")
    assert ask(lesson, "iw.logit_lens(prompt).numpy('ids').ndim") == 3
    assert alerts(lesson) == []
    lesson.kernel("session.reset()")
    expect(comparing(lesson)).to_have_count(0)


def test_after_a_kernel_restart_the_view_stays_readable_and_says_that_the_kernel_is_gone(lesson):
    view = lesson.view(ATTENTION)
    lesson.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    view.get_by_text("The kernel is gone").first.wait_for()
    lesson.wait_idle()
    expect(view.get_by_role("gridcell", name="head 2.3")).to_be_visible()
    view.get_by_role("button", name="Ablate head").click()
    still(view)
    expect(view.get_by_role("gridcell", name="head 2.3")).to_be_visible()
