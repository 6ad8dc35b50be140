"""A lecturer turns a notebook into one page for students who have no kernel and no network."""

import json
import re

import nbformat
import pytest

from interp_widgets.cli import find_notebook, main
from interp_widgets.notebook_page import run_notebook, write_page

CELLS = (
    """import interp_widgets as iw, torch
iw.show(torch.arange(6.0).reshape(2, 3), dims=('layer', 'head'))""",
    "print('<script>alert(1)</script>', 3 * '=')",
    "import pandas as pd; pd.DataFrame({'layer': [1, 2], 'score': [0.5, 0.25]})",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# A </title> lesson\n\nRead *this*."),
            *map(nbformat.v4.new_code_cell, CELLS),
        ]
    )
    nbformat.write(notebook, folder / "lesson.ipynb")
    executed = run_notebook(folder / "lesson.ipynb", folder, timeout=120)
    return write_page(executed, folder / "lesson.html").read_text(encoding="utf-8")


def test_prose_code_tables_and_printed_text_are_there(page):
    assert "<em>this</em>" in page
    assert re.search(r'class="[^"]*highlight', page)
    assert "<td>0.25</td>" in page
    assert "===" in page


def test_text_cannot_become_markup(page):
    assert "<script>alert(1)" not in page
    assert "<title>A &lt;/title&gt; lesson</title>" in page


def test_the_view_is_mounted_with_its_data_and_bundle(page):
    assert page.count('data-iw-mount="0"') == 1
    data = json.loads(re.search(r'id="iw-data">(.*?)</script>', page)[1])
    assert [view["bundle"] for view in data["views"]] == ["heatmap"]
    assert "heatmap" in data["bundles"]
    assert data["views"][0]["traits"]["status"]["phase"] == "static"


def test_the_page_asks_no_network(page):
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?:', page)


def test_the_first_notebook_is_found_and_a_missing_one_is_named():
    assert find_notebook().name == "01_first_look.ipynb"
    with pytest.raises(FileNotFoundError, match=r"99\.ipynb"):
        find_notebook("99.ipynb")


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "demo" in capsys.readouterr().out
