"""The first look in a real JupyterLab by keyboard alone, with what a screen reader is told.

Nothing here touches the mouse: keys go in, the focus, the spoken line and the kernel are read.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.browser.axe import AUDIT, AXE
from tests.browser.lab import Lab, serve, wait_until
from tests.browser.waiting import expect, still, until

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.slow]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_first_look.ipynb"
CELLS = 6
"""Cells of the lesson up to the attention view."""

# Remembers what every view's polite line has said.
LISTEN = """() => { window.spoken = [];
  for (const root of document.querySelectorAll('.iw-root'))
    for (const line of root.querySelectorAll('[aria-live=polite]'))
      new MutationObserver(() => line.textContent.trim() && spoken.push(line.textContent.trim()))
        .observe(line, {childList: true, characterData: true, subtree: true}); }"""
FOCUS = """() => { const e = document.activeElement, root = e.closest('.iw-root');
  return {view: root?.dataset.iwView ?? null, whole: e === root, role: e.getAttribute('role') ?? '',
    name: e.ariaLabel ?? e.textContent.trim(), tag: e.tagName,
    label: e.closest('[role=grid], [role=dialog], [role=menu], [role=listbox]')?.ariaLabel ?? ''}; }"""


def fits(at: dict, wanted: dict) -> bool:
    return all(str(at[what] or "").startswith(str(value)) for what, value in wanted.items())


class Keys:
    """A reader with a keyboard."""

    def __init__(self, page) -> None:
        self.page = page

    @property
    def at(self) -> dict:
        return self.page.evaluate(FOCUS)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def see(self, **wanted) -> None:
        """Wait until the focus is where it is wanted; names may go on."""
        until(lambda: fits(self.at, wanted), f"the focus at {wanted}")

    def tab_to(self, *, key: str = "Tab", most: int = 160, **wanted: str) -> dict:
        """Press Tab until the focus is where it is wanted; names and labels may go on."""
        seen = []
        for _ in range(most):
            self.press(key)
            at = self.at
            seen.append(at)
            if fits(at, wanted):
                return at
        pytest.fail(
            f"{key} does not reach {wanted}; it went {[(s['view'], s['name'][:20]) for s in seen]}"
        )

    def hear(self, *words: str) -> str:
        """Wait until one thing was said that has all the words."""
        heard = "() => spoken.find(text => %s.every(word => text.includes(word))) ?? null"
        found = self.page.wait_for_function(heard % json.dumps(words), timeout=20_000)
        return found.json_value()


@pytest.fixture(scope="module")
def lesson(tmp_path_factory, new_page):
    folder = tmp_path_factory.mktemp("keys")
    shutil.copy(NOTEBOOK, folder)
    with serve(folder) as address:
        page = new_page(viewport={"width": 1300, "height": 1000})
        lab = Lab(page, address, NOTEBOOK.name).open()
        for _ in range(CELLS):
            page.keyboard.press("Shift+Enter")
        expect(page.locator(".iw-root")).to_have_count(3, timeout=120_000)
        lab.wait_idle()
        page.evaluate(LISTEN)
        yield lab
        page.context.close()


@pytest.fixture
def keys(lesson):
    return Keys(lesson.page)


def count_cells(lab) -> int:
    return lab.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")


def test_the_heads_are_reached_and_read(lesson, keys):
    keys.tab_to(key="Shift+Tab", view="attention", role="gridcell", name="head")
    before = count_cells(lesson)
    keys.press("Home", "PageUp", "ArrowDown", "ArrowRight", "ArrowRight")
    keys.see(name="head 1.2")
    keys.press("a", "b", "x", "z", "m", "y", "1")  # in the notebook: insert, cut, undo, convert …
    keys.see(view="attention")
    keys.press("Enter")
    keys.hear("1.2", "open")
    assert count_cells(lesson) == before


def test_a_head_is_ablated_by_key_and_the_effect_is_spoken(lesson, keys):
    keys.press(" ")
    said = keys.hear("1.2", "ablated", "logit difference")
    assert "→" in said or "to" in said
    wait_until(lesson, "len(session.interventions) == 1")
    lens = lesson.page.locator(".iw-lens, .iw-heatmap").first
    lens.get_by_role("radiogroup", name="Show", exact=True).wait_for()
    keys.see(name="head 1.2, ablated")


def test_undo_is_two_tabs_away_and_brings_everything_back(lesson, keys):
    keys.tab_to(key="Shift+Tab", view="attention", tag="BUTTON", name="Undo")
    keys.press("Enter")
    lens = lesson.page.locator(".iw-lens, .iw-heatmap").first
    lens.get_by_role("radiogroup", name="Show", exact=True).wait_for(state="hidden")
    wait_until(lesson, "len(session.interventions) == 0")
    keys.see(name="Undo")


def test_the_table_opens_and_is_scrolled(lesson, keys):
    keys.tab_to(view="attention", name="Show as table")
    keys.press("Enter")
    lesson.page.locator(".iw-attention table").wait_for()
    keys.tab_to(view="attention", role="group", name="Attention, table")
    keys.press("PageDown")
    lesson.page.wait_for_function("document.activeElement.scrollTop > 0")
    keys.tab_to(key="Shift+Tab", view="attention", name="Show as table")
    keys.press("Enter")
    lesson.page.locator(".iw-attention table").wait_for(state="hidden")


def test_a_figure_is_saved_from_its_dialog(lesson, keys):
    keys.tab_to(view="attention", name="Save figure")
    keys.press("Enter")
    lesson.page.get_by_role("dialog", name="Save figure").wait_for()
    keys.see(tag="SELECT")
    keys.press("Escape")
    keys.see(name="Save figure", tag="BUTTON")
    keys.press("Enter")
    keys.see(tag="SELECT")
    keys.tab_to(view="attention", label="Save figure", tag="BUTTON")
    with lesson.page.expect_download() as download:
        keys.press("Enter")
    assert Path(download.value.path()).stat().st_size > 5_000
    keys.press("Escape")


def test_help_opens_with_a_question_mark(lesson, keys):
    keys.tab_to(key="Shift+Tab", view="attention", name="Undo")
    keys.press("?")
    helped = lesson.page.locator(".iw-attention .iw-keys")
    expect(helped).to_contain_text("ablate the head")
    keys.press("?")
    expect(helped).to_be_hidden()


def test_escape_leaves_the_picture_then_the_notebook_has_its_keys(lesson, keys):
    keys.tab_to(view="attention", role="gridcell", name="head")
    keys.press("Escape", "Escape")  # the tooltip, then the picture
    keys.see(whole=True)
    index = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before, cells = lesson.page.evaluate(index), count_cells(lesson)
    keys.press("ArrowUp")
    until(lambda: lesson.page.evaluate(index) == before - 1, "the cell above")
    keys.press("b")
    until(lambda: count_cells(lesson) == cells + 1, "a cell more")
    keys.press("d", "d")
    until(lambda: count_cells(lesson) == cells, "no cell more")


def test_a_word_of_the_lens_is_read_and_selected(lesson, keys):
    keys.tab_to(key="Shift+Tab", view="lens", role="gridcell")
    keys.press("Control+End")
    keys.see(view="lens", name="layer")
    keys.press("Enter")
    wait_until(lesson, "session.selection.token == len(clean.tokens) - 1")
    for _ in range(60):  # and Tab comes out of it
        keys.press("Tab")
        if keys.at["view"] != "lens":
            break
    else:
        pytest.fail("Tab does not leave the lens")


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: run `npm install` in js/")
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_nothing_in_the_notebook(lesson, theme):
    lesson.set_theme(f"JupyterLab {theme}")
    lesson.page.locator(f".iw-root[data-iw-theme='{theme.lower()}']").first.wait_for()
    still(lesson.page.locator(".iw-root").first)
    if not lesson.page.evaluate("'axe' in window"):
        lesson.page.evaluate(AXE.read_text())
    found = lesson.page.evaluate(AUDIT.replace("axe.run(document)", "axe.run('.iw-root')"))
    assert not found, "\n".join(found)
    assert lesson.page.complaints == []
