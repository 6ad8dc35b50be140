"""Views side by side in a real JupyterLab: cells are carried over, pointers and heads followed."""

from __future__ import annotations

import os

import pytest

from tests.browser.lab import Lab, ask, serve, wait_until, write_notebook
from tests.browser.waiting import expect, still

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.slow]

SETUP = """
import interp_widgets as iw
session = iw.demo()
clean = session.prompt(
    "When Mary and John went to the store, John gave a drink to", answer=" Mary", foil=" John"
)
other = session.prompt("When Mary and John went to the store, Mary gave a drink to")
lens, lens_of_other = iw.logit_lens(clean).view(), iw.logit_lens(other).view()
attention, blame = iw.attention(clean).view(), iw.attribute(clean).view()
phrases = iw.phrase_importance(clean).view()
"""
CELLS = (SETUP, "lens", "lens_of_other", "attention", "blame", "phrases")
LENS, OTHER, ATTENTION, BLAME, PHRASES = range(5)
SHOTS = os.environ.get("INTERP_WIDGETS_SHOTS")
"""A folder for pictures of the page, for somebody who wants to look."""


@pytest.fixture(scope="module")
def lesson(tmp_path_factory, new_page):
    folder = tmp_path_factory.mktemp("linking")
    write_notebook(folder / "lesson.ipynb", *CELLS)
    with serve(folder) as address:
        page = new_page(viewport={"width": 1300, "height": 3600})
        lab = Lab(page, address, "lesson.ipynb").open()
        lab.run_all()
        expect(page.locator(".iw-root")).to_have_count(5)
        page.wait_for_selector(".iw-strip-token")
        yield lab
        page.context.close()


@pytest.fixture
def undo(lesson):
    yield
    lesson.kernel("session.reset()")
    wait_until(lesson, "not session.interventions.active")


def view(lab, which):
    return lab.page.locator(".iw-root").nth(which)


def middle(lab, which, row, col):
    """Where a cell of a lens is on the page: row 0 is the embedding, at the bottom."""
    rows, cols = ask(lab, "list(lens.current.arrays['ids'].shape[:2])")
    box = still(view(lab, which).locator(".iw-heatmap-plot"))
    return (
        box["x"] + box["width"] * (col + 0.5) / cols,
        box["y"] + box["height"] * (rows - row - 0.5) / rows,
    )


def test_a_cell_is_dragged_from_one_prompt_into_the_other(lesson, undo):
    mouse = lesson.page.mouse
    mouse.click(*middle(lesson, LENS, 2, 10))
    wait_until(lesson, "lens.state.get('cell', [None])[0] == 2")
    start = middle(lesson, LENS, 2, 10)
    mouse.move(*start)
    mouse.down()
    end = middle(lesson, OTHER, 2, 10)
    for share in (0.1, 0.5, 0.9, 1.0):
        mouse.move(*(a + (b - a) * share for a, b in zip(start, end, strict=True)), steps=3)
    if SHOTS:
        lesson.page.screenshot(path=f"{SHOTS}/dragging.png")
    mouse.up()
    wait_until(lesson, "session.interventions.active")
    (patch,) = ask(lesson, "session.interventions.to_json()")
    row, column = ask(lesson, "lens.state['cell']")
    assert row == 2
    assert (patch["kind"], patch["site"], patch["layer"]) == ("patch", "resid_post", row - 1)
    assert (patch["position"], patch["source_position"]) == ([column], [column])
    assert patch["source"]["ids"] == ask(lesson, "clean.to_json()['ids']")
    note = view(lesson, OTHER).get_by_text("session.patch(")
    note.wait_for()
    wait_until(lesson, "lens_of_other.spec['changed']")
    assert lesson.page.complaints == []


def test_a_cell_is_copied_with_c_and_patched_in_with_v(lesson, undo):
    keyboard = lesson.page.keyboard
    lesson.page.mouse.click(*middle(lesson, LENS, 3, 4))
    wait_until(lesson, "lens.state['cell'][0] == 3")
    keyboard.press("c")
    copied = ask(lesson, "lens.state['cell'][1]")
    lesson.page.mouse.click(*middle(lesson, OTHER, 3, 10))
    wait_until(lesson, f"lens_of_other.state['cell'][1] > {copied}")
    keyboard.press("v")
    wait_until(lesson, "session.interventions.active")
    (patch,) = ask(lesson, "session.interventions.to_json()")
    patched = ask(lesson, "lens_of_other.state['cell'][1]")
    assert (patch["position"], patch["source_position"]) == ([patched], [copied])
    assert lesson.page.complaints == []


def test_the_pointer_over_a_token_is_followed_by_the_other_views(lesson):
    selected = ask(lesson, "session.selection.token")
    token = view(lesson, BLAME).locator(".iw-strip-token").nth(4)
    token.scroll_into_view_if_needed()
    token.hover()
    lit = view(lesson, ATTENTION).locator(".iw-att-ylabels .iw-att-on")
    expect(lit.first).to_have_attribute("data-i", "4")
    lesson.page.mouse.move(5, 5)
    expect(lit).to_have_count(0)
    assert ask(lesson, "session.selection.token") == selected


def test_words_are_dragged_into_a_phrase_and_a_clicked_head_becomes_its_target(lesson):
    mouse, keyboard = lesson.page.mouse, lesson.page.keyboard
    phrases = view(lesson, PHRASES)
    tokens = phrases.locator(".iw-strip-token")
    phrases.scroll_into_view_if_needed()

    def drag(first, last):
        ends = [still(tokens.nth(i)) for i in (first, last)]
        (x, y), (to_x, to_y) = [(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2) for b in ends]
        mouse.move(x, y)
        mouse.down()
        mouse.move(to_x, to_y, steps=8)

    drag(4, 2)
    expect(phrases.locator(".iw-strip-marked")).to_have_count(3)
    if SHOTS:
        phrases.screenshot(path=f"{SHOTS}/marking.png")
    mouse.up()
    wait_until(lesson, "[2, 3, 4] in phrases.current.meta['units']")
    wait_until(lesson, "phrases.current.meta['units'] == phrases.spec['asked']['units']")
    expect(phrases.locator(".iw-unit")).to_have_count(3)
    # By keyboard, from the word that has the focus after a click.
    tokens.nth(9).click()
    expect(tokens.nth(9)).to_be_focused()
    keyboard.press("Shift+ArrowRight")
    keyboard.press("Shift+ArrowRight")
    keyboard.press("Enter")
    wait_until(lesson, "[9, 10, 11] in phrases.current.meta['units']")
    wait_until(lesson, "session.selection.token == 9")
    view(lesson, ATTENTION).locator(".iw-att-head[data-id='14']").click()
    wait_until(lesson, "(session.selection.layer, session.selection.head) == (3, 2)")
    phrases.get_by_role("button", name="Relevance to head 3.2").click()
    wait_until(lesson, "phrases.spec['asked']['head'] == [3, 2]")
    phrases.get_by_text("What is explained: output of head 3.2").wait_for()
    assert ask(lesson, "[9, 10, 11] in phrases.current.meta['units']")
    if SHOTS:
        tokens.nth(3).hover()
        phrases.screenshot(path=f"{SHOTS}/head.png")
    phrases.get_by_role("button", name="Relevance to the logits").click()
    wait_until(lesson, "phrases.spec['asked']['head'] is None")
    for wanted in ("== [3, 2]", "is None"):
        tokens.nth(9).focus()
        keyboard.press("Control+z")
        wait_until(lesson, f"phrases.spec['asked']['head'] {wanted}")
    assert lesson.page.complaints == []


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_page_in_both_themes_for_somebody_who_looks(lesson, theme):
    if not SHOTS:
        pytest.skip("set INTERP_WIDGETS_SHOTS to a folder")
    lesson.set_theme(theme)
    lesson.page.wait_for_timeout(500)
    lesson.page.screenshot(path=f"{SHOTS}/{theme}.png")
