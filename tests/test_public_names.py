"""Public names stay what they are, whatever was imported before."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import interp_widgets as iw


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'atention'"):
        _ = iw.atention


def test_the_demo_can_be_called_after_its_package_was_imported():
    importlib.import_module("interp_widgets.demo.tasks")
    assert callable(iw.demo)
    assert list(inspect.signature(iw.demo).parameters) == ["name", "options"]
    code = (
        "import interp_widgets as iw; print(callable(iw.demo)); iw.tasks; print(callable(iw.demo))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_every_public_name_is_on_the_page_about_them():
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    for name in iw.__all__:
        assert name == "__version__" or f"`iw.{name}" in page, name
        assert name == "__version__" or inspect.getdoc(getattr(iw, name))
