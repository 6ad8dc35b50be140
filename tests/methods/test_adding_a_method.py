"""The page that teaches adding a method is true: its code is run as it stands there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

import interp_widgets as iw
from interp_widgets.results.registry import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-method.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def load(code: str, folder: Path, name: str):
    """Import a block of the page as a module of its own."""
    path = folder / f"{name}.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def token_loss(tmp_path):
    """The method of the page, registered for one test."""
    list(METHODS)
    before = dict(METHODS._entries)
    yield load(BLOCKS[0], tmp_path, "page_token_loss").token_loss
    METHODS._entries.clear()
    METHODS._entries.update(before)
    sys.modules.pop("page_token_loss", None)


def test_the_method_is_about_twenty_lines():
    body = BLOCKS[0][BLOCKS[0].index("@method") :].strip().splitlines()
    assert len(body) <= 20


def test_the_pages_own_test_passes(token_loss, session, tmp_path):
    test = load("import torch\n" + BLOCKS[2], tmp_path, "page_test")
    test.token_loss = token_loss
    test.test_the_loss_is_cross_entropy(session)


def test_the_notebook_lines_run_and_the_ablation_shows(token_loss, session, tmp_path):
    lines = BLOCKS[1].replace("token_loss(session", "page.token_loss(session")
    module = "import page_token_loss as page\n\n\ndef cell(session):\n"
    module += "".join(f"    {line}\n" for line in lines.strip().splitlines())
    module = module.replace("    result.rerun()", "    return result, result.rerun()")
    first, again = load(module, tmp_path, "page_cell").cell(session)
    assert first.frame().token.tolist() == ["5", "9", "30", "5", "9", "30", "5", "9"]
    assert first.recipe.method == "token_loss"
    assert again.recipe.interventions[0]["kind"] == "ablate"
    assert not torch.equal(first.values[0, 1:], again.values[0, 1:])


def test_it_is_in_the_catalogue_with_its_paper(token_loss):
    row = iw.catalogue().set_index("name").loc["token_loss"]
    assert row.title == "Token loss"
    assert "2209.11895" in row.paper
    assert row.summary.startswith("Measure the loss of every token")


def test_a_saved_result_knows_its_method(token_loss, session, tmp_path):
    result = token_loss(session.prompt([5, 9, 30, 7]))
    loaded = iw.load(result.save(tmp_path / "loss"), session)
    torch.testing.assert_close(loaded.rerun().values, result.values, equal_nan=True, rtol=0, atol=0)


def test_a_prompt_of_one_token_has_no_loss(token_loss, session):
    assert token_loss(session.prompt([5])).values.isnan().all()
