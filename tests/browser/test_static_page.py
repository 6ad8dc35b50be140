"""Exported pages in a browser, opened from disk with no network."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

import interp_widgets as iw
from interp_widgets.results.array import ArrayResult
from tests.browser.waiting import expect, repainted, still, until
from tests.views.fakes import FakeSession, ask, z_result
from tests.views.test_lens import lens_result

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """Head outputs and a lens grid; one token is a script."""
    values = np.random.default_rng(0).standard_normal((3, 5, 2, 6)).astype("f4")
    values[0, 1, 0, 2], values[0, 2, 0, 3] = np.nan, np.inf
    tokens = ["a", "b", "c", "</script>", "<script>document.title='x'</script>"]
    z = z_result(values=values, tokens=tokens)
    path = tmp_path_factory.mktemp("page") / "views.html"
    iw.to_html([z, lens_result()], path)
    return path


def cell_box(page, view, row, col, rows, cols):
    """Centre of a cell, from the place of the grid over the canvas."""
    box = still(page.locator(".iw-root").nth(view).locator("[role=grid]"))
    x = box["x"] + (col + 0.5) * min(box["width"] / cols, 56 if view == 0 else 120)
    return x, box["y"] + (row + 0.5) * box["height"] / rows


def pixels(page, view=0):
    """How many different colours a canvas shows."""
    return page.evaluate(
        """i => { const c = document.querySelectorAll('.iw-root')[i].querySelector('canvas');
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            const seen = new Set();
            for (let k = 0; k < d.length; k += 4) seen.add(d[k] << 16 | d[k + 1] << 8 | d[k + 2]);
            return seen.size; }""",
        view,
    )


def test_both_views_are_drawn_with_their_scales(offline, page_file):
    page = offline(page_file)
    expect(page.locator(".iw-legend")).to_have_count(2)
    until(lambda: pixels(page, 0) > 20)
    until(lambda: pixels(page, 1) > 10)
    legend = page.locator(".iw-legend").first
    for words in ("symmetric about zero", "× 1 not a number", "∞ 1 infinite"):
        expect(legend).to_contain_text(words)


def test_token_text_stays_text(offline, page_file):
    page = offline(page_file)
    assert page.title() != "x"
    assert page.evaluate("document.querySelectorAll('.iw-root script').length") == 0
    page.locator(".iw-root").first.locator("[data-iw=table]").click()
    expect(page.locator(".iw-root").first.locator("table")).to_contain_text("3 </script>")


def test_a_click_selects_in_the_other_view_too(offline, page_file):
    page = offline(page_file)
    expect(page.locator(".iw-legend")).to_have_count(2)
    place = cell_box(page, 0, 2, 1, 5, 6)
    with repainted(page.locator("canvas").nth(1)):
        page.mouse.click(*place)
    expect(page.locator(".iw-readout").first).to_contain_text("position 2 “c”, d_head 1")
    page.mouse.move(0, 0)
    page.mouse.click(*cell_box(page, 1, 0, 3, 3, 5))
    ranked = page.locator(".iw-ranked-pane")
    expect(ranked).to_contain_text("layer 1, position 3 “d”")
    expect(ranked.locator("li")).to_have_count(4)
    expect(page.locator("input[aria-label=layer]").first).to_have_value("1")


def test_the_menu_works_without_a_kernel(offline, page_file):
    page = offline(page_file, permissions=["clipboard-read", "clipboard-write"])
    expect(page.locator(".iw-legend")).to_have_count(2)
    view = page.locator(".iw-root").first
    expect(view.locator(".iw-menu .iw-icon").first).to_be_visible()
    assert view.locator(".iw-menu .iw-icon").count() <= 7
    expect(view.get_by_role("button", name="Undo")).to_have_count(0)
    more = view.get_by_role("button", name="More")
    more.click()
    view.get_by_role("menuitem", name="Copy numbers").click()
    copied = until(lambda: page.evaluate("navigator.clipboard.readText()"), "numbers copied")
    assert copied.splitlines()[0].split("\t")[0] == "position"
    assert "0.1257" in copied  # the first value, not rounded to what the table shows
    assert max(len(cell) for cell in re.findall(r"-?0\.\d+", copied)) > 8
    view.get_by_role("button", name="Save figure").click()
    dialog = view.get_by_role("dialog", name="Save figure")
    for kind in ("PDF", "SVG"):
        expect(dialog.locator("option").get_by_text(kind, exact=True)).to_have_count(1)
    with page.expect_download() as download:
        view.get_by_role("button", name="Save", exact=True).click()
    assert download.value.suggested_filename == "z.pdf"
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF")
    view.locator("[role=gridcell]").focus()
    page.keyboard.press("?")
    expect(view.locator(".iw-keys")).to_be_visible()
    page.keyboard.press("?")
    expect(view.locator(".iw-keys")).to_have_count(0)


def test_an_unlinked_view_keeps_its_own_selection(offline, page_file):
    page = offline(page_file)
    expect(page.locator(".iw-legend")).to_have_count(2)
    first, second = page.locator(".iw-root").first, page.locator(".iw-root").nth(1)
    second.get_by_role("button", name="More").press("ArrowDown")
    page.keyboard.press("u")
    expect(page.locator(":focus")).to_have_text("Unlink selection")
    page.keyboard.press("Enter")
    place = cell_box(page, 0, 2, 1, 5, 6)
    before = second.locator("canvas").first.screenshot()
    page.mouse.click(*place)
    expect(first.locator(".iw-readout")).to_contain_text("position 2")
    page.mouse.move(0, 0)
    still(second)
    assert second.locator("canvas").first.screenshot() == before


def test_steppers_walk_through_the_saved_slices(offline, page_file):
    page = offline(page_file)
    expect(page.locator(".iw-legend")).to_have_count(2)
    canvas = page.locator("canvas").first
    for dim in ("layer", "head"):
        with repainted(canvas):
            page.get_by_role("button", name=f"Next {dim}").first.click()
    expect(page.locator(".iw-note-error")).to_have_count(0)


def test_everything_can_be_reached_by_keyboard(offline, page_file):
    page = offline(page_file)
    expect(page.locator(".iw-legend")).to_have_count(2)
    cell = page.locator("[role=gridcell]").nth(1)
    for _ in range(40):
        page.keyboard.press("Tab")
        if cell.evaluate("e => e === document.activeElement"):
            break
    expect(cell).to_be_focused()
    expect(cell).to_have_attribute("aria-label", re.compile("^layer 1, position 0 “a” says “ w"))
    page.keyboard.press("End")
    page.keyboard.press("ArrowDown")
    expect(cell).to_have_attribute("aria-label", re.compile("^layer 0, position 4 “<script>”"))
    page.keyboard.press("Enter")
    expect(page.locator(".iw-ranked-pane")).to_have_count(1)
    tip = page.locator(".iw-root").nth(1).locator(".iw-tooltip")
    expect(tip).to_be_visible()
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.keyboard.press("Escape")
    expect(cell).not_to_be_focused()


def test_zoom_and_drag_show_more_of_less(offline, tmp_path):
    values = np.random.default_rng(0).standard_normal((100, 2200)).astype("f4")
    result = ArrayResult({"values": values}, {"dims": ["position", "unit"], "title": "big"})
    iw.to_html(result, tmp_path / "big.html")
    page = offline(tmp_path / "big.html")
    expect(page.locator(".iw-legend")).to_contain_text("one dot is the largest magnitude")
    for _ in range(8):
        page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".iw-legend")).not_to_contain_text("one dot")
    box = still(page.locator("canvas"))
    with repainted(page.locator("canvas")):
        page.mouse.move(box["x"] + 300, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 60, steps=4)
        page.mouse.up()
    page.get_by_role("button", name="Fit").click()
    expect(page.locator(".iw-legend")).to_contain_text("one dot is the largest magnitude")
    expect(page.locator(".iw-note-error")).to_have_count(0)


def test_a_changed_result_keeps_base_current_and_difference(offline, tmp_path):
    session = FakeSession()
    view = z_result(session).view(layer=1, head=0)
    ask(view, "intervene", {"kind": "ablate", "site": "z", "layer": 1, "head": [0]})
    session.step()
    iw.to_html(view, tmp_path / "changed.html")
    view.close()
    page = offline(tmp_path / "changed.html")
    expect(page.locator(".iw-legend")).to_have_count(1)
    silent = pixels(page)
    page.get_by_text("Difference").click()
    expect(page.locator(".iw-legend")).to_contain_text("change of head output")
    until(lambda: pixels(page) > silent + 10)
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_reader_s_theme(offline, page_file, scheme):
    page = offline(page_file, color_scheme=scheme)
    expect(page.locator(".iw-root").first).to_have_attribute("data-iw-theme", scheme)


@pytest.mark.parametrize("width", [320, 700, 1600])
def test_nothing_sticks_out_at_any_width(offline, page_file, width):
    page = offline(page_file, viewport={"width": width, "height": 800})
    expect(page.locator(".iw-legend")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll('.iw-root')].flatMap(root => {
            const right = root.getBoundingClientRect().right;
            return [...root.querySelectorAll('button, select, input, canvas, .iw-legend')]
              .filter(e => e.offsetParent && e.getBoundingClientRect().right > right + 1
                           && !e.classList.contains('iw-sr'))
              .map(e => e.className + ' ' + e.textContent.slice(0, 20)); })"""
    )
    assert outside == []


def test_controls_are_large_enough_and_have_names(offline, page_file):
    page = offline(page_file)
    small = page.evaluate(
        """() => [...document.querySelectorAll('.iw-root :is(button, select, input:not(.iw-sr))')]
            .filter(e => e.offsetParent).filter(e => e.getBoundingClientRect().height < 24
                                                    || e.getBoundingClientRect().width < 24)
            .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert small == []
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('.iw-root :is(button, select, input)')]
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
            .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


def test_a_notebook_converted_without_a_browser_shows_its_pictures_offline(new_page, tmp_path):
    cells = ["import interp_widgets as iw, numpy as np", "iw.show(np.eye(3, 5), title='ones')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    page, _ = HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "notebook.html").write_text(page)
    opened = new_page(offline=True)
    opened.goto((tmp_path / "notebook.html").as_uri(), wait_until="domcontentloaded")
    picture = opened.locator(".jp-OutputArea img")
    picture.wait_for()
    until(lambda: picture.evaluate("e => e.naturalWidth") > 100)
    opened.context.close()
