"""A student opens the lecturer's page from a USB stick."""

import nbformat
import pytest

from interp_widgets.notebook_page import run_notebook, write_page
from tests.browser.waiting import still

pytestmark = pytest.mark.browser

CODE = """
import interp_widgets as iw, torch
iw.show(torch.arange(6.0).reshape(2, 3), dims=('layer', 'head'))
"""


def test_the_views_of_a_notebook_page_live_where_they_stood(offline, tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(CODE),
            nbformat.v4.new_markdown_cell("And again, turned:"),
            nbformat.v4.new_code_cell(
                "iw.show(torch.arange(6.0).reshape(3, 2), dims=('position', 'unit'))"
            ),
        ]
    )
    nbformat.write(notebook, tmp_path / "lesson.ipynb")
    executed = run_notebook(tmp_path / "lesson.ipynb", tmp_path, timeout=120)
    tab = offline(write_page(executed, tmp_path / "lesson.html"))
    tab.locator("[data-iw-mount='1'] .iw-heatmap canvas").first.wait_for()
    first, text, second = (
        still(tab.locator(selector))["y"] + tab.evaluate("scrollY")
        for selector in ("[data-iw-mount='0']", "section p", "[data-iw-mount='1']")
    )
    assert first < text < second
