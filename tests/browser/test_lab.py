"""A lesson in a real JupyterLab: open, click a head away, clear, reload, restart, in the dark."""

import time
from pathlib import Path

import pytest

from tests.browser.lab import Lab, serve, write_notebook
from tests.browser.pictures import same_picture

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.slow]

SETUP = """
import interp_widgets as iw
session = iw.demo()
prompt = session.prompt(
    "When Mary and John went to the store, John gave a drink to", answer=" Mary", foil=" John"
)
"""
CELLS = (
    SETUP,
    "session",
    "attention = iw.attention(prompt); attention",
    "lens = iw.logit_lens(prompt); lens",
    "iw.activations(prompt, 'resid_post')",
    "iw.attribute(prompt)",
    "attention",
)
BASELINES = Path(__file__).parent / "baselines"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    write_notebook(folder / "lesson.ipynb", *CELLS)
    with serve(folder) as where:
        yield where


@pytest.fixture(scope="module")
def lesson(address, chromium):
    """The notebook, run once; the tests below use it in order, as a user would."""
    context = chromium.new_context(viewport={"width": 1300, "height": 3600})
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    lab = Lab(page, address, "lesson.ipynb").open()
    lab.run_all()
    lab.page.wait_for_function("document.querySelectorAll('.iw-root').length >= 6")
    yield lab
    context.close()


def revisions(lab) -> list[int]:
    """How often each open view was given a new result."""
    code = (
        "import ipywidgets; "
        "print([w.spec['revision'] for w in ipywidgets.Widget.widgets.values() "
        "if 'revision' in getattr(w, 'spec', {})])"
    )
    return eval(lab.kernel(code), {})


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.2)
    pytest.fail(f"not within {seconds} s: {condition}")


def test_every_view_opens_without_an_error(lesson):
    for kind in ("panel", "attention", "heatmap", "tokens"):
        assert lesson.views(kind).first.is_visible()
    assert lesson.page.locator(".iw-root [role=alert]:visible").count() == 0
    assert lesson.page.errors == []


def test_two_copies_of_a_view_show_the_same(lesson):
    assert lesson.views("attention").count() == 2
    lesson.kernel("attention._view.state = {**attention._view.state, 'layer': 1, 'head': 2}")
    for copy in lesson.views("attention").all():
        copy.get_by_text("Head 1.2", exact=False).first.wait_for()


def test_a_head_is_clicked_away_and_every_view_moves(lesson):
    before = revisions(lesson)
    lesson.views("attention").first.get_by_role("button", name="Ablate head 1.2").click()
    lesson.views("panel").get_by_text("ablate", exact=False).first.wait_for()
    wait_for(lambda: all(b > a for a, b in zip(before, revisions(lesson), strict=True)))
    assert lesson.kernel("print([i.describe() for i in session.interventions])").count("1.2") == 1
    moved = lesson.kernel(
        "print(float(abs(attention._view.current.pattern(layer=3, head=0)"
        " - attention._view.base.pattern(layer=3, head=0)).max()))"
    )
    assert float(moved) > 1e-4


def test_undo_in_the_panel_brings_everything_back(lesson):
    before = revisions(lesson)
    lesson.views("panel").get_by_role("button", name="Undo").first.click()
    wait_for(lambda: all(b > a for a, b in zip(before, revisions(lesson), strict=True)))
    assert lesson.kernel("print(len(session.interventions))") == "0"


def test_a_click_is_answered_while_a_cell_is_busy(lesson):
    lesson.start("import time; time.sleep(6); done = True")
    before = time.monotonic()
    lesson.views("attention").first.get_by_role("button", name="Ablate head 1.2").click()
    lesson.wait_idle()
    wait_for(lambda: lesson.kernel("print(len(session.interventions), done)") == "1 True")
    assert time.monotonic() - before < 60
    lesson.kernel("session.reset()")
    wait_for(lambda: lesson.kernel("print(len(session.interventions))") == "0")


def test_selection_moves_across_cells_and_is_readable_from_python(lesson):
    lesson.kernel("session.selection.set(layer=2, head=3)")
    lesson.views("attention").first.get_by_text("Head 2.3", exact=False).first.wait_for()
    lesson.views("attention").first.locator("[role=grid]").first.focus()
    lesson.page.keyboard.press("ArrowLeft")
    lesson.page.keyboard.press("Enter")
    wait_for(lambda: lesson.kernel("print(session.selection.head)") == "2")


def test_dark_theme_looks_as_it_did(lesson):
    lesson.set_theme("JupyterLab Dark")
    lesson.page.wait_for_selector(".iw-attention[data-iw-theme='dark']")
    time.sleep(1)
    picture = lesson.views("attention").first.screenshot()
    lesson.set_theme("JupyterLab Light")
    assert same_picture(picture, BASELINES / "attention-dark.png")


def test_light_theme_looks_as_it_did(lesson):
    lesson.page.wait_for_selector(".iw-attention[data-iw-theme='light']")
    time.sleep(1)
    for kind in ("attention", "heatmap", "tokens", "panel"):
        picture = lesson.views(kind).first.screenshot()
        if kind != "panel":
            assert same_picture(picture, BASELINES / f"{kind}-light.png"), kind


def test_clearing_an_output_leaves_the_others_alive(lesson):
    lesson.page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.widgets[6].model.sharedModel.setOutputs([])"
    )
    wait_for(lambda: lesson.views("attention").count() == 1)
    before = revisions(lesson)
    lesson.kernel("session.ablate('z', layer=1, head=2)")
    wait_for(lambda: max(revisions(lesson)) > max(before))
    lesson.kernel("session.reset()")
    assert lesson.page.errors == []


def test_a_page_reload_brings_the_views_back(lesson):
    lesson.page.reload()
    lesson.page.wait_for_selector(".jp-Notebook", timeout=60_000)
    lesson.wait_idle()
    lesson.run_all()
    lesson.views("attention").first.get_by_role("grid").first.wait_for(timeout=60_000)
    assert lesson.page.locator(".iw-root [role=alert]:visible").count() == 0


def test_a_closed_view_says_so_and_the_session_goes_on(lesson):
    lesson.kernel("lens._view.close()")
    assert lesson.kernel("print(iw.logit_lens(prompt).numpy('ids').ndim)") == "3"


def test_after_a_kernel_restart_the_view_stays_readable_and_says_that_the_kernel_is_gone(lesson):
    view = lesson.views("attention").first
    lesson.page.evaluate(
        "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    time.sleep(3)
    lesson.wait_idle()
    assert view.get_by_role("grid").first.is_visible()
    view.get_by_role("button", name="Ablate head").first.click()
    view.get_by_text("kernel", exact=False).first.wait_for(timeout=20_000)
